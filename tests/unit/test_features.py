from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name the whole field uses
from networks import SMALL, OxfordFormat, make_encoder, make_image, make_random_weights
from torch import Tensor

from pipeline.errors import WeightsError
from pipeline.features import Encoder, pad_to_stride
from pipeline.layers import VGG16, VGG19, Architecture

# One channel that copies the centre pixel's first input channel.
ONE = Architecture("one", (1,), (1,))


def centre_tap(channel: int) -> dict[str, Tensor]:
    weight = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    weight[0, channel, 1, 1] = 1
    return {"conv1_1.weight": weight, "conv1_1.bias": torch.zeros(1, dtype=torch.float64)}


@pytest.mark.parametrize(("order", "expected"), [("RGB", 0.5), ("BGR", 0.7)])
def test_channels_are_reordered_scaled_and_shifted(order: Literal["RGB", "BGR"], expected: float) -> None:
    form = OxfordFormat(order, mean=(10.0, 20.0, 30.0), scale=100.0, deviation=(2.0, 4.0, 5.0))
    encoder = Encoder(centre_tap(0), ONE, form, dtype=torch.float64)
    image = torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64).view(1, 3, 1, 1)
    found = encoder(image, ["relu1_1"])["relu1_1"].item()
    assert found == pytest.approx((100 * expected - 10) / 2, rel=1e-14)


def test_the_border_is_zero_after_the_mean_is_taken_off() -> None:
    weights = {"conv1_1.weight": torch.ones(1, 3, 3, 3), "conv1_1.bias": torch.zeros(1)}
    form = OxfordFormat("RGB", mean=(1.0, 1.0, 1.0), scale=4.0)
    encoder = Encoder(weights, ONE, form, dtype=torch.float64)
    image = torch.full((1, 3, 2, 3), 0.5, dtype=torch.float64)
    # Every pixel is 4 * 0.5 - 1 = 1 in three channels; a corner sees four of them, the middle six.
    assert encoder(image, ["relu1_1"])["relu1_1"].tolist() == [[[[12, 18, 12], [12, 18, 12]]]]


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_activations_are_those_of_the_plain_network(pooling: Literal["max", "average"]) -> None:
    weights, image = make_random_weights(SMALL, seed=0), make_image(32, 48, seed=1)[None]
    pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).view(1, 3, 1, 1)
    features = image.flip(1) * 255 - mean
    found = make_encoder(pooling=pooling)(image, SMALL.names)
    assert list(found) == list(SMALL.names)
    for layer in SMALL:
        if layer.name in ("relu2_1", "relu3_1", "relu4_1", "relu5_1"):
            features = pool(features, 2)
        name = layer.convolution
        features = F.conv2d(features, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).relu()
        torch.testing.assert_close(found[layer.name], features, rtol=1e-11, atol=1e-11)


def test_only_the_wanted_layers_are_given_and_nothing_deeper_is_needed() -> None:
    weights = make_random_weights(SMALL, seed=0)
    some = {name: tensor for name, tensor in weights.items() if name.startswith(("conv1", "conv2"))}
    encoder = Encoder(some, SMALL, OxfordFormat(), dtype=torch.float64)
    found = encoder(make_image(16, 16, seed=1)[None], ["relu2_1", "relu1_2"])
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "relu1_2": (1, 4, 16, 16),
        "relu2_1": (1, 4, 8, 8),
    }


def test_the_gradient_by_the_image_agrees_with_finite_differences() -> None:
    encoder = make_encoder()
    image = make_image(8, 8, seed=1)[None].requires_grad_()
    # Deep enough for in-place ReLU, pooling and several uses of one activation.
    assert torch.autograd.gradcheck(
        lambda x: tuple(encoder(x, ["relu1_1", "relu2_2", "relu3_1"]).values()), image, eps=1e-7, atol=1e-3
    )


def test_weights_are_frozen() -> None:
    assert not any(parameter.requires_grad for parameter in make_encoder().parameters())


