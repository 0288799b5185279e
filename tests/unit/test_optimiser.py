from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.geometry import Size
from pipeline.optimiser import Adam, AdamState, Lbfgs, LbfgsState, Result, State, Step, minimise, resume
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.lbfgs import search_direction

SHAPE = (3, 16, 16)
SIZE = Size(16, 16)


@dataclass
class DifferentiableTrial:
    objective: Differentiable
    image: Tensor
    loss: float
    terms: Mapping[str, float]

    def gradient(self) -> Tensor:
        self.objective.gradients.append(self.loss)
        image = self.image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.objective.function(image), image)
        return gradient


@dataclass
class Differentiable:
    """An objective made of a differentiable function; it remembers the loss of every pass."""

    function: Callable[[Tensor], Tensor]
    size: Size = SIZE
    forwards: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)

    def forward(self, image: Tensor) -> DifferentiableTrial:
        loss = self.function(image).item()
        self.forwards.append(loss)
        return DifferentiableTrial(self, image, loss, {"half": loss / 2})


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic(condition: float, shape: tuple[int, ...] = SHAPE) -> tuple[Differentiable, Tensor]:
    """A quadratic with curvatures from 1 to `condition`, shuffled over the pixels, and its minimum."""
    count = math.prod(shape)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(5))
    curvatures = torch.logspace(0, math.log10(condition), count, dtype=torch.float64)[order].view(shape)
    minimum = noise(*shape, seed=6)

    def function(image: Tensor) -> Tensor:
        return 0.5 * (curvatures.to(image.dtype) * (image - minimum.to(image.dtype)) ** 2).sum()

    return Differentiable(function), minimum


def rosenbrock(image: Tensor) -> Tensor:
    """The chained Rosenbrock function along all values; its minimum is 0, at all ones."""
    values = image.flatten()
    return (100.0 * (values[1:] - values[:-1] ** 2) ** 2 + (1.0 - values[:-1]) ** 2).sum()


def scaled(function: Callable[[Tensor], Tensor], factor: float) -> Callable[[Tensor], Tensor]:
    return lambda image: factor * function(image)


def exact(iterations: int, **changes: object) -> Lbfgs:
    settings: dict[str, object] = {"history_dtype": torch.float64, "hessian_scales": None, "tolerance": 0.0}
    return Lbfgs(iterations, **(settings | changes))  # type: ignore[arg-type]


def iterations_to(loss: float, result: Result) -> int:
    return next(step.iteration for step in result.trace if step.loss <= loss)


# L-BFGS: where it goes


def test_finds_the_minimum_of_an_ill_conditioned_quadratic() -> None:
    objective, minimum = quadratic(1e3)
    result = minimise(objective, noise(*SHAPE), exact(250, history=10))
    assert (result.image - minimum).abs().max().item() < 1e-5
    assert result.trace[0].loss / result.trace[-1].loss > 1e9


def test_a_short_history_is_far_faster_than_steepest_descent() -> None:
    # At condition 1000 steepest descent needs some 1000 steps per factor of e^4.
    objective, _ = quadratic(1e3)
    result = minimise(objective, noise(*SHAPE), exact(200))
    assert iterations_to(result.trace[0].loss * 1e-6, result) <= 100


def test_finds_the_minimum_of_rosenbrock() -> None:
    image = torch.full(SHAPE, 1.2, dtype=torch.float64) - 0.4 * noise(*SHAPE)
    result = minimise(Differentiable(rosenbrock), image, exact(400, history=10))
    assert (result.image - 1.0).abs().max().item() < 1e-4


