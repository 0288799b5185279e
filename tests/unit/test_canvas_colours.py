"""What is measured of an image's colours, and what is made of them, against plain loops over its pixels."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import gradient, left_half, noise, save

from pipeline import canvas
from pipeline.canvas import Mask, MaskedMap
from pipeline.colour import (
    AffineMap,
    ColourMap,
    CurveMap,
    Moments,
    grey_map,
    histogram_map,
    linear_map,
    rgb_to_yiq,
)
from pipeline.errors import InputError
from pipeline.geometry import Size

TRANSFORMS: tuple[Any, ...] = ("chol", "pca", "sym")


def _float_image(path: Path, array: np.ndarray) -> Path:
    canvas.write(path, array.astype(np.float32))
    return path


def _integers(path: Path, array: np.ndarray) -> Path:
    """A TIFF of these 8 or 16 bits, as `prepare` leaves them."""
    kind = "srgb" if array.dtype == np.uint8 else "rgb16"
    pyvips.Image.new_from_array(array).copy(interpretation=kind).tiffsave(str(path), tile=True)
    return path


def _random(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, bands)).astype(np.float32)


def _affine(seed: int) -> AffineMap:
    random = np.random.default_rng(seed)
    return AffineMap(random.normal(size=(3, 3)), random.normal(size=3))


def _top(dtype: type) -> int:
    return int(np.iinfo(dtype).max)


def _recoloured(tmp_path: Path, source: Path, maps: list[MaskedMap], size: Size | None = None) -> np.ndarray:
    canvas.recolour(source, tmp_path / "recoloured.tif", size or canvas.size_of(source), maps)
    return canvas.read(tmp_path / "recoloured.tif").astype(np.float64)


# --- statistics ------------------------------------------------------------------------------------------


def test_moments_equal_those_of_the_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    array = (rng.normal(size=(1100, 1030, 3)) @ rng.normal(size=(3, 3)) + 5.0).astype(np.float32)
    got, flat = canvas.moments(_float_image(tmp_path / "a.tif", array)), array.reshape(-1, 3).astype(float)
    assert got.weight == 1100 * 1030
    np.testing.assert_allclose(got.mean, flat.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(got.covariance, np.cov(flat.T, bias=True), rtol=1e-10)
    luma = flat @ [0.299, 0.587, 0.114]
    assert got.luma.mean == pytest.approx(luma.mean(), rel=1e-10)
    assert got.luma.deviation == pytest.approx(luma.std(), rel=1e-10)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_moments_of_integers_are_exact(tmp_path: Path, dtype: type) -> None:
    top = _top(dtype)
    array: np.ndarray = np.random.default_rng(0).integers(0, top + 1, (40, 30, 3)).astype(dtype)
    got, flat = canvas.moments(_integers(tmp_path / "a.tif", array)), array.reshape(-1, 3) / top
    np.testing.assert_allclose(got.mean, flat.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(got.covariance, np.cov(flat.T, bias=True), rtol=1e-12)


def test_statistics_need_three_bands(tmp_path: Path) -> None:
    path = _float_image(tmp_path / "g.tif", _random(20, 20, 1))
    for measure in (canvas.moments, canvas.histogram):
        with pytest.raises(InputError, match=r"g\.tif: expected an image of 3 bands; found 1\.$"):
            measure(path)


def test_transparent_pixels_do_not_count(tmp_path: Path) -> None:
    array = noise(40, 30, seed=0)
    alpha = np.full((40, 30, 1), 255, np.uint8)
    alpha[:10] = 0
    alpha[10:20] = 51
    array[:10] = 255
    path = save(tmp_path / "a.png", np.dstack([array, alpha]))
    weights = np.repeat([0.0, 0.2, 1.0, 1.0], 10)[:, None].repeat(30, axis=1)
    got, expected = canvas.moments(path), Moments.of(array / 255, weights)
    assert got.weight == pytest.approx(20 * 30 + 0.2 * 10 * 30, rel=1e-6)
    np.testing.assert_allclose(got.mean, expected.mean, rtol=1e-6)
    np.testing.assert_allclose(got.covariance, expected.covariance, rtol=1e-6)
    counts = np.zeros((3, 256))
    for row in range(40):
        for column in range(30):
            for band in range(3):
                counts[band, array[row, column, band]] += weights[row, column]
    np.testing.assert_allclose(canvas.histogram(path).weights, counts, rtol=1e-6)


def test_colours_under_no_opacity_are_arbitrary(tmp_path: Path) -> None:
    alpha = left_half(40, 30)
    one, other = noise(40, 30, seed=0), noise(40, 30, seed=1)
    other[:, :15] = one[:, :15]
    paths = [
        save(tmp_path / f"{name}.png", np.dstack([array, alpha]))
        for name, array in [("one", one), ("other", other)]
    ]
    found = [canvas.moments(path) for path in paths]
    assert (found[0].mean == found[1].mean).all()
    assert (found[0].covariance == found[1].covariance).all()
    assert (canvas.histogram(paths[0]).weights == canvas.histogram(paths[1]).weights).all()


def test_a_mask_restricts_the_statistics_softly(tmp_path: Path) -> None:
    array = noise(40, 30, seed=0)
    path = save(tmp_path / "a.png", array)
    soft = np.linspace(0, 255, 40).round().astype(np.uint8)[:, None, None].repeat(30, axis=1)
    mask = save(tmp_path / "m.png", soft)
    for inverted in (False, True):
        weights = 1 - soft[..., 0] / 255 if inverted else soft[..., 0] / 255
        got, expected = canvas.moments(path, Mask(mask, inverted)), Moments.of(array / 255, weights)
        assert got.weight == pytest.approx(weights.sum(), rel=1e-6)
        np.testing.assert_allclose(got.mean, expected.mean, rtol=1e-6)
        np.testing.assert_allclose(got.covariance, expected.covariance, rtol=1e-6)
        assert canvas.histogram(path, Mask(mask, inverted)).weight == pytest.approx(weights.sum(), rel=1e-6)


@pytest.mark.parametrize("mask_size", [(10, 8), (40, 32), (400, 320), (40, 3200)])
def test_a_mask_of_any_size_is_brought_to_the_images(tmp_path: Path, mask_size: tuple[int, int]) -> None:
    array = gradient(40, 32)
    array[:, :16] = [10, 20, 30]
    path, mask = save(tmp_path / "a.png", array), save(tmp_path / "m.png", left_half(*mask_size))
    # Of the mask's edge a pixel or two reaches over; the rest of the left half has one colour.
    found = canvas.histogram(path, Mask(mask))
    assert found.weights[2, 30] == pytest.approx(found.weight, rel=0.06)
    assert found.weight == pytest.approx(40 * 16, rel=0.01)


def test_mask_and_opacity_count_together(tmp_path: Path) -> None:
    top = np.zeros((40, 30, 1), np.uint8)
    top[:20] = 255
    array = noise(40, 30, seed=0)
    path = save(tmp_path / "a.png", np.dstack([array, top]))
    mask = save(tmp_path / "m.png", left_half(40, 30))
    found = canvas.moments(path, Mask(mask))
    assert found.weight == 20 * 15
    np.testing.assert_allclose(found.mean, array[:20, :15].reshape(-1, 3).mean(axis=0) / 255, rtol=1e-12)


def test_statistics_of_nothing_are_refused(tmp_path: Path) -> None:
    array, opaque = noise(40, 30, seed=0), left_half(40, 30)
    clear = save(tmp_path / "clear.png", np.dstack([array, np.zeros_like(opaque)]))
    half = save(tmp_path / "half.png", np.dstack([array, opaque]))
    mask = save(tmp_path / "m.png", opaque)
    black = save(tmp_path / "black.png", np.zeros_like(opaque))
    for measure in (canvas.moments, canvas.histogram):
        with pytest.raises(InputError, match=r"clear\.png: expected pixels that are not wholly transparent;"):
            measure(clear)
        with pytest.raises(InputError, match=r"mask .*black\.png: expected light on .*half\.png; found none"):
            measure(half, Mask(black))
        # Light, but on pixels that nobody sees.
        with pytest.raises(InputError, match=r"mask not:.*m\.png: expected light on visible pixels"):
            measure(half, Mask(mask, inverted=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_histogram_has_as_many_levels_as_the_file(tmp_path: Path, dtype: type) -> None:
    top = _top(dtype)
    array: np.ndarray = np.random.default_rng(0).integers(0, top + 1, (1100, 1030, 3)).astype(dtype)
    got = canvas.histogram(_integers(tmp_path / "a.tif", array))
    expected = [np.bincount(array[..., band].ravel(), minlength=top + 1) for band in range(3)]
    np.testing.assert_array_equal(got.weights, expected)


def test_a_histogram_of_floats_has_16_bits(tmp_path: Path) -> None:
    array = np.array([[[-0.5, 0.5, 1.5]]], np.float32).repeat(20, axis=0)
    got = canvas.histogram(_float_image(tmp_path / "a.tif", array)).weights
    assert [(np.flatnonzero(band).tolist(), band.max()) for band in got] == [
        ([0], 20),
        ([32768], 20),
        ([65535], 20),
    ]


# --- masks -----------------------------------------------------------------------------------------------


def test_a_mask_is_said_as_a_path_or_what_it_leaves() -> None:
    assert Mask.parse("not:a/b.png") == (Path("a/b.png"), True)
    assert Mask.parse("a/b.png") == (Path("a/b.png"), False)
    assert str(Mask.parse("not:a/b.png")) == "not:a/b.png"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "a mask of finite numbers; found NaN or infinite ones"),
        (np.inf, "a mask of finite numbers; found NaN or infinite ones"),
        (-0.5, "a mask between 0 and 1 where it is in floating point; found -0.5 to 0.25"),
        (255.0, "a mask between 0 and 1 where it is in floating point; found 0.25 to 255"),
    ],
)
def test_a_mask_of_numbers_that_no_mask_holds_is_refused(tmp_path: Path, value: float, said: str) -> None:
    array = np.full((20, 30, 1), 0.25)
    array[3, 4] = value
    mask, image = _float_image(tmp_path / "m.tif", array), save(tmp_path / "a.png", noise(20, 30, seed=0))
    for run in (
        lambda: canvas.moments(image, Mask(mask)),
        lambda: canvas.compose_guides([Mask(mask)], tmp_path / "g.tif", Size(20, 30)),
        lambda: canvas.recolour(image, tmp_path / "o.tif", Size(20, 30), [MaskedMap(_affine(0), Mask(mask))]),
    ):
        with pytest.raises(InputError) as caught:
            run()
        assert f"m.tif: expected {said}." in str(caught.value)


# --- maps ------------------------------------------------------------------------------------------------


def test_an_affine_map_is_applied_without_clipping(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(300, 270, 3)).astype(np.float32)
    source, how = _float_image(tmp_path / "a.tif", array), _affine(0)
    expected = array.astype(np.float64) @ how.matrix.T + how.offset
    found = _recoloured(tmp_path, source, [MaskedMap(how)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert found.min() < 0
    assert found.max() > 1


def test_without_a_map_an_image_is_resized(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", noise(60, 40, seed=0) // 128 * 255)
    canvas.resize(source, tmp_path / "resized.tif", Size(30, 50))
    found = _recoloured(tmp_path, source, [], Size(30, 50))
    # In 16 bits, which resampling's overshoot leaves.
    resized = canvas.read(tmp_path / "resized.tif").astype(np.float64)
    assert resized.min() < 0
    assert resized.max() > 1
    levels = np.rint(65535 * np.clip(resized, 0, 1))
    np.testing.assert_array_equal(found, (levels / 65535).astype(np.float32))


def test_a_curve_goes_through_every_level_of_its_channel(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (300, 270, 3)).astype(np.uint16)
    curves = np.random.default_rng(1).normal(size=(3, 65536)).cumsum(axis=1)
    found = _recoloured(tmp_path, _integers(tmp_path / "a.tif", array), [MaskedMap(CurveMap(curves))])
    for band in range(3):
        expected = curves[band][array[..., band]].astype(np.float32)
        np.testing.assert_array_equal(found[..., band], expected)


def test_curves_of_another_depth_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", noise(20, 20, seed=0))
    with pytest.raises(ValueError, match="curves of 65536 levels do not fit an image of uchar"):
        _recoloured(tmp_path, source, [MaskedMap(CurveMap(np.zeros((3, 65536))))])


def test_maps_are_blended_by_their_masks(tmp_path: Path) -> None:
    height, width = 12, 18
    array = _random(height, width)
    source = _float_image(tmp_path / "a.tif", array)
    first, second = _random(height, width, 1, seed=1), 0.7 * _random(height, width, 1, seed=2)
    masks = [_float_image(tmp_path / f"{n}.tif", mask) for n, mask in enumerate([first, second])]
    one, two = _affine(1), _affine(2)
    maps = [MaskedMap(one, Mask(masks[0])), MaskedMap(two, Mask(masks[1], inverted=True))]
    found = _recoloured(tmp_path, source, maps)
    more_than_all = 0
    for row in range(height):
        for column in range(width):
            x = array[row, column].astype(float)
            shares = [float(first[row, column, 0]), 1 - float(second[row, column, 0])]
            mapped = [one.matrix @ x + one.offset, two.matrix @ x + two.offset]
            sum_of_shares = shares[0] + shares[1]
            value = shares[0] * mapped[0] + shares[1] * mapped[1] + max(0, 1 - sum_of_shares) * x
            more_than_all += sum_of_shares > 1
            np.testing.assert_allclose(found[row, column], value / max(1, sum_of_shares), rtol=0, atol=3e-6)
    assert 20 < more_than_all < height * width - 20


def test_a_map_without_a_mask_applies_everywhere_beside_others(tmp_path: Path) -> None:
    array = _random(20, 30)
    source = _float_image(tmp_path / "a.tif", array)
    mask = save(tmp_path / "m.png", left_half(20, 30))
    half_grey, shifted = grey_map(0.5), AffineMap(np.eye(3), np.full(3, 0.25))
    found = _recoloured(tmp_path, source, [MaskedMap(half_grey, Mask(mask)), MaskedMap(shifted)])
    luma = 0.5 * array @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(found[:, 15:], array[:, 15:] + 0.25, rtol=0, atol=1e-6)
    both = (luma[:, :15, None] + array[:, :15] + 0.25) / 2
    np.testing.assert_allclose(found[:, :15], both, rtol=0, atol=1e-6)


def test_outside_every_mask_colours_stay(tmp_path: Path) -> None:
    array = noise(20, 30, seed=0)
    source, mask = save(tmp_path / "a.png", array), save(tmp_path / "m.png", left_half(10, 15))
    found = _recoloured(tmp_path, source, [MaskedMap(_affine(0), Mask(mask))])
    np.testing.assert_array_equal(found[:, 17:], (array[:, 17:] / 255).astype(np.float32))


@pytest.mark.parametrize("size", [(30, 20), (90, 70), (1, 1)])
def test_maps_come_before_the_resampling(tmp_path: Path, size: tuple[int, int]) -> None:
    array = noise(60, 40, seed=0)
    source = save(tmp_path / "a.png", array)
    curves = np.stack([(np.arange(256) / 255) ** power for power in (0.5, 2, 3)])
    curved = np.stack([curves[band][array[..., band]] for band in range(3)], axis=-1)
    canvas.resize(_float_image(tmp_path / "curved.tif", curved), tmp_path / "expected.tif", Size(*size))
    found = _recoloured(tmp_path, source, [MaskedMap(CurveMap(curves))], Size(*size))
    np.testing.assert_array_equal(found, canvas.read(tmp_path / "expected.tif"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_image_recoloured_by_itself_is_itself(tmp_path: Path, dtype: type) -> None:
    top = _top(dtype)
    array: np.ndarray = np.random.default_rng(0).integers(top // 5, top // 2, (70, 50, 3)).astype(dtype)
    source, mask = _integers(tmp_path / "a.tif", array), Mask(save(tmp_path / "m.png", left_half(70, 50)))
    for where in (None, mask):
        own, levels = canvas.moments(source, where), canvas.histogram(source, where)
        linear = (linear_map(own, own, transform) for transform in TRANSFORMS)
        maps: list[ColourMap] = [*linear, histogram_map(levels, levels)]
        for how in maps:
            found = _recoloured(tmp_path, source, [MaskedMap(how, where)])
            np.testing.assert_allclose(found, array / top, rtol=0, atol=1 / 65535)


@pytest.mark.parametrize("transform", [*TRANSFORMS, "histogram"])
def test_mapped_images_have_the_targets_statistics(tmp_path: Path, transform: Any) -> None:
    random = np.random.default_rng(0)
    colours = random.beta(2, 4, (200, 300, 3)) @ [[0.7, 0.3, 0.1], [0.2, 0.5, 0.1], [0.1, 0.1, 0.6]]
    target = (0.3 + 0.5 * random.beta(3, 2, (250, 200, 3))) * [1.0, 0.8, 0.6]
    source = _integers(tmp_path / "a.tif", (colours * 65535).astype(np.uint16))
    other = _integers(tmp_path / "b.tif", (target * 65535).astype(np.uint16))
    mask = Mask(save(tmp_path / "m.png", left_half(200, 300)))
    if transform == "histogram":
        how: Any = histogram_map(canvas.histogram(source, mask), canvas.histogram(other))
    else:
        how = linear_map(canvas.moments(source, mask), canvas.moments(other), transform, eps=1e-10)
    moved = _recoloured(tmp_path, source, [MaskedMap(how, mask)])[:, :150]
    wanted = canvas.moments(other)
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), wanted.mean, rtol=0, atol=1e-5)
    deviations = np.sqrt(np.diag(wanted.covariance))
    np.testing.assert_allclose(moved.std(axis=(0, 1)), deviations, rtol=0, atol=1e-5)
    if transform == "histogram":
        for band in range(3):
            shares = np.linspace(0.01, 0.99, 50)
            found = np.quantile(moved[..., band], shares)
            np.testing.assert_allclose(found, np.quantile(target[..., band], shares), rtol=0, atol=2e-4)


DULL = {
    "grey": np.linspace(0, 255, 40 * 30).astype(np.uint8).reshape(40, 30, 1).repeat(3, axis=2),
    "one colour": np.full((40, 30, 3), [200, 10, 90], np.uint8),
    "black": np.zeros((40, 30, 3), np.uint8),
    "a strip": noise(1, 300, seed=4),
    "a column": noise(300, 1, seed=5),
    "one pixel": np.full((1, 1, 3), 77, np.uint8),
    "half transparent": np.dstack([noise(40, 30, seed=6), left_half(40, 30)]),
    "nearly transparent": np.dstack([noise(40, 30, seed=7), np.full((40, 30), 1, np.uint8)]),
}


@pytest.mark.parametrize("kind", DULL)
def test_no_image_gives_nan(tmp_path: Path, kind: str) -> None:
    dull, lively = save(tmp_path / "dull.png", DULL[kind]), save(tmp_path / "a.png", noise(50, 60, seed=0))
    for source, target in [(dull, lively), (lively, dull), (dull, dull)]:
        own, other = canvas.moments(source), canvas.moments(target)
        maps = [linear_map(own, other, transform) for transform in TRANSFORMS]
        curves = histogram_map(canvas.histogram(source), canvas.histogram(target))
        every: list[ColourMap] = [*maps, curves]
        for how in every:
            found = _recoloured(tmp_path, source, [MaskedMap(how)], Size(20, 20))
            assert np.isfinite(found).all()
            assert np.abs(found).max() < 20


# --- luminance -------------------------------------------------------------------------------------------


def test_combine_luminance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stylised = rng.random((300, 270, 3)).astype(np.float32)
    content = rng.random((300, 270, 3)).astype(np.float32)
    canvas.write(tmp_path / "s.tif", stylised)
    canvas.write(tmp_path / "c.tif", content)
    canvas.combine_luminance(tmp_path / "s.tif", tmp_path / "c.tif", tmp_path / "o.tif")
    got, forward = canvas.read(tmp_path / "o.tif") @ rgb_to_yiq().T, rgb_to_yiq().T
    np.testing.assert_allclose(got[..., 0], (stylised @ forward)[..., 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got[..., 1:], (content @ forward)[..., 1:], rtol=0, atol=1e-6)


def test_combine_luminance_of_an_image_with_itself_is_that_image(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    canvas.write(tmp_path / "a.tif", array)
    canvas.combine_luminance(tmp_path / "a.tif", tmp_path / "a.tif", tmp_path / "o.tif")
    np.testing.assert_allclose(canvas.read(tmp_path / "o.tif"), array, rtol=0, atol=1e-6)


def test_combine_luminance_needs_equal_sizes(tmp_path: Path) -> None:
    canvas.write(tmp_path / "a.tif", np.zeros((20, 20, 3), dtype=np.float32))
    canvas.write(tmp_path / "b.tif", np.zeros((20, 21, 3), dtype=np.float32))
    with pytest.raises(InputError, match=r"20x20 px as in .*a\.tif; found 20x21 px"):
        canvas.combine_luminance(tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "o.tif")


def test_chroma_comes_back_where_the_masks_say(tmp_path: Path) -> None:
    height, width = 12, 18
    stylised, content = _random(height, width, seed=1) * 1.4 - 0.2, _random(height, width, seed=2)
    first, second = _random(height, width, 1, seed=3), _random(height, width, 1, seed=4)
    paths = {
        name: _float_image(tmp_path / f"{name}.tif", array)
        for name, array in {"s": stylised, "c": content, "m": first, "n": second}.items()
    }
    canvas.combine_luminance(paths["s"], paths["c"], tmp_path / "all.tif")
    where = [Mask(paths["m"]), Mask(paths["n"], inverted=True)]
    canvas.combine_luminance(paths["s"], paths["c"], tmp_path / "some.tif", where)
    whole, found = canvas.read(tmp_path / "all.tif"), canvas.read(tmp_path / "some.tif")
    for row in range(height):
        for column in range(width):
            share = min(1.0, float(first[row, column, 0]) + 1 - float(second[row, column, 0]))
            expected = stylised[row, column] + share * (whole[row, column] - stylised[row, column])
            np.testing.assert_allclose(found[row, column], expected, rtol=0, atol=1e-6)


def test_chroma_stays_away_from_where_no_mask_is(tmp_path: Path) -> None:
    stylised, content = _random(40, 60, seed=1), _random(40, 60, seed=2)
    _float_image(tmp_path / "s.tif", stylised)
    _float_image(tmp_path / "c.tif", content)
    mask = Mask(save(tmp_path / "m.png", left_half(20, 30)))
    canvas.combine_luminance(tmp_path / "s.tif", tmp_path / "c.tif", tmp_path / "o.tif", [mask])
    found = canvas.read(tmp_path / "o.tif")
    np.testing.assert_array_equal(found[:, 32:], stylised[:, 32:])
    chroma = (found - content)[:, :28] @ rgb_to_yiq().T
    np.testing.assert_allclose(chroma[..., 1:], 0, rtol=0, atol=1e-6)


# --- wide gamuts -----------------------------------------------------------------------------------------

WIDE_TO_XYZ = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
"""Adobe RGB (1998), adapted to D50."""
SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
WIDE_GAMMA = 563 / 256


def _wide_profile() -> bytes:
    """A matrix profile of version 2 with the primaries and the gamma above."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = (0.9642, 1.0, 0.8249)
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(WIDE_GAMMA * 256))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide" + bytes(79),
        b"cprt": b"text" + bytes(4) + b"none" + bytes(4),
        b"wtpt": b"XYZ " + bytes(4) + fixed(*white),
        **{b"%cXYZ" % c: b"XYZ " + bytes(4) + fixed(*WIDE_TO_XYZ[:, n]) for n, c in enumerate(b"rgb")},
        **{b"%cTRC" % c: curve for c in b"rgb"},
    }
    start, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(data), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*white)
    return head.ljust(128, b"\0") + table + data


