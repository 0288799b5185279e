from __future__ import annotations

import gc
import itertools
import json
import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from overlapping import Overlap
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.geometry import Box, Size
from pipeline.groups import Part
from pipeline.optimiser import Adam, AdamState, Lbfgs, LbfgsState, Result, State, Step, minimise, sweeps
from pipeline.optimiser.adam import run_adam
from pipeline.optimiser.descent import Watch
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.history import Direction, History, Pair, Projection
from pipeline.optimiser.lbfgs import run_lbfgs
from pipeline.optimiser.sweeps import Sweeper, sweep_tiles
from pipeline.rasters import Raster, TensorRaster
from pipeline.stores import Store, TensorStore
from pipeline.workspaces import MemoryWorkspace

SHAPE = (3, 16, 16)
SIZE = Size(16, 16)


@dataclass
class DifferentiableTrial:
    objective: Differentiable
    image: Tensor
    loss: float
    terms: Mapping[str, float]

    def write_gradient(self, into: Store) -> None:
        self.objective.gradients.append(self.loss)
        image = self.image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.objective.function(image), image)
        into.fill(gradient)


@dataclass
class Differentiable:
    """An objective made of a differentiable function; it remembers the loss of every pass."""

    function: Callable[[Tensor], Tensor]
    size: Size = SIZE
    forwards: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> DifferentiableTrial:
        pixels = image.read(Box.whole(image.size)).clone()
        loss = self.function(pixels).item()
        self.forwards.append(loss)
        return DifferentiableTrial(self, pixels, loss, {"half": loss / 2})


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


def made_history(
    count: int, length: int, scales: int, dtype: torch.dtype, shape: tuple[int, ...] = SHAPE
) -> tuple[Sweeper, History, Projection, TensorStore]:
    """The history of `count` steps down a quadratic, as sweeps make it, and the last gradient."""
    objective, _ = quadratic(50.0, shape)
    sweeper = Sweeper.over(Part.whole(Size(*shape[1:])), scales, length, torch.device("cpu"), lambda: None)
    history, old = History(), None
    point = noise(*shape)
    for index in range(count + 1):
        image = point.clone().requires_grad_()
        gradient = TensorStore.of(torch.autograd.grad(objective.function(image), image)[0])
        if old is None:
            found = sweeper.products(gradient, ())
        else:
            change = TensorStore(3, gradient.size, dtype, gradient.device, gradient.device)
            pair, history = Pair(TensorStore.of(step), change), history.newest(length - 1)
            found = sweeper.products(gradient, (*history.pairs, pair), old)
            curvatures, changes = [row[1] for row in found.steps], [row[1] for row in found.changes]
            history = history.with_pair(pair, curvatures, changes)
        step = (0.02 * (noise(*shape, seed=index + 20) - 0.5)).to(dtype)
        point, old = point + step, gradient
    projection = Projection(
        [row[0] for row in found.steps], [row[0] for row in found.changes], found.gradient, found.largest
    )
    return sweeper, history, projection, gradient


def test_sweeps_take_larger_tiles_where_calls_are_what_costs() -> None:
    strip, hessian = Part.whole(Size(8192, 8192)).strip, MultiscaleHessian(3)

    def largest(device: str) -> int:
        tiles = sweep_tiles(strip, hessian, 10, torch.device(device))
        return max(tile.core.size.height for tile in tiles)

    assert 900 < largest("cpu") <= 1024 + 16
    assert 1800 < largest("cuda") <= 2048 + 16


def known(store: Store | None) -> Store:
    assert store is not None
    return store


def whole(store: Store) -> Tensor:
    return store.read(Box.whole(store.size))


def formed(sweeper: Sweeper, direction: Direction, history: History, gradient: Store) -> Tensor:
    """The direction, as the difference of the images between which it is written."""
    start, end = (TensorStore.of(torch.zeros_like(whole(gradient))) for _ in range(2))
    sweeper.write_image(direction, gradient, history.pairs, start=start, end=end, step=None)
    return whole(end)


def two_loops(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]], scales: int) -> Tensor:
    """Nocedal and Wright 2006, algorithm 7.4, by the letter."""
    hessian = MultiscaleHessian(scales)
    q, shares = gradient.clone(), []
    for s, y in reversed(pairs):
        shares.append((s * q).sum() / (s * y).sum())
        q -= shares[-1] * y
    s, y = pairs[-1]
    r = hessian.apply_(q) * ((s * y).sum() / (y * hessian.apply_(y.clone())).sum())
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        r += (share - (y * r).sum() / (s * y).sum()) * s
    return -r