@pytest.mark.parametrize("scales", [None, 3])
def test_direction_equals_the_dense_bfgs_matrix(scales: int | None) -> None:
    states: list[LbfgsState] = []

    def keep(state: State) -> None:
        assert isinstance(state, LbfgsState)
        states[:] = [LbfgsState(state.image, pairs=list(state.pairs))]

    minimise(
        Differentiable(rosenbrock),
        noise(*SHAPE),
        exact(9, history=4, hessian_scales=scales),
        on_iteration=keep,
    )
    pairs = states[0].pairs
    assert len(pairs) == 4
    count = math.prod(SHAPE)
    units = torch.eye(count, dtype=torch.float64)
    hessian = MultiscaleHessian(scales or 0)
    inverse = torch.stack([hessian.apply_(unit.view(SHAPE).clone()).flatten() for unit in units])
    last_step, last_change = pairs[-1].step.flatten(), pairs[-1].change.flatten()
    inverse *= (last_step @ last_change) / (last_change @ inverse @ last_change)
    for pair in pairs:
        step, change = pair.step.flatten(), pair.change.flatten()
        rho = 1.0 / (step @ change)
        left = units - rho * torch.outer(step, change)
        inverse = left @ inverse @ left.T + rho * torch.outer(step, step)
    gradient = noise(*SHAPE, seed=9) - 0.5
    expected = -(inverse @ gradient.flatten()).view(SHAPE)
    found = search_direction(gradient, pairs, hessian, 1.0)
    assert ((found - expected).norm() / expected.norm()).item() < 1e-10


def test_bfloat16_history_needs_few_iterations_more_than_float64() -> None:
    counts = {}
    for dtype in (torch.float64, torch.bfloat16):
        objective, _ = quadratic(100.0)
        result = minimise(objective, noise(*SHAPE), exact(100, history_dtype=dtype))
        counts[dtype] = iterations_to(result.trace[0].loss * 1e-6, result)
    assert counts[torch.bfloat16] <= counts[torch.float64] + 4


def test_curvature_belongs_to_the_rounded_pair() -> None:
    objective, _ = quadratic(100.0)

    def check(state: State) -> None:
        assert isinstance(state, LbfgsState)
        for pair in state.pairs:
            assert pair.step.dtype is pair.change.dtype is torch.bfloat16
            step, change = pair.step.double(), pair.change.double()
            assert pair.curvature == pytest.approx((step * change).sum().item(), rel=1e-14)
            assert pair.gamma == pytest.approx(pair.curvature / (change * change).sum().item(), rel=1e-14)

    result = minimise(objective, noise(*SHAPE), exact(6, history_dtype=torch.bfloat16), on_iteration=check)
    assert result.ending == "iterations"


def test_gradients_of_any_scale_take_the_same_path() -> None:
    images = []
    for factor in (2.0**-90, 1.0, 2.0**60):
        objective, _ = quadratic(50.0)
        objective.function = scaled(objective.function, factor)
        images.append(minimise(objective, noise(*SHAPE).float(), Lbfgs(12)).image)
    assert images[0].equal(images[1])
    assert images[1].equal(images[2])


def test_first_step_changes_no_value_by_more_than_its_grey_levels() -> None:
    objective, _ = quadratic(10.0)
    image = noise(*SHAPE)
    result = minimise(objective, image, Lbfgs(1, first_step_grey_levels=4.0))
    assert result.trace[1].step_length == 1.0
    assert (result.image - image).abs().max().item() == pytest.approx(4.0 / 255.0, rel=1e-9)


# L-BFGS: the line search


@dataclass
class ScriptedTrial:
    objective: Scripted
    loss: float
    terms: Mapping[str, float] = field(default_factory=dict)

    def gradient(self) -> Tensor:
        self.objective.gradients += 1
        return self.objective.slope


@dataclass
class Scripted:
    """An objective that tells a list of losses, whatever it is asked, and always the same gradient."""

    losses: list[float]
    slope: Tensor = field(default_factory=lambda: torch.full(SHAPE, 1.0, dtype=torch.float64))
    size: Size = SIZE
    gradients: int = 0
    images: list[Tensor] = field(default_factory=list)

    def forward(self, image: Tensor) -> ScriptedTrial:
        self.images.append(image.clone())
        return ScriptedTrial(self, self.losses.pop(0))


FULL = 10.0 / 255.0
PROMISE = FULL * math.prod(SHAPE)


def lengths(objective: Scripted) -> list[float]:
    """Lengths of the trials after the start, as multiples of a first step of ten grey levels."""
    start = objective.images[0]
    return [(start - image).mean().item() / FULL for image in objective.images[1:]]


