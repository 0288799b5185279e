from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import make_image
from transformation_networks import SMALL, make_network, painted

from pipeline.feedforward.deviation import compare, sample_boxes
from pipeline.feedforward.streaming import StreamedApplication
from pipeline.geometry import Box, Size
from pipeline.rasters import TensorRaster
from pipeline.transformations import (
    ARCHITECTURES,
    Convolution,
    TransformationArchitecture,
    Upsampling,
    around_px,
    held_bytes,
    pass_bytes_per_px,
    piece_for,
    tile_for,
)
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

CPU = torch.device("cpu")


def picture(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours, and two soft regions that sum to one."""
    mask = make_image(height, width, seed + 1, channels=1, dtype=torch.float32)
    return make_image(height, width, seed, dtype=torch.float32), torch.cat([mask, 1 - mask])


@dataclass(frozen=True)
class Case:
    height: int
    width: int
    tile_px: int
    blocks: int
    upsampling: Upsampling
    regions: int
    in_files: bool
    seed: int


CASES = st.builds(
    Case,
    height=st.integers(5, 200),
    width=st.integers(5, 200),
    tile_px=st.integers(1, 130),
    blocks=st.integers(1, 3),
    upsampling=st.sampled_from(["nearest", "transposed"]),
    regions=st.integers(1, 3),
    in_files=st.booleans(),
    seed=st.integers(0, 9),
)


@settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=CASES)
def test_by_tiles_it_is_what_the_whole_image_gives(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    architecture = TransformationArchitecture("few", 3, case.blocks)
    network = make_network(architecture, case.regions, case.upsampling, case.seed)
    image = make_image(case.height, case.width, case.seed, dtype=torch.float32)
    masks = make_image(case.height, case.width, case.seed + 1, case.regions, torch.float32)
    guides = masks if case.regions > 1 else None
    whole = network(image[None], None if guides is None else guides[None])[0]
    streamed = StreamedApplication(
        network, TensorRaster(image), None if guides is None else TensorRaster(guides), tile_px=case.tile_px
    )
    folder = tmp_path_factory.mktemp("layers")
    shown: list[int] = []
    streamed.settle(FolderWorkspace(folder, CPU) if case.in_files else MemoryWorkspace(CPU), shown.append)
    assert shown == list(range(1, streamed.tiles_to_settle + 1))
    torch.testing.assert_close(painted(streamed), whole, rtol=0, atol=1e-5)


def test_the_moments_are_those_of_every_position(monkeypatch: pytest.MonkeyPatch) -> None:
    image, guides = picture(90, 130)
    network = make_network()
    streamed = StreamedApplication(network, TensorRaster(image), TensorRaster(guides), tile_px=64)
    streamed.settle(MemoryWorkspace(CPU))
    seen: dict[str, torch.Tensor] = {}
    normalised = network.normalised

    def look(layer: Convolution, values: torch.Tensor) -> torch.Tensor:
        seen[layer.name] = values.double()
        return normalised(layer, values)

    monkeypatch.setattr(network, "normalised", look)
    network(image[None], guides[None])
    assert list(seen) == ["c1", "d1", "d2", "r1a", "r1b", "r2a", "r2b", "u1", "u2"]
    assert set(streamed.moments) == set(seen)
    for name, values in seen.items():
        found = streamed.moments[name]
        torch.testing.assert_close(found.mean, values.mean(dim=(0, 2, 3)), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            found.variance, values.var(dim=(0, 2, 3), correction=0), rtol=1e-5, atol=1e-6
        )


def test_bfloat16_stays_near() -> None:
    image, guides = picture(90, 130)
    network = make_network()
    streamed = StreamedApplication(
        network, TensorRaster(image), TensorRaster(guides), tile_px=64, dtype=torch.bfloat16
    )
    streamed.settle(MemoryWorkspace(CPU))
    difference = painted(streamed) - network(image[None], guides[None])[0]
    assert 0 < difference.square().mean().sqrt() < 0.02


@pytest.mark.parametrize("architecture", [SMALL, ARCHITECTURES["johnson"]])
def test_colours_are_no_bfloat16_numbers(architecture: TransformationArchitecture) -> None:
    """Near 0.9 those are 1/256 apart: an image could have no more than 26 of them from 0.85 to 0.95."""
    network = make_network(architecture, 1)
    convolution = network.convolutions["c2"]
    convolution.get_parameter("weight").mul_(0.02)
    # Colours are this, or the mean and 150/255 of its hyperbolic tangent.
    convolution.get_parameter("bias").fill_(1.0 if architecture.bounded else 0.9)
    image = make_image(60, 70, 0, dtype=torch.float32)
    streamed = StreamedApplication(network, TensorRaster(image), None, tile_px=64, dtype=torch.bfloat16)
    streamed.settle(MemoryWorkspace(CPU))
    with torch.autocast("cpu", torch.bfloat16):
        whole = network(image[None])[0]
    for found in (painted(streamed), whole):
        assert found.dtype == torch.float32
        assert 0.6 < found.min() < found.max() < 1
        assert min(len(channel.unique()) for channel in found) > 1000


def test_files_are_let_go_of_as_soon_as_no_layer_needs_them(tmp_path: Path) -> None:
    image, guides = picture(90, 130)
    most = most_bytes = 0

    def count(_: int) -> None:
        nonlocal most, most_bytes
        files = list(tmp_path.iterdir())
        most, most_bytes = max(most, len(files)), max(most_bytes, sum(file.stat().st_size for file in files))

    streamed = StreamedApplication(make_network(), TensorRaster(image), TensorRaster(guides), tile_px=64)
    streamed.settle(FolderWorkspace(tmp_path, CPU), count)
    assert most == 3
    # As it was planned.
    assert most_bytes == held_bytes(SMALL.layers(5, "nearest"), Size(90, 130), 4)
    assert len(list(tmp_path.iterdir())) == 1


def test_sampling_everywhere_gives_nearly_the_exact_moments() -> None:
    image, guides = picture(90, 130)
    network = make_network()
    exact, sampled, wrong = (
        StreamedApplication(network, TensorRaster(image), TensorRaster(guides), tile_px=64) for _ in range(3)
    )
    exact.settle(MemoryWorkspace(CPU))
    everywhere = (Box(0, 0, 90, 130),)
    sampled.sample(everywhere)
    torch.testing.assert_close(painted(sampled), painted(exact), rtol=0, atol=1e-5)
    wrong.sample([Box(0, 0, 8, 8)])
    found = compare(exact, wrong, everywhere)
    difference = 255 * (painted(exact) - painted(wrong)).double()
    assert found.rms == pytest.approx(float(difference.square().mean().sqrt()), rel=1e-4)
    assert found.largest == pytest.approx(float(difference.abs().max()), rel=1e-4)
    assert found.rms > 0.1


def test_samples_are_spread_over_the_image() -> None:
    assert sample_boxes(Size(100, 40), 20, 2) == (Box(15, 0, 35, 40), Box(65, 0, 85, 40))
    assert sample_boxes(Size(10, 10), 20, 3) == (Box(0, 0, 10, 10),)


def test_guides_of_another_size_are_refused() -> None:
    image, guides = picture(20, 20)
    with pytest.raises(ValueError, match="guides of 10x20 px do not fit an image of 20x20 px"):
        StreamedApplication(make_network(), TensorRaster(image), TensorRaster(guides[:, :10]), tile_px=64)


def test_it_says_where_its_pieces_and_what_is_held_meet() -> None:
    image = torch.rand(300, 500, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    settled, sampled = (
        StreamedApplication(make_network(SMALL, 1), TensorRaster(image), None, tile_px=192) for _ in range(2)
    )
    settled.settle(MemoryWorkspace(CPU))
    sampled.sample([Box(0, 0, 64, 64)])
    # Pieces of 256x128 px from what tiles of 192 px hold; of 128x128 px where all begins at the picture.
    assert settled.row_borders == (192, 256)
    assert settled.column_borders == (128, 192, 256, 384)
    assert sampled.row_borders == (128, 256)
    assert sampled.column_borders == (128, 256, 384)


def test_it_computes_the_pieces_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[Box] = []

    def noted(_: StreamedApplication, __: int, box: Box) -> Box:
        pieces.append(box)
        return box

    def blank(_: StreamedApplication, box: Box) -> torch.Tensor:
        return torch.zeros(3, box.size.height, box.size.width)

    monkeypatch.setattr(StreamedApplication, "_begun", noted)
    monkeypatch.setattr(StreamedApplication, "_coloured", blank)
    image = TensorRaster(torch.zeros(3, 300, 500))
    streamed = StreamedApplication(make_network(SMALL, 1), image, None, tile_px=192)
    assert not painted(streamed).any()
    assert (0, *streamed.row_borders) == tuple(sorted({piece.top for piece in pieces}))
    assert (0, *streamed.column_borders) == tuple(sorted({piece.left for piece in pieces}))


@dataclass
class Watched:
    """A raster that keeps what was read of it."""

    raster: TensorRaster
    boxes: list[Box] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return self.raster.size

    def read(self, box: Box) -> torch.Tensor:
        self.boxes.append(box)
        return self.raster.read(box)


@pytest.mark.parametrize("tile_px", [192, 256, 512])
def test_pieces_that_start_from_the_picture_read_no_more_than_a_tile(tile_px: int) -> None:
    watched = Watched(TensorRaster(make_image(300, 1300, 0, dtype=torch.float32)))
    streamed = StreamedApplication(make_network(SMALL, 1), watched, None, tile_px=tile_px)
    streamed.sample([Box(0, 0, 300, 300)])
    painted(streamed)
    # From what is held a tile reads 8 px more on each side.
    assert max(box.size.area for box in watched.boxes) <= (tile_px + 16) ** 2
    assert max(box.size.height for box in watched.boxes) <= 256 + 59


def test_pieces_are_as_wide_as_the_budget_allows() -> None:
    layers = ARCHITECTURES["narrow"].layers(5, "nearest")
    assert (around_px(layers, held=True), around_px(layers, held=False)) == (16, 107)
    # 272 rows of 3856 px, of the 1040 x 1040 px that a tile reads.
    assert piece_for(layers, 1024, held=True) == Size(256, 3840)
    assert piece_for(layers, 1024, held=False) == Size(256, 2816)
    assert piece_for(layers, 128, held=True) == Size(128, 128)
    assert piece_for(layers, 128, held=False) == Size(64, 64)


def test_tiles_follow_the_budget() -> None:
    layers = ARCHITECTURES["narrow"].layers(5, "nearest")
    # 1024 bytes of a pixel for a pass; twice 5 floats of the picture ahead and 4 of a layer behind it.
    assert pass_bytes_per_px(layers) == 1096
    assert tile_for(layers, 2048) == 960
    assert tile_for(layers, 512) == 448
    assert tile_for(layers, 1) == 128


def test_what_is_held_has_its_margin_and_whole_blocks() -> None:
    layers = ARCHITECTURES["narrow"].layers(5, "nearest")
    # d2 has 3365x5037 positions, r1a and r1b 2 and 4 less: 3376x5040 in blocks, of 64 channels in 4 bytes.
    assert held_bytes(layers, Size(13377, 20066), 4) == 3 * 64 * 4 * 3376 * 5040
    # d2 has 33x33 positions and three blocks a side, r1a and r1b 31x31 and 29x29, and two.
    few = TransformationArchitecture("few", 3, 1).layers(5, "nearest")
    assert held_bytes(few, Size(116, 116), 2) == 2 * 12 * 16**2 * (9 + 4 + 4)
    # What reflects its layers instead has no margin.
    assert held_bytes(ARCHITECTURES["johnson"].layers(3, "nearest"), Size(64, 64), 4) == 3 * 128 * 4 * 16**2
