"""Where a mask is, and how far two of them agree."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from pipeline.geometry import Box


def box_of(mask: Bool[Tensor, "height width"]) -> Box:
    """The smallest box around what is true, of which there must be some."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def intersection_over_union(a: Bool[Tensor, "height width"], b: Bool[Tensor, "height width"]) -> float:
    """Pixels in both over pixels in either; 0 when both are empty."""
    return float((a & b).sum() / (a | b).sum().clamp(min=1))
