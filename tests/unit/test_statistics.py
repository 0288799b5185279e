from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from networks import make_image
from torch import Tensor

from pipeline.statistics import first_moment, second_moment, squared_difference, total_variation


def noise(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Features in float64, channels-last as the encoder gives them."""
    features = make_image(height, width, seed, channels)[None] - 0.3
    return features.contiguous(memory_format=torch.channels_last)


# Two channels over two positions, F = [[1, 2], [3, 5]]; T = (2, 0.5).
FEATURES = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64).view(1, 2, 1, 2)
GUIDE = torch.tensor([[2.0, 0.5]], dtype=torch.float64)


def test_second_moment_of_two_positions() -> None:
    expected = [[1 * 1 + 2 * 2, 1 * 3 + 2 * 5], [1 * 3 + 2 * 5, 3 * 3 + 5 * 5]]
    assert second_moment(FEATURES).tolist() == expected


def test_guided_second_moment_of_two_positions() -> None:
    expected = [[4 * 1 + 0.25 * 4, 4 * 3 + 0.25 * 10], [4 * 3 + 0.25 * 10, 4 * 9 + 0.25 * 25]]
    assert second_moment(FEATURES, GUIDE).tolist() == expected


def test_first_moment_of_two_positions() -> None:
    assert first_moment(FEATURES).tolist() == [1 + 2, 3 + 5]
    assert first_moment(FEATURES, GUIDE).tolist() == [2 * 1 + 0.5 * 2, 2 * 3 + 0.5 * 5]


def test_total_variation_of_four_pixels() -> None:
    """Steps to the right and down from the four; the last row and column are neighbours alone."""
    pixels = torch.tensor([[1.0, 2.0, 4.0], [5.0, 3.0, 3.0], [5.0, 0.0, 9.0]], dtype=torch.float64)
    expected = (1 + 16) + (4 + 1) + (4 + 0) + (0 + 9)
    assert total_variation(pixels.expand(3, 3, 3)).item() == 3 * expected


def test_squared_difference_of_two_positions() -> None:
    target = torch.tensor([[0.0, 2.0], [1.0, 8.0]], dtype=torch.float64).view(1, 2, 1, 2)
    assert squared_difference(FEATURES, target).item() == 1 + 0 + 4 + 9
    weights = torch.tensor([[2.0, 0.5]], dtype=torch.float64)
    assert squared_difference(FEATURES, target, weights).item() == 2 * (1 + 4) + 0.5 * (0 + 9)


def test_second_moment_is_the_loop_over_positions() -> None:
    features, guide = noise(3, 4, 5), make_image(4, 5, seed=1, channels=1)[0]
    expected = torch.zeros(3, 3, dtype=torch.float64)
    for row, column in itertools.product(range(4), range(5)):
        at = features[0, :, row, column]
        expected += guide[row, column] ** 2 * torch.outer(at, at)
    torch.testing.assert_close(second_moment(features, guide), expected, rtol=1e-14, atol=0)


def test_more_positions_than_a_chunk_are_all_counted() -> None:
    features = torch.ones(1, 2, 3, 8192, dtype=torch.float64)
    assert second_moment(features).tolist() == [[24576, 24576], [24576, 24576]]
    guide = torch.full((3, 8192), 0.5, dtype=torch.float64)
    assert second_moment(features, guide).tolist() == [[6144, 6144], [6144, 6144]]
    assert first_moment(features).tolist() == [24576, 24576]
    assert first_moment(features, guide).tolist() == [12288, 12288]


def test_a_guide_of_ones_changes_nothing() -> None:
    features, ones = noise(3, 4, 5), torch.ones(4, 5, dtype=torch.float64)
    assert torch.equal(second_moment(features, ones), second_moment(features))
    torch.testing.assert_close(first_moment(features, ones), first_moment(features), rtol=1e-14, atol=0)
    other = noise(3, 4, 5, seed=1)
    assert torch.equal(squared_difference(features, other, ones), squared_difference(features, other))


@pytest.mark.parametrize("statistic", [first_moment, second_moment, squared_difference])
def test_the_sum_of_parts_is_the_statistic_of_the_union(statistic: object) -> None:
    features = noise(3, 6, 5)
    # A guide for the moments, a target for the difference.
    other = noise(3, 6, 5, seed=1) if statistic is squared_difference else make_image(6, 5, 1, 1)[0]
    assert callable(statistic)
    whole = statistic(features, other)
    parts = statistic(features[:, :, :2], other[..., :2, :]) + statistic(
        features[:, :, 2:], other[..., 2:, :]
    )
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_agree_with_finite_differences(guided: bool, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = noise(3, 2, 4).contiguous(memory_format=layout).requires_grad_()
    guide = make_image(2, 4, seed=1, channels=1)[0] if guided else None
    target = noise(3, 2, 4, seed=2)
    assert torch.autograd.gradcheck(lambda f: second_moment(f, guide), features)
    assert torch.autograd.gradcheck(lambda f: first_moment(f, guide), features)
    assert torch.autograd.gradcheck(lambda f: squared_difference(f, target, guide), features)


@pytest.mark.parametrize("statistic", [first_moment, second_moment])
def test_gradient_through_a_part_of_the_features(statistic: Callable[[Tensor], Tensor]) -> None:
    features = noise(3, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: statistic(f[:, :, 1:3, 2:5]), features)


def test_gradient_of_the_total_variation() -> None:
    assert torch.autograd.gradcheck(total_variation, make_image(4, 5, seed=0).requires_grad_())


def test_bfloat16_features_are_multiplied_exactly_and_summed_in_float32() -> None:
    features = noise(8, 64, 64).to(torch.bfloat16)
    moment = second_moment(features)
    assert moment.dtype == torch.float32
    # The inputs are rounded, the products are not: what is left is float32 summation, not 2^-9.
    torch.testing.assert_close(
        moment.to(torch.float64), second_moment(features.to(torch.float64)), rtol=5e-5, atol=5e-3
    )
    assert squared_difference(features, features).dtype == torch.float32
    mean, guide = first_moment(features), torch.ones(64, 64)
    assert mean.dtype == first_moment(features, guide).dtype == torch.float32
    exact = first_moment(features.to(torch.float64))
    for found in (mean, first_moment(features, guide)):
        torch.testing.assert_close(found.to(torch.float64), exact, rtol=1e-5, atol=1e-2)


def test_many_bfloat16_positions_are_multiplied_in_chunks_whose_roundings_cancel() -> None:
    features = noise(8, 256, 300).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    moment = second_moment(features)
    assert moment.dtype == torch.float32
    reference = second_moment(features.to(torch.float64))
    # A single product would be off by up to 2^-9; the ten chunks' errors are independent.
    error = (moment.to(torch.float64) - reference).norm() / reference.norm()
    assert float(error) < 2**-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_positions_outside_the_guide_count_nothing(dtype: torch.dtype) -> None:
    features = noise(4, 256, 320).to(dtype).contiguous(memory_format=torch.channels_last)
    guide = torch.zeros(256, 320)
    guide[100:130] = make_image(30, 320, seed=1, channels=1)[0]
    derivative = make_image(4, 4, seed=3, channels=1)[0].to(torch.float32)
    for statistic, incoming in ((second_moment, derivative), (first_moment, derivative[0])):
        leaf = features.clone(memory_format=torch.preserve_format).requires_grad_()
        found = statistic(leaf, guide)
        (gradient,) = torch.autograd.grad(found, leaf, incoming)
        inside = statistic(
            features[:, :, 100:130].contiguous(memory_format=torch.channels_last), guide[100:130]
        )
        torch.testing.assert_close(found, inside, rtol=1e-5, atol=1e-2)
        assert not gradient[:, :, :100].any()
        assert not gradient[:, :, 130:].any()
        assert gradient[:, :, 100:130].any()


def test_bfloat16_moments_are_within_the_rounding_of_the_features() -> None:
    exact, guide = noise(8, 64, 64), make_image(64, 64, seed=1, channels=1)[0]
    rounded = second_moment(exact.to(torch.bfloat16), guide.to(torch.float32)).to(torch.float64)
    reference = second_moment(exact, guide)
    # Each factor is off by at most 2^-9 of itself.
    bound = 2.1 * 2**-9 * second_moment(exact.abs(), guide)
    assert bool(((rounded - reference).abs() <= bound).all())


@pytest.mark.parametrize("weight", [1.00392, 0.1**-0.5, 0.4**-0.5])
@pytest.mark.parametrize("height", [16, 256])
def test_a_region_of_one_weight_is_not_biased_in_bfloat16(weight: float, height: int) -> None:
    # What is normalised has this one weight wherever it has any: its rounding would even out nowhere.
    features = torch.ones(1, 8, height, 320, dtype=torch.bfloat16)
    features = features.contiguous(memory_format=torch.channels_last)
    guide = torch.zeros(height, 320)
    guide[: height // 2] = weight
    positions = height // 2 * 320
    moment = second_moment(features, guide)
    torch.testing.assert_close(moment / (positions * weight**2), torch.ones(8, 8), rtol=2e-4, atol=0)
    torch.testing.assert_close(
        first_moment(features, guide) / (positions * weight), torch.ones(8), rtol=2e-4, atol=0
    )
    # A gradient is rounded once, when it is written.
    leaf = features.clone().requires_grad_()
    asked = torch.eye(8)
    (gradient,) = torch.autograd.grad(second_moment(leaf, guide), leaf, asked)
    expected = torch.tensor(2 * weight**2).to(torch.bfloat16)
    assert torch.equal(gradient[:, :, : height // 2], expected.expand(1, 8, height // 2, 320))
    (gradient,) = torch.autograd.grad(first_moment(leaf, guide), leaf, torch.ones(8))
    expected = torch.tensor(weight).to(torch.bfloat16)
    assert torch.equal(gradient[:, :, : height // 2], expected.expand(1, 8, height // 2, 320))


def test_a_guide_of_nothing_gives_nothing_in_bfloat16() -> None:
    features = torch.ones(1, 8, 4, 8, dtype=torch.bfloat16).requires_grad_()
    moment = second_moment(features, torch.zeros(4, 8))
    (gradient,) = torch.autograd.grad(moment, features, torch.eye(8))
    assert not moment.any()
    assert not gradient.any()


def test_bfloat16_gradient_is_within_the_rounding_of_its_factors() -> None:
    exact, guide = noise(8, 16, 16).requires_grad_(), make_image(16, 16, seed=1, channels=1)[0]
    derivative = make_image(8, 8, seed=3, channels=1)[0]
    (reference,) = torch.autograd.grad(second_moment(exact, guide), exact, derivative)
    rounded = exact.detach().to(torch.bfloat16).requires_grad_()
    moment = second_moment(rounded, guide.to(torch.float32))
    (gradient,) = torch.autograd.grad(moment, rounded, derivative.to(torch.float32))
    assert gradient.dtype == torch.bfloat16
    assert float((gradient.to(torch.float64) - reference).norm() / reference.norm()) < 2**-7


def test_bfloat16_gradients_of_means_and_differences_are_within_rounding() -> None:
    exact, guide = noise(8, 16, 16), make_image(16, 16, seed=1, channels=1)[0]
    rounded, other = exact.to(torch.bfloat16), noise(8, 16, 16, seed=2)
    derivative = make_image(1, 8, seed=3, channels=1)[0, 0]
    cases: list[tuple[Callable[[Tensor], Tensor], Tensor]] = [
        (
            lambda f: first_moment(f, guide.to(torch.float32)) @ derivative.to(torch.float32),
            guide * derivative.view(1, -1, 1, 1),
        ),
        (
            lambda f: squared_difference(f, other.to(torch.bfloat16), guide.to(torch.float32)),
            2 * guide * (exact - other),
        ),
    ]
    for found, expected in cases:
        leaf = rounded.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(found(leaf), leaf)
        assert gradient.dtype == torch.bfloat16
        assert float((gradient.to(torch.float64) - expected).norm() / expected.norm()) < 2**-6


def test_means_convert_no_whole_map_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.ones(1, 4, 3, 8192, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    converted: list[int] = []
    convert = Tensor.to

    def to(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        converted.append(tensor.numel())
        return convert(tensor, dtype)

    monkeypatch.setattr(Tensor, "to", to)
    first_moment(features)
    first_moment(features, torch.ones(3, 8192))
    assert max(converted) == 4 * 8192


def test_nothing_but_features_and_guide_is_kept_for_the_gradient() -> None:
    features, guide = noise(3, 4, 5).requires_grad_(), make_image(4, 5, seed=1, channels=1)[0]
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        second_moment(features[:, :, 1:], guide[1:])
        first_moment(features[:, :, 1:], guide[1:])
    assert set(kept) == {features.untyped_storage().data_ptr(), guide.untyped_storage().data_ptr()}
