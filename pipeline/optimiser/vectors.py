"""Images as long vectors: inner products in float64, the largest value, points between two of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# Pixels of a band on the CPU, where it should fit the caches, and elsewhere, where calls are what costs.
_CPU_BAND_PX = 2**14
_BAND_PX = 2**20


def inner_products(
    left: Sequence[Float[Tensor, "channels height width"]],
    right: Sequence[Float[Tensor, "channels height width"]],
) -> Float[Tensor, "left right"]:
    """<left, right> for each pair of images of any float types: products and sums in float64.

    A band of rows at a time is converted, which stays in the CPU's caches. Rows are summed first, each by one
    thread, and then in the order of rows and bands: the number of threads cannot change the result.
    """
    _, height, width = right[0].shape
    totals = torch.zeros(len(left), len(right), dtype=torch.float64, device=right[0].device)
    if not left:
        return totals
    step = max(1, (_CPU_BAND_PX if right[0].is_cpu else _BAND_PX) // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        exact_left, exact_right = _exact(left, rows), _exact(right, rows)
        totals += torch.bmm(exact_left, exact_right.mT).sum(dim=0)
    return totals


def _exact(
    images: Sequence[Float[Tensor, "channels height width"]], rows: slice
) -> Float[Tensor, "rows images width"]:
    """The same rows of all images in float64, side by side."""
    channels, _, width = images[0].shape
    exact = images[0].new_empty(channels, rows.stop - rows.start, len(images), width, dtype=torch.float64)
    for index, image in enumerate(images):
        exact[:, :, index] = image[:, rows]
    return exact.flatten(0, 1)


def largest_magnitude(image: Float[Tensor, "channels height width"]) -> Float[Tensor, ""]:
    """The largest absolute value; NaN when any value is NaN."""
    low, high = torch.aminmax(image)
    return torch.maximum(-low, high)


def between(
    start: Float[Tensor, "channels height width"], end: Float[Tensor, "channels height width"], share: float
) -> Float[Tensor, "channels height width"]:
    """Start + share * (end - start), each operation rounded by itself: the same bits however it is cut."""
    return (end - start).mul_(share).add_(start)
