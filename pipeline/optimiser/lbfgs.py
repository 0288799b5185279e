"""L-BFGS with a short history in bfloat16, Armijo backtracking and the multiscale initial Hessian.

Bytes per pixel in float32: image, gradient, direction and trial image 12 each during a line search; image,
gradient and new gradient 12 each during `gradient()`; and 12 for each pair of a bfloat16 history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective import Objective, Trial
from pipeline.optimiser.descent import GREY_LEVEL, Ending, Work, evaluated, not_finite
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.vectors import add_scaled, difference, dot, largest_magnitude

CURVATURE_FLOOR = 1e-8


@final
@dataclass(frozen=True, slots=True)
class Lbfgs:
    """Settings of L-BFGS with a short history and Armijo backtracking.

    Attributes:
        iterations: Accepted steps at most.
        history: Pairs (s, y) kept, at least 1.
        history_dtype: What they are rounded to; bfloat16 has float32's range of exponents, so pairs need no
            scaling before they are rounded, however small the gradient (float16 would, and is refused).
        first_step_grey_levels: Largest change of a value in a step without history, in 1/255.
        armijo: Share of the decrease promised by the slope that a step must deliver.
        max_backtracks: Shorter trials after the first one before the line search gives up.
        hessian_scales: K of the multiscale initial Hessian; None for a multiple of the identity.
        tolerance: Converged when the slope promises a decrease of at most this share of the loss.
    """

    iterations: int
    history: int = 5
    history_dtype: torch.dtype = torch.bfloat16
    first_step_grey_levels: float = 10.0
    armijo: float = 1e-4
    max_backtracks: int = 10
    hessian_scales: int | None = 3
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.history < 1 or self.max_backtracks < 0:
            raise ValueError(f"iterations >= 0, history >= 1 and max_backtracks >= 0 are needed; got {self}")
        if self.history_dtype not in {torch.bfloat16, torch.float32, torch.float64}:
            raise ValueError(f"history_dtype is bfloat16, float32 or float64; got {self.history_dtype}")
        if not self.first_step_grey_levels > 0 or not 0 < self.armijo < 0.5 or not self.tolerance >= 0:
            raise ValueError(
                f"a positive first step, 0 < armijo < 0.5 and tolerance >= 0 are needed; got {self}"
            )


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """One pair of the history, rounded to the history's precision.

    Attributes:
        step: s, the difference of two images.
        change: y, the difference of their gradients.
        curvature: s.y of the rounded pair, in float64; rho is its inverse.
        gamma: s.y / (y . M y): the scale of the initial Hessian while this pair is the newest.
    """

    step: Float[Tensor, "3 height width"]
    change: Float[Tensor, "3 height width"]
    curvature: float
    gamma: float


@final
@dataclass(slots=True)
class LbfgsState:
    """L-BFGS between two iterations.

    Attributes:
        image: The current image; replaced, never changed in place.
        gradient: Of the image before it; None at the start.
        step: From that image to this one, rounded as in a pair; its change of gradient is not known yet.
        pairs: Oldest first.
        loss: Of the current image.
        work: What was done so far.
    """

    image: Float[Tensor, "3 height width"]
    gradient: Float[Tensor, "3 height width"] | None = None
    step: Float[Tensor, "3 height width"] | None = None
    pairs: list[Pair] = field(default_factory=list)
    loss: float = math.inf
    work: Work = field(default_factory=Work)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a checkpoint."""
        named = {"image": self.image, "gradient": self.gradient, "step": self.step}
        for index, pair in enumerate(self.pairs):
            named |= {f"pairs.{index}.step": pair.step, f"pairs.{index}.change": pair.change}
        numbers = [[pair.curvature, pair.gamma] for pair in self.pairs]
        return {
            **{name: tensor.contiguous() for name, tensor in named.items() if tensor is not None},
            "pairs": torch.tensor(numbers, dtype=torch.float64).reshape(-1, 2),
            "loss": torch.tensor([self.loss], dtype=torch.float64),
            **self.work.tensors(),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> LbfgsState:
        """The inverse of `tensors`."""
        pairs = [
            Pair(tensors[f"pairs.{index}.step"], tensors[f"pairs.{index}.change"], curvature, gamma)
            for index, (curvature, gamma) in enumerate(tensors["pairs"].tolist())
        ]
        return cls(
            tensors["image"],
            tensors.get("gradient"),
            tensors.get("step"),
            pairs,
            tensors["loss"].item(),
            Work.restored(tensors),
        )


def run_lbfgs(
    objective: Objective,
    state: LbfgsState,
    settings: Lbfgs,
    report: Callable[[LbfgsState, Trial, float], bool],
) -> Ending:
    """Runs L-BFGS on `state` until it ends (Nocedal and Wright 2006, algorithms 7.5 and 3.1).

    Args:
        objective: What to minimise.
        state: Where to start, changed in place.
        settings: Of the method.
        report: Called with the state, the trial of its image and the step length; False stops the run.

    Raises:
        PipelineError: The loss of the start image, or a gradient, is not finite.
    """
    hessian = MultiscaleHessian(settings.hessian_scales or 0)
    trial = evaluated(objective, state.image, state.work)
    state.loss = trial.loss
    if state.work.forward_passes == 0:
        state.work.forward_passes = 1
        if not report(state, trial, 0.0):
            return "stopped"
    while state.work.iteration < settings.iterations:
        gradient = trial.gradient()
        # A spent trial may hold activations, the largest thing there is: no name may keep it.
        del trial
        state.work.gradient_passes += 1
        _learn(state, gradient, hessian, settings)
        found = _advance(objective, state, gradient, hessian, settings)
        del gradient
        if isinstance(found, str):
            return found
        trial, step_length = found
        del found
        state.work.iteration += 1
        if not report(state, trial, step_length):
            return "stopped"
    return "iterations"


def _learn(
    state: LbfgsState, gradient: Float[Tensor, "3 height width"], hessian: MultiscaleHessian, settings: Lbfgs
) -> None:
    """Adds the pair (last step, change of gradient) to the history, if its curvature is safely positive."""
    if state.step is not None and state.gradient is not None:
        # Curvature and gamma come from the rounded pair: the recursion uses that one, and is positive
        # definite only if rho belongs to it.
        change = difference(gradient, state.gradient, settings.history_dtype)
        curvature = dot(state.step, change)
        lengths = math.sqrt(dot(state.step, state.step)) * math.sqrt(dot(change, change))
        if curvature > CURVATURE_FLOOR * lengths:
            gamma = curvature / hessian.quadratic_form(change)
            state.pairs.append(Pair(state.step, change, curvature, gamma))
            del state.pairs[: -settings.history]
    state.step = None
    state.gradient = gradient


def search_direction(
    gradient: Float[Tensor, "3 height width"],
    pairs: list[Pair],
    hessian: MultiscaleHessian,
    first_step: float,
) -> Float[Tensor, "3 height width"]:
    """-H gradient, H the inverse BFGS matrix of `pairs` (oldest first) over H0 = gamma M.

    Without pairs: -M gradient, scaled so that its largest magnitude is `first_step`. Two-loop recursion:
    Nocedal and Wright 2006, algorithm 7.4.
    """
    direction = gradient.neg()
    if not pairs:
        hessian.apply_(direction)
        largest = largest_magnitude(direction)
        return direction.mul_(first_step / largest) if largest > 0 else direction
    shares: list[float] = []
    for pair in reversed(pairs):
        share = dot(pair.step, direction) / pair.curvature
        add_scaled(direction, pair.change, -share)
        shares.append(share)
    hessian.apply_(direction).mul_(pairs[-1].gamma)
    for pair, share in zip(pairs, reversed(shares), strict=True):
        add_scaled(direction, pair.step, share - dot(pair.change, direction) / pair.curvature)
    return direction


def _advance(
    objective: Objective,
    state: LbfgsState,
    gradient: Float[Tensor, "3 height width"],
    hessian: MultiscaleHessian,
    settings: Lbfgs,
) -> tuple[Trial, float] | Literal["converged", "line search failed"]:
    """Moves the state's image to an accepted trial, and returns that with its step length, or why not.

    A direction that does not descend, or along which no trial is accepted, clears the history, and
    steepest descent gets one try.
    """
    first_step = settings.first_step_grey_levels * GREY_LEVEL
    while True:
        direction = search_direction(gradient, state.pairs, hessian, first_step)
        slope = dot(gradient, direction)
        if not slope <= 0 and state.pairs:
            state.pairs.clear()
            continue
        if not math.isfinite(slope):
            raise not_finite("gradient", slope, state.work)
        if -slope <= settings.tolerance * abs(state.loss):
            return "converged"
        found = _search(objective, state, direction, slope, settings)
        if found is not None:
            trial, state.image, step_length = found
            state.loss = trial.loss
            state.step = direction.mul_(step_length).to(settings.history_dtype)
            return trial, step_length
        if not state.pairs:
            return "line search failed"
        state.pairs.clear()


def _search(
    objective: Objective,
    state: LbfgsState,
    direction: Float[Tensor, "3 height width"],
    slope: float,
    settings: Lbfgs,
) -> tuple[Trial, Float[Tensor, "3 height width"], float] | None:
    """The first trial along `direction` that meets Armijo's condition, its image and length; None if none.

    The next length is the minimum of the parabola through both losses and the slope, kept within [0.1, 0.5]
    of the last one; a loss that is not finite says nothing about a parabola and gives 0.1.
    """
    length = 1.0
    image = torch.empty_like(state.image)
    for _ in range(settings.max_backtracks + 1):
        torch.add(state.image, direction, alpha=length, out=image)
        trial = objective.forward(image)
        state.work.forward_passes += 1
        excess = trial.loss - (state.loss + length * slope)
        if trial.loss <= state.loss + settings.armijo * length * slope and math.isfinite(trial.loss):
            return trial, image, length
        del trial
        shrink = -slope * length / (2.0 * excess) if math.isfinite(excess) else 0.1
        length *= min(max(shrink, 0.1), 0.5)
    return None
