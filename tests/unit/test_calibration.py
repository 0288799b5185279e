from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline.calibration import Calibration, measure_means


def photographs(count: int, seed: int = 0) -> list[Tensor]:
    return [make_image(32, 48, seed=seed + index) for index in range(count)]


def one_by_one(images: list[Tensor], alive: list[int]) -> Iterator[Tensor]:
    """Hands out copies, and counts how many were asked for."""
    for image in images:
        alive.append(len(alive))
        yield image.clone()


def test_means_are_over_positions_and_photographs_in_plain_loops() -> None:
    encoder, images, done = make_encoder(), photographs(5), list[int]()
    found = measure_means(encoder, SMALL, iter(images), done.append)
    assert done == [1, 2, 3, 4, 5]
    assert found.photographs == 5
    assert list(found.means) == [layer.convolution for layer in SMALL]
    for layer in (SMALL.layer("relu1_1"), SMALL.layer("relu4_2")):
        expected = np.zeros(layer.channels)
        for image in images:
            features = encoder(image[None], [layer.name])[layer.name][0]
            for channel in range(layer.channels):
                values = [float(value) for row in features[channel] for value in row]
                expected[channel] += sum(values) / len(values) / len(images)
        assert found.means[layer.convolution] == pytest.approx(expected, rel=1e-12)


def test_each_photograph_has_the_same_weight_whatever_its_size() -> None:
    encoder = make_encoder()
    small, large = make_image(16, 16, seed=1), make_image(64, 96, seed=2)
    alone = [measure_means(encoder, SMALL, iter([image, image]), lambda _: None) for image in (small, large)]
    both = measure_means(encoder, SMALL, iter([small, large]), lambda _: None)
    for name, mean in both.means.items():
        assert mean == pytest.approx((alone[0].means[name] + alone[1].means[name]) / 2, rel=1e-12)


def test_even_places_are_correlated_with_odd_ones() -> None:
    encoder, images = make_encoder(), photographs(6)
    found = measure_means(encoder, SMALL, iter(images), lambda _: None)
    even, odd = (measure_means(encoder, SMALL, iter(images[half::2]), lambda _: None) for half in (0, 1))
    for name, value in found.correlations.items():
        expected = np.corrcoef(even.means[name], odd.means[name])[0, 1]
        assert value == pytest.approx(expected, abs=1e-12)


def test_halves_that_are_the_same_correlate_fully() -> None:
    image = make_image(32, 32, seed=0)
    found = measure_means(make_encoder(), SMALL, iter([image, image]), lambda _: None)
    assert list(found.correlations.values()) == pytest.approx([1] * 13)
    assert found.doubtful == ()


def test_halves_that_say_nothing_do_not_correlate() -> None:
    one = {"conv1_1": np.ones(4)}
    assert Calibration(one, {"conv1_1": 0.95, "conv1_2": 0.85}, 4).doubtful == ("conv1_2",)
    encoder = make_encoder()
    for parameter in encoder.parameters():
        parameter.data.zero_()
    found = measure_means(encoder, SMALL, iter(photographs(2)), lambda _: None)
    assert set(found.correlations.values()) == {0.0}


def test_photographs_are_asked_for_one_at_a_time() -> None:
    asked: list[int] = []
    at: list[tuple[int, int]] = []
    measure_means(
        make_encoder(), SMALL, one_by_one(photographs(4), asked), lambda done: at.append((done, len(asked)))
    )
    assert at == [(1, 1), (2, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_cannot_be_split(count: int) -> None:
    with pytest.raises(
        ValueError, match=f"two photographs at least are needed to compare halves; got {count}"
    ):
        measure_means(make_encoder(), SMALL, iter(photographs(count)), lambda _: None)


def test_nothing_is_kept_for_a_gradient() -> None:
    image = make_image(32, 32, seed=0).requires_grad_()
    found = measure_means(make_encoder(), SMALL, iter([image, image]), lambda _: None)
    assert image.grad is None
    assert all(mean.dtype == np.float64 for mean in found.means.values())
    assert torch.is_grad_enabled()