def _wide_to_srgb(colours: np.ndarray) -> np.ndarray:
    linear = (colours**WIDE_GAMMA) @ WIDE_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def test_recolouring_sees_a_wide_gamuts_colours_in_srgb_and_16_bits(tmp_path: Path) -> None:
    # Inside sRGB, in steps far below those of 8 bits.
    steps = np.arange(4096)
    wide = np.stack([20000 + 4 * steps, 25000 + 3 * steps, 30000 + 2 * steps], axis=-1)
    image = pyvips.Image.new_from_array(wide.reshape(64, 64, 3).astype(np.uint16)).copy(
        interpretation="rgb16"
    )
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", _wide_profile())
    image.tiffsave(str(tmp_path / "wide.tif"))
    canvas.prepare(tmp_path / "wide.tif", tmp_path / "p.tif")
    prepared = canvas.read(tmp_path / "p.tif").reshape(-1, 3).astype(np.float64)
    expected = _wide_to_srgb(wide / 65535)
    assert np.abs(expected - wide / 65535).max() > 0.02
    # A fifth of a step of 8 bits: what the colour engine's own tables cost.
    np.testing.assert_allclose(prepared, expected, rtol=0, atol=0.2 / 255)
    assert [len(np.unique(channel)) for channel in prepared.T] == [4096] * 3
    assert (np.diff(prepared, axis=0) > 0).all()
    found = canvas.moments(tmp_path / "p.tif")
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=0, atol=0.2 / 255)
    np.testing.assert_allclose(found.covariance, np.cov(expected.T, bias=True), rtol=0.02)
    # Through a map and back: nothing is rounded to 8 bits on the way, in the curves neither.
    other = save(tmp_path / "other.png", noise(60, 60, seed=0))
    maps: list[ColourMap] = [histogram_map(canvas.histogram(tmp_path / "p.tif"), canvas.histogram(other))]
    maps += [linear_map(found, canvas.moments(other), "chol")]
    for how in maps:
        moved = _recoloured(tmp_path, tmp_path / "p.tif", [MaskedMap(how)]).reshape(-1, 3)
        assert len(np.unique(moved[:, 0])) > 4000


