"""Transformation networks for tests: seeded, untrained, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from pipeline.feedforward.models import ModelCard, RegionCard, save_network
from pipeline.feedforward.network import TransformationNetwork
from pipeline.feedforward.streaming import StreamedApplication
from pipeline.transformations import ARCHITECTURES, TransformationArchitecture, Upsampling

SMALL = TransformationArchitecture("small", 3, 2)
"""The topology of the registry's, with few channels and blocks."""


def make_network(
    architecture: TransformationArchitecture = SMALL,
    regions: int = 2,
    upsampling: Upsampling = "nearest",
    seed: int = 0,
) -> TransformationNetwork:
    """A network whose normalisations scale and shift: with ones and zeros a mistake there would not show."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TransformationNetwork(architecture, regions, upsampling)
        for normalisation in network.normalisations.values():
            torch.nn.init.normal_(normalisation.get_parameter("weight"), 1.0, 0.2)
            torch.nn.init.normal_(normalisation.get_parameter("bias"), 0.0, 0.2)
    return network.eval().requires_grad_(False)


def make_card(
    regions: tuple[str, ...] = ("top", "bottom"), colour: Literal["rgb", "luminance"] = "rgb"
) -> ModelCard:
    """The card of a `narrow` network of these regions."""
    return ModelCard(
        architecture="narrow",
        upsampling="nearest",
        regions=tuple(RegionCard(name=name, style=f"{name}.png", style_sha256="0" * 64) for name in regions),
        colour=colour,
        settings={"size_px": 256},
        data={"photographs": 3},
        licence="CC0-1.0",
        figures={"iterations": 2.0},
        version="0",
    )


def save_narrow(
    path: Path, regions: tuple[str, ...] = ("top", "bottom"), colour: Literal["rgb", "luminance"] = "rgb"
) -> TransformationNetwork:
    """Writes a random `narrow` network of these regions, and gives it back."""
    network = make_network(ARCHITECTURES["narrow"], len(regions))
    save_network(path, network, make_card(regions, colour))
    return network


def painted(streamed: StreamedApplication) -> torch.Tensor:
    """The whole image that an application paints, box by box."""
    last = streamed.boxes[-1]
    whole = torch.full((3, last.bottom, last.right), torch.nan)
    for box, values in streamed.painted_boxes():
        rows, columns = box.slices
        whole[:, rows, columns] = values
    return whole


_SHAPES = {
    "conv1": (32, 3, 9), "conv2": (64, 32, 3), "conv3": (128, 64, 3),
    "deconv1": (64, 128, 3), "deconv2": (32, 64, 3), "deconv3": (3, 32, 9),
    **{f"res{block}.conv{number}": (128, 128, 3) for block in range(1, 6) for number in (1, 2)},
}  # fmt: skip
_NORMS = {
    **{"in1": 32, "in2": 64, "in3": 128, "in4": 64, "in5": 32},
    **{f"res{block}.in{number}": 128 for block in range(1, 6) for number in (1, 2)},
}


def johnson_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights in the layer names of PyTorch's example fast_neural_style."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, (outputs, inputs, kernel) in _SHAPES.items():
        scale = (inputs * kernel**2) ** -0.5
        found[f"{name}.conv2d.weight"] = scale * torch.randn(
            outputs, inputs, kernel, kernel, generator=generator
        )
        found[f"{name}.conv2d.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    for name, channels in _NORMS.items():
        found[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels, generator=generator)
        found[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=generator)
    return found
