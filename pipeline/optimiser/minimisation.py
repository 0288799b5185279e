"""L-BFGS and Adam over any objective, resumable after every iteration; progress goes to a callback.

Shapes: an image is [3, height, width], sRGB in [0, 1]. Values are not clamped here: they may leave the
range a little, and the canvas clips once, at the end.

Loss and gradient are separate passes (`objective.forward`, then `write_gradient` of the trial it returned):
a trial that the line search rejects costs one pass, and the last iteration needs no gradient of its result.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import final

from jaxtyping import Float
from torch import Tensor

from pipeline.checkpoint import Checkpoint, Saved
from pipeline.geometry import Box
from pipeline.groups import Part, stop_if
from pipeline.objective import Objective, Trial
from pipeline.optimiser.adam import Adam, AdamState, run_adam
from pipeline.optimiser.descent import Ending, Watch, Work
from pipeline.optimiser.lbfgs import Lbfgs, LbfgsState, run_lbfgs
from pipeline.rasters import Raster
from pipeline.stores import Store, TensorStore
from pipeline.workspaces import MemoryWorkspace, Workspace

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
        gradient_passes: Gradients evaluated since then. This image's own is among them where it was taken
            before the loss was told: at the start, and with Adam at every step but a last one.
        loss: Of the image after this step.
        terms: The loss's parts by name.
        step_length: Multiple of the search direction that was taken: 1 is a full step, 0 the start.
        seconds: Since the start image, pauses between runs left out.
    """

    iteration: int
    of: int
    forward_passes: int
    gradient_passes: int
    loss: float
    terms: dict[str, float]
    step_length: float
    seconds: float

    @property
    def passes(self) -> int:
        """Work units: passes of either kind."""
        return self.forward_passes + self.gradient_passes


@final
@dataclass(frozen=True)
class Result:
    """The image, what is known of how it came about, and why the run ended.

    Attributes:
        store: The image.
        trace: Every step since the start image whose loss was evaluated.
        work: Everything that was done: a last step that was not checked included, and the trials of a line
            search that failed.
        ending: Why the run ended.
    """

    store: Store
    trace: tuple[Step, ...]
    work: Work
    ending: Ending

    @property
    def loss(self) -> float | None:
        """Of the image; None when the last step was not checked."""
        last = self.trace[-1]
        return last.loss if last.iteration == self.work.iteration else None

    @property
    def image(self) -> Float[Tensor, "3 height width"]:
        """All of the image, on the computing device."""
        return self.store.read(Box.whole(self.store.size))


@final
@dataclass
class _Progress:
    """Where progress goes: keeps the trace, measures time, calls back."""

    state: State
    of: int
    on_progress: Callable[[Step], None] | None
    trace: list[Step]
    started_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.earlier_s = self.state.work.seconds

    def go_on(self) -> None:
        """Tells where an earlier run had come to; its last gradient may be newer than its last loss."""
        if self.trace and self.on_progress:
            self.on_progress(replace(self.trace[-1], gradient_passes=self.state.work.gradient_passes))

    def report(self, trial: Trial | None, step_length: float) -> None:
        """Records the state's image, whose loss `trial` is, if it was evaluated."""
        work = self.state.work
        elapsed_s = time.perf_counter() - self.started_s
        work.seconds = self.earlier_s + elapsed_s
        if trial is None:
            return
        step = Step(
            iteration=work.iteration,
            of=self.of,
            forward_passes=work.forward_passes,
            gradient_passes=work.gradient_passes,
            loss=trial.loss,
            terms=dict(trial.terms),
            step_length=step_length,
            seconds=work.seconds,
        )
        if self.trace and self.trace[-1].iteration == step.iteration:
            # The run was stopped before it stepped on from there.
            self.trace.pop()
        self.trace.append(step)
        if self.on_progress:
            self.on_progress(step)