def test_a_decrease_below_armijos_share_is_rejected() -> None:
    # 1e-4 of the promised decrease is needed: half of it is rejected, twice as much (of a shorter step) not.
    objective = Scripted([100.0, 100.0 - 0.5e-4 * PROMISE, 100.0 - 1e-4 * PROMISE])
    result = minimise(objective, noise(*SHAPE), exact(1))
    assert lengths(objective) == pytest.approx([1.0, 0.5], rel=1e-3)
    assert result.trace[-1].step_length == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("excess", "second"),
    [(0.0, 0.5), (1.0, 0.25), (1e9, 0.1), (math.nan, 0.1), (math.inf, 0.1), (-math.inf, 0.1)],
    ids=str,
)
def test_the_next_length_is_the_parabolas_minimum_within_bounds(excess: float, second: float) -> None:
    # Loss = start + excess * promise after a full step: the parabola's minimum is at 1 / (2 (1 + excess)).
    objective = Scripted([100.0, 100.0 + excess * PROMISE, 0.0])
    minimise(objective, noise(*SHAPE), exact(1))
    assert lengths(objective) == pytest.approx([1.0, second], rel=1e-9)


def test_rejected_trials_cost_no_gradient_and_the_last_image_neither() -> None:
    objective = Scripted([100.0, 200.0, 200.0, 50.0, 60.0, 10.0])
    result = minimise(objective, noise(*SHAPE), exact(2))
    assert objective.gradients == 2
    assert [(step.forward_passes, step.gradient_passes) for step in result.trace] == [(1, 0), (4, 1), (6, 2)]
    assert [step.loss for step in result.trace] == [100.0, 50.0, 10.0]
    assert result.trace[-1].passes == 8


def test_the_step_of_a_shortened_trial_is_the_difference_of_the_images() -> None:
    objective = Scripted([100.0, math.inf, 0.0])
    steps: list[Tensor] = []

    def keep(state: State) -> None:
        assert isinstance(state, LbfgsState)
        assert state.step is not None
        steps.append(state.step)

    minimise(objective, noise(*SHAPE), exact(1), on_iteration=keep)
    assert torch.allclose(steps[0], objective.images[-1] - objective.images[0], rtol=0, atol=1e-15)


def test_line_search_without_history_fails_after_all_backtracks() -> None:
    objective = Scripted([100.0] * 10)
    start = noise(*SHAPE)
    result = minimise(objective, start, exact(5, max_backtracks=3))
    assert result.ending == "line search failed"
    assert result.image.equal(start)
    assert len(objective.images) == 5
    assert len(result.trace) == 1


def test_a_failed_line_search_with_history_tries_steepest_descent_once() -> None:
    objective, _ = quadratic(10.0)
    function, wall = objective.function, [math.inf]
    objective.function = lambda image: (
        function(image) if function(image) >= wall[0] else 2e9 + 0 * image.sum()
    )

    def raise_wall(step: Step) -> None:
        # From the third iteration on nothing below this loss exists.
        if step.iteration == 3:
            wall[0] = step.loss

    wall[0] = 0.0
    result = minimise(objective, noise(*SHAPE), exact(9, max_backtracks=4), on_progress=raise_wall)
    assert result.ending == "line search failed"
    assert result.trace[-1].iteration == 3
    # Five trials along the direction of the history, then five along steepest descent.
    assert len(objective.forwards) - result.trace[-1].forward_passes == 10
    assert len(objective.gradients) == 4


def test_a_direction_that_climbs_resets_the_history() -> None:
    objective, minimum = quadratic(10.0)
    states: list[State] = []
    minimise(objective, noise(*SHAPE), exact(3), on_iteration=states.append)
    state = states[-1]
    assert isinstance(state, LbfgsState)
    # A history of negative curvature, which no run can produce: its direction climbs.
    bad = LbfgsState.restored(state.tensors())
    bad.step = None
    bad.pairs = [type(pair)(pair.step, pair.change, pair.curvature, -1.0) for pair in bad.pairs[:1]]
    result = resume(objective, bad, exact(30))
    assert result.ending == "iterations"
    assert (result.image - minimum).abs().max().item() < 1e-2


def test_pairs_without_curvature_are_not_kept() -> None:
    # A constant gradient: y = 0 in each pair.
    objective = Scripted([100.0, 90.0, 80.0, 70.0])
    kept: list[int] = []

    def count(state: State) -> None:
        assert isinstance(state, LbfgsState)
        kept.append(len(state.pairs))

    minimise(objective, noise(*SHAPE), exact(3), on_iteration=count)
    assert kept == [0, 0, 0]


