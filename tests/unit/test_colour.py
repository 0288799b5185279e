from __future__ import annotations

import numpy as np
import pytest

from pipeline.colour import (
    LumaMoments,
    Moments,
    Transform,
    linear_map,
    luminance_map,
    luminance_transfer,
    rgb_to_yiq,
    yiq_to_rgb,
)

TRANSFORMS: tuple[Transform, ...] = ("chol", "pca", "sym")


def _pixels(seed: int, count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)) @ rng.normal(size=(3, 3)) * 0.1 + rng.uniform(0.2, 0.8, size=3)


def _moments(covariance: object, mean: object = (0.0, 0.0, 0.0)) -> Moments:
    return Moments(1, np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64))


def test_moments_of_two_pixels() -> None:
    moments = Moments.of(np.array([[0.0, 0.0, 1.0], [1.0, 0.5, 1.0]]))
    assert moments.count == 2
    np.testing.assert_allclose(moments.mean, [0.5, 0.25, 1.0], atol=0)
    np.testing.assert_allclose(
        moments.covariance, [[0.25, 0.125, 0.0], [0.125, 0.0625, 0.0], [0.0, 0.0, 0.0]], atol=0
    )


def test_moments_add_up() -> None:
    pixels = _pixels(0)
    parts = Moments.of(pixels[:17]) + Moments.of(pixels[17:200]) + Moments.of(pixels[200:])
    whole = Moments.of(pixels)
    assert parts.count == 500
    np.testing.assert_allclose(parts.mean, pixels.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(parts.covariance, np.cov(pixels.T, bias=True), rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-12)


def test_moments_of_a_nearly_flat_image_do_not_cancel() -> None:
    noise = np.random.default_rng(1).normal(size=(1000, 3)) * 1e-7
    parts = Moments.of(noise[:500] + 0.9) + Moments.of(noise[500:] + 0.9)
    np.testing.assert_allclose(parts.covariance, np.cov((noise + 0.9).T, bias=True), rtol=1e-6)


def test_moments_need_a_pixel() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Moments.of(np.empty((0, 3)))


def test_luma_is_that_of_the_pixels() -> None:
    pixels = _pixels(2)
    luma = pixels @ [0.299, 0.587, 0.114]
    got = Moments.of(pixels).luma
    assert got.mean == pytest.approx(luma.mean(), rel=1e-12)
    assert got.deviation == pytest.approx(luma.std(), rel=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_linear_map_moves_the_moments_exactly(transform: Transform, seed: int) -> None:
    source, target = Moments.of(_pixels(seed)), Moments.of(_pixels(seed + 100))
    matrix, offset = linear_map(source, target, transform)
    eps = 1e-5 * np.eye(3)
    np.testing.assert_allclose(
        matrix @ (source.covariance + eps) @ matrix.T, target.covariance + eps, rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(matrix @ source.mean + offset, target.mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_map_of_diagonal_covariances_is_the_ratio_of_deviations(transform: Transform) -> None:
    source = _moments(np.diag([0.04, 0.01, 0.09]), [0.5, 0.5, 0.5])
    target = _moments(np.diag([0.01, 0.04, 0.09]), [0.2, 0.4, 0.6])
    matrix, offset = linear_map(source, target, transform, eps=1e-14)
    np.testing.assert_allclose(matrix, np.diag([0.5, 2.0, 1.0]), atol=1e-10)
    np.testing.assert_allclose(offset, [-0.05, -0.6, 0.1], atol=1e-10)


def test_each_transform_has_the_shape_that_names_it() -> None:
    source, target = Moments.of(_pixels(3)), Moments.of(_pixels(4))
    maps = {transform: linear_map(source, target, transform)[0] for transform in TRANSFORMS}
    np.testing.assert_allclose(maps["chol"], np.tril(maps["chol"]), atol=1e-12)
    np.testing.assert_allclose(maps["sym"], maps["sym"].T, atol=1e-10)
    assert np.abs(maps["pca"] - maps["pca"].T).max() > 1e-3
    assert np.abs(maps["pca"] - maps["sym"]).max() > 1e-3


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_an_image_with_its_own_colours_does_not_move(transform: Transform) -> None:
    moments = Moments.of(_pixels(5))
    matrix, offset = linear_map(moments, moments, transform)
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(offset, 0, atol=1e-10)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(
    "flat",
    [
        pytest.param(np.full((10, 3), 0.3), id="one colour"),
        pytest.param(np.repeat(np.linspace(0, 1, 10)[:, None], 3, axis=1), id="grey"),
    ],
)
def test_grey_and_flat_images_give_finite_maps(transform: Transform, flat: np.ndarray) -> None:
    colourful, dull = Moments.of(_pixels(6)), Moments.of(flat)
    eps = 1e-5 * np.eye(3)
    for source, target in [(dull, colourful), (colourful, dull), (dull, dull)]:
        matrix, offset = linear_map(source, target, transform)
        assert np.isfinite(matrix).all()
        assert np.isfinite(offset).all()
        moved = matrix @ (source.covariance + eps) @ matrix.T
        np.testing.assert_allclose(moved, target.covariance + eps, rtol=0, atol=1e-10)


def test_linear_map_refuses_what_it_does_not_know() -> None:
    moments = Moments.of(_pixels(7))
    with pytest.raises(ValueError, match="chol, pca or sym; got 'svd'"):
        linear_map(moments, moments, "svd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eps must be positive"):
        linear_map(moments, moments, eps=0.0)


def test_luminance_map_by_mean_only_shifts() -> None:
    scale, shift = luminance_map(LumaMoments(0.7, 0.1), LumaMoments(0.4, 0.2))
    assert scale == 1.0
    assert shift == pytest.approx(-0.3, abs=1e-15)


def test_luminance_map_by_deviation_also_scales() -> None:
    scale, shift = luminance_map(LumaMoments(0.7, 0.1), LumaMoments(0.4, 0.2), "deviation", eps=0.0)
    assert scale == pytest.approx(2.0, abs=1e-12)
    assert shift == pytest.approx(-1.0, abs=1e-12)


def test_luminance_map_of_a_flat_style_is_finite() -> None:
    scale, shift = luminance_map(LumaMoments(0.5, 0.0), LumaMoments(0.4, 0.0), "deviation")
    assert (scale, shift) == pytest.approx((1.0, -0.1))


def test_luminance_map_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="mean or deviation; got 'both'"):
        luminance_map(LumaMoments(0, 1), LumaMoments(0, 1), "both")  # type: ignore[arg-type]


def test_yiq_has_rec601_luma_and_no_chroma_on_greys() -> None:
    matrix = rgb_to_yiq()
    np.testing.assert_allclose(matrix[0], [0.299, 0.587, 0.114], atol=0)
    np.testing.assert_allclose(matrix @ [0.5, 0.5, 0.5], [0.5, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(matrix @ [1.0, 0.0, 0.0], [0.299, 0.595716, 0.211456], atol=1e-12)


def test_yiq_pair_is_exactly_invertible() -> None:
    np.testing.assert_allclose(yiq_to_rgb() @ rgb_to_yiq(), np.eye(3), rtol=0, atol=1e-15)


def test_luminance_transfer_takes_luma_and_chroma_from_where_it_says() -> None:
    luma_from, chroma_from = np.array([0.2, 0.9, 0.4]), np.array([0.7, 0.1, 0.3])
    combined = luminance_transfer() @ np.concatenate([luma_from, chroma_from])
    yiq = rgb_to_yiq() @ combined
    np.testing.assert_allclose(yiq[0], 0.6337, atol=1e-12)
    np.testing.assert_allclose(yiq[1:], (rgb_to_yiq() @ chroma_from)[1:], atol=1e-12)
