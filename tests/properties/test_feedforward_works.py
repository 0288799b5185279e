"""A network really learns styles, and where each belongs: trained on one mask, it follows any other.

On the real VGG-16; the evaluator judges each region. Contents and styles are made by code. One style is
bright and one is dark: with the paper's weights the bright one alone would be learnt (decisions/0022).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pytest
import torch
from networks import make_image
from torch.nn.functional import interpolate

from pipeline import weights
from pipeline.evaluation import style_distance
from pipeline.features import Encoder
from pipeline.feedforward.network import TransformationNetwork
from pipeline.feedforward.training import Training
from pipeline.feedforward.training_loss import style_targets, training_guidance, training_loss
from pipeline.feedforward.training_masks import training_masks
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.layers import VGG16
from pipeline.machine import Machine
from pipeline.transformations import TransformationArchitecture

pytestmark = pytest.mark.slow

SIDE = 64
MACHINE = Machine(torch.device("cpu"), torch.bfloat16, 1)
SETTINGS = TrainingSettings(
    size_px=SIDE, style_px=SIDE, batch=1, iterations=600, learning_rate=3e-3, balance="styles"
)


@final
@dataclass(frozen=True)
class Trained:
    """A network of two regions, and what judges it."""

    network: TransformationNetwork
    judge: weights.Weights

    def distance(self, image: torch.Tensor, mask: torch.Tensor, style: str) -> float:
        """From a region of an image to a style, by the evaluator."""
        return style_distance(image, styles()[style], self.judge, mask=mask).value


def content(seed: int, side: int = SIDE) -> torch.Tensor:
    """Dim soft blotches with a little grain."""
    coarse = make_image(side // 8, side // 8, seed, dtype=torch.float32)[None]
    soft = interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)[0]
    grain = make_image(side, side, seed + 1000, dtype=torch.float32)
    return (0.5 * soft + 0.15 * grain).clamp(0, 1)


def styles() -> dict[str, torch.Tensor]:
    """Slanted stripes: fine ones in blue and white; in orange and brown, wider ones across."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    fine, wide = 0.5 + 0.5 * torch.sin((rows + columns) * 0.9), 0.5 + 0.5 * torch.sin((rows - columns) * 0.6)
    return {
        "cool": torch.stack([fine, fine, 0.6 + 0.4 * fine]),
        "warm": torch.stack([0.5 + 0.5 * wide, 0.2 + 0.5 * wide, 0.1 * wide]),
    }


SHAPES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "top and bottom": lambda rows, _: rows < 0,
    "left and right": lambda _, columns: columns < 0,
    "circle": lambda rows, columns: rows.square() + columns.square() < 0.5 / math.pi,
    "person": lambda rows, columns: (
        ((rows + 0.22).square() + columns.square() < 0.14**2)
        | (((columns / 0.27).square() + ((rows - 0.32) / 0.38).square() < 1) & (rows > -0.05))
    ),
}
"""A region's places by rows and columns from -0.5 to 0.5; the person covers a third."""
OF_THE_CONTENTS = {"top and bottom": 0.25, "left and right": 0.25, "circle": 0.4, "person": 0.35}
"""How much of the photograph's distance to its style is left in a region, at most.

Shapes that halve the image, as the mask in training does, are painted best.
"""


@pytest.fixture(scope="module")
def trained(real_vgg16: Path) -> Trained:
    file = weights.load(real_vgg16)
    encoder = Encoder(file.tensors, VGG16, file.preprocessing, dtype=MACHINE.dtype)
    targets = {name: style_targets(name, image, SETTINGS, encoder) for name, image in styles().items()}
    masks = training_masks("top-bottom", 2, SIDE, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TransformationNetwork(TransformationArchitecture("small", 8, 2), 2)
    training = Training(
        SETTINGS,
        network,
        encoder,
        training_loss(SETTINGS, VGG16, targets),
        masks=masks,
        guidance=[training_guidance(masks[0], SETTINGS, VGG16, tuple(targets))],
        machine=MACHINE,
    )
    for iteration in range(SETTINGS.iterations):
        training.step(content(iteration)[None])
    return Trained(network.eval(), file)


@pytest.mark.parametrize(("shape", "swapped"), [(shape, shape != "circle") for shape in SHAPES])
def test_each_region_takes_its_own_style(trained: Trained, shape: str, swapped: bool) -> None:
    """At twice the size of training. But for the circle, the regions are swapped: so are their styles."""
    side = 2 * SIDE
    places = (torch.arange(side) + 0.5) / side - 0.5
    first = SHAPES[shape](*torch.meshgrid(places, places, indexing="ij")).float()
    first = 1 - first if swapped else first
    photograph = content(9999, side)
    with torch.no_grad():
        painted = trained.network(photograph[None], torch.stack([first, 1 - first])[None])[0].clamp(0, 1)
    for mask, own, other in ((first, "cool", "warm"), (1 - first, "warm", "cool")):
        near = trained.distance(painted, mask, own)
        assert near <= trained.distance(painted, mask, other) / 2
        assert near <= OF_THE_CONTENTS[shape] * trained.distance(photograph, mask, own)


def test_swapping_the_masks_swaps_the_styles(trained: Trained) -> None:
    """One photograph, painted both ways round: each region is near the style that its mask asked for."""
    side = 2 * SIDE
    places = (torch.arange(side) + 0.5) / side - 0.5
    first = SHAPES["circle"](*torch.meshgrid(places, places, indexing="ij")).float()
    photograph = content(9999, side)
    guides = torch.stack([first, 1 - first])[None]
    with torch.no_grad():
        one, other = (
            trained.network(photograph[None], masks)[0].clamp(0, 1) for masks in (guides, guides.flip(1))
        )
    for mask, here, there in ((first, "cool", "warm"), (1 - first, "warm", "cool")):
        assert trained.distance(one, mask, here) <= trained.distance(other, mask, here) / 2
        assert trained.distance(other, mask, there) <= trained.distance(one, mask, there) / 2
