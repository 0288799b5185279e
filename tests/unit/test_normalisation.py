from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from networks import SMALL, OxfordFormat, make_image, make_random_weights
from safetensors.numpy import load_file, save_file
from torch import Tensor

from pipeline.config.sections import NETWORKS_WITH_MEANS
from pipeline.errors import WeightsError
from pipeline.features import Encoder
from pipeline.fetching.model_files import read_safetensors
from pipeline.layers import VGG16, Architecture
from pipeline.normalisation import MeansRecord, load_means, normalised, save_means, shipped_means

Pooling = Literal["max", "average"]

RECORD = MeansRecord("small", "0" * 64, "max", 5, 288, {"conv1_1": 0.98765, "conv1_2": 0.5}, "0.1.0")


def make_means(architecture: Architecture = SMALL, seed: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {layer.convolution: random.uniform(0.05, 20, layer.channels) for layer in architecture}


def numpy_weights(seed: int = 0) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in make_random_weights(SMALL, seed).items()}


def activations(weights: dict[str, np.ndarray], pooling: Pooling) -> dict[str, Tensor]:
    encoder = Encoder(weights, SMALL, OxfordFormat(), pooling=pooling, dtype=torch.float64)
    found: dict[str, Tensor] = encoder(make_image(48, 64, seed=1)[None], SMALL.names)
    return found


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_activation_is_the_plain_one_divided_by_its_mean(pooling: Pooling) -> None:
    weights, means = numpy_weights(), make_means()
    plain = activations(weights, pooling)
    found = activations(normalised(weights, means, SMALL), pooling)
    assert set(found) == set(SMALL.names)
    for layer in SMALL:
        mean = torch.from_numpy(means[layer.convolution]).view(1, -1, 1, 1)
        scale = float((plain[layer.name] / mean).max())
        assert scale > 0
        torch.testing.assert_close(
            found[layer.name], plain[layer.name] / mean, rtol=1e-12, atol=1e-12 * scale
        )


def test_with_its_own_means_every_filter_has_the_mean_one() -> None:
    weights = numpy_weights()
    plain = activations(weights, "max")
    means = {name.replace("relu", "conv"): plain[name].mean(dim=(0, 2, 3)).numpy() for name in plain}
    assert min(mean.min() for mean in means.values()) > 0
    for features in activations(normalised(weights, means, SMALL), "max").values():
        assert features.mean(dim=(0, 2, 3)).numpy() == pytest.approx(1, rel=1e-12)


def test_the_images_own_channels_are_not_scaled() -> None:
    weights, means = numpy_weights(), make_means()
    found = normalised(weights, means, SMALL)
    for channel, mean in enumerate(means["conv1_1"]):
        expected = weights["conv1_1.weight"][channel] / mean
        assert found["conv1_1.weight"][channel] == pytest.approx(expected, rel=1e-15)
        assert found["conv1_1.bias"][channel] == pytest.approx(
            weights["conv1_1.bias"][channel] / mean, rel=1e-15
        )


def test_a_filter_that_never_fires_is_divided_by_a_millionth_of_its_layers_average() -> None:
    weights, means = numpy_weights(), make_means()
    means["conv2_1"] = np.array([0.0, 1.0, 2.0, 1e-9])
    found = normalised(weights, means, SMALL)
    least = 1e-6 * (3 + 1e-9) / 4
    assert found["conv2_1.bias"] * [least, 1, 2, least] == pytest.approx(weights["conv2_1.bias"], rel=1e-12)
    plain, changed = activations(weights, "max"), activations(found, "max")
    last = torch.from_numpy(means["conv5_1"]).view(1, -1, 1, 1)
    torch.testing.assert_close(changed["relu5_1"], plain["relu5_1"] / last, rtol=1e-9, atol=1e-9)


def test_the_weights_keep_their_precision_and_nothing_is_changed_in_place() -> None:
    weights = {name: array.astype(np.float32) for name, array in numpy_weights().items()}
    before = {name: array.copy() for name, array in weights.items()}
    found = normalised(weights, make_means(), SMALL)
    assert all(array.dtype == np.float32 for array in found.values())
    assert all((weights[name] == before[name]).all() for name in weights)


