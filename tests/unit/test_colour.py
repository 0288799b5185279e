from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest

from pipeline.colour import (
    AffineMap,
    Histogram,
    LinearTransform,
    LumaMoments,
    Moments,
    grey_map,
    histogram_map,
    linear_map,
    luminance_map,
    luminance_transfer,
    rgb_to_yiq,
    yiq_to_rgb,
)

TRANSFORMS: tuple[LinearTransform, ...] = ("chol", "pca", "sym")


def _pixels(seed: int, count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)) @ rng.normal(size=(3, 3)) * 0.1 + rng.uniform(0.2, 0.8, size=3)


def _moments(covariance: object, mean: object = (0.0, 0.0, 0.0)) -> Moments:
    return Moments(1, np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64))


def _parts(found: AffineMap) -> tuple[np.ndarray, np.ndarray]:
    return found.matrix, found.offset


def _histogram(levels: list[int], count: int, weights: list[float] | None = None) -> Histogram:
    """The same levels in all three channels."""
    pixels = np.array(levels, dtype=np.uint16)[:, None].repeat(3, axis=1)
    return Histogram.of(pixels, count, None if weights is None else np.array(weights))


def _as_pixels(channel: np.ndarray) -> np.ndarray:
    return channel.astype(np.uint16)[:, None].repeat(3, axis=1)


def test_moments_of_two_pixels() -> None:
    moments = Moments.of(np.array([[0.0, 0.0, 1.0], [1.0, 0.5, 1.0]]))
    assert moments.weight == 2
    np.testing.assert_allclose(moments.mean, [0.5, 0.25, 1.0], atol=0)
    np.testing.assert_allclose(
        moments.covariance, [[0.25, 0.125, 0.0], [0.125, 0.0625, 0.0], [0.0, 0.0, 0.0]], atol=0
    )


def test_moments_add_up() -> None:
    pixels = _pixels(0)
    parts = Moments.of(pixels[:17]) + Moments.of(pixels[17:200]) + Moments.of(pixels[200:])
    whole = Moments.of(pixels)
    assert parts.weight == 500
    np.testing.assert_allclose(parts.mean, pixels.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(parts.covariance, np.cov(pixels.T, bias=True), rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-12)


def test_moments_of_a_nearly_flat_image_do_not_cancel() -> None:
    noise = np.random.default_rng(1).normal(size=(1000, 3)) * 1e-7
    parts = Moments.of(noise[:500] + 0.9) + Moments.of(noise[500:] + 0.9)
    np.testing.assert_allclose(parts.covariance, np.cov((noise + 0.9).T, bias=True), rtol=1e-6)


def test_moments_count_pixels_by_their_weights() -> None:
    pixels = _pixels(0, 7)
    weights = np.array([0.0, 0.25, 1.0, 0.5, 0.0, 2.0, 1e-3])
    total, mean, covariance = 0.0, [0.0] * 3, [[0.0] * 3 for _ in range(3)]
    for pixel, weight in zip(pixels, weights, strict=True):
        total += weight
        for i in range(3):
            mean[i] += weight * pixel[i]
    mean = [value / total for value in mean]
    for pixel, weight in zip(pixels, weights, strict=True):
        for i in range(3):
            for j in range(3):
                covariance[i][j] += weight * (pixel[i] - mean[i]) * (pixel[j] - mean[j]) / total
    for parts in (
        [Moments.of(pixels, weights)],
        [Moments.of(pixels[:2], weights[:2]), Moments.of(pixels[2:], weights[2:])],
        # The first and the last part hold nothing that counts.
        [Moments.of(pixels[:1], weights[:1]), Moments.of(pixels[1:], weights[1:]), Moments.of(pixels[:0])],
    ):
        found = reduce(add, parts)
        assert found.weight == pytest.approx(total, rel=1e-14)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-12, atol=1e-16)


def test_moments_of_nothing_are_zero_and_give_no_map() -> None:
    nothing, something = Moments.of(np.empty((0, 3))), Moments.of(_pixels(0))
    assert (nothing + nothing).weight == 0
    assert not nothing.mean.any()
    assert not (nothing + nothing).covariance.any()
    for pair in [(nothing, something), (something, nothing)]:
        with pytest.raises(ValueError, match="at least one pixel"):
            linear_map(*pair)


