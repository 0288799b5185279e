from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from pipeline import matting

Plane: TypeAlias = Float[ndarray, "height width"]
Planes: TypeAlias = Float[ndarray, "height width 3"]


def _render(matte: matting.Matte, colours: Planes) -> Plane:
    """The matte at the grid's own size."""
    value = np.clip((matte.slope * colours).sum(-1) + matte.offset, 0, 1)
    return np.asarray(matte.doubt * value + (1 - matte.doubt) * matte.prior)


def _noise(height: int, width: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).uniform(size=(height, width, 3))


def _ramp(height: int, width: int, edge: float, slope: float = 4.0) -> Plane:
    """1 on the left, 0 on the right of column `edge`, soft over a few pixels."""
    row = np.clip(0.5 - (np.arange(width) + 0.5 - edge) / slope, 0, 1)
    return np.broadcast_to(row, (height, width)).copy()


# --- window means ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width", "radius_px"), [(7, 9, 2), (1, 6, 1), (5, 1, 3), (4, 3, 50)])
def test_window_means_are_means_of_the_pixels_in_the_window(height: int, width: int, radius_px: int) -> None:
    plane = np.random.default_rng(1).uniform(size=(height, width))
    found = matting.window_mean(plane, radius_px)
    for i in range(height):
        for j in range(width):
            rows = slice(max(0, i - radius_px), i + radius_px + 1)
            columns = slice(max(0, j - radius_px), j + radius_px + 1)
            assert found[i, j] == pytest.approx(plane[rows, columns].mean(), abs=1e-12)


# --- the fit against plain loops ---------------------------------------------------------------------------


def _explained_at(
    at_row: int, at_column: int, colours: Planes, target: Plane, *, weight: Plane, radius: int
) -> tuple[Float[ndarray, " 3"], float]:
    """Ridge regression of the target by colour in the window around one pixel, by its normal equations."""
    height, width = target.shape
    inside = [
        (y, x)
        for y in range(max(0, at_row - radius), min(height, at_row + radius + 1))
        for x in range(max(0, at_column - radius), min(width, at_column + radius + 1))
    ]
    total = sum(weight[at] for at in inside)
    centre = sum(weight[at] * colours[at] for at in inside) / total
    level = sum(weight[at] * target[at] for at in inside) / total
    scatter = np.eye(3) * 1e-5
    product = np.zeros(3)
    variance = 0.0
    for at in inside:
        share, step, rise = weight[at] / total, colours[at] - centre, target[at] - level
        scatter += share * np.outer(step, step)
        product += share * step * rise
        variance += share * rise**2
    slope = np.linalg.inv(scatter) @ product
    explained = max(float(slope @ product), 0.0)
    trust = explained / (explained + 0.3 * max(variance - explained, 0.0) + 1e-3)
    return trust * slope, trust * (level - slope @ centre) + (1 - trust) * target[at_row, at_column]


def _explained(colours: Planes, target: Plane, weight: Plane, radius: int) -> tuple[Planes, Plane]:
    slope, offset = np.zeros_like(colours), np.zeros_like(target)
    for i, j in np.ndindex(*target.shape):
        slope[i, j], offset[i, j] = _explained_at(i, j, colours, target, weight=weight, radius=radius)
    smooth = [matting.window_mean(slope[..., band], 1) for band in range(3)]
    return np.stack(smooth, axis=-1), matting.window_mean(offset, 1)


def test_the_fit_is_two_regressions_in_windows() -> None:
    colours = _noise(9, 26)
    coarse = _ramp(9, 26, 13.0)
    colours[:, :12] *= 0.5
    prior = np.clip((coarse - 0.05) / 0.9, 0, 1)
    around = np.round(matting.window_mean(prior, 1), 9)
    doubt = np.minimum(32 * around * (1 - around), 1)

    weight = np.where((prior == 0) | (prior == 1), 1.0, 1e-3)
    slope, offset = _explained(colours, prior, weight, 6)
    value = np.clip(1.2 * ((slope * colours).sum(-1) + offset - 0.5) + 0.5, 0, 1)
    first = doubt * value + (1 - doubt) * prior
    slope, offset = _explained(colours, first, np.ones((9, 26)), 3)

    found = matting.fit(coarse, colours, 1.0)
    np.testing.assert_allclose(found.prior, prior, atol=1e-12)
    np.testing.assert_allclose(found.doubt, doubt, atol=1e-12)
    np.testing.assert_allclose(found.slope, 1.2 * slope, atol=1e-8)
    np.testing.assert_allclose(found.offset, 1.2 * (offset - 0.5) + 0.5, atol=1e-8)


# --- what it promises --------------------------------------------------------------------------------------


def test_a_decided_mask_is_exactly_0_and_1_whatever_the_colours() -> None:
    # Ones behind fractions: there a running sum has rounding errors.
    coarse = 1 - _ramp(40, 60, 30.0)
    coarse[:, 28:32] = 0.05 + 0.9 * _noise(40, 4)[..., 0]
    matte = matting.fit(coarse, _noise(40, 60), 2.0)
    found = _render(matte, _noise(40, 60, seed=9))
    # A unit of two pixels around the undecided columns is in doubt.
    assert (found[:, :26] == 0).all()
    assert (found[:, 34:] == 1).all()
    assert (matte.doubt[:, :26] == 0).all()
    assert (matte.doubt[:, 34:] == 0).all()
    assert (matte.doubt[:, 26:34] > 0).all()


@pytest.mark.parametrize("level", [0.0, 0.04, 1.0, 0.96])
def test_a_mask_of_one_value_stays_that_value(level: float) -> None:
    matte = matting.fit(np.full((20, 30), level), _noise(20, 30), 2.0)
    assert (_render(matte, _noise(20, 30)) == round(level)).all()


def test_an_edge_in_the_wrong_place_moves_to_the_edge_of_the_colours() -> None:
    colours = np.where(np.arange(64)[None, :, None] < 32, 0.3, 0.6) + 0.05 * _noise(64, 64)
    found = _render(matting.fit(_ramp(64, 64, 34.0), colours, 2.0), colours)
    assert found[:, 31].min() > 0.9
    assert found[:, 32].max() < 0.1


def test_where_colours_tell_nothing_the_coarse_mask_stands() -> None:
    coarse = _ramp(64, 64, 32.0, slope=12.0)
    for colours in (np.full((64, 64, 3), 0.5), np.zeros((64, 64, 3)), np.ones((64, 64, 3))):
        found = _render(matting.fit(coarse, colours, 2.0), colours)
        assert np.abs(found - coarse).max() < 0.15
        assert (np.diff(found, axis=1) <= 1e-9).all()
    noisy = 0.5 + 0.05 * _noise(64, 64)
    assert np.abs(_render(matting.fit(coarse, noisy, 2.0), noisy) - coarse).mean() < 0.02


def test_one_colour_in_three_equal_bands_is_enough() -> None:
    grey = np.where(np.arange(64)[None, :, None] < 32, 0.3, 0.6) * np.ones((64, 1, 3))
    found = _render(matting.fit(_ramp(64, 64, 34.0), grey, 2.0), grey)
    assert np.isfinite(found).all()
    assert found[:, 31].min() > 0.9
    assert found[:, 32].max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_the_smallest_grids_give_finite_mattes(shape: tuple[int, int]) -> None:
    coarse = np.random.default_rng(2).uniform(size=shape)
    found = _render(matting.fit(coarse, _noise(*shape), 0.01), _noise(*shape))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
