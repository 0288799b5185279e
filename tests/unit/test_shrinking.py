from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from networks import SMALL, make_encoder, make_image

from pipeline.errors import ResourceError
from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.losses import GramTerm, Loss
from pipeline.machine import is_out_of_memory
from pipeline.objective import Objective, TiledObjective, WholeObjective
from pipeline.optimiser import Lbfgs, minimise
from pipeline.rasters import Raster, TensorRaster
from pipeline.rendering.shrinking import Shrinking
from pipeline.stores import Store
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

CPU = torch.device("cpu")
SIZE = Size(64, 96)
IMAGE = make_image(64, 96, seed=0)
LAYERS = [SMALL.layer(name) for name in ("relu1_1", "relu2_1")]
LOSS = Loss(tuple(GramTerm(layer, None, 1.0, torch.eye(layer.channels)) for layer in LAYERS))


def test_what_allocators_raise_is_recognised() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    # Of oneDNN, which runs the convolutions on CPUs.
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    # Of cuDNN, which tries one algorithm after the other.
    assert is_out_of_memory(RuntimeError("GET was unable to find an engine to execute this computation"))
    assert is_out_of_memory(RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"))
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@contextmanager
def limited(encoder: Encoder, most_px: int) -> Iterator[None]:
    """The encoder has memory for so many pixels at once."""

    def check(_: Any, arguments: tuple[Any, ...]) -> None:
        if arguments[0].shape[2] * arguments[0].shape[3] > most_px:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with encoder.register_forward_pre_hook(check):
        yield


def shrinking(
    encoder: Encoder, tile_px: int | None, told: list[int] | None = None, smallest_px: int = 16
) -> Shrinking:
    def make(side_px: int | None) -> Objective:
        if side_px is None:
            return WholeObjective(encoder, LOSS, SIZE)
        return TiledObjective(encoder, LOSS, SIZE, tile_px=side_px, keep_tiles=1)

    told = [] if told is None else told
    return Shrinking(make, SIZE, tile_px, smallest_px=smallest_px, device=CPU, on_shrunk=told.append)


@pytest.mark.parametrize(("begun", "expected"), [(None, [48, 16]), (64, [32, 16]), (16, [])])
def test_tiles_are_halved_until_they_fit(begun: int | None, expected: list[int]) -> None:
    encoder, told = make_encoder(), []  # type: ignore[var-annotated]
    with limited(encoder, 24 * 24):
        trial = shrinking(encoder, begun, told).forward(TensorRaster(IMAGE))
        found = MemoryWorkspace(CPU).new("gradient", 3, SIZE, torch.float64)
        trial.write_gradient(found)
    assert told == expected
    whole = WholeObjective(encoder, LOSS, SIZE).forward(IMAGE)
    assert trial.loss == pytest.approx(whole.loss, rel=1e-12)
    torch.testing.assert_close(found.read(Box.whole(SIZE)), whole.gradient(), rtol=1e-9, atol=1e-12)


def test_the_smallest_tile_is_the_end() -> None:
    encoder, told = make_encoder(), []  # type: ignore[var-annotated]
    objective = shrinking(encoder, 64, told, smallest_px=48)
    with limited(encoder, 100), pytest.raises(ResourceError) as refused:
        objective.forward(TensorRaster(IMAGE))
    assert told == [48]
    assert str(refused.value) == (
        "the memory of cpu: expected room for a tile of 48 px, the smallest; found too little. "
        "End what else uses it, or choose shallower layers."
    )


def test_other_errors_are_not_taken_for_a_shortage() -> None:
    def make(_: int | None) -> Objective:
        raise RuntimeError("a bug")

    objective = Shrinking(make, SIZE, 64, smallest_px=16, device=CPU, on_shrunk=lambda _: None)
    with pytest.raises(RuntimeError, match="a bug"):
        objective.forward(TensorRaster(IMAGE))


@dataclass
class HalfWay:
    """Adds what it should not to the gradient, and is then out of memory, with tiles larger than 16 px."""

    objective: TiledObjective
    side_px: int

    size = SIZE

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> HalfWayTrial:
        trial = self.objective.forward(image)
        return HalfWayTrial(self, trial, trial.loss, dict(trial.terms))


@dataclass
class HalfWayTrial:
    made: HalfWay
    trial: Any
    loss: float
    terms: dict[str, float]

    def write_gradient(self, into: Store) -> None:
        if self.made.side_px > 16:
            into.add(Box(0, 0, 32, 32), torch.ones(3, 32, 32, dtype=torch.float64))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        self.trial.write_gradient(into)


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_a_gradient_that_was_half_written_is_written_anew(kind: str, tmp_path: Any) -> None:
    encoder = make_encoder()

    def make(side_px: int | None) -> Objective:
        assert side_px is not None
        return HalfWay(TiledObjective(encoder, LOSS, SIZE, tile_px=side_px), side_px)

    workspace = MemoryWorkspace(CPU) if kind == "memory" else FolderWorkspace(tmp_path, CPU)
    told: list[int] = []
    objective = Shrinking(make, SIZE, 64, smallest_px=16, device=CPU, on_shrunk=told.append)
    found = minimise(objective, IMAGE, Lbfgs(4), workspace=workspace)
    assert told == [32, 16]
    expected = minimise(TiledObjective(encoder, LOSS, SIZE, tile_px=16), IMAGE, Lbfgs(4))
    assert [step.iteration for step in found.trace] == [0, 1, 2, 3, 4]
    torch.testing.assert_close(found.image, expected.image, rtol=1e-9, atol=1e-9)