def minimise(
    objective: Objective,
    image: Raster | Float[Tensor, "3 height width"],
    settings: Settings,
    *,
    workspace: Workspace | None = None,
    checkpoint: Checkpoint | None = None,
    on_progress: Callable[[Step], None] | None = None,
    on_image: Callable[[Raster], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    part: Part | None = None,
) -> Result:
    """The image of lowest loss found, from `image` on, which is left as it was.

    Same objective, image and settings on the same machine: same bits, wherever the vectors are, and however
    often the run was interrupted. One that has come to its end, whatever that was, is not run again.

    Args:
        objective: What to minimise.
        image: sRGB in [0, 1], float32 or float64, on any device. Read where it is, so it must stay as it is
            until the first iteration is done, in this run or a later one.
        settings: Of the method.
        workspace: Where vectors go; by default the memory of the image's device.
        checkpoint: Where the state is saved, and where it is gone on from. In files, which must be those of
            `workspace`, every iteration, the gradient before it and the end are saved; in memory, the state
            is saved from time to time and when the run is stopped.
        on_progress: Called with the start (iteration 0), or with the step that an earlier run had come to,
            and after each iteration.
        on_image: Called after each iteration but the last with the image, to be read and not kept.
        should_stop: Asked before each tile; True ends the run with its last completed iteration. Asked
            while a saved state is read as well.
        part: What this process does of the level, as the objective has it; by default all. `image`, the
            vectors and the result are then those of its strip.

    Raises:
        PipelineError: The loss or gradient is not finite and no shorter step can mend that.
        CheckpointError: The saved state is another run's, or damaged.
        ResourceError: The disk is full.
        StoppedError: It was asked to stop before it had gone on; what was saved is still there.
    """
    should_stop = should_stop or _never
    if isinstance(image, Tensor):
        image = TensorStore.of(image.detach())
    if workspace is None:
        workspace = MemoryWorkspace(image.read(Box(0, 0, 1, 1)).device)
    part = part or Part.whole(image.size)
    with part.group.together():
        saved = None if checkpoint is None else checkpoint.load(partial(stop_if, should_stop))
        state, trace, start = _begun(image, settings, workspace, saved)
    if saved is not None and saved.numbers["ending"] is not None:
        return Result(state.image, tuple(trace), state.work, saved.numbers["ending"])
    progress = _Progress(state, settings.iterations, on_progress, trace)
    progress.go_on()
    # In memory it should go with the first step.
    started = None if start is None else weakref.ref(start)
    del start

    def vectors() -> dict[str, Store]:
        # The start image is there for the next run as well.
        start = None if started is None else started()
        return {name: store for name, store in state.vectors().items() if store is not start}

    def save(ending: Ending | None = None) -> None:
        if checkpoint is not None:
            steps = [asdict(step) for step in progress.trace]
            method = type(settings).__name__
            numbers = {"method": method, "ending": ending, "trace": steps, **state.numbers()}
            checkpoint.save(numbers, vectors())

    def keep(ending: Ending | None = None) -> None:
        if checkpoint is None:
            workspace.keep(vectors().values())
        elif checkpoint.due(state.vectors()):
            save(ending)

    def report(trial: Trial | None, step_length: float) -> None:
        progress.report(trial, step_length)
        # The start is known, and the last image is the result.
        if on_image is not None and 0 < state.work.iteration < settings.iterations:
            on_image(state.image)

    watch = Watch(report, keep, should_stop)
    if isinstance(settings, Lbfgs) and isinstance(state, LbfgsState):
        ending = run_lbfgs(objective, state, settings, workspace, watch, part=part)
    elif isinstance(settings, Adam) and isinstance(state, AdamState):
        ending = run_adam(objective, state, settings, workspace, watch, part=part)
    else:
        raise TypeError(f"{type(settings).__name__} cannot go on from {type(state).__name__}")
    if ending == "stopped":
        save()
    else:
        # What becomes of the image may need the room. The image alone does not tell that nothing is to come.
        state.forget()
        keep(ending)
    return Result(state.image, tuple(progress.trace), state.work, ending)


def _begun(
    image: Raster, settings: Settings, workspace: Workspace, saved: Saved | None
) -> tuple[State, list[Step], Store | None]:
    """The state to go on from, the steps that led there, and the start image if that is the state's image."""
    vectors: dict[str, Store] = {}
    if saved is not None:
        vectors |= {name: workspace.hold(name, store) for name, store in saved.vectors.items()}
    start = None if "image" in vectors else workspace.borrow("image", image)
    if start is not None:
        vectors["image"] = start
    if saved is None:
        begun = vectors["image"]
        return (LbfgsState(begun) if isinstance(settings, Lbfgs) else AdamState(begun)), [], start
    numbers = dict(saved.numbers)
    trace = [Step(**step) for step in numbers.pop("trace")]
    if numbers.pop("method") == Lbfgs.__name__:
        return LbfgsState.restored(vectors, numbers), trace, start
    return AdamState.restored(vectors, numbers), trace, start


def _never() -> bool:
    return False
