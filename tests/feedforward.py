"""Transformation networks for tests: seeded, untrained, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from pipeline.feedforward.architectures import ARCHITECTURES, TransformationArchitecture, Upsampling
from pipeline.feedforward.models import ModelCard, RegionCard, save_network
from pipeline.feedforward.network import TransformationNetwork

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
