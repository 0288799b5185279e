"""L-BFGS with a short history in bfloat16, Armijo backtracking and the multiscale initial Hessian.

Vectors are stores that may be larger than memory. An iteration sweeps over them twice: once to take all
inner products with the new gradient, which also writes y, and once to write the next image and s along the
direction that follows. A trial that the line search rejects writes nothing: a shorter one is read as a point
between the two images.

Bytes per pixel in float32: image, next image and gradient 12 each; the old gradient 12 as well while the new
one is computed; s and y 6 each in bfloat16 for each pair, and for the next s. In files the first image takes
nothing: it is the start image, which is read where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Box
from pipeline.groups import Part, StoppedError
from pipeline.objective import Objective, Trial
from pipeline.optimiser.descent import (
    GREY_LEVEL,
    Ending,
    Watch,
    Work,
    differentiated,
    evaluated,
    not_finite,
)
from pipeline.optimiser.history import Direction, History, Pair, Projection
from pipeline.optimiser.sweeps import Sweeper
from pipeline.optimiser.vectors import between
from pipeline.rasters import Checked
from pipeline.stores import Store
from pipeline.workspaces import Workspace

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
        check_last_step: Whether the last step's loss is evaluated; else it is taken in full, and reported
            without a trial.
    """

    iterations: int
    history: int = 5
    history_dtype: torch.dtype = torch.bfloat16
    first_step_grey_levels: float = 10.0
    armijo: float = 1e-4
    max_backtracks: int = 10
    hessian_scales: int | None = 3
    tolerance: float = 1e-9
    check_last_step: bool = True

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
@dataclass(slots=True)
class LbfgsState:
    """L-BFGS between two iterations, or between a gradient and the step that follows from it.

    Attributes:
        image: The current image; replaced, never changed in place.
        gradient: Of the image before it, or of this one when `projection` is known; None at the start.
        step: From the image before it, rounded as in a pair, when its change of gradient is not known yet and
            another iteration will ask for it.
        history: The pairs.
        projection: What the direction needs to know of this image's gradient, once that is known.
        loss: Of the current image.
        work: What was done so far.
    """

    image: Store
    gradient: Store | None = None
    step: Store | None = None
    history: History = field(default_factory=History)
    projection: Projection | None = None
    loss: float = math.inf
    work: Work = field(default_factory=Work)

    def vectors(self) -> dict[str, Store]:
        """Every store by name."""
        named = {"image": self.image, "gradient": self.gradient, "step": self.step}
        for index, pair in enumerate(self.history.pairs):
            named |= {f"step-{index}": pair.step, f"change-{index}": pair.change}
        return {name: store for name, store in named.items() if store is not None}

    def forget(self) -> None:
        """Lets go of everything but the image."""
        self.gradient = self.step = self.projection = None
        self.history = History()

    def numbers(self) -> dict[str, Any]:
        """Everything else."""
        return {
            "history": self.history.numbers(),
            "projection": None if self.projection is None else self.projection.numbers(),
            "loss": self.loss,
            "work": self.work.numbers(),
        }

    @classmethod
    def restored(cls, vectors: dict[str, Store], numbers: dict[str, Any]) -> LbfgsState:
        """The inverse of `vectors` and `numbers`."""
        pairs = tuple(
            Pair(vectors[f"step-{index}"], vectors[f"change-{index}"])
            for index in range(len(numbers["history"]["curvatures"]))
        )
        projection = numbers["projection"]
        return cls(
            vectors["image"],
            vectors.get("gradient"),
            vectors.get("step"),
            History.restored(numbers["history"], pairs),
            None if projection is None else Projection(**projection),
            numbers["loss"],
            Work(**numbers["work"]),
        )


