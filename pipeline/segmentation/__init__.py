"""Finds people in photographs: one function over three ways to do it.

`segment` wants a photograph as (3, height, width) sRGB in [0, 1], float, on the device to compute on, and
gives a mask of the same height and width in [0, 1]. A mask has the detail of its network, not of its
photograph: about 1024 px a side are enough, and larger masks are made by resampling it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipeline.segmentation import person, sam, torchvision_models
from pipeline.segmentation.refinement import refine
from pipeline.weights import Weights

METHODS = ("person", *torchvision_models.NAMES)
"""Names of the registry that `segment` takes as its model."""

LEAST_AGREEMENT = 0.5
"""Segment-anything's mask is not used when it overlaps the prior less than this."""

_NETWORK_UNIT = 128  # a unit of refinement is two pixels of a 256 px mask


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A person mask and how far it can be trusted.

    Attributes:
        probability: (height, width) float32 in [0, 1]: 1 is person, 0 is background.
        method: What made it: `person`, `person + sam_vit_b`, ...
        coverage: The mean of `probability`; near 0 means that nobody was found.
        confidence: The mean of |2 probability - 1|; times segment-anything's own estimate of its mask's
            quality where that was used. 1 means that every pixel is decided.
    """

    probability: Float[Tensor, "height width"]
    method: str
    coverage: float
    confidence: float


def segment(
    image: Float[Tensor, "3 height width"],
    model: Weights,
    sharpener: Weights | None = None,
    *,
    refined: bool = True,
) -> Segmentation:
    """The person mask of a photograph.

    Args:
        image: (3, height, width), sRGB in [0, 1], any float dtype; its device computes.
        model: Weights of one of `METHODS`; their name chooses the network.
        sharpener: Weights of a segment-anything checkpoint (`sam_vit_b`, ...), asked about what the model
            found. Its mask is used when it overlaps the model's by `LEAST_AGREEMENT`, and never when the
            model found nobody.
        refined: Whether a mask that segment-anything did not make is fitted to the photograph's edges.

    Raises:
        WeightsError: The tensors are not those of the network they are named after.
        ValueError: The model's name is not one of `METHODS`.
    """
    if model.name not in METHODS:
        raise ValueError(f"expected weights of {', '.join(METHODS)}; found {model.name!r}")
    find = person.person_probability if model.name == "person" else torchvision_models.person_probability
    probability = find(image, model)
    if sharpener is not None and bool((probability > 0.5).any()):
        answer = sam.ask(sam.build(sharpener).to(image.device), image, probability)
        if answer.agreement >= LEAST_AGREEMENT:
            return _summary(answer.probability, f"{model.name} + {sharpener.name}", answer.quality)
    if refined:
        radius_px = max(2, round(min(image.shape[1:]) / _NETWORK_UNIT))
        probability = refine(probability, image, radius_px)
    return _summary(probability, model.name, 1.0)


def _summary(probability: Tensor, method: str, quality: float) -> Segmentation:
    decided = float((2 * probability - 1).abs().mean())
    return Segmentation(probability, method, float(probability.mean()), decided * quality)
