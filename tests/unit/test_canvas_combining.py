"""Masks combined, grown, shrunk and feathered, against plain loops over positions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray
from pictures import left_half, save, save_guides, truncate

from pipeline import canvas
from pipeline.canvas.morphology import dilate
from pipeline.combination import mapped, parse
from pipeline.errors import InputError
from pipeline.geometry import Size

Plane = Float[ndarray, "height width"]
STEP = 1 / 65535


def soft(height: int, width: int, seed: int) -> Plane:
    """Any values at all, in steps of 16 bits."""
    values: Plane = np.random.default_rng(seed).random((height, width)) ** 3
    return np.asarray(np.rint(values * 65535) / 65535)


def shapes(height: int, width: int) -> Plane:
    """A block with a slanted side, a line one pixel wide and a point."""
    rows, columns = np.mgrid[:height, :width]
    found = (columns + rows / 3 < 0.4 * width) & (rows > height // 3)
    found[height // 8, width // 2 :] = True
    found[-height // 5, -width // 5] = True
    return np.asarray(found, dtype=float)


def combined(folder: Path, raw: Any, size: tuple[int, int], block_px: int = 512, **planes: Plane) -> Plane:
    """The combination of planes that are `NAME.tif` in `raw`."""
    for name, plane in planes.items():
        save_guides(folder / f"{name}.tif", plane[..., None])

    expression = mapped(
        parse(raw, lambda _: None), lambda leaf: leaf if leaf == "everything" else str(folder / leaf), str
    )
    canvas.combine_masks(expression, folder / "out.tif", Size(*size), block_px=block_px)
    return canvas.read(folder / "out.tif")[..., 0]


def brute_dilation(plane: Plane, radius: float) -> Plane:
    height, width = plane.shape
    found = np.zeros_like(plane)
    reach = math.ceil(radius)
    for row in range(height):
        for column in range(width):
            for y in range(max(0, row - reach), min(height, row + reach + 1)):
                for x in range(max(0, column - reach), min(width, column + reach + 1)):
                    if (y - row) ** 2 + (x - column) ** 2 <= radius**2:
                        found[row, column] = max(found[row, column], plane[y, x])
    return found


def brute_blur(plane: Plane, deviation: float) -> Plane:
    reach = math.ceil(6 * deviation)
    total = sum(math.exp(-0.5 * (offset / deviation) ** 2) for offset in range(-reach, reach + 1))
    for axis in (0, 1):
        length = plane.shape[axis]
        blurred = np.zeros_like(plane)
        for offset in range(-reach, reach + 1):
            seen = np.clip(np.arange(length) + offset, 0, length - 1)
            blurred += math.exp(-0.5 * (offset / deviation) ** 2) / total * plane.take(seen, axis)
        plane = blurred
    return plane


# -- operations on values ----------------------------------------------------------------------------

A = np.array([[0, 0.2, 0.6, 1, 0.4, 1]])
B = np.array([[0, 0.8, 0.4, 1, 0.4, 0]])
C = np.array([[1, 0.2, 0.2, 0, 0, 0]])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a.tif", [0, 0.2, 0.6, 1, 0.4, 1]),
        ("not a.tif", [1, 0.8, 0.4, 0, 0.6, 0]),
        ({"union": ["a.tif", "b.tif"]}, [0, 0.8, 0.6, 1, 0.4, 1]),
        ({"union": ["a.tif", "b.tif", "c.tif"]}, [1, 0.8, 0.6, 1, 0.4, 1]),
        ({"intersection": ["a.tif", "b.tif"]}, [0, 0.2, 0.4, 1, 0.4, 0]),
        ({"intersection": ["a.tif", "b.tif", "c.tif"]}, [0, 0.2, 0.2, 0, 0, 0]),
        ({"minus": ["a.tif", "b.tif"]}, [0, 0, 0.2, 0, 0, 1]),
        ({"minus": ["b.tif", "a.tif"]}, [0, 0.6, 0, 0, 0, 0]),
        ({"minus": ["everything", "a.tif", "c.tif"]}, [0, 0.8, 0.4, 0, 0.6, 0]),
        ({"union": ["a.tif"]}, [0, 0.2, 0.6, 1, 0.4, 1]),
        ({"minus": ["a.tif"]}, [0, 0.2, 0.6, 1, 0.4, 1]),
        ("everything", [1, 1, 1, 1, 1, 1]),
        ("not everything", [0, 0, 0, 0, 0, 0]),
        ({"minus": [{"union": ["a.tif", "c.tif"]}, "not b.tif"]}, [0, 0, 0, 1, 0, 0]),
    ],
)
def test_every_operation_on_soft_values(tmp_path: Path, raw: Any, expected: list[float]) -> None:
    found = combined(tmp_path, raw, (1, 6), a=A, b=B, c=C)
    np.testing.assert_allclose(found, [expected], atol=STEP)


def test_masks_of_any_size_and_depth_are_brought_to_one(tmp_path: Path) -> None:
    save(tmp_path / "half.tif.png", left_half(10, 20))
    save(tmp_path / "green.png", np.full((7, 90, 3), (0, 255, 0), np.uint8))
    canvas.write(tmp_path / "float.tif", np.full((3, 3, 1), 0.25, np.float32))
    raw = {"union": [{"intersection": ["half.tif.png", "green.png"]}, "float.tif"]}
    found = combined(tmp_path, raw, (40, 60))
    assert found.shape == (40, 60)
    np.testing.assert_allclose(found[:, :27], 1 / 3, atol=2 * STEP)
    np.testing.assert_allclose(found[:, 33:], 0.25, atol=2 * STEP)


def test_the_file_is_a_mask_in_16_bits_like_any_other(tmp_path: Path) -> None:
    found = combined(tmp_path, {"not": "a.tif"}, (30, 40), a=soft(30, 40, 0))
    header = canvas.read_header(tmp_path / "out.tif")
    assert (header.bands, header.bits, header.has_alpha) == (1, 16, False)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    canvas.compose_guides([(tmp_path / "out.tif", False)], tmp_path / "g.tif", Size(30, 40))
    np.testing.assert_array_equal(canvas.read(tmp_path / "g.tif")[..., 0], found)


# -- grow and shrink ---------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.5, 1, 1.5, 2, 2.9, 5, 7.3])
def test_growing_takes_the_greatest_within_the_radius(tmp_path: Path, radius: float) -> None:
    plane = soft(23, 31, 1)
    found = combined(tmp_path, {"grow": f"{radius} px", "of": "a.tif"}, plane.shape, a=plane)
    np.testing.assert_allclose(found, brute_dilation(plane, radius), atol=STEP / 4)


@pytest.mark.parametrize("radius", [1, 4.5])
def test_shrinking_takes_the_least_within_the_radius_of_the_pixels_that_are_there(
    tmp_path: Path, radius: float
) -> None:
    plane = 1 - soft(23, 31, 2)
    found = combined(tmp_path, {"shrink": f"{radius} px", "of": "a.tif"}, plane.shape, a=plane)
    np.testing.assert_allclose(found, 1 - brute_dilation(1 - plane, radius), atol=STEP)
    everywhere = combined(tmp_path, {"shrink": "5 px", "of": "everything"}, (20, 20))
    assert everywhere.min() == 1


def test_a_soft_edge_is_moved_and_stays_as_soft(tmp_path: Path) -> None:
    ramp = np.clip((30 - np.arange(60)) / 10, 0, 1)[None].repeat(40, axis=0)
    grown = combined(tmp_path, {"grow": "7 px", "of": "a.tif"}, ramp.shape, a=ramp)
    np.testing.assert_allclose(grown[:, 7:], ramp[:, :-7], atol=STEP)
    shrunk = combined(tmp_path, {"shrink": "7 px", "of": "a.tif"}, ramp.shape, a=ramp)
    np.testing.assert_allclose(shrunk[:, :-7], ramp[:, 7:], atol=STEP)


@pytest.mark.parametrize("block_px", [16, 50, 512])
@pytest.mark.parametrize("radius", [9, 140])
def test_blocks_leave_no_trace(tmp_path: Path, radius: int, block_px: int) -> None:
    plane = shapes(150, 190) * soft(150, 190, 3)
    raw = {"feather": "20 px", "of": {"shrink": "3 px", "of": {"grow": f"{radius} px", "of": "a.tif"}}}
    whole = combined(tmp_path, raw, plane.shape, block_px=1000, a=plane)
    assert whole.std() > 0
    np.testing.assert_array_equal(combined(tmp_path, raw, plane.shape, block_px=block_px, a=plane), whole)


def distance_to(plane: Plane) -> Plane:
    """How far each pixel is from the nearest that is light, row by row and column by column."""
    height, width = plane.shape
    inside = plane > 0.5
    columns = np.arange(width)
    along = np.full((height, width), np.inf)
    for row in range(height):
        if inside[row].any():
            along[row] = np.abs(columns[:, None] - columns[inside[row]][None]).min(axis=1)
    away = np.arange(height)
    found = [np.sqrt(((away - row)[:, None] ** 2 + along**2).min(axis=0)) for row in range(height)]
    return np.array(found)


@pytest.mark.parametrize("radius", [130, 199.5, 260])
def test_growing_far_is_exact_to_a_fortieth_of_the_radius(tmp_path: Path, radius: float) -> None:
    plane = shapes(700, 640) * (np.mgrid[:700, :640][1] > 560)
    plane[350, 30] = 1
    assert 0 < plane.sum() < 0.2 * plane.size
    found = combined(tmp_path, {"grow": f"{radius} px", "of": "a.tif"}, plane.shape, a=plane)
    distance = distance_to(plane)
    wrong = (found >= 0.5) != (distance <= radius)
    assert np.abs(distance[wrong] - radius).max(initial=0) < radius / 40
    soft_part = (found > 0.01) & (found < 0.99)
    assert np.abs(distance[soft_part] - radius).max() < radius / 30 + radius / 64
    assert (found >= plane).all()
    # What is left is shrunk as much as this is grown.
    rest = combined(tmp_path, {"shrink": f"{radius} px", "of": "not a.tif"}, plane.shape)
    np.testing.assert_allclose(rest, 1 - found, atol=2 * STEP)


def test_growing_across_the_whole_image_reaches_every_pixel(tmp_path: Path) -> None:
    plane = np.zeros((40, 30))
    plane[39, 0] = 0.7
    found = combined(tmp_path, {"grow": "60 px", "of": "a.tif"}, plane.shape, a=plane)
    np.testing.assert_allclose(found, 0.7, atol=STEP)


def test_a_disc_of_any_radius_is_made_of_runs() -> None:
    for radius in (1, 2.5, 11, 20.4):
        point = np.zeros((60, 60), np.uint16)
        point[30, 30] = 9
        rows, columns = np.mgrid[:60, :60] - 30
        expected = np.where(rows**2 + columns**2 <= radius**2, 9, 0)
        np.testing.assert_array_equal(dilate(point, radius), expected)


# -- feather -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deviation", "exact_to"), [(0.4, 1e-4), (3, 1e-4), (15.5, 2e-4), (16, 2e-3), (41.3, 2e-3)]
)
def test_feathering_is_a_gaussian(tmp_path: Path, deviation: float, exact_to: float) -> None:
    plane = soft(120, 150, 4) * shapes(120, 150)
    found = combined(tmp_path, {"feather": f"{deviation} px", "of": "a.tif"}, plane.shape, a=plane)
    np.testing.assert_allclose(found, brute_blur(plane, deviation), atol=exact_to)


def test_a_mask_and_what_it_leaves_are_feathered_alike(tmp_path: Path) -> None:
    plane = shapes(90, 70)
    for deviation in (4, 30):
        raw = {"feather": f"{deviation} px", "of": "a.tif"}
        inside = combined(tmp_path, raw, plane.shape, a=plane)
        outside = combined(tmp_path, {**raw, "of": "not a.tif"}, plane.shape)
        np.testing.assert_allclose(inside + outside, 1, atol=2 * STEP)


# -- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [{"union": ["a.tif", "b.png"]}, {"grow": "3 px", "of": {"minus": ["a.tif", "b.png"]}}]
)
def test_the_damaged_mask_is_blamed_and_nothing_is_left(tmp_path: Path, raw: Any) -> None:
    save(tmp_path / "b.png", np.random.default_rng(0).integers(0, 255, (90, 90, 1)).astype(np.uint8))
    truncate(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: expected a complete image"):
        combined(tmp_path, raw, (90, 90), a=soft(90, 90, 5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.png"]


def test_a_float_mask_with_no_such_values_is_refused(tmp_path: Path) -> None:
    canvas.write(tmp_path / "float.tif", np.full((30, 30, 1), 2, np.float32))
    with pytest.raises(
        InputError, match="expected a mask between 0 and 1 where it is in floating point; found 2"
    ):
        combined(tmp_path, {"grow": "3 px", "of": "float.tif"}, (30, 30))
