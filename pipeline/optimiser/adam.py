"""Adam over any objective: the slower, simpler alternative to L-BFGS.

Bytes per pixel in float32: image, gradient and both moments, 12 each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from jaxtyping import Float
from torch import Tensor

from pipeline.objective import Objective, Trial
from pipeline.optimiser.descent import GREY_LEVEL, Ending, Work, evaluated
from pipeline.optimiser.vectors import row_bands


@final
@dataclass(frozen=True, slots=True)
class Adam:
    """Settings of Adam (Kingma and Ba 2015), with bias correction and without weight decay.

    Attributes:
        iterations: Steps.
        learning_rate_grey_levels: Size of a step in 1/255.
        betas: Decay of the running means of the gradient and of its square.
        eps: Added to the root of the latter.
    """

    iterations: int
    learning_rate_grey_levels: float = 8.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

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
        image: The current image; changed in place.
        mean: Running mean of the gradient.
        square: Running mean of its square.
        work: What was done so far.
    """

    image: Float[Tensor, "3 height width"]
    mean: Float[Tensor, "3 height width"]
    square: Float[Tensor, "3 height width"]
    work: Work = field(default_factory=Work)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a checkpoint."""
        named = {"image": self.image, "mean": self.mean, "square": self.square}
        return {name: tensor.contiguous() for name, tensor in named.items()} | self.work.tensors()

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> AdamState:
        """The inverse of `tensors`."""
        return cls(tensors["image"], tensors["mean"], tensors["square"], Work.restored(tensors))


def run_adam(
    objective: Objective,
    state: AdamState,
    settings: Adam,
    report: Callable[[AdamState, Trial, float], bool],
) -> Ending:
    """Runs Adam on `state` until it ends; arguments as those of `run_lbfgs`.

    An image's loss is known, and reported, only when the next step evaluates it; the last image costs one
    more forward pass.

    Raises:
        PipelineError: A loss is not finite.
    """
    while True:
        trial = evaluated(objective, state.image, state.work)
        if state.work.forward_passes == state.work.iteration:
            state.work.forward_passes += 1
            if not report(state, trial, float(state.work.iteration > 0)):
                return "stopped"
        if state.work.iteration >= settings.iterations:
            return "iterations"
        gradient = trial.gradient()
        del trial
        state.work.gradient_passes += 1
        state.work.iteration += 1
        _update(state, gradient, settings)
        del gradient


def _update(state: AdamState, gradient: Float[Tensor, "3 height width"], settings: Adam) -> None:
    """One update of image and moments, in bands so that no full-size temporary is needed."""
    fade, fade_square = settings.betas
    correction = 1.0 - fade**state.work.iteration
    correction_square = math.sqrt(1.0 - fade_square**state.work.iteration)
    rate = settings.learning_rate_grey_levels * GREY_LEVEL / correction
    for rows in row_bands(gradient.shape[-2]):
        slope = gradient[:, rows]
        mean = state.mean[:, rows].lerp_(slope, 1.0 - fade)
        square = state.square[:, rows].mul_(fade_square).addcmul_(slope, slope, value=1.0 - fade_square)
        scale = square.sqrt().div_(correction_square).add_(settings.eps)
        state.image[:, rows].addcdiv_(mean, scale, value=-rate)
