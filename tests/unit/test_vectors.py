import math

import pytest
import torch

from pipeline.optimiser.vectors import BAND_PX, add_scaled, difference, dot, largest_magnitude, row_bands


def test_bands_cover_every_row_once() -> None:
    assert list(row_bands(300)) == [slice(0, 128), slice(128, 256), slice(256, 300)]
    assert list(row_bands(BAND_PX)) == [slice(0, 128)]


def test_dot_of_literal_images() -> None:
    left = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert dot(left, torch.tensor([[[1.0, 0.5], [-1.0, 2.0]]])) == 7.0


def test_dot_sums_in_float64() -> None:
    # In float32 the ones vanish beside 2^24.
    image = torch.ones(1, 300, 1)
    image[0, 0, 0] = 2.0**12
    assert dot(image, image) == 2.0**24 + 299.0


def test_dot_of_bfloat16_is_exact_in_its_products() -> None:
    left = torch.tensor([[[1.0 + 2.0**-7, 3.0]]], dtype=torch.bfloat16)
    assert dot(left, left) == (1.0 + 2.0**-7) ** 2 + 9.0


def test_dot_changes_neither_operand_even_in_float64() -> None:
    left, right = torch.full((3, 4, 4), 2.0, dtype=torch.float64), torch.full((3, 4, 4), 3.0)
    assert dot(left, right) == 288.0
    assert left.eq(2.0).all()
    assert right.eq(3.0).all()


def test_dot_does_not_depend_on_the_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(3)
    left = torch.randn(3, 272, 400, generator=generator)
    right = torch.randn(3, 272, 400, generator=generator)
    threads = torch.get_num_threads()
    try:
        values = set()
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            values.add(dot(left, right))
    finally:
        torch.set_num_threads(threads)
    assert len(values) == 1


def test_add_scaled_across_types_and_bands() -> None:
    onto = torch.ones(3, 200, 4)
    add_scaled(onto, torch.full((3, 200, 4), 2.0, dtype=torch.bfloat16), -0.25)
    assert onto.eq(0.5).all()


def test_difference_is_rounded_once() -> None:
    # 257 has no bfloat16; operands rounded first would give 256 - 1 = 255.
    left, right = torch.full((3, 200, 4), 257.0), torch.full((3, 200, 4), 1.0)
    result = difference(left, right, torch.bfloat16)
    assert result.dtype is torch.bfloat16
    assert result.float().eq(256.0).all()


@pytest.mark.parametrize(("values", "expected"), [([1.0, -3.0], 3.0), ([2.0, -1.0], 2.0)])
def test_largest_magnitude(values: list[float], expected: float) -> None:
    assert largest_magnitude(torch.tensor([[values]])) == expected


def test_largest_magnitude_of_nan_is_nan() -> None:
    assert math.isnan(largest_magnitude(torch.tensor([[[1.0, math.nan]]])))
