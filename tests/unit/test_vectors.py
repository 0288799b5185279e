import math

import pytest
import torch

from pipeline.optimiser.vectors import between, inner_products, largest_magnitude


def dot(left: torch.Tensor, right: torch.Tensor) -> float:
    return inner_products([left], [right]).item()


def test_inner_products_of_literal_images() -> None:
    left = [torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])]
    right = [torch.tensor([[[1.0, 0.5], [-1.0, 2.0]]]), torch.ones(1, 2, 2), torch.zeros(1, 2, 2)]
    assert inner_products(left, right).tolist() == [[7.0, 10.0, 0.0], [0.5, 1.0, 0.0]]


def test_no_images_no_products() -> None:
    assert inner_products([], [torch.ones(1, 2, 2)]).shape == (0, 1)


def test_sums_are_in_float64() -> None:
    # In float32 the ones vanish beside 2^24.
    image = torch.ones(1, 300, 1)
    image[0, 0, 0] = 2.0**12
    assert dot(image, image) == 2.0**24 + 299.0


def test_products_of_bfloat16_are_exact() -> None:
    left = torch.tensor([[[1.0 + 2.0**-7, 3.0]]], dtype=torch.bfloat16)
    assert dot(left, left) == (1.0 + 2.0**-7) ** 2 + 9.0


def test_views_count_their_own_values_only() -> None:
    image = torch.arange(48.0).view(3, 4, 4)
    assert dot(image[:, 1:3, 1:3], torch.ones(3, 2, 2)) == image[:, 1:3, 1:3].sum().item()


def test_products_do_not_depend_on_the_number_of_threads() -> None:
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


@pytest.mark.parametrize(("values", "expected"), [([1.0, -3.0], 3.0), ([2.0, -1.0], 2.0)])
def test_largest_magnitude(values: list[float], expected: float) -> None:
    assert largest_magnitude(torch.tensor([[values]])).item() == expected


def test_largest_magnitude_of_nan_is_nan() -> None:
    assert math.isnan(largest_magnitude(torch.tensor([[[1.0, math.nan]]])).item())


def test_between() -> None:
    start, end = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, -2.0]]])
    assert between(start, end, 0.25).tolist() == [[[1.5, 1.0]]]
    assert start.tolist() == [[[1.0, 2.0]]]


def test_a_part_of_between_has_the_bits_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(3)
    start, end = (torch.rand(3, 50, 47, generator=generator) for _ in range(2))
    whole = between(start, end, 0.3141)
    assert between(start[:, 7:20, 3:40], end[:, 7:20, 3:40], 0.3141).equal(whole[:, 7:20, 3:40])
