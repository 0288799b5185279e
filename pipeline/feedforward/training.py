"""Training: a network learns to lower, in one pass, the loss that the optimiser lowers image by image.

The loss is that of `training_loss.py`; nothing here knows which terms it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from pipeline.errors import InputError
from pipeline.features import Encoder
from pipeline.feedforward.network import TransformationNetwork, as_luma
from pipeline.feedforward.training_loss import style_targets, training_guidance, training_loss
from pipeline.feedforward.training_masks import training_masks
from pipeline.feedforward.training_record import Ending, LossPoint
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.geometry import Size
from pipeline.groups import Alone, Group
from pipeline.guidance import Guidance
from pipeline.losses import Loss, Observation
from pipeline.machine import Machine
from pipeline.streaming import to_device
from pipeline.tiles import Tile
from pipeline.transformations import ARCHITECTURES

_MASK = 2


@final
@dataclass(frozen=True, eq=False, slots=True)
class Validation:
    """What the network does with crops that stay the same.

    Attributes:
        point: The mean loss over them.
        contents: The crops.
        painted: What the network made of them.
    """

    point: LossPoint
    contents: Float[Tensor, "crops 3 side side"]
    painted: Float[Tensor, "crops 3 side side"]


@final
class Training:
    """A network on its way: its weights, Adam's moments, and the iterations done.

    Args:
        settings: What it is told.
        network: The network to train, with its first weights, on the machine's device.
        encoder: The loss network.
        loss: What is lowered.
        masks: The masks of crops, one or several; None for one region.
        guidance: The normalised guides of each; empty for one region.
        machine: Device and precision.
        group: Those who train together: each has a share of every batch, and all take the same steps.

    Attributes:
        iteration: Iterations done.
        trace: The loss of some batches.
        validations: The loss at every validation.
        best: With patience the weights by name at the lowest of them, else nothing.
        seconds: Spent on it, by all runs together.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        network: TransformationNetwork,
        encoder: Encoder,
        loss: Loss,
        *,
        masks: Float[Tensor, "masks regions side side"] | None,
        guidance: Sequence[Guidance],
        machine: Machine,
        group: Group | None = None,
    ) -> None:
        self.settings = settings
        self.group = group or Alone()
        self.network = network.train()
        self.iteration = 0
        self.seconds = 0.0
        self.trace: list[LossPoint] = []
        self.validations: list[LossPoint] = []
        self.best: dict[str, Tensor] = {}
        self.optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate)
        self._encoder = encoder
        self._loss = loss
        self._machine = machine
        self._masks = None if masks is None else masks.to(machine.device)
        self._size = Size(settings.size_px, settings.size_px)
        layers = [encoder.architecture.layer(name) for name in settings.style_layers]
        whole = Tile.whole(self._size)
        self._guides = [
            {name: T.to(machine.device) for name, T in each.at(layers, whole).items()} for each in guidance
        ]
        # Some five hundred points make a curve.
        self._trace_every = max(1, settings.iterations // 500)

    @classmethod
    def new(
        cls,
        settings: TrainingSettings,
        encoder: Encoder,
        styles: Mapping[str, Float[Tensor, "3 height width"]],
        machine: Machine,
        group: Group | None = None,
    ) -> Training:
        """The training before its first iteration.

        Args:
            settings: What it is told.
            encoder: The loss network, on the machine's device.
            styles: The style images by region, sRGB in [0, 1].
            machine: Device and precision.
            group: Those who train together.

        Raises:
            InputError: A batch cannot be shared evenly, or a region of a mask is less than a unit of a layer.
        """
        if group is not None and settings.batch % group.count:
            raise InputError(
                "--batch", expected=f"a multiple of the {group.count} processes", found=str(settings.batch)
            )
        targets = {
            name: style_targets(name, style.to(machine.device), settings, encoder)
            for name, style in styles.items()
        }
        masks, guidance = None, []
        if len(styles) > 1:
            masks = training_masks(settings.mask, len(styles), settings.size_px, settings.seed)
            guidance = [
                training_guidance(each, settings, encoder.architecture, tuple(styles)) for each in masks
            ]
        # The same first weights on every device, and nobody else's random numbers are touched.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = TransformationNetwork(
                ARCHITECTURES[settings.architecture], len(styles), settings.upsampling
            )
        loss = training_loss(settings, encoder.architecture, targets)
        network = network.to(machine.device)
        return cls(
            settings, network, encoder, loss, masks=masks, guidance=guidance, machine=machine, group=group
        )

    def step(self, batch: Float[Tensor, "batch 3 side side"]) -> LossPoint | None:
        """One iteration of Adam; the whole batch's loss, where it is traced.

        Args:
            batch: This process's share of it.

        Raises:
            InputError: The loss is no longer a number.
        """
        contents = self._shown(batch)
        first = self.iteration * self.settings.batch + self.group.rank * len(contents)
        places = self._places(first, len(contents))
        self.optimiser.zero_grad(set_to_none=True)
        values = self._judge(self._painted(contents, places), contents, places)
        torch.stack(list(values.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._share_gradient()
        self.optimiser.step()
        self.iteration += 1
        if self.iteration % self._trace_every and self.iteration not in (1, self.settings.iterations):
            return None
        point = self._point(self._shared(values))
        self.trace.append(point)
        return point

    @torch.no_grad()
    def _share_gradient(self) -> None:
        """Makes everyone's gradient the mean of all, added in the order of the processes."""
        if self.group.count == 1:
            return
        gradients = [found.grad for found in self.network.parameters() if found.grad is not None]
        total = self.group.sum(torch.cat([each.flatten() for each in gradients])) / self.group.count
        parts = torch.split(total, [each.numel() for each in gradients])
        for each, part in zip(gradients, parts, strict=True):
            each.copy_(part.view(each.shape))

    def _shared(self, values: Mapping[str, Float[Tensor, ""]]) -> dict[str, Tensor]:
        """The mean of everyone's terms."""
        own = torch.stack([value.detach() for value in values.values()])
        return dict(zip(values, self.group.sum(own) / self.group.count, strict=True))

    @torch.no_grad()
    def validate(self, crops: Float[Tensor, "crops 3 side side"]) -> Validation:
        """The mean loss over crops that stay the same, and what the network makes of them."""
        contents = self._shown(crops)
        # One at a time: what fits in memory with gradients for a batch fits without them for each.
        places = [index % max(1, len(self._guides)) for index in range(len(contents))]
        pieces = [
            self._painted(content[None], [place]) for content, place in zip(contents, places, strict=True)
        ]
        each = [
            self._judge(piece, content[None], [place])
            for piece, content, place in zip(pieces, contents, places, strict=True)
        ]
        values = {name: torch.stack([some[name] for some in each]).mean() for name in each[0]}
        point = self._point(values)
        self.validations.append(point)
        if self.settings.patience and self.best_validation is point:
            self.best = {name: value.clone() for name, value in self.network.named_parameters()}
        return Validation(point, contents.cpu(), torch.cat(pieces).cpu())

    @property
    def best_validation(self) -> LossPoint:
        """The first of the validations with the lowest loss."""
        return min(self.validations, key=lambda point: point.loss)

    @property
    def kept_iteration(self) -> int:
        """After which iteration the weights are kept: with patience the best validation's, else the last."""
        return self.best_validation.iteration if self.best else self.iteration

    @torch.no_grad()
    def keep_best(self) -> None:
        """Gives the network the weights of the best validation, where patience was asked for."""
        for name, value in self.best.items():
            self.network.get_parameter(name).copy_(value)

    @property
    def exhausted(self) -> bool:
        """Whether the validations have not found a new lowest loss for as long as patience lasts."""
        patience, losses = self.settings.patience, [point.loss for point in self.validations]
        if patience == 0 or len(losses) <= patience:
            return False
        return min(losses[-patience:]) >= min(losses[:-patience])

    def _shown(self, batch: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 side side"]:
        batch = to_device(batch, self._machine.device)
        return as_luma(batch) if self.settings.colour == "luminance" else batch

    def _places(self, first: int, count: int) -> list[int]:
        """Which mask each crop has: it depends on the seed and the crop's number alone."""
        if len(self._guides) <= 1:
            return [0] * count
        return [
            int(np.random.default_rng([self.settings.seed, _MASK, first + place]).integers(len(self._guides)))
            for place in range(count)
        ]

    def _painted(
        self, contents: Float[Tensor, "batch 3 side side"], places: Sequence[int]
    ) -> Float[Tensor, "batch 3 side side"]:
        mask = None if self._masks is None else self._masks[list(places)]
        machine = self._machine
        with torch.autocast(machine.device.type, torch.bfloat16, enabled=machine.dtype == torch.bfloat16):
            painted: Tensor = self.network(contents, mask)
        return as_luma(painted) if self.settings.colour == "luminance" else painted

    def _judge(
        self,
        painted: Float[Tensor, "batch 3 side side"],
        contents: Float[Tensor, "batch 3 side side"],
        places: Sequence[int],
    ) -> dict[str, Float[Tensor, ""]]:
        """The mean over the batch of each term."""
        features = self._encoder(painted, [layer.name for layer in self._loss.layers])
        with torch.no_grad():
            content_layers = [layer.name for layer in self._loss.content_layers]
            wanted = self._encoder(contents, content_layers) if content_layers else {}
        each = [
            self._loss.judge(
                self._loss.measure(
                    Observation(
                        {name: values[index : index + 1] for name, values in features.items()},
                        self._guides[places[index]] if self._guides else {},
                        {name: values[index : index + 1] for name, values in wanted.items()},
                        # The last row and column are neighbours of their own: no step leads out of the crop.
                        pixels=pad(painted[index : index + 1], (0, 1, 0, 1), mode="replicate")[0],
                    )
                ),
                self._size,
            )
            for index in range(len(painted))
        ]
        return {name: torch.stack([values[name] for values in each]).mean() for name in each[0]}

    def _point(self, values: Mapping[str, Float[Tensor, ""]]) -> LossPoint:
        terms = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
        loss = sum(terms.values())
        if loss != loss:  # noqa: PLR0124 - only what is no number differs from itself
            raise InputError(
                f"iteration {self.iteration}",
                expected="a loss that is a number",
                found="none: training has diverged",
                fix="Lower --learning-rate",
            )
        return LossPoint(iteration=self.iteration, loss=loss, terms=terms)


def train(
    training: Training,
    batches: Iterator[Float[Tensor, "batch 3 side side"]],
    crops: Float[Tensor, "crops 3 side side"],
    *,
    save: Callable[[], None],
    save_every_s: float,
    on_step: Callable[[int, float], None],
    on_validation: Callable[[Validation], None],
    should_stop: Callable[[], bool],
) -> Ending:
    """Trains until the settings' iterations are done, patience has run out, or somebody asked to stop.

    With patience the network has the weights of the best validation in the end, unless it was stopped.

    Args:
        training: The network on its way, new or as it was saved.
        batches: From the one that it has not seen on; of a group's, this process's share of each.
        crops: What validations look at.
        save: Saves the training; called now and then, and before it stops, by all of a group together.
        save_every_s: How often.
        on_step: Told the iteration and the last traced loss.
        on_validation: Shown every validation.
        should_stop: Asked after every iteration.
    """
    settings = training.settings
    now_s = saved_at_s = time.monotonic()
    shown = training.trace[-1].loss if training.trace else float("nan")
    while training.iteration < settings.iterations and not training.exhausted:
        point = training.step(next(batches))
        shown = shown if point is None else point.loss
        on_step(training.iteration, shown)
        last = training.iteration == settings.iterations
        if training.iteration % settings.validate_every == 0 or last:
            with training.group.together():
                on_validation(training.validate(crops))
        training.seconds += time.monotonic() - now_s
        now_s = time.monotonic()
        asked = training.group.gathered((should_stop(), now_s - saved_at_s >= save_every_s))
        stopping, due = (any(each) for each in zip(*asked, strict=True))
        if stopping and not last:
            save()
            return "stopped"
        if due:
            save()
            saved_at_s = time.monotonic()
    training.keep_best()
    return "early" if training.iteration < settings.iterations else "iterations"
