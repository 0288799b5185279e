"""How far colours are from others: place by place, and as distributions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

_DIRECTIONS = 32
_QUANTILES = 256


def mean_over(values: Float[ndarray, "height width"], share: Float[ndarray, "height width"]) -> float | None:
    """The mean of `values` over a region; None when the region is empty."""
    total = float(share.sum(dtype=np.float64))
    return None if total == 0 else float((values * share).sum(dtype=np.float64) / total)


def distribution_distance(
    found: Float[ndarray, "count 3"],
    wanted: Float[ndarray, "s_count 3"],
    weights: Float[ndarray, " count"],
    s_weights: Float[ndarray, " s_count"],
) -> float | None:
    """How far one cloud of colours is from another, in the colours' own units; None when one is empty.

    The sliced Wasserstein distance of order 1: the mean over directions of the distance between quantiles,
    times two, so that a shift of all colours by a vector measures that vector's length.
    """
    if not weights.sum() or not s_weights.sum():
        return None
    heights = (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    turns = np.pi * (1 + 5**0.5) * np.arange(_DIRECTIONS)
    flat = np.sqrt(1 - heights**2)
    # A spiral over half a sphere: even, and always the same.
    directions = np.stack([heights, flat * np.cos(turns), flat * np.sin(turns)])
    ours, theirs = (
        _quantiles(colours @ directions, shares)
        for colours, shares in ((found, weights), (wanted, s_weights))
    )
    return float(2 * np.abs(ours - theirs).mean())


def _quantiles(
    values: Float[ndarray, "count directions"], weights: Float[ndarray, " count"]
) -> Float[ndarray, "quantiles directions"]:
    places = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    columns = []
    for column in values.T:
        order = np.argsort(column, kind="stable")
        reached = np.cumsum(weights[order], dtype=np.float64)
        columns.append(np.interp(places, (reached - weights[order] / 2) / reached[-1], column[order]))
    return np.stack(columns, axis=1)