def run_lbfgs(
    objective: Objective,
    state: LbfgsState,
    settings: Lbfgs,
    workspace: Workspace,
    watch: Watch,
    *,
    part: Part,
) -> Ending:
    """Runs L-BFGS on `state` until it ends (Nocedal and Wright 2006, algorithms 7.5 and 3.1).

    Args:
        objective: What to minimise.
        state: Where to start, changed in place.
        settings: Of the method.
        workspace: Where new vectors go.
        watch: Whom to tell, and who may stop it.
        part: What this process does of the level.

    Raises:
        PipelineError: The loss of the start image, or a gradient, is not finite.
    """
    run = _Run(objective, state, settings, workspace, watch, part=part)
    try:
        return run.to_the_end()
    except StoppedError:
        return "stopped"


@final
class _Line:
    """The image at `share` of the way from one image to another, both of which are written.

    Attributes:
        end: The other image.
        step: What leads there, rounded; None when no pair will be made of it.
        share: 1.0 is the other image.
    """

    def __init__(self, start: Store, end: Store, step: Store | None) -> None:
        self.size = end.size
        self.end = end
        self.step = step
        self.share = 1.0
        self._start: Store | None = start

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The image inside `box`."""
        end = self.end.read(box)
        if self.share == 1.0 or self._start is None:
            return end
        return between(self._start.read(box), end, self.share)

    def settle(self, sweeper: Sweeper) -> None:
        """Makes the image at `share` the end of the line, without changing a bit of what is read of it."""
        if self.share != 1.0 and self._start is not None:
            sweeper.write_point(self._start, self.end, self.share, self.step)
        self._start = None


@final
class _Run:
    """L-BFGS on one state. Whenever it raises StoppedError, the state is one to go on from."""

    def __init__(
        self,
        objective: Objective,
        state: LbfgsState,
        settings: Lbfgs,
        workspace: Workspace,
        watch: Watch,
        *,
        part: Part,
    ) -> None:
        self._objective = objective
        self._state = state
        self._settings = settings
        self._workspace = workspace
        self._watch = watch
        self._group = part.group
        self._sweeper = Sweeper.over(
            part, settings.hessian_scales or 0, settings.history, state.image.device, watch.check
        )

    def to_the_end(self) -> Ending:
        state = self._state
        trial: Trial | None = None
        if self._settings.iterations == 0:
            self._begun(evaluated(self._objective, state.image, state.work, self._watch))
        while state.work.iteration < self._settings.iterations:
            if state.projection is None:
                gradient = self._new("gradient", state.image.dtype)
                if trial is None:
                    # The start, or where an earlier run ended.
                    trial = differentiated(self._objective, state.image, gradient, state.work, self._watch)
                else:
                    trial.write_gradient(gradient)
                # One that was taken before, too late to be kept when the run was stopped, is not another.
                state.work.gradient_passes = state.work.iteration + 1
                if state.work.forward_passes == 0:
                    self._begun(trial)
                # A spent trial may hold activations, the largest thing there is: no name may keep it.
                trial = None
                self._learn(gradient)
                del gradient
                self._watch.keep()
            found = self._advance()
            if isinstance(found, str):
                return found
            trial, step_length = found
            del found
            if trial is not None:
                state.loss = trial.loss
            self._completed(trial, step_length)
        return "iterations"

    def _begun(self, trial: Trial) -> None:
        self._state.loss = trial.loss
        self._state.work.forward_passes = 1
        self._watch.report(trial, 0.0)

    def _completed(self, trial: Trial | None, step_length: float) -> None:
        self._watch.report(trial, step_length)
        self._watch.keep()
        with self._group.together():
            self._watch.check()

    def _new(self, name: str, dtype: torch.dtype) -> Store:
        with self._group.together():
            return self._workspace.new(name, self._state.image.channels, self._state.image.size, dtype)

    def _learn(self, gradient: Store) -> None:
        """Takes the gradient of the state's image into the state, and with it the pair that it completes.

        The pair (last step, change of gradient) is kept if its curvature is safely positive. Curvatures are
        those of the rounded pair: the inverse Hessian is positive definite only if they belong to it.
        """
        state = self._state
        history, found = state.history, None
        if state.step is not None and state.gradient is not None:
            # The oldest pair will make room for the new one: it need not be read.
            older = history.newest(self._settings.history - 1)
            pair = Pair(state.step, self._new("change", self._settings.history_dtype))
            found = self._sweeper.products(gradient, (*older.pairs, pair), state.gradient)
            step_length, change_length = (math.sqrt(square) for square in found.lengths)
            curvatures, changes = ([row[1] for row in rows] for rows in (found.steps, found.changes))
            if curvatures[-1] > CURVATURE_FLOOR * step_length * change_length:
                history = older.with_pair(pair, curvatures, changes)
            else:
                found = None
        if found is None:
            found = self._sweeper.products(gradient, history.pairs)
        state.history = history
        state.projection = Projection(
            [row[0] for row in found.steps],
            [row[0] for row in found.changes],
            found.gradient,
            found.largest,
        )
        state.gradient, state.step = gradient, None

    def _advance(self) -> tuple[Trial | None, float] | Literal["converged", "line search failed"]:
        """Moves the state to an accepted trial, and returns that with its step length, or why not.

        There is no trial when the last step goes unchecked. A direction that does not descend, or along which
        no trial is accepted, clears the history, and steepest descent gets one try.
        """
        state, settings = self._state, self._settings
        if state.gradient is None or state.projection is None:
            raise ValueError("the gradient of the state's image is not known yet")
        history, passes = state.history, 0
        line: _Line | None = None
        while True:
            direction = history.direction(state.projection, settings.first_step_grey_levels * GREY_LEVEL)
            if not direction.slope <= 0 and history.pairs:
                history = History()
                continue
            if not math.isfinite(direction.slope):
                raise not_finite("gradient", direction.slope, state.work)
            if -direction.slope <= settings.tolerance * abs(state.loss):
                return "converged"
            line = self._line(direction, state.gradient, history, line)
            if self._is_last and not settings.check_last_step:
                trial = None
                break
            trial, tried = self._search(line, direction.slope)
            passes += tried
            if trial is not None:
                break
            if not history.pairs:
                state.work.forward_passes += passes
                return "line search failed"
            history = History()
        step_length = line.share
        line.settle(self._sweeper)
        state.image, state.step = line.end, line.step
        state.history, state.projection = history, None
        state.work.forward_passes += passes
        state.work.iteration += 1
        return trial, step_length

    def _line(self, direction: Direction, gradient: Store, history: History, failed: _Line | None) -> _Line:
        """The line from the state's image to the one that is a full step along `direction`.

        It takes the place of the one that failed: for both at once no room is planned.
        """
        image = self._state.image
        if failed is not None:
            end, step = failed.end, failed.step
        else:
            end = self._new("image", image.dtype)
            # After the last iteration no gradient is asked for, so no pair is made.
            step = None if self._is_last else self._new("step", self._settings.history_dtype)
        self._sweeper.write_image(direction, gradient, history.pairs, start=image, end=end, step=step)
        return _Line(image, end, step)

    @property
    def _is_last(self) -> bool:
        """Whether the next step is the last that was asked for."""
        return self._state.work.iteration + 1 == self._settings.iterations

    def _search(self, line: _Line, slope: float) -> tuple[Trial | None, int]:
        """The first trial along `line` that meets Armijo's condition, or None; and how many were tried.

        The line's share is left where the trial is. The next one is the minimum of the parabola through both
        losses and the slope, kept within [0.1, 0.5] of the last one; a loss that is not finite says nothing
        about a parabola and gives 0.1.
        """
        loss, settings = self._state.loss, self._settings
        for tried in range(1, settings.max_backtracks + 2):
            trial = self._objective.forward(Checked(line, self._watch.check))
            share = line.share
            if trial.loss <= loss + settings.armijo * share * slope and math.isfinite(trial.loss):
                return trial, tried
            excess = trial.loss - (loss + share * slope)
            del trial
            shrink = -slope * share / (2.0 * excess) if math.isfinite(excess) else 0.1
            line.share *= min(max(shrink, 0.1), 0.5)
        return None, settings.max_backtracks + 1