def dense(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]], scales: int) -> Tensor:
    """The inverse BFGS matrix, pair by pair, times the gradient."""
    count = gradient.numel()
    units = torch.eye(count, dtype=torch.float64)
    hessian = MultiscaleHessian(scales)
    inverse = torch.stack([hessian.apply_(unit.view(gradient.shape).clone()).flatten() for unit in units])
    s, y = (image.flatten() for image in pairs[-1])
    inverse *= (s @ y) / (y @ inverse @ y)
    for pair in pairs:
        s, y = (image.flatten() for image in pair)
        left = units - torch.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + torch.outer(s, s) / (s @ y)
    return -(inverse @ gradient.flatten()).view(gradient.shape)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("scales", [0, 3])
@pytest.mark.parametrize(("count", "length"), [(1, 5), (3, 5), (9, 4)])
def test_the_compact_direction_is_that_of_the_recursion_and_of_the_dense_matrix(
    count: int, length: int, scales: int, dtype: torch.dtype
) -> None:
    sweeper, history, projection, store = made_history(count, length, scales, dtype)
    direction = history.direction(projection, 1.0)
    found, gradient = formed(sweeper, direction, history, store), whole(store)
    assert len(history.pairs) == min(count, length)
    pairs = [(whole(pair.step).double(), whole(pair.change).double()) for pair in history.pairs]
    for oracle in (two_loops, dense):
        expected = oracle(gradient, pairs, scales)
        assert ((found - expected).norm() / expected.norm()).item() < 1e-10
    assert direction.slope == pytest.approx((found * gradient).sum().item(), rel=1e-10)


def test_a_sweep_by_tiles_is_that_over_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (3, 80, 112)
    one = made_history(4, 3, 3, torch.bfloat16, shape)
    monkeypatch.setitem(sweeps._MAX_TILE_PX, "cpu", 16)
    many = made_history(4, 3, 3, torch.bfloat16, shape)
    assert (len(one[0].tiles), len(many[0].tiles)) == (1, 15)
    directions = [history.direction(projection, 1.0) for _, history, projection, _ in (one, many)]
    assert directions[1].slope == pytest.approx(directions[0].slope, rel=1e-10)
    images = [
        formed(sweeper, direction, history, gradient)
        for (sweeper, history, _, gradient), direction in zip((one, many), directions, strict=True)
    ]
    assert ((images[1] - images[0]).norm() / images[0].norm()).item() < 1e-10
    assert many[2].largest == one[2].largest


@pytest.mark.parametrize("scales", [0, 3])
def test_without_pairs_the_direction_is_steepest_descent_of_a_given_size(scales: int) -> None:
    sweeper, history, projection, store = made_history(0, 5, scales, torch.float32)
    direction = history.direction(projection, 0.25)
    found = formed(sweeper, direction, history, store)
    raised = MultiscaleHessian(scales).apply_(whole(store).clone())
    assert torch.allclose(found, -0.25 / raised.abs().max() * raised, rtol=1e-12, atol=0)
    assert direction.slope == pytest.approx((found * whole(store)).sum().item(), rel=1e-12)


def test_products_are_those_of_the_rounded_pair() -> None:
    _, history, _, _ = made_history(3, 5, 3, torch.bfloat16)
    hessian = MultiscaleHessian(3)
    for i, left in enumerate(history.pairs):
        for j, right in enumerate(history.pairs):
            y = whole(right.change).double()
            expected = (whole(left.step).double() * y).sum().item() if i <= j else 0.0
            assert history.curvatures[i, j].item() == pytest.approx(expected, rel=1e-12)
            expected = (whole(left.change).double() * hessian.apply_(y)).sum().item()
            assert history.changes[i, j].item() == pytest.approx(expected, rel=1e-12)


def test_bfloat16_history_needs_few_iterations_more_than_float64() -> None:
    counts = {}
    for dtype in (torch.float64, torch.bfloat16):
        objective, _ = quadratic(100.0)
        result = minimise(objective, noise(*SHAPE), exact(100, history_dtype=dtype))
        counts[dtype] = iterations_to(result.trace[0].loss * 1e-6, result)
    assert counts[torch.bfloat16] <= counts[torch.float64] + 4


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

    def write_gradient(self, into: Store) -> None:
        self.objective.gradients += 1
        into.fill(self.objective.slope)


