"""Networks and images for tests: seeded, in float64, never a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.features import Encoder
from pipeline.layers import VGG16, Architecture

# The topology of VGG-16 with few channels.
SMALL = Architecture("small", (2, 2, 3, 3, 3), (4, 4, 6, 6, 8))


@dataclass(frozen=True)
class OxfordFormat:
    """What the Oxford networks were trained to see."""

    channel_order: Literal["BGR", "RGB"] = "BGR"
    mean: tuple[float, float, float] = (103.939, 116.779, 123.68)
    scale: float = 255.0
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)


def make_random_weights(
    architecture: Architecture, seed: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """He-initialised weights: activations keep their scale through all layers."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    inputs = 3
    for layer in architecture:
        shape = (layer.channels, inputs, 3, 3)
        deviation = math.sqrt(2 / (9 * inputs))
        weight = torch.randn(shape, generator=generator, dtype=torch.float64) * deviation
        bias = torch.randn(layer.channels, generator=generator, dtype=torch.float64) * 0.1
        weights[f"{layer.convolution}.weight"] = weight.to(dtype)
        weights[f"{layer.convolution}.bias"] = bias.to(dtype)
        inputs = layer.channels
    return weights


def make_encoder(
    architecture: Architecture = SMALL,
    *,
    pooling: Literal["max", "average"] = "max",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Encoder:
    """An encoder with random weights on the CPU."""
    weights = make_random_weights(architecture, seed, dtype)
    return Encoder(weights, architecture, OxfordFormat(), pooling=pooling, dtype=dtype)


def make_image(
    height: int, width: int, seed: int, channels: int = 3, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "channels height width"]:
    """Noise in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


__all__ = ["SMALL", "VGG16", "OxfordFormat", "make_encoder", "make_image", "make_random_weights"]
