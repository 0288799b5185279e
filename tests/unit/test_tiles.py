from __future__ import annotations

import pytest

from pipeline.geometry import Box, Size
from pipeline.tiles import Tile, cut, grid, halo_overhead, least_core_px


def test_cores_and_halos_of_a_row_are_the_ones_drawn_by_hand() -> None:
    assert cut(Size(32, 96), core_px=48, halo_px=16, stride_px=16) == (
        Tile(Box(0, 0, 32, 48), Box(0, 0, 32, 64)),
        Tile(Box(0, 48, 32, 96), Box(0, 32, 32, 96)),
    )
    assert cut(Size(32, 112), core_px=32, halo_px=16, stride_px=16) == (
        Tile(Box(0, 0, 32, 32), Box(0, 0, 32, 48)),
        Tile(Box(0, 32, 32, 64), Box(0, 16, 32, 80)),
        Tile(Box(0, 64, 32, 112), Box(0, 48, 32, 112)),
    )


def test_tiles_run_row_by_row() -> None:
    cores = [tile.core for tile in cut(Size(32, 32), core_px=16, halo_px=0, stride_px=16)]
    assert cores == [Box(0, 0, 16, 16), Box(0, 16, 16, 32), Box(16, 0, 32, 16), Box(16, 16, 32, 32)]


def test_a_core_as_large_as_the_image_is_the_image() -> None:
    assert cut(Size(32, 48), core_px=64, halo_px=64, stride_px=16) == (Tile.whole(Size(32, 48)),)


def test_tiles_of_a_row_are_equal_with_their_halos_as_far_as_the_stride_allows() -> None:
    # 1168 px after one full tile of 1152 px would leave a core of 80 px under 64 px of halo.
    tiles = cut(Size(16, 1168), core_px=1024, halo_px=64, stride_px=16)
    assert [tile.core.size.width for tile in tiles] == [576, 592]
    tiles = cut(Size(16, 8000), core_px=1056, halo_px=64, stride_px=16)
    assert {tile.haloed.size.width for tile in tiles} == {1104, 1120}
    assert [tile.core.size.width for tile in tiles] == [1040, 992, 976, 992, 976, 992, 976, 1056]


def test_no_tile_is_made_for_what_the_halo_of_another_computes_anyway() -> None:
    assert cut(Size(16, 1152), core_px=1024, halo_px=64, stride_px=16) == (Tile.whole(Size(16, 1152)),)


@pytest.mark.parametrize("height", range(16, 161, 48))
@pytest.mark.parametrize("width", range(16, 161, 32))
@pytest.mark.parametrize("core_px", [16, 48, 64])
def test_cores_cover_every_pixel_exactly_once(height: int, width: int, core_px: int) -> None:
    owners = [[0] * width for _ in range(height)]
    for tile in cut(Size(height, width), core_px, halo_px=32, stride_px=16):
        assert max(tile.haloed.size.height, tile.haloed.size.width) <= core_px + 2 * 32
        for row in range(tile.core.top, tile.core.bottom):
            for column in range(tile.core.left, tile.core.right):
                owners[row][column] += 1
    assert owners == [[1] * width for _ in range(height)]


def test_the_core_in_the_frame_of_its_tile() -> None:
    last = cut(Size(32, 96), core_px=48, halo_px=16, stride_px=16)[-1]
    assert last.t_core == Box(0, 16, 32, 64)


def test_overhead_of_square_tiles_inside_a_large_image() -> None:
    # 4x4 tiles: 64 px on either side of three borders.
    assert halo_overhead(Size(4096, 4096), 1024, 64, 16) == (4096 + 3 * 128) ** 2 / 4096**2
    assert halo_overhead(Size(1024, 512), 1024, 64, 16) == 1.0


@pytest.mark.parametrize(("core_px", "halo_px"), [(16, 16), (48, 32), (128, 64), (512, 64)])
def test_overhead_is_that_of_the_tiles(core_px: int, halo_px: int) -> None:
    size = Size(352, 496)
    tiles = cut(size, core_px, halo_px, 16)
    areas = [tile.haloed.size.area for tile in tiles]
    rows, columns = grid(size, core_px, halo_px)
    assert rows * columns == len(tiles)
    assert len({tile.core.top for tile in tiles}) == rows
    assert halo_overhead(size, core_px, halo_px, 16) == sum(areas) / size.area


@pytest.mark.parametrize("core_px", range(16, 400, 16))
def test_the_least_core_makes_the_same_tiles_and_a_smaller_one_more(core_px: int) -> None:
    size = Size(352, 496)
    least = least_core_px(size, core_px, 32, 16)
    assert least <= core_px
    assert cut(size, least, 32, 16) == cut(size, core_px, 32, 16)
    assert least == 16 or grid(size, least - 16, 32) != grid(size, core_px, 32)


@pytest.mark.parametrize(
    ("size", "core_px", "halo_px", "message"),
    [
        (Size(30, 32), 16, 16, "height, 30 px"),
        (Size(32, 40), 16, 16, "width, 40 px"),
        (Size(32, 32), 24, 16, "core, 24 px"),
        (Size(32, 32), 16, 8, "halo, 8 px"),
        (Size(32, 32), 0, 16, "at least one stride"),
    ],
)
def test_lengths_off_the_grid_are_refused(size: Size, core_px: int, halo_px: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut(size, core_px, halo_px, stride_px=16)
