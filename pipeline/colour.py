"""Colour statistics and the maps between them. numpy in float64, no torch, no files.

Shapes: a pixel array is (..., 3); a matrix acts on a column, x -> A x + b. Values are RGB in [0, 1] as
encoded in the file (sRGB), and may leave that range: nothing here clips. Statistics are additive, and each
pixel may count by a weight: how far it lies inside a mask, times its opacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np
from jaxtyping import Float, UInt
from numpy import ndarray

Matrix = Float[ndarray, "3 3"]
Vector = Float[ndarray, "3"]
Pixels = Float[ndarray, "*positions 3"]
Weights = Float[ndarray, "*positions"]
LinearTransform = Literal["chol", "pca", "sym"]
LumaMatch = Literal["mean", "deviation"]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Rec.601 luma of R, G, B."""

_CHROMA_ROWS = ((0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


@final
@dataclass(frozen=True, slots=True)
class LumaMoments:
    """Mean and standard deviation of an image's luma."""

    mean: float
    deviation: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """How many pixels, their mean colour and their covariance (divided by the weight, not by one less).

    Additive: `a + b` are the moments of both sets of pixels together.

    Attributes:
        weight: Sum of the pixels' weights: their number where each counts fully. Where it is 0, mean and
            covariance are 0 as well and mean nothing.
        mean: Mean of each channel.
        covariance: Symmetric, positive semi-definite.
    """

    weight: float
    mean: Vector
    covariance: Matrix

    @classmethod
    def of(cls, pixels: Pixels, weights: Weights | None = None) -> Moments:
        """The moments of these pixels, summed in float64 about their own mean.

        Args:
            pixels: Any number of them.
            weights: How much each counts, 0 or more; fully by default.
        """
        flat = np.asarray(pixels, dtype=np.float64).reshape(-1, 3)
        each = np.ones(len(flat)) if weights is None else np.asarray(weights, dtype=np.float64).reshape(-1)
        total = float(each.sum())
        if total == 0:
            return cls(0.0, np.zeros(3), np.zeros((3, 3)))
        mean = each @ flat / total
        centred = flat - mean
        return cls(total, mean, (each[:, None] * centred).T @ centred / total)

    def __add__(self, other: Moments) -> Moments:
        # Means and centred sums are merged, never raw sums of squares: those cancel on nearly flat images.
        weight = self.weight + other.weight
        share = other.weight / weight if weight else 0.0
        step = other.mean - self.mean
        covariance = (
            (1 - share) * self.covariance
            + share * other.covariance
            + share * (1 - share) * np.outer(step, step)
        )
        return Moments(weight, self.mean + share * step, covariance)

    @property
    def luma(self) -> LumaMoments:
        """Mean and deviation of the luma: exact, because luma is linear in the colour."""
        weights = np.array(LUMA_WEIGHTS)
        variance = float(weights @ self.covariance @ weights)
        return LumaMoments(float(weights @ self.mean), max(variance, 0.0) ** 0.5)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How much weight each level of each channel has: level k of n stands for the value k / (n - 1).

    Additive: `a + b` is the histogram of both sets of pixels together; both must have as many levels.

    Attributes:
        weights: (3, levels), 0 or more.
    """

    weights: Float[ndarray, "3 levels"]

    @classmethod
    def of(
        cls, pixels: UInt[ndarray, "*positions 3"], levels: int, weights: Weights | None = None
    ) -> Histogram:
        """The histogram of these integers below `levels`, each counted by its weight (fully by default)."""
        flat = np.asarray(pixels).reshape(-1, 3)
        each = None if weights is None else np.asarray(weights, dtype=np.float64).reshape(-1)
        counts = [np.bincount(channel, each, minlength=levels) for channel in flat.T]
        return cls(np.stack(counts).astype(np.float64))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.weights + other.weights)

    @property
    def weight(self) -> float:
        """Sum of the pixels' weights."""
        return float(self.weights[0].sum())


@final
@dataclass(frozen=True, slots=True, eq=False)
class AffineMap:
    """x -> A x + b on colours in [0, 1]: what linear and luma maps are.

    Attributes:
        matrix: A.
        offset: b.
    """

    matrix: Matrix
    offset: Vector

    @classmethod
    def identity(cls) -> AffineMap:
        """The map that keeps every colour."""
        return cls(np.eye(3), np.zeros(3))


@final
@dataclass(frozen=True, slots=True, eq=False)
class CurveMap:
    """A curve for each channel: what histogram matching gives.

    Attributes:
        curves: (3, levels): where the value k / (levels - 1) goes, never falling with k.
    """

    curves: Float[ndarray, "3 levels"]


ColourMap: TypeAlias = AffineMap | CurveMap


def rgb_to_yiq() -> Matrix:
    """The matrix from RGB to YIQ; its first row is the Rec.601 luma, the others sum to zero."""
    return np.array([LUMA_WEIGHTS, *_CHROMA_ROWS])


def yiq_to_rgb() -> Matrix:
    """The inverse of `rgb_to_yiq`, computed and not rounded, so that the pair returns what it was given.

    Differs from the paper: the authors' pair of printed matrices is off by up to 0.74/255.
    """
    return np.asarray(np.linalg.inv(rgb_to_yiq()))


def luminance_transfer() -> Float[ndarray, "3 6"]:
    """Takes RGB of one image, then RGB of another, to the luma of the first with the chroma of the second."""
    luma = np.diag([1.0, 0.0, 0.0])
    forward, back = rgb_to_yiq(), yiq_to_rgb()
    return np.hstack([back @ luma @ forward, back @ (np.eye(3) - luma) @ forward])


def linear_map(
    source: Moments, target: Moments, transform: LinearTransform = "pca", eps: float = 1e-5
) -> AffineMap:
    """The map x -> A x + b that gives an image with moments `source` the mean and covariance of `target`.

    Exact: A (C_t + eps I) A^T = C_s + eps I and A m_t + b = m_s, t being `source` (the image that is
    recoloured) and s `target` (whose colours it takes). Grey and single-coloured images give finite maps.

    Args:
        source: Moments of the image that is recoloured.
        target: Moments of the image that the colours come from.
        transform: `chol` L_s L_t^-1 from Cholesky factors; `pca` C_s^(1/2) C_t^(-1/2) with symmetric roots;
            `sym` the optimal-transport map C_t^(-1/2) (C_t^(1/2) C_s C_t^(1/2))^(1/2) C_t^(-1/2).
        eps: What is added to both diagonals, positive.

    Returns:
        A and b in float64.

    Raises:
        ValueError: An unknown transform, an eps that is not positive, or moments of no pixels.

    Source: Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", section 5 and its
    supplement (`chol`, and `pca`, which the authors prefer). Differs from the paper: eps stands on both
    diagonals, so that the equation above still holds exactly; `sym`, the map that moves colours least, is
    added; the result is not clipped.
    """
    if not (source.weight > 0 and target.weight > 0):
        raise ValueError("a map needs the moments of at least one pixel on both sides")
    if eps <= 0:
        raise ValueError(f"eps must be positive, or a single-coloured image has no inverse; got {eps}")
    from_covariance = source.covariance + eps * np.eye(3)
    to_covariance = target.covariance + eps * np.eye(3)
    if transform == "chol":
        matrix = np.linalg.cholesky(to_covariance) @ np.linalg.inv(np.linalg.cholesky(from_covariance))
    elif transform == "pca":
        matrix = _power(to_covariance, 0.5) @ _power(from_covariance, -0.5)
    elif transform == "sym":
        root, inverse_root = _power(from_covariance, 0.5), _power(from_covariance, -0.5)
        matrix = inverse_root @ _power(root @ to_covariance @ root, 0.5) @ inverse_root
    else:
        raise ValueError(f"transform is chol, pca or sym; got {transform!r}")
    return AffineMap(matrix, target.mean - matrix @ source.mean)


def histogram_map(source: Histogram, target: Histogram) -> CurveMap:
    """The curves that give an image with histogram `source` the histogram `target`, channel by channel.

    The share of pixels below a value stays what it was: with F the share below a level plus half of the
    level's own, a level v of the source goes to F_t^-1(F_s(v)). F_t is joined by straight lines between the
    levels that the target has, so a smooth gradient stays smooth even where they are few; a target with wide
    gaps is therefore met with its gaps bridged. Levels that the source lacks (they lie outside a mask) are
    interpolated between its own, and beyond these shifted with the outermost. Counting half of each level's
    own share makes the map of an image to itself the identity, exactly, and sends a single-coloured image to
    the target's median.

    Args:
        source: Of the image that is recoloured.
        target: Of the image that the colours come from; it may have another number of levels.

    Returns:
        Curves over the source's levels, monotone and within the target's range on the source's own levels.

    Raises:
        ValueError: One of the two counts no pixel.

    Differs from the paper: it has linear maps alone; this one follows the marginals exactly and knows nothing
    of how channels go together.
    """
    if not (source.weight > 0 and target.weight > 0):
        raise ValueError("a map needs the histogram of at least one pixel on both sides")
    return CurveMap(
        np.stack([_curve(own, other) for own, other in zip(source.weights, target.weights, strict=True)])
    )


def _curve(source: Float[ndarray, " levels"], target: Float[ndarray, " others"]) -> Float[ndarray, " levels"]:
    values, quantiles = _quantiles(source)
    goals, goal_quantiles = _quantiles(target)
    mapped = np.interp(quantiles, goal_quantiles, goals)
    levels = np.arange(len(source)) / (len(source) - 1)
    curve = np.interp(levels, values, mapped)
    below, above = levels < values[0], levels > values[-1]
    curve[below] = levels[below] + (mapped[0] - values[0])
    curve[above] = levels[above] + (mapped[-1] - values[-1])
    # Rounding may let an interpolated value fall by its last digit.
    return np.maximum.accumulate(curve)


def _quantiles(
    weights: Float[ndarray, " levels"],
) -> tuple[Float[ndarray, " held"], Float[ndarray, " held"]]:
    """The values that occur, and for each the share of weight below it plus half of its own."""
    held = np.flatnonzero(weights)
    shares = weights[held] / weights.sum()
    return held / (len(weights) - 1), np.cumsum(shares) - shares / 2


def luminance_map(
    style: LumaMoments, content: LumaMoments, match: LumaMatch = "mean", eps: float = 1e-5
) -> tuple[float, float]:
    """Scale and shift that bring the style's luma to the content's: y -> scale y + shift.

    Args:
        style: Luma of the image that is changed.
        content: Luma that it takes.
        match: `mean` shifts only (scale 1), as the authors' code does; `deviation` also scales to the
            content's standard deviation, as the paper's text says.
        eps: What is added to both variances, so that a flat style does not blow up its noise.
    """
    if match == "mean":
        scale = 1.0
    elif match == "deviation":
        scale = float(np.sqrt((content.deviation**2 + eps) / (style.deviation**2 + eps)))
    else:
        raise ValueError(f"match is mean or deviation; got {match!r}")
    return scale, content.mean - scale * style.mean


def grey_map(scale: float = 1.0, shift: float = 0.0) -> AffineMap:
    """The map to scale x luma + shift in three equal channels."""
    return AffineMap(np.tile(scale * np.array(LUMA_WEIGHTS), (3, 1)), np.full(3, shift))


def _power(matrix: Matrix, exponent: float) -> Matrix:
    """A symmetric positive definite matrix to a real power, symmetric itself."""
    values, vectors = np.linalg.eigh(matrix)
    # Rounding can bring an eigenvalue of a rank-deficient product to zero or below.
    values = np.maximum(values, np.finfo(np.float64).tiny)
    return np.asarray((vectors * values**exponent) @ vectors.T)