def test_a_minimum_is_recognised() -> None:
    objective, minimum = quadratic(10.0)
    result = minimise(objective, minimum, Lbfgs(5))
    assert result.ending == "converged"
    assert result.image.equal(minimum)


def test_convergence_is_relative_to_the_loss() -> None:
    objective, _ = quadratic(10.0)
    function = objective.function
    objective.function = lambda image: function(image) + 1000.0
    result = minimise(objective, noise(*SHAPE), exact(200, tolerance=1e-6))
    assert result.ending == "converged"
    assert result.trace[-1].loss - 1000.0 < 1e-2
    assert result.trace[-1].iteration < 50


# Numbers that are not finite


@pytest.mark.parametrize("settings", [Lbfgs(3), Adam(3)], ids=["lbfgs", "adam"])
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_start_that_is_not_finite_is_refused(settings: Lbfgs | Adam, loss: float) -> None:
    with pytest.raises(PipelineError, match=f"iteration 0: expected a finite loss; found {loss}"):
        minimise(Scripted([loss]), noise(*SHAPE), settings)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    slope = torch.zeros(SHAPE, dtype=torch.float64)
    slope[0, 0, 0] = math.nan
    with pytest.raises(PipelineError, match="expected a finite gradient"):
        minimise(Scripted([1.0], slope), noise(*SHAPE), Lbfgs(3))


# Memory, progress, repeatability, resuming


def test_no_spent_trial_is_alive_during_a_forward_pass() -> None:
    objective, _ = quadratic(1e3)
    trials: list[weakref.ref[DifferentiableTrial]] = []

    class Watching:
        size = objective.size

        def forward(self, image: Tensor) -> DifferentiableTrial:
            assert [trial for trial in trials if trial() is not None] == []
            trial = objective.forward(image)
            trials.append(weakref.ref(trial))
            return trial

    gc.disable()
    try:
        # So long a first step that trials are rejected.
        result = minimise(Watching(), noise(*SHAPE), Lbfgs(12, first_step_grey_levels=2550.0))
        assert result.trace[-1].forward_passes > 13
        minimise(Watching(), noise(*SHAPE), Adam(4))
    finally:
        gc.enable()


@pytest.mark.parametrize("settings", [Lbfgs(4), Adam(4)], ids=["lbfgs", "adam"])
def test_progress_events(settings: Lbfgs | Adam) -> None:
    objective, _ = quadratic(10.0)
    steps: list[Step] = []
    start = noise(*SHAPE)
    result = minimise(objective, start, settings, on_progress=steps.append)
    assert result.ending == "iterations"
    assert tuple(steps) == result.trace
    assert [step.iteration for step in steps] == [0, 1, 2, 3, 4]
    assert {step.of for step in steps} == {4}
    assert [step.gradient_passes for step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1].forward_passes == len(objective.forwards)
    assert steps[0].loss == objective.function(start).item()
    assert steps[-1].loss == objective.function(result.image).item()
    assert all(step.terms == {"half": step.loss / 2} for step in steps)
    assert steps[0].step_length == 0.0
    assert steps[0].remaining_s is None
    assert steps[-1].remaining_s == 0.0
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert steps[2].remaining_s is not None
    assert steps[2].remaining_s == pytest.approx(steps[2].seconds, rel=1e-9)


@pytest.mark.parametrize("settings", [Lbfgs(4), Adam(4)], ids=["lbfgs", "adam"])
def test_the_start_image_is_left_as_it_was(settings: Lbfgs | Adam) -> None:
    objective, _ = quadratic(10.0)
    image = noise(*SHAPE)
    minimise(objective, image, settings)
    assert image.equal(noise(*SHAPE))


@pytest.mark.parametrize("settings", [Lbfgs(0), Adam(0)], ids=["lbfgs", "adam"])
def test_no_iterations_only_evaluate(settings: Lbfgs | Adam) -> None:
    objective, _ = quadratic(10.0)
    result = minimise(objective, noise(*SHAPE), settings)
    assert (result.ending, len(result.trace), objective.gradients) == ("iterations", 1, [])