@dataclass
class Scripted:
    """An objective that tells a list of losses, whatever it is asked, and always the same gradient."""

    losses: list[float]
    slope: Tensor = field(default_factory=lambda: torch.full(SHAPE, 1.0, dtype=torch.float64))
    size: Size = SIZE
    gradients: int = 0
    images: list[Tensor] = field(default_factory=list)

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> ScriptedTrial:
        self.images.append(image.read(Box.whole(image.size)).clone())
        return ScriptedTrial(self, self.losses.pop(0))


def descend(
    objective: Differentiable | Scripted,
    state: State,
    settings: Lbfgs | Adam,
    keep: Callable[[Any], None] | None = None,
) -> str:
    """Runs the method on the state, in memory, and shows it whenever it may be kept."""

    def kept() -> None:
        if keep is not None:
            keep(state)

    watch = Watch(lambda *_: None, kept, lambda: False)
    workspace = MemoryWorkspace(torch.device("cpu"))
    part = Part.whole(state.image.size)
    if isinstance(settings, Adam):
        assert isinstance(state, AdamState)
        return run_adam(objective, state, settings, workspace, watch, part=part)
    assert isinstance(state, LbfgsState)
    return run_lbfgs(objective, state, settings, workspace, watch, part=part)


FULL = 10.0 / 255.0
PROMISE = FULL * math.prod(SHAPE)


def lengths(objective: Scripted) -> list[float]:
    """Lengths of the trials after the start, as multiples of a first step of ten grey levels."""
    start = objective.images[0]
    return [(start - image).mean().item() / FULL for image in objective.images[1:]]