def test_weights_may_end_after_any_layer() -> None:
    few = {name: array for name, array in numpy_weights().items() if name.startswith("conv1")}
    means = {name: mean for name, mean in make_means().items() if name.startswith("conv1")}
    assert set(normalised(few, means, SMALL)) == set(few)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"conv2_1": None},
            "channel means, conv2_1.mean: expected a tensor of shape (4,); found none. Measure",
        ),
        (
            {"conv2_1": np.ones(5)},
            "channel means, conv2_1.mean: expected a tensor of shape (4,); found shape (5,)",
        ),
        ({"conv2_1": np.array([1, 1, -1, 1])}, "expected numbers of at least 0"),
        (
            {"conv2_1": np.zeros(4)},
            "one of them above, as means after a ReLU are; found numbers from 0 to 0.",
        ),
        ({"conv2_1": np.array([1, 1, np.nan, 1])}, "found numbers from nan to nan"),
        ({"conv2_1": np.array([1, 1, np.inf, 1])}, "found numbers from 1 to inf"),
    ],
)
def test_wrong_means_are_refused_in_one_line(changed: dict[str, np.ndarray | None], line: str) -> None:
    means = {name: mean for name, mean in {**make_means(), **changed}.items() if mean is not None}
    with pytest.raises(WeightsError) as error:
        normalised(numpy_weights(), means, SMALL)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "conv1_2.weight",
            np.ones((4, 5, 3, 3)),
            "expected a tensor of shape (4, 4, 3, 3); found shape (4, 5, 3, 3)",
        ),
        (
            "conv1_2.bias",
            np.ones(5),
            "weights, conv1_2.bias: expected a tensor of shape (4,); found shape (5,).",
        ),
        ("conv1_2.bias", None, "weights, conv1_2.bias: expected a tensor of shape (4,); found none."),
    ],
)
def test_weights_of_another_network_are_refused_in_one_line(
    name: str, value: np.ndarray | None, line: str
) -> None:
    weights = numpy_weights()
    if value is None:
        del weights[name]
    else:
        weights[name] = value
    with pytest.raises(WeightsError) as error:
        normalised(weights, make_means(), SMALL)
    assert line in str(error.value)


def test_means_come_back_as_they_were_saved(tmp_path: Path) -> None:
    means = make_means()
    save_means(tmp_path / "means.safetensors", means, RECORD)
    for network in (None, "small"):
        found = load_means(tmp_path / "means.safetensors", SMALL, network)
        assert set(found) == set(means)
        assert all((found[name] == means[name].astype(np.float32)).all() for name in means)
    metadata = read_safetensors(tmp_path / "means.safetensors").metadata
    assert metadata["photographs"] == "5"
    assert metadata["size_px"] == "288"
    assert json.loads(metadata["correlations"]) == {"conv1_1": 0.9877, "conv1_2": 0.5}


def test_a_file_without_metadata_will_do(tmp_path: Path) -> None:
    save_file({f"{name}.mean": mean for name, mean in make_means().items()}, tmp_path / "plain.safetensors")
    assert set(load_means(tmp_path / "plain.safetensors", SMALL, "small")) == set(make_means())


def test_a_file_that_holds_no_such_means_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "means.safetensors"

    def line(network: str | None = None) -> str:
        with pytest.raises(WeightsError) as error:
            load_means(path, SMALL, network)
        assert "\n" not in str(error.value)
        return str(error.value)

    expected = f"{path}: expected a file of channel means; found none. Measure them with impasto calibrate"
    assert line().startswith(expected)
    path.write_text("not tensors", encoding="utf-8")
    assert line().startswith(f"{path}: expected a safetensors file of channel means; found ")
    save_file({"conv1_1.weight": np.ones((4, 3, 3, 3))}, path)
    assert (
        "expected vectors conv1_1.mean and so on, for the convolutions of small; found conv1_1.weight"
        in line()
    )
    save_file({}, path)
    assert "for the convolutions of small; found none." in line()
    save_file({"conv1_1.mean": np.ones(64)}, path)
    assert line().startswith(f"{path}, conv1_1.mean: expected a tensor of shape (4,); found shape (64,).")
    save_means(path, make_means(), RECORD)
    assert line("vgg19") == f"{path}: expected channel means of vgg19; found those of small."


@pytest.mark.parametrize("network", NETWORKS_WITH_MEANS)
def test_the_shipped_means_fit_their_network(network: str) -> None:
    means = shipped_means(network)
    assert list(means) == [layer.convolution for layer in VGG16.up_to(["relu5_1"])]
    for layer in VGG16.up_to(["relu5_1"]):
        assert means[layer.convolution].shape == (layer.channels,)
        assert means[layer.convolution].dtype == np.float32
        assert (means[layer.convolution] >= 0).all()


def test_a_network_without_shipped_means_says_what_to_do() -> None:
    with pytest.raises(WeightsError) as error:
        shipped_means("vgg19")
    assert str(error.value) == (
        "network.channel_means: expected a file of channel means, because none of vgg19 come with Impasto; "
        "found none. Measure them with impasto calibrate and set network.channel_means."
    )


def test_the_file_is_a_groups(tmp_path: Path) -> None:
    save_means(tmp_path / "means.safetensors", make_means(), RECORD)
    assert (tmp_path / "means.safetensors").stat().st_mode & 0o044
    assert set(load_file(tmp_path / "means.safetensors")) == {f"{name}.mean" for name in make_means()}
