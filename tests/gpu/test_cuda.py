"""The engine on a CUDA device: the same numbers as the CPU's, and the same bits from run to run."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import make_encoder, make_image
from torch import Tensor

from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.guidance import normalise
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.machine import prepare_machine
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.optimiser import Lbfgs, minimise, sweeps
from pipeline.rasters import TensorRaster
from pipeline.statistics import first_moment, second_moment
from pipeline.streaming import Streaming
from pipeline.targets import style_statistics
from pipeline.tiles import Tile
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

pytestmark = pytest.mark.gpu

SIZE = Size(96, 128)


def objective(
    device: str, dtype: torch.dtype, *, tiled: bool, content_weights: tuple[float, ...] | None = None
) -> TiledObjective | WholeObjective:
    encoder: Encoder = make_encoder(dtype=dtype).to(device)
    layers = [encoder.architecture.layer(name) for name in ("relu1_1", "relu3_1", "relu5_1")]
    working = torch.float64 if dtype == torch.float64 else torch.float32
    style = TensorRaster(make_image(64, 64, seed=1, dtype=working).to(device))
    targets = style_statistics(encoder, style, None, layers, tile_px=64)
    ramp = torch.linspace(0, 1, SIZE.width, dtype=working, device=device).expand(SIZE.height, SIZE.width)
    guidance = normalise(
        TensorRaster(torch.stack([ramp, 1 - ramp])), layers, (Tile.whole(SIZE),), ["left", "right"]
    )
    content = TensorRaster(make_image(SIZE.height, SIZE.width, seed=2, dtype=working).to(device))
    loss = Loss(
        (
            ContentTerm(encoder.architecture.layer("relu4_2"), region_weights=content_weights),
            *(
                GramTerm(layer, region, 1e3, targets[layer.name].gram)
                for layer in layers
                for region in range(2)
            ),
        )
    )
    if tiled:
        return TiledObjective(encoder, loss, SIZE, tile_px=64, content=content, guidance=guidance)
    return WholeObjective(encoder, loss, SIZE, content=content, guidance=guidance)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_cuda_device_gives_the_cpu_s_loss_and_gradient_in_float64(tiled: bool) -> None:
    image = make_image(SIZE.height, SIZE.width, seed=3)
    on_cpu = objective("cpu", torch.float64, tiled=tiled).forward(image)
    on_cuda = objective("cuda", torch.float64, tiled=tiled).forward(image.cuda())
    assert on_cuda.loss == pytest.approx(on_cpu.loss, rel=1e-10)
    torch.testing.assert_close(on_cuda.gradient().cpu(), on_cpu.gradient(), rtol=1e-8, atol=1e-10)


def test_bfloat16_second_moments_are_accumulated_in_float32() -> None:
    features = make_image(64, 64, seed=4, channels=32, dtype=torch.bfloat16)[None]
    guide = torch.ones(64, 64)
    exact = second_moment(features.double())
    for weights in (None, guide.cuda()):
        found = second_moment(features.cuda(), weights)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.cpu().double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("guided", [False, True])
def test_long_sums_of_what_is_never_negative_are_not_too_small(guided: bool) -> None:
    features = torch.full((1, 64, 4096, 4096), 1.0078125, dtype=torch.bfloat16, device="cuda")
    guide = torch.full((4096, 4096), 1.5, device="cuda") if guided else None
    weight = 1.5 if guided else 1.0
    expected = torch.full((64, 64), 4096**2 * (weight * 1.0078125) ** 2)
    torch.testing.assert_close(second_moment(features, guide).cpu(), expected, rtol=1e-4, atol=0)
    expected = torch.full((64,), 4096**2 * weight * 1.0078125)
    torch.testing.assert_close(first_moment(features, guide).cpu(), expected, rtol=1e-4, atol=0)


def test_a_region_of_one_weight_is_not_biased_in_bfloat16() -> None:
    features = torch.ones(1, 8, 64, 64, dtype=torch.bfloat16, device="cuda")
    guide = torch.full((64, 64), 1.00392, device="cuda")
    expected = torch.full((8, 8), 64 * 64 * 1.00392**2)
    torch.testing.assert_close(second_moment(features, guide).cpu(), expected, rtol=2e-4, atol=0)
    expected = torch.full((8,), 64 * 64 * 1.00392)
    torch.testing.assert_close(first_moment(features, guide).cpu(), expected, rtol=2e-4, atol=0)


def test_the_same_run_gives_the_same_bits() -> None:
    prepare_machine("cuda", "bfloat16", 1)
    image = make_image(SIZE.height, SIZE.width, seed=3, dtype=torch.float32).cuda()
    runs = [minimise(objective("cuda", torch.bfloat16, tiled=True), image, Lbfgs(6)).image for _ in range(2)]
    assert torch.equal(*runs)


def test_what_is_read_ahead_and_written_behind_keeps_its_order_on_the_device(tmp_path: Path) -> None:
    device = torch.device("cuda")
    values = make_image(256, 256, seed=5, dtype=torch.float32)
    boxes = [Box(top, 0, top + 16, 256) for top in range(0, 256, 16)]
    in_file = FolderWorkspace(tmp_path, device)
    on_host = MemoryWorkspace(device, torch.device("cpu"))
    on_device = MemoryWorkspace(device)
    found = []
    for workspace in (in_file, on_host, on_device):
        source = workspace.new("source", 3, Size(256, 256), torch.float32)
        source.fill(values.clone() if workspace is not on_device else values.cuda())
        sums = workspace.new("sums", 3, Size(256, 256), torch.float32)
        for _ in range(20):
            with Streaming(device) as stream:
                for box, read in stream.ahead(boxes, source.read):
                    share = read.sin().matmul(torch.eye(256, device=device)).exp()
                    haloed = box.grown(16, within=Size(256, 256))
                    grown = torch.nn.functional.pad(
                        share, (0, 0, box.top - haloed.top, haloed.bottom - box.bottom)
                    )
                    stream.behind(partial(sums.add, haloed, grown), grown)
        found.append(sums.read(Box(0, 0, 256, 256)).cpu())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    torch.testing.assert_close(found[0], 20 * values.sin().exp())


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Who reads lists of numbers off the device within the block; any other waiting for it is an error."""
    found: Counter[str] = Counter()
    read = Tensor.tolist

    def reading(values: Tensor) -> Any:
        if values.is_cuda:
            found[sys._getframe(1).f_code.co_name] += 1
        torch.cuda.set_sync_debug_mode("default")
        try:
            return read(values)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    torch.cuda.synchronize()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "tolist", reading)
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("follows", [False, True])
def test_an_evaluation_waits_for_the_device_at_the_loss_alone(follows: bool) -> None:
    judge = objective("cuda", torch.float32, tiled=True, content_weights=(0.5, 2.0))
    image = make_image(SIZE.height, SIZE.width, seed=3, dtype=torch.float32).cuda()
    # All that is made once, with or without waiting.
    judge.forward(image).gradient()
    gradient = MemoryWorkspace(torch.device("cuda")).new("gradient", 3, SIZE, torch.float32)
    with waits() as found:
        trial = judge.forward(TensorRaster(image), gradient_follows=follows)
        trial.write_gradient(gradient)
    assert found == {"_numbers": 1}
    assert trial.loss > 0


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_lbfgs_waits_for_the_device_at_losses_and_inner_products_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sweeps._MAX_TILE_PX, "cuda", 32)
    judge = objective("cuda", torch.float32, tiled=True)
    image = make_image(SIZE.height, SIZE.width, seed=3, dtype=torch.float32).cuda()
    minimise(judge, image, Lbfgs(3))
    with waits() as found:
        result = minimise(judge, image, Lbfgs(3))
    assert result.work.iteration == 3
    # A pair that is not kept asks for its products in vain, and for those without it.
    assert result.work.gradient_passes <= found.pop("products") <= 2 * result.work.gradient_passes
    assert found == {"_numbers": result.work.forward_passes}


@pytest.mark.parametrize("kind", ["files", "host"])
def test_where_the_vectors_are_changes_no_bit(kind: str, tmp_path: Path) -> None:
    device = torch.device("cuda")
    prepare_machine("cuda", "float32", 1)
    image = make_image(SIZE.height, SIZE.width, seed=3, dtype=torch.float32).cuda()
    other = (
        FolderWorkspace(tmp_path, device) if kind == "files" else MemoryWorkspace(device, torch.device("cpu"))
    )
    runs = [
        minimise(objective("cuda", torch.float32, tiled=True), image, Lbfgs(6), workspace=workspace).image
        for workspace in (MemoryWorkspace(device), other)
    ]
    assert torch.equal(*runs)
