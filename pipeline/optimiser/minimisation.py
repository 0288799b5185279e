"""L-BFGS and Adam over any objective, resumable after every iteration; progress goes to a callback.

Shapes: an image is [3, height, width], sRGB in [0, 1]. Values are not clamped here: they may leave the
range a little, and the canvas clips once, at the end.

Loss and gradient are separate passes (`objective.forward`, then `gradient()` of the trial it returned), so
a trial that the line search rejects costs one pass, and the last iteration needs no gradient of its result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.objective import Objective, Trial
from pipeline.optimiser.adam import Adam, AdamState, run_adam
from pipeline.optimiser.descent import Ending
from pipeline.optimiser.lbfgs import Lbfgs, LbfgsState, run_lbfgs

Settings = Lbfgs | Adam
State = LbfgsState | AdamState


@final
@dataclass(frozen=True, slots=True)
class Step:
    """A completed iteration; iteration 0 tells of the start image.

    Attributes:
        iteration: Steps taken since the start image, in earlier runs too.
        of: Steps that were asked for.
        forward_passes: Losses evaluated since the start image, rejected trials included.
        gradient_passes: Gradients evaluated since the start image.
        loss: Of the image after this step.
        terms: The loss's parts by name.
        step_length: Multiple of the search direction that was taken: 1 is a full step, 0 the start.
        seconds: Since the start image, pauses between runs left out.
        remaining_s: Estimate from this run's mean iteration; None before its first one.
    """

    iteration: int
    of: int
    forward_passes: int
    gradient_passes: int
    loss: float
    terms: dict[str, float]
    step_length: float
    seconds: float
    remaining_s: float | None

    @property
    def passes(self) -> int:
        """Work units: passes of either kind."""
        return self.forward_passes + self.gradient_passes


@final
@dataclass(frozen=True)
class Result:
    """The image, the steps of this run (those of earlier runs are not repeated), and why it ended."""

    image: Float[Tensor, "3 height width"]
    trace: tuple[Step, ...]
    ending: Ending


@final
@dataclass
class _Watch:
    """Where progress goes: keeps the trace, measures time, calls back, asks whether to stop."""

    of: int
    first: int
    earlier_s: float
    on_progress: Callable[[Step], None] | None
    on_iteration: Callable[[State], None] | None
    should_stop: Callable[[], bool] | None
    started_s: float = field(default_factory=time.perf_counter)
    trace: list[Step] = field(default_factory=list)

    def report(self, state: State, trial: Trial, step_length: float) -> bool:
        """Records the state's image, whose loss `trial` is; whether to go on."""
        work = state.work
        elapsed_s = time.perf_counter() - self.started_s
        work.seconds = self.earlier_s + elapsed_s
        done = work.iteration - self.first
        step = Step(
            iteration=work.iteration,
            of=self.of,
            forward_passes=work.forward_passes,
            gradient_passes=work.gradient_passes,
            loss=trial.loss,
            terms=dict(trial.terms),
            step_length=step_length,
            seconds=work.seconds,
            remaining_s=elapsed_s / done * (self.of - work.iteration) if done else None,
        )
        self.trace.append(step)
        if self.on_progress:
            self.on_progress(step)
        if self.on_iteration and work.iteration:
            self.on_iteration(state)
        return not (self.should_stop and self.should_stop())


def start(image: Float[Tensor, "3 height width"], settings: Settings) -> State:
    """The state before the first iteration; it never changes `image` in place."""
    image = image.detach()
    if isinstance(settings, Lbfgs):
        return LbfgsState(image)
    return AdamState(image.clone(), torch.zeros_like(image), torch.zeros_like(image))


def minimise(
    objective: Objective,
    image: Float[Tensor, "3 height width"],
    settings: Settings,
    *,
    on_progress: Callable[[Step], None] | None = None,
    on_iteration: Callable[[State], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result:
    """The image of lowest loss found, from `image` on, which is left as it was.

    Same objective, image and settings on the same machine: same bits.

    Args:
        objective: What to minimise.
        image: sRGB in [0, 1], any device, float32 or float64.
        settings: Of the method.
        on_progress: Called with the start (iteration 0) and after each iteration.
        on_iteration: Called after each iteration, after `on_progress`, with the state; `state.tensors()`
            written then and given to `resume` later leads to the same bits as going on. The tensors are the
            live ones: write or copy them before returning.
        should_stop: Asked after each report; True ends the run.

    Raises:
        PipelineError: The loss or gradient is not finite and no shorter step can mend that.
    """
    return resume(
        objective,
        start(image, settings),
        settings,
        on_progress=on_progress,
        on_iteration=on_iteration,
        should_stop=should_stop,
    )


def resume(
    objective: Objective,
    state: State,
    settings: Settings,
    *,
    on_progress: Callable[[Step], None] | None = None,
    on_iteration: Callable[[State], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result:
    """Goes on from `state`, which it changes, to `settings.iterations` in all; see `minimise`.

    The loss of a restored image is evaluated anew (its activations are not kept); that pass is not counted,
    so that all numbers but the times equal those of a run that was never interrupted.

    Raises:
        PipelineError: As in `minimise`.
        TypeError: The state is another method's.
    """
    work = state.work
    watch = _Watch(settings.iterations, work.iteration, work.seconds, on_progress, on_iteration, should_stop)
    if isinstance(settings, Lbfgs) and isinstance(state, LbfgsState):
        ending = run_lbfgs(objective, state, settings, watch.report)
    elif isinstance(settings, Adam) and isinstance(state, AdamState):
        ending = run_adam(objective, state, settings, watch.report)
    else:
        raise TypeError(f"{type(settings).__name__} cannot go on from a {type(state).__name__}")
    return Result(state.image, tuple(watch.trace), ending)
