"""A soft mask that follows hair and edges, as a local linear function of the photograph's colours.

numpy in float64, no files. Everything is computed at the coarse mask's size, which is small whatever the
photograph's. The result are coefficients; a pixel of the matte depends on its own colour and on them alone,
so it can be evaluated at any size, pixel by pixel, without halos and without seams.

Shapes: height width is the grid of the coarse mask. Colours are RGB in [0, 1] as encoded in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

Plane: TypeAlias = Float64[ndarray, "height width"]
Planes: TypeAlias = Float64[ndarray, "height width 3"]

_DECIDED = 0.05
"""A coarse mask this near to 0 or 1 is taken for 0 or 1."""
_FIRST_WINDOW, _SECOND_WINDOW = 6.0, 3.0
"""Radii in units. The first window must reach the decided colours of both sides."""
_UNDECIDED_WEIGHT = 1e-3
_RIDGE = 1e-5
_DISTRUST = 0.3
_GAIN = 1.2
_DOUBT_RISE = 32.0
_COLOURS = range(3)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """What makes a photograph's matte, on a grid to be interpolated bilinearly to the photograph's size.

        matte = doubt clip(slope . colour + offset, 0, 1) + (1 - doubt) prior

    Attributes:
        slope: (height, width, 3), of the matte by colour.
        offset: (height, width).
        doubt: (height, width) in [0, 1]: how far colours decide. 0 away from the coarse mask's edge.
        prior: (height, width) in [0, 1]: the coarse mask. Exactly 0 or 1 where there is no doubt.
    """

    slope: Planes
    offset: Plane
    doubt: Plane
    prior: Plane


def fit(
    probability: Float[ndarray, "height width"],
    colours: Float[ndarray, "height width 3"],
    unit_px: float,
) -> Matte:
    """The matte that follows the edges and strands which a coarse mask has only roughly.

    What lies within 0.05 of 0 or 1 is decided; there is doubt within a unit of what is not. Two regressions
    in sliding windows explain the mask by colour:

    1. trained on decided pixels only, so that it learns what the two sides look like, not where the coarse
       edge runs; where colours do not tell the sides apart, the coarse mask stands in for it;
    2. trained on the result of the first in smaller windows, which adapts it to the colours near the edge.

    Least squares pulls towards one half what colours explain in part: a gain of 1.2 about one half, each
    time, makes up for it.

    Args:
        probability: The coarse mask, in [0, 1].
        colours: The photograph averaged down to the same size.
        unit_px: How far the coarse mask's edge may be from the true one, in pixels of this grid.

    A guided filter with a colour guide (He, Sun, Tang, ECCV 2010, section 3.4) whose windows count what is
    known, its coefficients applied at full size as in the fast guided filter (He, Sun, 2015). The linear
    model of colour in windows is that of closed-form matting (Levin, Lischinski, Weiss, CVPR 2006).
    """
    guide = np.asarray(colours, dtype=np.float64)
    spread = (np.asarray(probability, dtype=np.float64) - _DECIDED) / (1 - 2 * _DECIDED)
    prior = np.clip(spread, 0, 1)
    smoothing_px = _radius(unit_px)
    # Sums leave rounding errors of 1e-13 where the mask is constant; there is no doubt there.
    around = window_mean(prior, smoothing_px).round(9)
    doubt = np.minimum(_DOUBT_RISE * around * (1 - around), 1)

    weight = np.where((prior == 0) | (prior == 1), 1.0, _UNDECIDED_WEIGHT)
    radius_px = _radius(_FIRST_WINDOW * unit_px)
    slope, offset = _explained(guide, prior, weight, radius_px, smoothing_px)
    first = doubt * np.clip(_steepened(_dot(slope, guide) + offset), 0, 1) + (1 - doubt) * prior
    radius_px = _radius(_SECOND_WINDOW * unit_px)
    slope, offset = _explained(guide, first, np.ones_like(first), radius_px, smoothing_px)
    return Matte(_GAIN * slope, _steepened(offset), doubt, prior)


def window_mean(plane: Plane, radius_px: int) -> Plane:
    """The mean over squares of 2 radius + 1 pixels, of those pixels that lie in the image."""
    for _ in range(2):
        length = len(plane)
        ends = np.minimum(np.arange(length) + radius_px + 1, length)
        starts = np.maximum(np.arange(length) - radius_px, 0)
        sums = np.concatenate([np.zeros_like(plane[:1]), plane.cumsum(0)])
        plane = ((sums[ends] - sums[starts]) / (ends - starts)[:, None]).T
    return np.ascontiguousarray(plane)


def _explained(
    guide: Planes, target: Plane, weight: Plane, radius_px: int, smoothing_px: int
) -> tuple[Planes, Plane]:
    """Slope and offset of `target` as a linear function of colour, in windows; smoothed over `smoothing_px`.

    Where colour explains little of the target's variance, the offset is the target itself and the slope 0.
    """

    def mean(plane: Plane) -> Plane:
        average: Plane = window_mean(weight * plane, radius_px) / total
        return average

    total = window_mean(weight, radius_px)
    bands = [guide[..., band] for band in _COLOURS]
    means = [mean(band) for band in bands]
    mean_target = mean(target)
    covariance = np.empty((*target.shape, 3, 3))
    for i in _COLOURS:
        for j in range(i, 3):
            moment = mean(bands[i] * bands[j]) - means[i] * means[j]
            covariance[..., i, j] = covariance[..., j, i] = moment
        covariance[..., i, i] += _RIDGE
    products = np.stack([mean(bands[i] * target) - means[i] * mean_target for i in _COLOURS], axis=-1)
    slope = np.linalg.solve(covariance, products[..., None])[..., 0]
    explained = np.maximum((slope * products).sum(-1), 0)
    left_over = np.maximum(mean(target * target) - mean_target**2 - explained, 0)
    # With one side alone in the window both are 0, and there is nothing to be explained.
    trust = explained / (explained + _DISTRUST * left_over + 1e-3)
    offset = trust * (mean_target - _dot(slope, np.stack(means, axis=-1))) + (1 - trust) * target
    smooth = [window_mean(trust * slope[..., band], smoothing_px) for band in _COLOURS]
    return np.stack(smooth, axis=-1), window_mean(offset, smoothing_px)


def _dot(a: Planes, b: Planes) -> Plane:
    product: Plane = (a * b).sum(-1)
    return product


def _steepened(plane: Plane) -> Plane:
    return (plane - 0.5) * _GAIN + 0.5


def _radius(length_px: float) -> int:
    return max(1, round(length_px))