@pytest.mark.parametrize("settings", [Lbfgs(9), Adam(9)], ids=["lbfgs", "adam"])
def test_stops_when_asked(settings: Lbfgs | Adam) -> None:
    objective, _ = quadratic(10.0)
    answers = iter([False, False, True])
    result = minimise(objective, noise(*SHAPE), settings, should_stop=lambda: next(answers))
    assert (result.ending, result.trace[-1].iteration) == ("stopped", 2)


def numbers(step: Step) -> tuple[object, ...]:
    return step.iteration, step.forward_passes, step.gradient_passes, step.loss, step.terms, step.step_length


@pytest.mark.parametrize("settings", [Lbfgs(12), Adam(12)], ids=["lbfgs", "adam"])
def test_same_start_same_bits(settings: Lbfgs | Adam) -> None:
    results = [minimise(Differentiable(rosenbrock), noise(3, 144, 32).float(), settings) for _ in range(2)]
    assert results[0].image.equal(results[1].image)
    assert [numbers(step) for step in results[0].trace] == [numbers(step) for step in results[1].trace]


@pytest.mark.parametrize("after", [1, 2, 7, 11])
@pytest.mark.parametrize("settings", [Lbfgs(12), Adam(12)], ids=["lbfgs", "adam"])
def test_resumed_from_a_file_same_bits(settings: Lbfgs | Adam, after: int, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"

    def write(state: State) -> None:
        if state.work.iteration == after:
            save_file(state.tensors(), checkpoint)

    start = noise(3, 144, 32).float()
    whole = minimise(Differentiable(rosenbrock), start, settings, on_iteration=write)
    kind = LbfgsState if isinstance(settings, Lbfgs) else AdamState
    state: State = kind.restored(load_file(checkpoint))
    rest = resume(Differentiable(rosenbrock), state, settings)
    assert rest.image.equal(whole.image)
    assert [numbers(step) for step in rest.trace] == [numbers(step) for step in whole.trace[after + 1 :]]


def test_more_iterations_can_be_asked_of_a_finished_state() -> None:
    states: list[dict[str, Tensor]] = []
    start = noise(*SHAPE).float()
    minimise(
        Differentiable(rosenbrock), start, Lbfgs(5), on_iteration=lambda state: states.append(state.tensors())
    )
    longer = resume(Differentiable(rosenbrock), LbfgsState.restored(states[-1]), Lbfgs(9))
    assert longer.image.equal(minimise(Differentiable(rosenbrock), start, Lbfgs(9)).image)


def test_a_state_of_the_other_method_is_refused() -> None:
    with pytest.raises(TypeError, match="Adam cannot go on from a LbfgsState"):
        resume(Differentiable(rosenbrock), LbfgsState(noise(*SHAPE)), Adam(1))


# Adam


def test_adam_equals_torch() -> None:
    objective, _ = quadratic(100.0, (3, 144, 16))
    start = noise(3, 144, 16)
    image = start.clone().requires_grad_()
    reference = torch.optim.Adam([image], lr=3.0 / 255.0, betas=(0.8, 0.95), eps=1e-6)
    for _ in range(25):
        reference.zero_grad()
        objective.function(image).backward()  # type: ignore[no-untyped-call]
        reference.step()
    settings = Adam(25, learning_rate_grey_levels=3.0, betas=(0.8, 0.95), eps=1e-6)
    result = minimise(objective, start, settings)
    assert (result.image - image.detach()).abs().max().item() < 1e-12


def test_adam_descends() -> None:
    objective, _ = quadratic(100.0)
    result = minimise(objective, noise(*SHAPE), Adam(100))
    assert result.trace[-1].loss < 1e-2 * result.trace[0].loss


# Settings


@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": -1},
        {"history": 0},
        {"max_backtracks": -1},
        {"history_dtype": torch.float16},
        {"first_step_grey_levels": 0.0},
        {"armijo": 0.5},
        {"tolerance": -1.0},
    ],
    ids=str,
)
def test_lbfgs_refuses_senseless_settings(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        Lbfgs(**({"iterations": 1} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"iterations": -1}, {"learning_rate_grey_levels": 0.0}, {"eps": 0.0}, {"betas": (0.9, 1.0)}],
    ids=str,
)
def test_adam_refuses_senseless_settings(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        Adam(**({"iterations": 1} | changes))  # type: ignore[arg-type]
