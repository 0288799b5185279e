from __future__ import annotations

import pytest

from pipeline.config.sections import Network, Optimiser
from pipeline.costs import (
    activation_bytes_per_px,
    content_values_per_px,
    kept_bytes_per_px,
    saved_bytes_per_px,
    state_bytes_per_px,
    state_file_bytes_per_px,
    vector_bytes_per_px,
)


def test_what_an_evaluation_holds_per_pixel() -> None:
    # VGG-16 to relu5_1: convolutions 128 + 64 + 48 + 24 + 2 values, poolings 16 + 8 + 4 + 2, int64 indices.
    assert kept_bytes_per_px(Network(), 4) == (266 + 30) * 4 + 8 * 30
    assert kept_bytes_per_px(Network(pooling="average"), 2) == (266 + 30) * 2
    # The peak is where the backward pass runs through the first block.
    few = Network(style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_2",))
    for network in (Network(), few):
        assert activation_bytes_per_px(network, 4) == (128 + 16 + 3.25 * 128) * 4 + 8 * 16
    assert activation_bytes_per_px(Network(pooling="average"), 2) == (128 + 16 + 3.25 * 128) * 2
    only = Network(style_layers=("relu1_1",), content_layers=())
    assert activation_bytes_per_px(only, 4) == 4.25 * 64 * 4


def test_what_the_optimiser_keeps_per_pixel() -> None:
    assert content_values_per_px(Network()) == 8.0
    assert content_values_per_px(Network(content_layers=("relu2_2", "relu4_2"))) == 40.0
    # Seven vectors of three float32, a channel, content targets; a pair of the history costs 12 bytes.
    assert state_bytes_per_px(Optimiser(), 8.0, 1) == 84 + 4 + 32 + 5 * 12
    assert state_bytes_per_px(Optimiser(history=7, history_precision="float32"), 8.0, 0) == 84 + 32 + 7 * 24
    assert state_bytes_per_px(Optimiser(method="adam"), 0.0, 0) == 84 + 24


def test_what_lies_in_files_per_pixel() -> None:
    # Image, next image, gradient and old gradient; pairs of two bytes a value.
    assert vector_bytes_per_px(Optimiser()) == 48 + 5 * 12
    assert vector_bytes_per_px(Optimiser(method="adam")) == 36 + 24
    assert state_file_bytes_per_px(Optimiser(), 100) == 48 + 5 * 12
    assert [state_file_bytes_per_px(Optimiser(), count) for count in (1, 2, 3)] == [24, 48, 48 + 12]
    assert [state_file_bytes_per_px(Optimiser(method="adam"), count) for count in (1, 2)] == [48, 84]


@pytest.mark.parametrize(
    ("optimiser", "iterations", "expected"),
    [
        # The first gradient; and saved anew by a run that was resumed, with it, the only step's image.
        (Optimiser(), 1, 12 + 24),
        # Twice image, gradient and the only pair, or in the end five of them and the next step.
        (Optimiser(), 2, 2 * (24 + 12)),
        (Optimiser(), 100, 2 * (24 + 5 * 12 + 6)),
        (Optimiser(history=1, history_precision="float32"), 100, 2 * (24 + 24 + 12)),
        # Image and moments, and the image once more; or all of them.
        (Optimiser(method="adam"), 1, 36 + 12),
        (Optimiser(method="adam"), 2, 2 * 36),
    ],
)
def test_what_is_saved_of_vectors_in_memory_may_lie_there_twice(
    optimiser: Optimiser, iterations: int, expected: int
) -> None:
    assert saved_bytes_per_px(optimiser, iterations) == expected