# --- memory ----------------------------------------------------------------------------------------------

STREAMED = """
import sys
from pathlib import Path
from pipeline import canvas
from pipeline.canvas import Mask, MaskedMap
from pipeline.colour import linear_map
from pipeline.geometry import Size
from pipeline.provenance import peak_memory_mib

source, mask = (Path(text) for text in sys.argv[1:])
size = canvas.size_of(source)
areas = [Mask(mask), Mask(mask, inverted=True)]
one, other = (canvas.moments(source, area) for area in areas)
maps = [MaskedMap(linear_map(one, other), areas[0]), MaskedMap(linear_map(other, one), areas[1])]
canvas.recolour(source, source.with_name("out.tif"), Size(size.height // 2, size.width // 2), maps)
print(peak_memory_mib())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_an_images_height(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", gradient(300, 300)[..., :1])
    tile = pyvips.Image.new_from_array(noise(512, 512, seed=0)).copy(interpretation="srgb")
    peaks = []
    for times_down in (4, 16):
        source = tmp_path / f"{times_down}.tif"
        tile.replicate(4, times_down).tiffsave(str(source), tile=True, tile_width=256, tile_height=256)
        command = [sys.executable, "-c", STREAMED, str(source), str(mask)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(run.stdout))
    # 4 and 16 megapixels: 12 more would be 36 MiB in 8 bits, 144 MiB in float.
    assert peaks[1] < 1.1 * peaks[0], peaks