@pytest.mark.parametrize("settings", [Lbfgs(3), Adam(3)])
def test_the_start_goes_with_the_first_step(settings: Lbfgs | Adam, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, held = MemoryWorkspace(torch.device("cpu")), []

    def copied(name: str, image: Raster) -> TensorStore:
        store = workspace.hold(name, TensorRaster(image.read(Box.whole(image.size)).clone()))
        held.append(weakref.ref(store))
        return store

    monkeypatch.setattr(workspace, "borrow", copied)
    alive: list[bool] = []
    objective, _ = quadratic(50.0)

    def look(_: object) -> None:
        alive.append(held[0]() is not None)

    minimise(objective, noise(*SHAPE), settings, workspace=workspace, on_progress=look)
    assert alive == [True, False, False, False]


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
    assert [(step.forward_passes, step.gradient_passes) for step in result.trace] == [(1, 1), (4, 1), (6, 2)]
    assert [step.loss for step in result.trace] == [100.0, 50.0, 10.0]
    assert result.trace[-1].passes == 8


def test_the_step_of_a_shortened_trial_is_the_difference_of_the_images() -> None:
    objective = Scripted([100.0, math.inf, 0.0, -1e9])
    steps: list[Tensor] = []

    def keep(state: LbfgsState) -> None:
        if state.step is not None:
            steps.append(whole(state.step).clone())

    descend(objective, LbfgsState(TensorStore.of(noise(*SHAPE))), exact(2), keep)
    assert len(steps) == 1
    assert steps[0].equal(objective.images[2] - objective.images[0])


def test_a_shortened_trial_is_evaluated_and_kept_with_the_same_bits() -> None:
    objective = Scripted([100.0, 200.0, 200.0, 50.0])
    result = minimise(objective, noise(*SHAPE).float(), Lbfgs(1))
    assert result.trace[-1].step_length < 0.5
    assert result.image.equal(objective.images[-1])


def test_line_search_without_history_fails_after_all_backtracks() -> None:
    objective = Scripted([100.0] * 10)
    start = noise(*SHAPE)
    result = minimise(objective, start, exact(5, max_backtracks=3))
    assert result.ending == "line search failed"
    assert result.image.equal(start)
    assert len(objective.images) == 5
    assert len(result.trace) == 1
    assert (result.work.iteration, result.work.forward_passes, result.work.gradient_passes) == (0, 5, 1)


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
    state = LbfgsState(TensorStore.of(noise(*SHAPE)))
    descend(objective, state, exact(3))
    # A history of negative curvature, which no run can produce: its direction climbs.
    history = state.history
    state.history = History(history.pairs[:1], -history.curvatures[:1, :1], history.changes[:1, :1])
    assert descend(objective, state, exact(30)) == "iterations"
    assert (whole(state.image) - minimum).abs().max().item() < 1e-2


def test_pairs_without_curvature_are_not_kept() -> None:
    # A constant gradient: y = 0 in each pair.
    objective = Scripted([100.0, 90.0, 80.0, 70.0])
    kept: list[int] = []
    state = LbfgsState(TensorStore.of(noise(*SHAPE)))
    assert (
        descend(objective, state, exact(3), lambda state: kept.append(len(state.history.pairs)))
        == "iterations"
    )
    assert set(kept) == {0}


def test_a_pair_of_negative_curvature_leaves_the_history_as_it_was() -> None:
    objective, _ = quadratic(10.0)
    images: list[Tensor] = []
    state = LbfgsState(TensorStore.of(noise(*SHAPE)))
    descend(objective, state, exact(4, history=2), lambda state: images.append(whole(state.image).clone()))
    before = state.history
    state.step = TensorStore.of(-(images[-1] - images[-2]))
    projections: list[Projection] = []

    def keep(state: LbfgsState) -> None:
        if state.projection is not None:
            assert state.history is before
            projections.append(state.projection)

    descend(objective, state, exact(5, history=2), keep)
    gradient = whole(known(state.gradient))
    (projection,) = projections
    expected = [(whole(pair.step) * gradient).sum().item() for pair in before.pairs]
    assert projection.steps == pytest.approx(expected, rel=1e-10)


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

        def forward(self, image: Raster, *, gradient_follows: bool = False) -> DifferentiableTrial:
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
    # The start's gradient comes with its loss; Adam's others too, but for the last image, which has none.
    gradients = [1, 2, 3, 4, 4] if isinstance(settings, Adam) else [1, 1, 2, 3, 4]
    assert [step.gradient_passes for step in steps] == gradients
    assert result.work.gradient_passes == len(objective.gradients) == 4
    assert steps[-1].forward_passes == len(objective.forwards)
    assert steps[0].loss == objective.function(start).item()
    assert steps[-1].loss == objective.function(result.image).item()
    assert all(step.terms == {"half": step.loss / 2} for step in steps)
    assert steps[0].step_length == 0.0
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("settings", [Lbfgs(4), Adam(4)], ids=["lbfgs", "adam"])
def test_a_last_step_that_is_not_checked_is_the_same_step_for_a_pass_less(settings: Lbfgs | Adam) -> None:
    checked, _ = quadratic(10.0)
    expected = minimise(checked, noise(*SHAPE), settings)
    assert {step.step_length for step in expected.trace[1:]} == {1.0}
    assert expected.loss == expected.trace[-1].loss

    objective, _ = quadratic(10.0)
    steps: list[Step] = []
    result = minimise(
        objective, noise(*SHAPE), replace(settings, check_last_step=False), on_progress=steps.append
    )
    assert result.image.equal(expected.image)
    assert objective.forwards == checked.forwards[:-1]
    assert [step.iteration for step in steps] == [step.iteration for step in result.trace] == [0, 1, 2, 3]
    assert (result.work.iteration, result.work.passes, result.loss, result.ending) == (
        4,
        8,
        None,
        "iterations",
    )


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
    steps: list[Step] = []
    result = minimise(
        objective,
        noise(*SHAPE),
        settings,
        on_progress=steps.append,
        should_stop=lambda: bool(steps) and steps[-1].iteration == 2,
    )
    assert (result.ending, result.trace[-1].iteration) == ("stopped", 2)


@pytest.mark.parametrize(
    "settings", [Lbfgs(4, first_step_grey_levels=2550.0), Adam(4)], ids=["lbfgs", "adam"]
)
def test_stopped_at_any_question_the_image_is_that_of_the_last_iteration(settings: Lbfgs | Adam) -> None:
    start = noise(*SHAPE)
    objective, _ = quadratic(100.0)
    losses = [step.loss for step in minimise(objective, start, settings).trace]
    asked = 0
    while True:
        answers = itertools.chain([False] * asked, itertools.repeat(True))
        result = minimise(objective, start, settings, should_stop=answers.__next__)
        if result.ending != "stopped":
            break
        # Adam steps before it knows the loss: its image may be one ahead of the trace.
        place = losses.index(objective.function(result.image).item())
        assert place - max(len(result.trace) - 1, 0) in ({0, 1} if isinstance(settings, Adam) else {0})
        asked += 1
    assert asked >= 9


def test_adam_asks_before_each_tile_of_a_step_unless_it_steps_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sweeps._MAX_TILE_PX, "cpu", 16)
    objective, _ = quadratic(10.0, (3, 48, 32))
    asked: list[int] = []

    def answer() -> bool:
        asked.append(len(objective.forwards))
        return False

    minimise(objective, noise(3, 48, 32), Adam(3, check_last_step=False), should_stop=answer)
    # Before the only image that it reads, before each of six tiles of the first step, and after each step.
    assert [asked.count(forwards) for forwards in (0, 1, 2, 3)] == [1, 6 + 1 + 1, 1 + 1, 1]