def test_luma_is_that_of_the_pixels() -> None:
    pixels = _pixels(2)
    luma = pixels @ [0.299, 0.587, 0.114]
    got = Moments.of(pixels).luma
    assert got.mean == pytest.approx(luma.mean(), rel=1e-12)
    assert got.deviation == pytest.approx(luma.std(), rel=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_linear_map_moves_the_moments_exactly(transform: LinearTransform, seed: int) -> None:
    source, target = Moments.of(_pixels(seed)), Moments.of(_pixels(seed + 100))
    matrix, offset = _parts(linear_map(source, target, transform))
    eps = 1e-5 * np.eye(3)
    np.testing.assert_allclose(
        matrix @ (source.covariance + eps) @ matrix.T, target.covariance + eps, rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(matrix @ source.mean + offset, target.mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_map_of_diagonal_covariances_is_the_ratio_of_deviations(transform: LinearTransform) -> None:
    source = _moments(np.diag([0.04, 0.01, 0.09]), [0.5, 0.5, 0.5])
    target = _moments(np.diag([0.01, 0.04, 0.09]), [0.2, 0.4, 0.6])
    matrix, offset = _parts(linear_map(source, target, transform, eps=1e-14))
    np.testing.assert_allclose(matrix, np.diag([0.5, 2.0, 1.0]), atol=1e-10)
    np.testing.assert_allclose(offset, [-0.05, -0.6, 0.1], atol=1e-10)


def test_each_transform_has_the_shape_that_names_it() -> None:
    source, target = Moments.of(_pixels(3)), Moments.of(_pixels(4))
    maps = {transform: linear_map(source, target, transform).matrix for transform in TRANSFORMS}
    np.testing.assert_allclose(maps["chol"], np.tril(maps["chol"]), atol=1e-12)
    np.testing.assert_allclose(maps["sym"], maps["sym"].T, atol=1e-10)
    assert np.abs(maps["pca"] - maps["pca"].T).max() > 1e-3
    assert np.abs(maps["pca"] - maps["sym"]).max() > 1e-3


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_an_image_with_its_own_colours_does_not_move(transform: LinearTransform) -> None:
    moments = Moments.of(_pixels(5))
    matrix, offset = _parts(linear_map(moments, moments, transform))
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(offset, 0, atol=1e-10)


DULL = {
    "one colour": np.full((10, 3), 0.3),
    "black": np.zeros((10, 3)),
    "grey": np.repeat(np.linspace(0, 1, 10)[:, None], 3, axis=1),
    "rank two": np.random.default_rng(0).random((50, 3)) @ np.array([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]),
    "one pixel": np.array([[0.1, 0.7, 0.4]]),
    "nearly one colour": 0.5 + 1e-8 * np.random.default_rng(1).random((50, 3)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", DULL)
def test_dull_images_give_finite_exact_maps(transform: LinearTransform, kind: str) -> None:
    colourful, dull = Moments.of(_pixels(6)), Moments.of(DULL[kind])
    eps = 1e-5 * np.eye(3)
    for source, target in [(dull, colourful), (colourful, dull), (dull, dull)]:
        matrix, offset = _parts(linear_map(source, target, transform))
        assert np.isfinite(matrix).all()
        assert np.isfinite(offset).all()
        moved = matrix @ (source.covariance + eps) @ matrix.T
        np.testing.assert_allclose(moved, target.covariance + eps, rtol=0, atol=1e-10)
        np.testing.assert_allclose(matrix @ source.mean + offset, target.mean, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_sym_is_symmetric_positive_definite(seed: int) -> None:
    others = [Moments.of(pixels) for pixels in DULL.values()]
    for other in [*others, Moments.of(_pixels(seed + 50))]:
        for pair in [(Moments.of(_pixels(seed)), other), (other, Moments.of(_pixels(seed)))]:
            matrix = linear_map(*pair, "sym").matrix
            np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-10)
            assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_order_of_pixels_does_not_change_a_map(transform: LinearTransform) -> None:
    source, target = _pixels(8), _pixels(9)
    shuffled = np.random.default_rng(0).permutation(source)
    one = linear_map(Moments.of(source), Moments.of(target), transform)
    other = linear_map(Moments.of(shuffled), Moments.of(target[::-1]), transform)
    np.testing.assert_allclose(one.matrix, other.matrix, rtol=0, atol=1e-10)
    np.testing.assert_allclose(one.offset, other.offset, rtol=0, atol=1e-10)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_mapped_pixels_have_the_targets_statistics(transform: LinearTransform) -> None:
    pixels, target = _pixels(10), Moments.of(_pixels(11))
    matrix, offset = _parts(linear_map(Moments.of(pixels), target, transform, eps=1e-12))
    moved = np.array([matrix @ pixel + offset for pixel in pixels])
    np.testing.assert_allclose(moved.mean(axis=0), target.mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.cov(moved.T, bias=True), target.covariance, rtol=0, atol=1e-8)


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


def test_grey_map_gives_scaled_and_shifted_luma_three_times() -> None:
    found = grey_map(2.0, -0.25)
    np.testing.assert_allclose(found.matrix @ [0.2, 0.9, 0.4] + found.offset, [1.0174] * 3, atol=1e-12)


def test_luma_matched_to_itself_stays() -> None:
    luma = Moments.of(_pixels(12)).luma
    for match in ("mean", "deviation"):
        assert luminance_map(luma, luma, match) == pytest.approx((1.0, 0.0), abs=1e-12)


# --- histograms ------------------------------------------------------------------------------------------


def test_a_histogram_counts_each_level_of_each_channel() -> None:
    pixels = np.array([[0, 1, 3], [0, 2, 3], [1, 1, 3]], dtype=np.uint8)
    expected = [[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 3]]
    assert Histogram.of(pixels, 4).weights.tolist() == expected
    parts = Histogram.of(pixels[:1], 4) + Histogram.of(pixels[1:], 4)
    assert parts.weights.tolist() == expected
    assert parts.weight == 3
    weighted = Histogram.of(pixels, 4, np.array([0.5, 0.0, 2.0]))
    assert weighted.weights.tolist() == [[0.5, 2, 0, 0], [0, 2.5, 0, 0], [0, 0, 0, 2.5]]


def test_curves_as_literals() -> None:
    # Shares below each level plus half of its own: 1/8, 1/2, 7/8 here; 1/4 and 3/4 there.
    found = histogram_map(_histogram([0, 1, 1, 3], 5), _histogram([1, 4], 5)).curves
    assert found.shape == (3, 5)
    # 1/8 lies below the target's lowest, 1/2 half way; level 2 lies between 1 and 3, level 4 above 3.
    np.testing.assert_allclose(found[0], [0.25, 0.625, 0.8125, 1.0, 1.25], atol=1e-15)


@pytest.mark.parametrize("count", [256, 65536])
def test_curves_of_an_image_to_itself_are_the_identity_at_every_level(count: int) -> None:
    levels = np.random.default_rng(0).normal(0.5, 0.1, (5000, 3)).clip(0, 1) * (count - 1)
    own = Histogram.of(levels.astype(np.uint16), count, np.random.default_rng(1).random(5000))
    identity = np.arange(count) / (count - 1)
    np.testing.assert_allclose(histogram_map(own, own).curves, np.stack([identity] * 3), rtol=0, atol=1e-12)


def test_a_permutation_of_pixels_gives_the_same_curves() -> None:
    random = np.random.default_rng(0)
    pixels, target = random.integers(0, 256, (2, 300, 3)).astype(np.uint8)
    one = histogram_map(Histogram.of(pixels, 256), Histogram.of(target, 256))
    other = histogram_map(Histogram.of(random.permutation(pixels), 256), Histogram.of(target[::-1], 256))
    assert (one.curves == other.curves).all()


def test_mapped_levels_have_the_targets_quantiles() -> None:
    random = np.random.default_rng(0)
    source = (random.beta(2, 5, 40000) * 65535).round()
    target = (random.beta(4, 1.5, 30000) * 255).round()
    own, other = Histogram.of(_as_pixels(source), 65536), Histogram.of(_as_pixels(target), 256)
    moved = histogram_map(own, other).curves[1][source.astype(int)]
    shares = np.linspace(0.01, 0.99, 99)
    # Within the step of the target's 8 bits.
    found, wanted = np.quantile(moved, shares), np.quantile(target / 255, shares)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1 / 255)
    assert moved.mean() == pytest.approx(target.mean() / 255, abs=1e-4)
    assert moved.std() == pytest.approx(target.std() / 255, rel=1e-3)


def test_a_smooth_gradient_stays_smooth_under_a_target_of_few_levels() -> None:
    gradient = _histogram(list(range(0, 65536, 16)), 65536)
    curve = histogram_map(gradient, _histogram([10, 60, 90, 200, 250], 256)).curves[0]
    inner = curve[5000:60000]
    assert len(np.unique(inner[::16])) > 3000
    assert np.diff(inner).max() < 1e-4
    assert np.diff(curve).min() >= 0


def test_weights_decide_what_counts() -> None:
    other = _histogram([50, 100, 200], 256)
    masked = _histogram([0, 7, 9, 255, 255], 256, [0.0, 1.0, 1.0, 0.0, 0.0])
    assert (histogram_map(masked, other).curves == histogram_map(_histogram([7, 9], 256), other).curves).all()


@pytest.mark.parametrize(
    ("source", "target", "level", "goes_to"),
    [
        pytest.param([3], [0, 1, 5, 9, 9], 3, 5, id="one colour goes to the median"),
        pytest.param([0, 1, 2, 9], [4], 2, 4, id="everything goes to the only colour"),
        pytest.param([0, 0, 0], [9], 0, 9, id="one colour to another"),
        pytest.param([3], [3], 9, 9, id="levels that do not occur are shifted along"),
        pytest.param([3], [5], 9, 11, id="even beyond one"),
    ],
)
def test_curves_of_dull_images_are_finite(
    source: list[int], target: list[int], level: int, goes_to: float
) -> None:
    curves = histogram_map(_histogram(source, 10), _histogram(target, 10)).curves
    assert np.isfinite(curves).all()
    assert (np.diff(curves, axis=1) >= 0).all()
    np.testing.assert_allclose(curves[:, level], goes_to / 9, atol=1e-15)


def test_a_histogram_of_nothing_gives_no_curves() -> None:
    something, nothing = _histogram([1], 4), _histogram([1], 4, [0.0])
    for pair in [(something, nothing), (nothing, something)]:
        with pytest.raises(ValueError, match="at least one pixel"):
            histogram_map(*pair)


# --- luma and chroma -------------------------------------------------------------------------------------


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
