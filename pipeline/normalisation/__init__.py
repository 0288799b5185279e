"""The normalised network: the plain one with each filter's mean activation over photographs made 1.

What `normalised` gives are weights like any others: the network that runs them knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from safetensors import SafetensorError

from pipeline.errors import WeightsError
from pipeline.fetching.model_files import read_safetensors
from pipeline.layers import Architecture
from pipeline.tensor_files import save_tensors

# Of its layer's average, a filter's mean counts as this at least: what a dead filter is divided by.
_LEAST_SHARE = 1e-6
_SHIPPED = Path(__file__).parent
_CALIBRATE = "Measure them with impasto calibrate and set network.channel_means"

ChannelMeans = Mapping[str, Float[ndarray, " channels"]]
"""The mean activation of each filter after its ReLU, by convolution: `conv1_1` and so on."""


@final
@dataclass(frozen=True, slots=True)
class MeansRecord:
    """How channel means were measured, as their file says it.

    Attributes:
        network: The registry's name of the network.
        weights_sha256: Of the network's tensors.
        pooling: `max` or `average`.
        photographs: How many there were.
        size_px: The side of the square that was taken of each.
        correlations: By convolution, of the means of one half of the photographs with those of the other.
        version: The version of this package.
    """

    network: str
    weights_sha256: str
    pooling: str
    photographs: int
    size_px: int
    correlations: Mapping[str, float]
    version: str


def normalised(
    tensors: Mapping[str, ndarray], means: ChannelMeans, architecture: Architecture
) -> dict[str, ndarray]:
    """The weights whose activations are the plain network's divided by their channel's mean.

    W_l <- W_l m_{l-1}[in] / m_l[out] and b_l <- b_l / m_l, with m = max(mean, 1e-6 of the layer's average);
    the image's own channels are not scaled. Exact, because a ReLU and a pooling, maximum or average, commute
    with positive factors per channel. Computed in float64, given back in the weights' own precision.

    Args:
        tensors: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out) and so on, up to any layer.
        means: At least one vector for each of those convolutions.
        architecture: The order of the convolutions, and how many channels each has.

    Raises:
        WeightsError: A convolution's bias or means are missing, of the wrong length, or no means.

    Source: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), section 2.
    """
    rescaled = dict(tensors)
    before = np.ones(3)
    for layer in architecture:
        weight = tensors.get(f"{layer.convolution}.weight")
        if weight is None:
            break
        expected = (layer.channels, len(before), 3, 3)
        _check_shape(f"weights, {layer.convolution}.weight", expected, weight)
        bias = tensors.get(f"{layer.convolution}.bias")
        _check_shape(f"weights, {layer.convolution}.bias", expected[:1], bias)
        assert bias is not None
        after = _guarded(layer.convolution, means.get(layer.convolution), layer.channels)
        factors = before / after[:, None]
        rescaled[f"{layer.convolution}.weight"] = (weight * factors[:, :, None, None]).astype(weight.dtype)
        rescaled[f"{layer.convolution}.bias"] = (bias / after).astype(bias.dtype)
        before = after
    return rescaled


def load_means(path: Path, architecture: Architecture, network: str | None = None) -> ChannelMeans:
    """The channel means in a file that `impasto calibrate` made, checked against the network.

    Args:
        path: A `.safetensors` file with a vector `conv1_1.mean` and so on.
        architecture: Which convolutions there may be, and how many channels each has.
        network: The registry's name that the file must be of, if it names one.

    Raises:
        WeightsError: The file is missing, of another kind, or of another network.
    """
    if not path.is_file():
        raise WeightsError(path, expected="a file of channel means", found="none", fix=_CALIBRATE)
    try:
        stored = read_safetensors(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            path, expected="a safetensors file of channel means", found=f"{error}", fix=_CALIBRATE
        ) from error
    measured = stored.metadata.get("network", network)
    if network is not None and measured != network:
        raise WeightsError(path, expected=f"channel means of {network}", found=f"those of {measured}")
    channels = {layer.convolution: layer.channels for layer in architecture}
    vectors = {name.removesuffix(".mean"): vector for name, vector in stored.tensors.items()}
    strangers = sorted(name for name in stored.tensors if name.removesuffix(".mean") not in channels)
    if strangers or not vectors:
        raise WeightsError(
            path,
            expected=f"vectors conv1_1.mean and so on, for the convolutions of {architecture.name}",
            found=strangers[0] if strangers else "none",
            fix=_CALIBRATE,
        )
    for name, vector in vectors.items():
        _guarded(name, vector, channels[name], path)
    return vectors


def shipped_means(network: str) -> ChannelMeans:
    """The channel means that come with the package; README.md beside this tells how they were made.

    Args:
        network: The registry's name of the network.

    Raises:
        WeightsError: None come with the package for this network.
    """
    path = _SHIPPED / f"{network}.safetensors"
    if not path.is_file():
        raise WeightsError(
            "network.channel_means",
            expected=f"a file of channel means, because none of {network} come with Impasto",
            found="none",
            fix=_CALIBRATE,
        )
    return {name.removesuffix(".mean"): vector for name, vector in read_safetensors(path).tensors.items()}


def save_means(path: Path, means: ChannelMeans, record: MeansRecord) -> None:
    """Writes channel means as float32 vectors `conv1_1.mean` and so on, with their record as metadata."""
    metadata = {
        "network": record.network,
        "weights_sha256": record.weights_sha256,
        "pooling": record.pooling,
        "photographs": str(record.photographs),
        "size_px": str(record.size_px),
        "correlations": json.dumps({name: round(value, 4) for name, value in record.correlations.items()}),
        "version": record.version,
    }
    vectors = {f"{name}.mean": vector.astype(np.float32) for name, vector in means.items()}
    save_tensors(path, vectors, metadata)


def _guarded(
    name: str, mean: Float[ndarray, " channels"] | None, channels: int, path: Path | None = None
) -> Float[ndarray, " channels"]:
    """The means by which a layer can be divided, in float64."""
    where = f"{path or 'channel means'}, {name}.mean"
    _check_shape(where, (channels,), mean, _CALIBRATE)
    assert mean is not None
    precise = mean.astype(np.float64)
    if not np.isfinite(precise).all() or precise.min() < 0 or precise.max() == 0:
        raise WeightsError(
            where,
            expected="numbers of at least 0, one of them above, as means after a ReLU are",
            found=f"numbers from {precise.min():.3g} to {precise.max():.3g}",
            fix=_CALIBRATE,
        )
    guarded: ndarray = np.maximum(precise, _LEAST_SHARE * precise.mean())
    return guarded


def _check_shape(where: str, expected: tuple[int, ...], found: ndarray | None, fix: str = "") -> None:
    if found is None or found.shape != expected:
        raise WeightsError(
            where,
            expected=f"a tensor of shape {expected}",
            found="none" if found is None else f"shape {found.shape}",
            fix=fix or "The file does not belong to this network",
        )
