"""Adam over any objective: the slower, simpler alternative to L-BFGS.

Bytes per pixel in float32: image, gradient and both moments, 12 each; in files, image and moments twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from pipeline.groups import Part, StoppedError
from pipeline.objective import Objective, Trial
from pipeline.optimiser.descent import GREY_LEVEL, Ending, Watch, Work, differentiated, evaluated
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.sweeps import sweep_tiles
from pipeline.stores import Store
from pipeline.streaming import Streaming
from pipeline.tiles import Tile
from pipeline.workspaces import Workspace


@final
@dataclass(frozen=True, slots=True)
class Adam:
    """Settings of Adam (Kingma and Ba 2015), with bias correction and without weight decay.

    Attributes:
        iterations: Steps.
        learning_rate_grey_levels: Size of a step in 1/255.
        betas: Decay of the running means of the gradient and of its square.
        eps: Added to the root of the latter.
        check_last_step: Whether the last image's loss is evaluated.
    """

    iterations: int
    learning_rate_grey_levels: float = 8.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    check_last_step: bool = True

    def __post_init__(self) -> None:
        if self.iterations < 0 or not self.learning_rate_grey_levels > 0 or not self.eps > 0:
            raise ValueError(
                f"iterations >= 0, a positive learning rate and a positive eps are needed; got {self}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas lie in [0, 1); got {self.betas}")


@final
@dataclass(slots=True)
class AdamState:
    """Adam between two iterations.

    Attributes:
        image: The current image; the start image is never changed in place.
        moments: Running means of the gradient and of its square; None, for zero, at the start.
        work: What was done so far.
    """

    image: Store
    moments: tuple[Store, Store] | None = None
    work: Work = field(default_factory=Work)

    def vectors(self) -> dict[str, Store]:
        """Every store by name."""
        moments = {} if self.moments is None else dict(zip(("mean", "square"), self.moments, strict=True))
        return {"image": self.image, **moments}

    def forget(self) -> None:
        """Lets go of everything but the image."""
        self.moments = None

    def numbers(self) -> dict[str, Any]:
        """Everything else."""
        return {"work": self.work.numbers()}

    @classmethod
    def restored(cls, vectors: dict[str, Store], numbers: dict[str, Any]) -> AdamState:
        """The inverse of `vectors` and `numbers`."""
        moments = (vectors["mean"], vectors["square"]) if "mean" in vectors else None
        return cls(vectors["image"], moments, Work(**numbers["work"]))


def run_adam(
    objective: Objective,
    state: AdamState,
    settings: Adam,
    workspace: Workspace,
    watch: Watch,
    *,
    part: Part,
) -> Ending:
    """Runs Adam on `state` until it ends; arguments as those of `run_lbfgs`.

    An image's loss is known, and reported, only when the next step evaluates it; the last image costs one
    more forward pass, unless its loss is not asked for.

    Raises:
        PipelineError: A loss is not finite.
    """
    try:
        return _run(objective, state, settings, workspace, watch, part=part)
    except StoppedError:
        return "stopped"


def _run(
    objective: Objective,
    state: AdamState,
    settings: Adam,
    workspace: Workspace,
    watch: Watch,
    *,
    part: Part,
) -> Ending:
    tiles = sweep_tiles(part.strip, MultiscaleHessian(0), 2, state.image.device)
    while True:
        if state.work.iteration >= settings.iterations:
            trial = None
            if settings.check_last_step or settings.iterations == 0:
                trial = evaluated(objective, state.image, state.work, watch)
            _report(trial, state.work, watch)
            return "iterations"
        with part.group.together():
            gradient = workspace.new("gradient", state.image.channels, state.image.size, state.image.dtype)
        # Every step wants the gradient, so the loss may come with it.
        trial = differentiated(objective, state.image, gradient, state.work, watch)
        # One that was taken before, and not stepped along when the run was stopped, is not another.
        state.work.gradient_passes = state.work.iteration + 1
        _report(trial, state.work, watch)
        # A spent trial may hold activations: no name may keep it.
        del trial
        with part.group.together():
            image, moments = _stepped(state, gradient, settings, workspace, tiles=tiles, watch=watch)
        # Only when all have stepped: a group is stopped as one.
        state.image, state.moments = image, moments
        state.work.iteration += 1
        part.share(state.image)
        del gradient
        watch.keep()
        with part.group.together():
            watch.check()


def _report(trial: Trial | None, work: Work, watch: Watch) -> None:
    """Tells of the state's image, and counts the pass that gave its loss, if one did."""
    if trial is not None:
        work.forward_passes = work.iteration + 1
    watch.report(trial, float(work.iteration > 0))


def _stepped(
    state: AdamState,
    gradient: Store,
    settings: Adam,
    workspace: Workspace,
    *,
    tiles: tuple[Tile, ...],
    watch: Watch,
) -> tuple[Store, tuple[Store, Store]]:
    """Image and moments one step on.

    Raises:
        StoppedError: The run was asked to stop, and image and moments of the state are as they were.
    """
    iteration = state.work.iteration + 1
    fade, fade_square = settings.betas
    correction_square = math.sqrt(1.0 - fade_square**iteration)
    rate = settings.learning_rate_grey_levels * GREY_LEVEL / (1.0 - fade**iteration)
    image, moments = state.image, state.moments

    def following(name: str, store: Store | None) -> Store:
        if store is None:
            return workspace.new(name, gradient.channels, gradient.size, gradient.dtype)
        return workspace.successor(name, store)

    # The start image belongs to the caller.
    next_image = following("image", None if moments is None else image)
    next_moments = (
        following("mean", None if moments is None else moments[0]),
        following("square", None if moments is None else moments[1]),
    )
    # In memory, where it is soon done, the new values take the place of the old: no half of it is of any use.
    in_place = next_image is image

    def read(tile: Tile) -> tuple[Tensor, ...]:
        return tuple(store.read(tile.core) for store in (gradient, image, *(moments or ())))

    with Streaming(gradient.device) as stream:
        for tile, (slope, point, *old) in stream.ahead(tiles, read):
            if not in_place:
                watch.check()
            mean, square = old or [torch.zeros_like(slope)] * 2
            mean = mean.lerp(slope, 1.0 - fade)
            square = square.mul(fade_square).addcmul_(slope, slope, value=1.0 - fade_square)
            scale = square.sqrt().div_(correction_square).add_(settings.eps)
            values = (point.addcdiv(mean, scale, value=-rate), mean, square)
            stream.behind(partial(_write, tile, (next_image, *next_moments), values), *values)
    return next_image, next_moments


def _write(tile: Tile, stores: tuple[Store, ...], values: tuple[Tensor, ...]) -> None:
    for store, each in zip(stores, values, strict=True):
        store.write(tile.core, each)
