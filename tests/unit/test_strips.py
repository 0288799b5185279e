from __future__ import annotations

import pytest

from pipeline.geometry import Box, Size
from pipeline.strips import Strip, deal
from pipeline.tiles import cut


def test_one_strip_is_the_level_and_its_tiles_are_those_of_the_level() -> None:
    level = Size(160, 96)
    (strip,) = deal(level, 1, 64, 16)
    assert strip == Strip.whole(level) == Strip(level, 0, 160, 0)
    assert (strip.held, strip.size) == (Box(0, 0, 160, 96), level)
    assert strip.tiles(48, 64, 16) == cut(level, 48, 64, 16)
    assert strip.halos() == strip.borders() == (None, None)


def test_strips_cover_the_level_once_and_hold_as_many_rows_each() -> None:
    strips = deal(Size(512, 32), 3, 32, 16)
    assert [(strip.top, strip.bottom) for strip in strips] == [(0, 176), (176, 336), (336, 512)]
    # The one in the middle has halos on both sides.
    assert [strip.size.height for strip in strips] == [208, 224, 208]
    assert [(strip.held.top, strip.held.bottom) for strip in strips] == [(0, 208), (144, 368), (304, 512)]


def test_what_one_holds_of_another_is_what_the_other_gives() -> None:
    strips = deal(Size(512, 32), 3, 32, 16)

    def in_level(strip: Strip, box: Box | None) -> tuple[int, int]:
        assert box is not None
        return box.top + strip.held.top, box.bottom + strip.held.top

    for upper, lower in ((strips[0], strips[1]), (strips[1], strips[2])):
        edge = lower.top
        assert in_level(upper, upper.halos()[1]) == in_level(lower, lower.borders()[0]) == (edge, edge + 32)
        assert in_level(lower, lower.halos()[0]) == in_level(upper, upper.borders()[1]) == (edge - 32, edge)
    assert strips[0].halos()[0] is strips[0].borders()[0] is None
    assert strips[2].halos()[1] is strips[2].borders()[1] is None


def test_tiles_of_all_strips_cover_the_level_once_and_read_no_further_than_the_strips() -> None:
    level = Size(320, 80)
    seen: set[tuple[int, int]] = set()
    for strip in deal(level, 3, 32, 16):
        for tile in strip.tiles(48, 32, 16):
            assert strip.held.top <= tile.haloed.top < tile.haloed.bottom <= strip.held.bottom
            assert tile.haloed == tile.core.grown(32, within=level)
            # The memory that is planned for is that of a core with halos on all sides.
            assert max(tile.haloed.size.height, tile.haloed.size.width) <= 48 + 2 * 32
            local = strip.local(tile.core)
            assert local.top == tile.core.top - strip.held.top
            pixels = {
                (row, column)
                for row in range(tile.core.top, tile.core.bottom)
                for column in range(tile.core.left, tile.core.right)
            }
            assert not pixels & seen
            seen |= pixels
    assert len(seen) == level.area


@pytest.mark.parametrize(("height", "count"), [(96, 2), (64, 5), (256, 4)])
def test_strips_thinner_than_their_halos_are_refused(height: int, count: int) -> None:
    with pytest.raises(ValueError, match="too few"):
        deal(Size(height, 64), count, 64, 16)


def test_tiles_with_more_halo_than_the_strip_are_refused() -> None:
    first, _ = deal(Size(160, 32), 2, 32, 16)
    with pytest.raises(ValueError, match="no tiles with halos of 48 px"):
        first.tiles(32, 48, 16)
