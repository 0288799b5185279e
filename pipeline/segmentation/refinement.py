"""Brings a coarse mask onto the edges of the photograph it came from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)
_EPSILON = 1e-4
_CONTRAST = 1.4


def refine(
    probability: Float[Tensor, "height width"], image: Float[Tensor, "3 height width"], radius_px: int
) -> Float[Tensor, "height width"]:
    """The mask as a local linear function of the image's luma, its soft edge then steepened; in [0, 1].

    Flat regions keep their value (0 stays 0, 1 stays 1); near edges the mask follows the image's edges, and
    the fringe and the comb that a mask of a few hundred pixels leaves there disappear.

    Args:
        probability: The coarse mask at the image's size.
        image: sRGB in [0, 1].
        radius_px: Half the window's side; about the size of one unit of the network that made the mask.

    Guided filter (He, Sun, Tang, ECCV 2010, equations 5, 6 and 8) with epsilon 1e-4, then a contrast of
    1.4 about one half, which undoes the blur of its second averaging.
    """
    # Variances are differences of nearly equal numbers: float32 would leave noise in flat, bright parts.
    mask = probability.double()
    luma = torch.einsum("chw,c->hw", image.double(), mask.new_tensor(_LUMA))
    mean_luma, mean_mask, mean_square, mean_product = box_mean(
        torch.stack([luma, mask, luma * luma, luma * mask]), radius_px
    )
    slope = (mean_product - mean_luma * mean_mask) / (mean_square - mean_luma**2 + _EPSILON)
    offset = mean_mask - slope * mean_luma
    slope, offset = box_mean(torch.stack([slope, offset]), radius_px)
    filtered = slope * luma + offset
    steepened: Tensor = (filtered - 0.5) * _CONTRAST + 0.5
    return steepened.clamp(0, 1).to(probability)


def box_mean(
    planes: Float[Tensor, "planes height width"], radius_px: int
) -> Float[Tensor, "planes height width"]:
    """The mean over squares of 2 radius + 1 pixels, of those pixels that lie in the image."""
    side = 2 * radius_px + 1
    # Two passes cost 2 (2 r + 1) reads per pixel where a square costs its square; the counts factor too.
    rows = functional.avg_pool2d(planes[None], (side, 1), 1, (radius_px, 0), count_include_pad=False)
    return functional.avg_pool2d(rows, (1, side), 1, (0, radius_px), count_include_pad=False)[0]
