"""Inner products and sums over images as long vectors, in bands of rows of constant height.

A band is all that is ever converted to another precision, so neither float64 sums nor a bfloat16 history
cost a full-size temporary; and a constant height makes the order of summation a function of the image's
size alone, whatever the tiles of the objective.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

BAND_PX = 128


def row_bands(height: int) -> Iterator[slice]:
    """Slices of BAND_PX rows, top to bottom, that cover `height` rows; the last one may be shorter."""
    return (slice(top, min(top + BAND_PX, height)) for top in range(0, height, BAND_PX))


def dot(left: Float[Tensor, "channels height width"], right: Float[Tensor, "channels height width"]) -> float:
    """The inner product of two images of any float types: products and sums in float64.

    The sum along each row comes first, so that the number of threads cannot change the order of summation.
    """
    total = torch.zeros((), dtype=torch.float64, device=left.device)
    for rows in row_bands(left.shape[-2]):
        products = left[:, rows].to(torch.float64, copy=True).mul_(right[:, rows])
        total += products.sum(dim=-1).sum()
    return total.item()


def add_scaled(
    onto: Float[Tensor, "channels height width"], image: Float[Tensor, "channels height width"], factor: float
) -> None:
    """Adds `factor * image` to `onto` in place; `image` may have another float type."""
    for rows in row_bands(onto.shape[-2]):
        onto[:, rows].add_(image[:, rows], alpha=factor)


def difference(
    left: Float[Tensor, "channels height width"],
    right: Float[Tensor, "channels height width"],
    dtype: torch.dtype,
) -> Float[Tensor, "channels height width"]:
    """`left - right`, rounded once to `dtype`."""
    result = torch.empty_like(left, dtype=dtype)
    for rows in row_bands(left.shape[-2]):
        result[:, rows] = left[:, rows] - right[:, rows]
    return result


def largest_magnitude(image: Float[Tensor, "channels height width"]) -> float:
    """The largest absolute value; NaN when any value is NaN."""
    low, high = torch.aminmax(image)
    return float(torch.maximum(-low, high))
