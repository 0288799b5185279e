"""Cuts a photograph into parts: the largest segments that segment-anything finds, and what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from pipeline.segmentation import sam
from pipeline.weights import Weights

# A segment worth a style of its own is larger than what lies between points of this grid, and masks of all
# points of a batch are held at the image's size.
_POINTS_PER_SIDE = 16
_POINTS_PER_BATCH = 16

_ALL = 0.95
"""A segment of a larger share is the whole picture, and cuts nothing."""

_OWN = 0.5
"""A segment of which less is left by larger ones is a part of those."""

_LEAST = 1e-3
"""A smaller share of the picture is no segment."""

Mask = Bool[ndarray, "height width"]


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A part of a photograph.

    Attributes:
        mask: (height, width), where it is; all False for a segment that was not found.
        confidence: In [0, 1]: segment-anything's estimate of its mask's intersection over union, times the
            mask's stability; of what is left, the mean of the others by their areas, and 1 where there are
            none.
    """

    mask: Mask
    confidence: float

    @property
    def coverage(self) -> float:
        """The share of the photograph that it covers."""
        return float(self.mask.mean())


def find_parts(image: Float[Tensor, "3 height width"], network: Weights, count: int) -> list[Part]:
    """As many parts as are asked for, which cover each pixel once: the largest segments, then what is left.

    Segments of segment-anything lie within one another. Larger ones go first and keep what they have; of a
    smaller one counts what they leave, where that is half of it at least.

    Args:
        image: sRGB in [0, 1], any float dtype; its device computes.
        network: Weights of a segment-anything checkpoint.
        count: How many parts, what is left among them.

    Raises:
        WeightsError: The tensors are not those of the network they are named after, or the package that knows
            it is not installed.
    """
    from segment_anything import SamAutomaticMaskGenerator  # noqa: PLC0415 - imports torchvision, 1.5 s

    generator = SamAutomaticMaskGenerator(
        sam.build(network).to(image.device),
        points_per_side=_POINTS_PER_SIDE,
        points_per_batch=_POINTS_PER_BATCH,
    )
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    segments = generator.generate(np.ascontiguousarray(levels.cpu().numpy()))
    return apart(segments, image.shape[1:], count)


def apart(segments: Sequence[Mapping[str, Any]], size: Sequence[int], count: int) -> list[Part]:
    """The parts that these segments make, as `find_parts` has them.

    Args:
        segments: As `SamAutomaticMaskGenerator.generate` gives them, of which `segmentation`,
            `predicted_iou` and `stability_score` are read.
        size: Height and width of the image.
        count: How many parts, what is left among them.
    """
    free = np.ones(tuple(size), dtype=bool)
    found: list[Part] = []
    # Of equal sizes the surer one goes first, so that the order of the grid does not matter.
    by_size = sorted(segments, key=lambda segment: (-segment["segmentation"].sum(), -_confidence(segment)))
    for segment in by_size:
        if len(found) == count - 1:
            break
        whole = np.asarray(segment["segmentation"], dtype=bool)
        own = whole & free
        if whole.mean() <= _ALL and own.sum() >= _OWN * whole.sum() and own.mean() >= _LEAST:
            found.append(Part(own, _confidence(segment)))
            free &= ~own
    found.sort(key=lambda part: -part.coverage)
    areas = [part.coverage for part in found]
    left = np.average([part.confidence for part in found], weights=areas) if found else 1.0
    missing = [Part(np.zeros_like(free), 0.0)] * (count - 1 - len(found))
    return [*found, *missing, Part(free, float(left))]


def _confidence(segment: Mapping[str, Any]) -> float:
    product = float(segment["predicted_iou"]) * float(segment["stability_score"])
    return min(1.0, max(0.0, product))
