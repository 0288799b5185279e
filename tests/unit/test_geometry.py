from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.geometry import Box, Size, align_down, align_up

SIDES = st.integers(1, 100_000)


@pytest.mark.parametrize(("value", "up", "down"), [(0, 0, 0), (1, 16, 0), (16, 16, 16), (17, 32, 16)])
def test_alignment(value: int, up: int, down: int) -> None:
    assert (align_up(value, 16), align_down(value, 16)) == (up, down)


@pytest.mark.parametrize(
    ("size", "level_px", "expected"),
    [
        (Size(512, 512), 256, Size(256, 256)),
        (Size(400, 600), 256, Size(209, 314)),
        (Size(3000, 2000), 1024, Size(1254, 836)),
        (Size(1, 100_000), 64, Size(1, 20239)),
    ],
)
def test_a_level_has_the_contents_shape(size: Size, level_px: int, expected: Size) -> None:
    assert size.of_area(level_px) == expected


@given(height=SIDES, width=SIDES, level_px=st.integers(64, 10_000))
def test_a_level_has_its_area_and_its_shape(height: int, width: int, level_px: int) -> None:
    found = Size(height, width).of_area(level_px)
    exact_height = level_px * (height / width) ** 0.5
    exact_width = level_px * (width / height) ** 0.5
    assert abs(found.height - exact_height) <= 0.5 + 1e-6 * exact_height or found.height == 1
    assert abs(found.width - exact_width) <= 0.5 + 1e-6 * exact_width or found.width == 1


@given(height=SIDES, width=SIDES, multiple=st.sampled_from([1, 2, 8, 16]))
def test_aligned_sizes_hold_the_image_and_no_whole_stride_more(
    height: int, width: int, multiple: int
) -> None:
    found = Size(height, width).aligned_up(multiple)
    assert 0 <= found.height - height < multiple
    assert 0 <= found.width - width < multiple
    assert found.divided(multiple).area * multiple**2 == found.area


def test_a_size_says_height_first() -> None:
    assert str(Size(3, 4)) == "3x4"
    assert Size(3, 4).area == 12


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-1, 5)])
def test_an_empty_size_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=rf"^a size is at least 1x1; got {height}x{width}$"):
        Size(height, width)


def test_a_size_off_the_grid_has_no_feature_map() -> None:
    with pytest.raises(ValueError, match=r"^24x32 is not a multiple of the stride 16$"):
        Size(24, 32).divided(16)


def test_a_box_grows_up_to_the_images_borders() -> None:
    box = Box(16, 32, 48, 64)
    assert box.size == Size(32, 32)
    assert box.grown(24, within=Size(64, 200)) == Box(0, 8, 64, 88)
    assert box.relative_to(Box(0, 8, 64, 88)) == Box(16, 24, 48, 56)
    assert box.slices == (slice(16, 48), slice(32, 64))
    assert Box.whole(Size(3, 4)) == Box(0, 0, 3, 4)


def test_a_box_on_a_feature_map() -> None:
    assert Box(16, 32, 48, 64).divided(16) == Box(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"does not lie on the grid of stride 32"):
        Box(16, 32, 64, 96).divided(32)
