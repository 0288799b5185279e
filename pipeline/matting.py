"""A soft mask at full size from a coarse one: a local linear function of the photograph's colours.

numpy only, no files. `fit` looks at the whole photograph at the coarse mask's size and gives a `Matte`: a few
planes of coefficients, small whatever the photograph's size. `render` evaluates it on any box of the
photograph at full size. A pixel's value depends on its own colour and on the coefficients alone, so blocks of
any size give the same matte, bit for bit, without halos and without seams.

Shapes: height width is the grid of the coarse mask, block_height block_width a box at full size. Colours are
RGB in [0, 1] as encoded in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float, Float32, Float64
from numpy import ndarray

from pipeline.geometry import Box, Size

Plane: TypeAlias = Float64[ndarray, "height width"]

_DECIDED = 0.05
"""A coarse mask this near to 0 or 1 throughout a unit is believed."""
_FIRST_WINDOW = 6.0
_SECOND_WINDOW = 3.0
"""Radii of the windows in units: the first must reach the decided colours of both sides."""
_RIDGE = 1e-5
_UNDECIDED_WEIGHT = 1e-3
_DISTRUST = 0.3
_FIRST_GAIN, _SECOND_GAIN = 1.2, 1.2
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Matte:
    """The matte of a photograph of any size: slope . colour + offset, where the coarse mask is in doubt.

    Attributes:
        planes: Slope of R, G and B, offset, doubt (1 in the uncertain band, 0 outside), prior (exactly 0 or 1
            where there is no doubt). In between, they are interpolated bilinearly.
    """

    planes: Float32[ndarray, "6 height width"]

    @property
    def grid(self) -> Size:
        """Height and width of the planes."""
        return Size(*self.planes.shape[1:])


def fit(
    probability: Float[ndarray, "height width"],
    colours: Float[ndarray, "height width 3"],
    unit_px: float,
) -> Matte:
    """The matte that follows the edges and strands which the coarse mask has only roughly.

    Where the coarse mask is within 0.05 of 0 or 1 over a unit's surroundings it is decided, and the matte is
    0 or 1 there. Between, two regressions in sliding windows explain the mask by colour:

    1. trained on decided pixels only, so that it learns what the two sides look like, not where the coarse
       edge runs; where colours do not tell the sides apart, the coarse mask stands in for it;
    2. trained on the result of the first in smaller windows, which adapts it to the colours in the band.

    Least squares pulls towards one half what colours explain in part: gains of 1.2 about one half
    make up for it.

    Args:
        probability: The coarse mask, in [0, 1].
        colours: The photograph, averaged down to the same size.
        unit_px: How far the coarse mask's edge may be from the true one, in pixels of this grid.

    A guided filter with a colour guide (He, Sun, Tang, ECCV 2010, section 3.4) whose windows are weighted by
    what is known, applied at full size as in the fast guided filter (He, Sun, 2015). The linear colour model
    in windows is that of closed-form matting (Levin, Lischinski, Weiss, CVPR 2006).
    """
    prior = np.asarray(probability, dtype=np.float64)
    guide = np.asarray(colours, dtype=np.float64)
    inside, outside = prior > 1 - _DECIDED, prior < _DECIDED
    known = np.where(inside, 1.0, np.where(outside, 0.0, prior))
    weight = (inside | outside) + _UNDECIDED_WEIGHT
    reach_px = _radius(unit_px)
    sure_inside = extreme(prior, reach_px, np.minimum) > 1 - _DECIDED
    sure_outside = extreme(prior, reach_px, np.maximum) < _DECIDED
    decided = np.where(sure_inside, 1.0, 0.0)
    doubt = ~(sure_inside | sure_outside)

    radius_px = _radius(_FIRST_WINDOW * unit_px)
    slope, offset = _explained(
        guide, known, weight, radius_px=radius_px, fallback=prior, smoothing_px=reach_px
    )
    first = _steepened(_dot(slope, guide) + offset, _FIRST_GAIN)
    first = np.where(doubt, first, decided)
    even, radius_px = np.ones_like(prior), _radius(_SECOND_WINDOW * unit_px)
    slope, offset = _explained(guide, first, even, radius_px=radius_px, fallback=first, smoothing_px=reach_px)
    slope, offset = slope * _SECOND_GAIN, (offset - 0.5) * _SECOND_GAIN + 0.5
    planes = np.stack([*slope, offset, doubt, np.where(doubt, prior, decided)])
    return Matte(planes.astype(np.float32))


def render(
    matte: Matte, colours: Float32[ndarray, "block_height block_width 3"], box: Box, size: Size
) -> Float32[ndarray, "block_height block_width"]:
    """The matte in one box of the photograph, in [0, 1].

    Args:
        matte: What `fit` gave.
        colours: The photograph in this box.
        box: Where in the photograph.
        size: The whole photograph's height and width, at least the matte's grid. Pixel centres correspond:
            pixel i lies at (i + 1/2) grid / size - 1/2 on the grid.
    """
    rows, columns = _positions(matte.grid, box, size)
    red, green, blue, offset, doubt, prior = _interpolated(matte.planes, rows, columns)
    value = red * colours[..., 0] + green * colours[..., 1] + blue * colours[..., 2] + offset
    # The half of the slope that lies in the band: what is decided on the grid is decided between its points.
    share = np.minimum(2 * doubt, np.float32(1))
    blended: Float32[ndarray, "block_height block_width"] = share * np.clip(value, 0, 1) + (1 - share) * prior
    return blended


def constant(matte: Matte, box: Box, size: Size) -> float | None:
    """0.0 or 1.0 where the matte is that throughout the box whatever the colours, else None."""
    rows, columns = _positions(matte.grid, box, size)
    around = matte.planes[4:, _span(rows, matte.grid.height), _span(columns, matte.grid.width)]
    doubt, prior = around
    if doubt.any() or prior.min() != prior.max():
        return None
    return float(prior.flat[0])


def window_mean(plane: Plane, radius_px: int) -> Plane:
    """The mean over squares of 2 radius + 1 pixels, of those pixels that lie in the image."""
    for axis in (0, 1):
        length = plane.shape[axis]
        ends = np.minimum(np.arange(length) + radius_px + 1, length)
        starts = np.maximum(np.arange(length) - radius_px, 0)
        sums = np.concatenate([np.zeros_like(plane.take([0], axis)), plane.cumsum(axis)], axis)
        counts = (ends - starts).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = (sums.take(ends, axis) - sums.take(starts, axis)) / counts
    return plane


def extreme(plane: Plane, radius_px: int, better: Callable[[Plane, Plane], Plane]) -> Plane:
    """The smallest (`numpy.minimum`) or largest value in squares of 2 radius + 1 pixels, within the image."""
    for _ in range(2):
        found = plane.copy()
        for shift in range(1, min(radius_px, len(plane) - 1) + 1):
            found[:-shift] = better(found[:-shift], plane[shift:])
            found[shift:] = better(found[shift:], plane[:-shift])
        plane = found.T
    return np.ascontiguousarray(plane)


def _explained(
    guide: Float64[ndarray, "height width 3"],
    target: Plane,
    weight: Plane,
    *,
    radius_px: int,
    fallback: Plane,
    smoothing_px: int,
) -> tuple[Float64[ndarray, "3 height width"], Plane]:
    """Slope and offset of `target` as a linear function of colour, in windows; smoothed over `smoothing_px`.

    Where colour explains little of the target's variance, the offset is `fallback` instead and the slope 0.
    """

    def mean(plane: Plane) -> Plane:
        average: Plane = window_mean(weight * plane, radius_px) / total
        return average

    total = window_mean(weight, radius_px)
    bands = [guide[..., band] for band in range(3)]
    means = [mean(band) for band in bands]
    mean_target = mean(target)
    covariance = [
        mean(bands[i] * bands[j]) - means[i] * means[j] + (_RIDGE if i == j else 0.0) for i, j in _PAIRS
    ]
    products = np.stack([mean(bands[i] * target) - means[i] * mean_target for i in range(3)])
    slope = _solved(covariance, products)
    explained = np.maximum((slope * products).sum(0), 0)
    left_over = np.maximum(mean(target * target) - mean_target**2 - explained, 0)
    # With one side alone in the window both are 0, and there is nothing to be explained.
    trust = explained / (explained + _DISTRUST * left_over + 1e-3)
    offset = mean_target - sum(slope[band] * means[band] for band in range(3))
    offset = trust * offset + (1 - trust) * fallback
    smooth = [window_mean(plane, smoothing_px) for plane in (*(trust * slope), offset)]
    return np.stack(smooth[:3]), smooth[3]


def _solved(
    covariance: list[Plane], products: Float64[ndarray, "3 height width"]
) -> Float64[ndarray, "3 height width"]:
    """Symmetric positive definite systems of three, one per pixel, by their adjugate."""
    rr, rg, rb, gg, gb, bb = covariance
    a_rr, a_rg, a_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    a_gg, a_gb, a_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    r, g, b = products
    rows = (a_rr * r + a_rg * g + a_rb * b, a_rg * r + a_gg * g + a_gb * b, a_rb * r + a_gb * g + a_bb * b)
    solution: Float64[ndarray, "3 height width"] = np.stack(rows) / (rr * a_rr + rg * a_rg + rb * a_rb)
    return solution


def _dot(slope: Float64[ndarray, "3 height width"], colours: Float64[ndarray, "height width 3"]) -> Plane:
    product: Plane = slope[0] * colours[..., 0] + slope[1] * colours[..., 1] + slope[2] * colours[..., 2]
    return product


def _steepened(plane: Plane, gain: float) -> Plane:
    return np.clip((plane - 0.5) * gain + 0.5, 0, 1)


def _radius(length_px: float) -> int:
    return max(1, round(length_px))


def _positions(
    grid: Size, box: Box, size: Size
) -> tuple[Float64[ndarray, " rows"], Float64[ndarray, " columns"]]:
    """Where the box's pixels lie on the grid, kept within it."""
    rows = (np.arange(box.top, box.bottom) + 0.5) * grid.height / size.height - 0.5
    columns = (np.arange(box.left, box.right) + 0.5) * grid.width / size.width - 0.5
    return np.clip(rows, 0, grid.height - 1), np.clip(columns, 0, grid.width - 1)


def _span(positions: Float64[ndarray, " count"], length: int) -> slice:
    """The grid points that these positions are interpolated from."""
    return slice(int(positions[0]), min(int(positions[-1]) + 2, length))


def _interpolated(
    planes: Float32[ndarray, "planes height width"],
    rows: Float64[ndarray, " rows"],
    columns: Float64[ndarray, " columns"],
) -> Float32[ndarray, "planes rows columns"]:
    """Bilinear interpolation; the same for a position whichever others are asked for with it."""
    span = _span(rows, planes.shape[1])
    # Columns first: on the few rows of the grid that are wanted they cost little.
    across = _between(planes[:, span], columns, axis=2)
    return _between(across, rows - span.start, axis=1)


def _between(
    planes: Float32[ndarray, "planes height width"], positions: Float64[ndarray, " count"], axis: int
) -> Float32[ndarray, "planes new_height new_width"]:
    below = positions.astype(np.int64)
    above = np.minimum(below + 1, planes.shape[axis] - 1)
    share = (positions - below).astype(np.float32).reshape((-1, 1) if axis == 1 else (1, -1))
    mixed: Float32[ndarray, "planes new_height new_width"] = planes.take(below, axis) * (1 - share)
    mixed += planes.take(above, axis) * share
    return mixed
