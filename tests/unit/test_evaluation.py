from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, make_image, make_random_weights
from torch import Tensor

import pipeline.evaluation
from pipeline.errors import InputError, WeightsError
from pipeline.evaluation import (
    STYLE_LAYERS,
    Picture,
    StyleDistance,
    crop_count,
    distance,
    gram_matrices,
    style_distance,
)
from pipeline.evaluation.network import Network
from pipeline.geometry import Box, Size
from pipeline.layers import Architecture
from pipeline.weights import CAFFE, Preprocessing, Weights

Array = np.ndarray
# One convolution a block and two channels: small enough for loops over every number.
TINY = Architecture("tiny", (1, 2, 1, 1, 1), (2, 2, 2, 2, 2))


def make_weights(
    architecture: Architecture = SMALL, seed: int = 0, preprocessing: Preprocessing = CAFFE
) -> Weights:
    tensors = {name: tensor.numpy() for name, tensor in make_random_weights(architecture, seed).items()}
    return Weights(architecture.name, tensors, preprocessing, "", {})


def picture(values: Tensor) -> Picture:
    return Picture.of(values.permute(1, 2, 0).numpy())


# --- the whole of it in plain loops, written from the formulas alone ---


def oracle_grams(image: Array, mask: Array, tensors: dict[str, Array]) -> dict[str, Array]:
    """G of each style layer: BGR * 255 - mean, zero-padded convolutions, ReLU, maximum of 2x2, loops only."""
    image, mask = mirrored(image), mirrored(mask[None])[0]
    features = np.stack([image[2] * 255 - 103.939, image[1] * 255 - 116.779, image[0] * 255 - 123.68])
    grams: dict[str, Array] = {}
    for name in ("conv1_1", "conv2_1", "conv2_2", "conv3_1", "conv4_1", "conv5_1"):
        if name.endswith("_1") and name != "conv1_1":
            features = pooled(features)
        features = convolved(features, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        if not name.endswith("_1"):
            continue
        channels, height, width = features.shape
        side = mask.shape[0] // height
        gram, units = np.zeros((channels, channels)), 0.0
        for row in range(height):
            for column in range(width):
                share = 0.0
                for down in range(side):
                    for across in range(side):
                        share += mask[row * side + down, column * side + across] / side**2
                units += share**2
                for i in range(channels):
                    for j in range(channels):
                        gram[i, j] += share**2 * features[i, row, column] * features[j, row, column]
        grams[name.replace("conv", "relu")] = gram / units
    return grams


def mirrored(values: Array) -> Array:
    """Grown to multiples of 16 at the bottom and right; the last row and column are not repeated."""
    _, height, width = values.shape
    grown = np.zeros((len(values), math.ceil(height / 16) * 16, math.ceil(width / 16) * 16))
    for row in range(grown.shape[1]):
        for column in range(grown.shape[2]):
            source_row = row if row < height else height - 1 - (row - (height - 1))
            source_column = column if column < width else width - 1 - (column - (width - 1))
            grown[:, row, column] = values[:, source_row, source_column]
    return grown


def convolved(features: Array, weight: Array, bias: Array) -> Array:
    _, height, width = features.shape
    result = np.zeros((len(weight), height, width))
    for out in range(len(weight)):
        for row in range(height):
            for column in range(width):
                total = bias[out]
                for down in (-1, 0, 1):
                    for across in (-1, 0, 1):
                        if 0 <= row + down < height and 0 <= column + across < width:
                            pixel = features[:, row + down, column + across]
                            total += float(pixel @ weight[out, :, down + 1, across + 1])
                result[out, row, column] = max(0.0, total)
    return result


def pooled(features: Array) -> Array:
    channels, height, width = features.shape
    result = np.zeros((channels, height // 2, width // 2))
    for row in range(height // 2):
        for column in range(width // 2):
            block = features[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            result[:, row, column] = block.reshape(channels, 4).max(axis=1)
    return result


def test_the_distance_is_that_of_plain_loops() -> None:
    weights = make_weights(TINY)
    image, style = make_image(35, 32, seed=1), make_image(32, 50, seed=2)
    mask, style_mask = make_image(35, 32, seed=3, channels=1)[0], make_image(32, 50, seed=4, channels=1)[0]
    found = style_distance(image, style, weights, mask=mask, style_mask=style_mask)
    tensors = dict(weights.tensors)
    ours = oracle_grams(image.numpy(), mask.numpy(), tensors)
    theirs = oracle_grams(style.numpy(), style_mask.numpy(), tensors)
    total = 0.0
    for name in STYLE_LAYERS:
        above, below = 0.0, 0.0
        for i in range(2):
            for j in range(2):
                above += (ours[name][i, j] - theirs[name][i, j]) ** 2
                below += theirs[name][i, j] ** 2
        assert found.layers[name] == pytest.approx(above / below, rel=1e-9)
        total += above / below
    assert found.value == pytest.approx(total / 5, rel=1e-9)
    assert found.left_out == ()
    whole = style_distance(image, style, weights)
    ones = oracle_grams(image.numpy(), np.ones((35, 32)), tensors)["relu2_1"]
    (gram,) = gram_matrices(picture(image), weights, dtype=torch.float64)
    assert gram["relu2_1"].numpy() == pytest.approx(ones, rel=1e-9)
    assert whole.value != pytest.approx(found.value, rel=1e-3)


def test_the_input_is_prepared_as_the_network_wants_it() -> None:
    # (2 x - 2 m / 255) / d times 255 d / 2 is 255 x - m, in each channel: the same network for another input.
    weights, image = make_weights(), make_image(32, 32, seed=1)
    mean, deviation = np.array(CAFFE.mean)[::-1] * 2 / 255, np.array([2.0, 4.0, 8.0])
    form = Preprocessing("RGB", tuple(mean.tolist()), 2.0, tuple(deviation.tolist()))
    first = weights.tensors["conv1_1.weight"][:, ::-1] * (255 * deviation / 2)[:, None, None]
    other = Weights("other", {**weights.tensors, "conv1_1.weight": first}, form, "", {})
    found = gram_matrices(picture(image), other, dtype=torch.float64)[0]
    expected = gram_matrices(picture(image), weights, dtype=torch.float64)[0]
    for name in STYLE_LAYERS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=0)


def test_an_image_is_its_own_style() -> None:
    weights, image = make_weights(), make_image(48, 37, seed=1)
    mask = make_image(48, 37, seed=2, channels=1)[0]
    assert style_distance(image, image, weights).value == 0
    assert style_distance(image, image, weights, mask=mask, style_mask=mask).value == 0
    assert style_distance(image, image, weights, mask=mask).value > 0


def test_a_network_without_biases_gives_the_distance_of_scaled_colours() -> None:
    # Features of an image c times as bright are c times as large, and Gram matrices c^2 times.
    weights = make_weights(preprocessing=Preprocessing())
    plain = {name: t if name.endswith("weight") else np.zeros_like(t) for name, t in weights.tensors.items()}
    linear = Weights("linear", plain, Preprocessing(), "", {})
    image = make_image(32, 48, seed=1)
    for factor in (0.5, 0.8, 0.0):
        found = style_distance(factor * image, image, linear)
        assert list(found.layers.values()) == pytest.approx([(factor**2 - 1) ** 2] * 5, rel=1e-9)
        assert found.value == pytest.approx((factor**2 - 1) ** 2, rel=1e-9)


@pytest.mark.parametrize(("height", "width"), [(160, 224), (151, 213), (16, 16), (17, 130)])
@pytest.mark.parametrize("core_px", [16, 64])
def test_crops_give_what_the_whole_image_gives(height: int, width: int, core_px: int) -> None:
    weights, image = make_weights(), make_image(height, width, seed=1)
    masks = make_image(height, width, seed=2, channels=2)
    names = ["a", "b"]
    done: list[int] = []
    whole, cropped = (
        gram_matrices(
            picture(image),
            weights,
            picture(masks),
            names=names,
            core_px=core,
            dtype=torch.float64,
            show=done.append,
        )
        for core in (4096, core_px)
    )
    count = crop_count(Size(height, width), core_px)
    assert count == math.ceil(math.ceil(height / 16) * 16 / core_px) * math.ceil(
        math.ceil(width / 16) * 16 / core_px
    )
    assert done == [1, *range(1, count + 1)]
    for one, other in zip(whole, cropped, strict=True):
        assert set(one) == set(STYLE_LAYERS) or min(height, width) < 32
        for name in one:
            torch.testing.assert_close(other[name], one[name], rtol=1e-12, atol=0)


def test_a_shorter_margin_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, image = make_weights(), make_image(192, 192, seed=1)
    expected = gram_matrices(picture(image), weights, core_px=4096, dtype=torch.float64)[0]["relu5_1"]
    right = Network.margin_px.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Network, "margin_px", property(lambda self: right(self) - 16))
    found = gram_matrices(picture(image), weights, core_px=64, dtype=torch.float64)[0]["relu5_1"]
    assert torch.linalg.norm(found - expected) > 1e-6 * torch.linalg.norm(expected)


def test_no_more_is_read_than_a_core_and_its_margin() -> None:
    values = make_image(200, 300, seed=1).permute(1, 2, 0).numpy()
    boxes: list[Box] = []

    def read(box: Box) -> Array:
        boxes.append(box)
        return values[box.slices]

    gram_matrices(Picture(Size(200, 300), read), make_weights(), core_px=32, dtype=torch.float64)
    assert max(box.size.height for box in boxes) == 32 + 2 * 64
    assert max(box.size.width for box in boxes) == 32 + 2 * 64
    assert all(box == box.grown(0, within=Size(200, 300)) for box in boxes)
    assert len(boxes) == 7 * 10


def test_each_half_of_a_composite_has_its_own_distance() -> None:
    weights = make_weights()
    first = make_image(64, 512, seed=1)
    # Blocks of 8 px where the first has pixels; wide enough that what mixes in the middle weighs little.
    second = make_image(8, 64, seed=2).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    both = torch.cat([first, second], dim=2)
    left = torch.zeros(64, 1024, dtype=torch.float64)
    left[:, :512] = 1
    found = [
        [style_distance(both, style, weights, mask=mask).value for style in (first, second)]
        for mask in (left, 1 - left)
    ]
    first_to_second = style_distance(first, second, weights).value
    second_to_first = style_distance(second, first, weights).value
    assert found[0][1] == pytest.approx(first_to_second, rel=0.05)
    assert found[1][0] == pytest.approx(second_to_first, rel=0.05)
    assert found[0][0] < 0.01 * second_to_first
    assert found[1][1] < 0.01 * first_to_second
    # Both regions in one pass are what they are one by one.
    masks = torch.stack([left, 1 - left])
    grams = gram_matrices(
        picture(both), weights, picture(masks), names=["left", "right"], dtype=torch.float64
    )
    (style,) = gram_matrices(picture(first), weights, dtype=torch.float64)
    assert [distance(gram, style).value for gram in grams] == pytest.approx([found[0][0], found[1][0]])


def test_a_mask_of_one_grey_is_no_mask() -> None:
    weights, image, style = make_weights(), make_image(64, 48, seed=1), make_image(32, 32, seed=2)
    half = torch.full((64, 48), 0.5, dtype=torch.float64)
    found = style_distance(image, style, weights, mask=half)
    assert found.value == pytest.approx(style_distance(image, style, weights).value, rel=1e-12)


def test_layers_where_a_part_has_less_than_a_unit_are_left_out() -> None:
    weights, image = make_weights(), make_image(64, 64, seed=1)
    spot = torch.zeros(64, 64, dtype=torch.float64)
    spot[16:20, 16:20] = 1
    found = style_distance(image, image, weights, mask=spot)
    assert found.left_out == ("relu4_1", "relu5_1")
    assert set(found.layers) == {"relu1_1", "relu2_1", "relu3_1"}
    assert found.value == pytest.approx(sum(found.layers.values()) / 3)
    assert style_distance(image, image, weights, style_mask=spot).left_out == found.left_out
    with pytest.raises(
        InputError, match="mask: expected a mask that covers at least a pixel; found less than"
    ):
        style_distance(image, image, weights, mask=spot * 0)
    with pytest.raises(InputError, match="a layer where both parts have a unit; found none"):
        distance({"relu1_1": torch.eye(2)}, {"relu2_1": torch.eye(2)})


def test_what_runs_in_float32_is_close() -> None:
    weights, image, style = make_weights(), make_image(64, 64, seed=1), make_image(64, 80, seed=2)
    exact = style_distance(image, style, weights)
    found = style_distance(image.float(), style.float(), weights)
    assert found.value == pytest.approx(exact.value, rel=1e-4)
    assert found.value != exact.value


def test_what_cannot_be_measured_is_told_in_one_line() -> None:
    weights, image = make_weights(), make_image(64, 64, seed=1)
    with pytest.raises(InputError, match="expected sides of at least 16 px; found 15x64 px"):
        style_distance(image[:, :15], image, weights)
    with pytest.raises(InputError, match="mask: expected a mask of 64x64 px as the image; found 64x32 px"):
        style_distance(image, image, weights, mask=torch.ones(64, 32, dtype=torch.float64))
    short = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith("conv5")}
    with pytest.raises(
        WeightsError, match="the weights of x: expected convolutions conv1_1 to conv5_1; found"
    ):
        style_distance(image, image, Weights("x", short, CAFFE, "", {}))


def test_the_mean_is_over_the_layers() -> None:
    assert StyleDistance({"relu1_1": 1.0, "relu2_1": 3.0}).value == 2.0


def test_it_shares_nothing_with_what_it_judges() -> None:
    sources = list(Path(pipeline.evaluation.__file__).parent.glob("*.py"))
    imported = {
        node.module
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    own = {f"pipeline.evaluation.{source.stem}" for source in sources}
    ours = {name for name in imported if name.startswith("pipeline")} - own
    assert ours == {"pipeline.errors", "pipeline.geometry", "pipeline.weights"}