def test_weights_may_be_arrays_that_cannot_be_written() -> None:
    arrays = {name: tensor.numpy() for name, tensor in make_random_weights(SMALL, seed=0).items()}
    for array in arrays.values():
        array.setflags(write=False)
    encoder = Encoder(arrays, SMALL, OxfordFormat(), dtype=torch.float64)
    image = make_image(16, 16, seed=1)[None]
    assert torch.equal(encoder(image, ["relu2_1"])["relu2_1"], make_encoder()(image, ["relu2_1"])["relu2_1"])


def test_bfloat16_features_are_channels_last_and_near_those_of_float64() -> None:
    image = make_image(32, 32, seed=1)
    rough = make_encoder(dtype=torch.bfloat16)(image[None].to(torch.float32), ["relu4_2"])["relu4_2"]
    exact = make_encoder()(image[None], ["relu4_2"])["relu4_2"]
    assert rough.dtype == torch.bfloat16
    assert rough.is_contiguous(memory_format=torch.channels_last)
    assert float((rough.to(torch.float64) - exact).norm() / exact.norm()) < 0.02


def test_a_layer_beyond_the_weights_is_an_error_that_says_where_they_end() -> None:
    weights = {n: t for n, t in make_random_weights(VGG16, 0).items() if n.startswith("conv1")}
    encoder = Encoder(weights, VGG16, OxfordFormat())
    with pytest.raises(
        WeightsError, match="convolution conv2_1 for relu2_1; found weights that end at conv1_2"
    ):
        encoder(torch.zeros(1, 3, 16, 16), ["relu2_1"])


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(KeyError, match="relu3_4"):
        make_encoder(VGG16)(torch.zeros(1, 3, 16, 16, dtype=torch.float64), ["relu3_4"])


def test_no_weights_at_all_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"conv1_1\.weight"):
        Encoder({}, VGG19, OxfordFormat())


def test_weights_of_another_network_are_refused() -> None:
    weights = make_random_weights(SMALL, seed=0)
    weights["conv1_2.weight"] = torch.zeros(5, 4, 3, 3)
    with pytest.raises(WeightsError, match=r"conv1_2\.weight: expected .*\(4, 4, 3, 3\); found shape \(5, 4"):
        Encoder(weights, SMALL, OxfordFormat())


def test_a_missing_bias_is_refused() -> None:
    weights = make_random_weights(SMALL, seed=0)
    del weights["conv1_2.bias"]
    with pytest.raises(WeightsError, match=r"conv1_2\.bias: expected a tensor of shape \(4,\); found none"):
        Encoder(weights, SMALL, OxfordFormat())


def test_deviations_follow_the_networks_channel_order() -> None:
    form = replace(OxfordFormat(), mean=(0.0, 0.0, 0.0), scale=1.0, deviation=(2.0, 1.0, 1.0))
    # The network's first channel is blue.
    encoder = Encoder({n: np.asarray(t) for n, t in centre_tap(0).items()}, ONE, form, dtype=torch.float64)
    image = torch.tensor([0.1, 0.2, 0.8], dtype=torch.float64).view(1, 3, 1, 1)
    assert encoder(image, ["relu1_1"])["relu1_1"].item() == pytest.approx(0.4, rel=1e-14)


def test_padding_reflects_at_the_bottom_and_right() -> None:
    image = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    padded = pad_to_stride(image, 4)
    assert padded.tolist() == [[[1, 2, 3, 2], [4, 5, 6, 5], [1, 2, 3, 2], [4, 5, 6, 5]]]


def test_an_image_that_fits_is_not_padded() -> None:
    image = make_image(16, 32, seed=0)
    assert torch.equal(pad_to_stride(image, 16), image)


def test_a_single_pixel_is_repeated() -> None:
    assert pad_to_stride(torch.full((1, 1, 1), 0.5), 4).tolist() == [[[0.5] * 4] * 4]


@pytest.mark.parametrize("threads", [1, 3, 4])
def test_a_batch_gives_what_each_of_its_images_gives(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """As in training, with gradients; pools are cut into strips for so many threads."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    encoder = make_encoder()
    images = torch.stack([make_image(48, 32, seed) for seed in (1, 2)]).requires_grad_()
    (together,) = encoder(images, ["relu4_1"]).values()
    for index in range(2):
        (alone,) = encoder(images[index : index + 1], ["relu4_1"]).values()
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-12)