def test_every_sweep_asks_before_each_tile_whether_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sweeps._MAX_TILE_PX, "cpu", 16)
    asked: list[None] = []
    part, device = Part.whole(Size(48, 32)), torch.device("cpu")
    sweeper = Sweeper.over(part, 0, 1, device, lambda: asked.append(None))
    start, end = (TensorStore.of(noise(3, 48, 32, seed=seed)) for seed in (1, 2))

    def questions(sweep: Callable[[], object]) -> int:
        asked.clear()
        sweep()
        return len(asked)

    direction = Direction(1.0, [], [], -1.0)
    assert questions(lambda: sweeper.products(start, ())) == 6
    assert questions(lambda: sweeper.write_image(direction, start, (), start=start, end=end, step=None)) == 6
    assert questions(lambda: sweeper.write_point(start, end, 0.5, None)) == 6


def test_every_sweep_reads_and_writes_tiles_while_others_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sweeps._MAX_TILE_PX, "cpu", 16)
    overlap, size = Overlap(6, monkeypatch), Size(48, 32)
    start, end, old, step, change = (TensorStore.of(noise(3, 48, 32, seed=seed)) for seed in range(5))
    sweeper = Sweeper.over(Part.whole(size), 0, 1, start.device, overlap.compute)
    overlap.watch(start, "read")
    for written in (end, change):
        overlap.watch(written, "write")
    expected = {"read": 6, "compute": 6, "write": 6}
    sweeper.products(start, [Pair(step, change)], old)
    assert overlap.begun() == expected
    sweeper.write_image(Direction(1.0, [], [], -1.0), start, (), start=old, end=end, step=step)
    assert overlap.begun() == expected
    sweeper.write_point(start, end, 0.5, None)
    assert overlap.begun() == expected


def numbers(step: Step) -> tuple[object, ...]:
    return step.iteration, step.forward_passes, step.gradient_passes, step.loss, step.terms, step.step_length


@pytest.mark.parametrize("settings", [Lbfgs(12), Adam(12)], ids=["lbfgs", "adam"])
def test_same_start_same_bits(settings: Lbfgs | Adam) -> None:
    results = [minimise(Differentiable(rosenbrock), noise(3, 144, 32).float(), settings) for _ in range(2)]
    assert results[0].image.equal(results[1].image)
    assert [numbers(step) for step in results[0].trace] == [numbers(step) for step in results[1].trace]


@pytest.mark.parametrize("settings", [Lbfgs(8, history=3), Adam(8)], ids=["lbfgs", "adam"])
def test_restored_from_numbers_and_vectors_same_bits(settings: Lbfgs | Adam) -> None:
    start = noise(3, 144, 32).float()
    saved: list[tuple[str, dict[str, Store]]] = []

    def save(state: State) -> None:
        copies = {name: TensorStore.of(whole(store).clone()) for name, store in state.vectors().items()}
        saved.append((json.dumps(state.numbers()), dict(copies)))

    kind = LbfgsState if isinstance(settings, Lbfgs) else AdamState
    state: State = kind(TensorStore.of(start))
    descend(Differentiable(rosenbrock), state, settings, save)
    assert len(saved) >= settings.iterations
    for numbers_then, vectors in saved:
        again: State = kind.restored(vectors, json.loads(numbers_then))
        descend(Differentiable(rosenbrock), again, settings)
        assert whole(again.image).equal(whole(state.image))
        found, expected = again.numbers(), state.numbers()
        for numbers_found in (found, expected):
            del numbers_found["work"]["seconds"]
        assert found == expected


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


@pytest.mark.parametrize("settings", [Lbfgs(3), Adam(3)])
def test_who_looks_on_sees_every_step_but_the_last_and_changes_none(settings: Lbfgs | Adam) -> None:
    start, (objective, _) = noise(*SHAPE), quadratic(10.0)
    shown: list[Tensor] = []
    seen = minimise(
        objective, start, settings, on_image=lambda image: shown.append(image.read(Box.whole(SIZE)).clone())
    )
    unseen = minimise(objective, start, settings)
    # Nor the start: who looks on has that, and will have the result.
    assert [objective.function(image).item() for image in shown] == [step.loss for step in seen.trace[1:3]]
    torch.testing.assert_close(seen.image, unseen.image, atol=0, rtol=0)
