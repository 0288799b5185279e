"""Colour statistics and the linear maps between them. numpy in float64, no torch, no files.

Shapes: a pixel array is (..., 3); a matrix acts on a column, x -> A x + b. Values are RGB in [0, 1] as
encoded in the file (sRGB), and may leave that range: nothing here clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Matrix = Float[ndarray, "3 3"]
Vector = Float[ndarray, "3"]
Pixels = Float[ndarray, "*positions 3"]
Transform = Literal["chol", "pca", "sym"]

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
    """How many pixels, their mean colour and their covariance (divided by the count, not by one less).

    Additive: `a + b` are the moments of both sets of pixels together.

    Attributes:
        count: Number of pixels, at least 1.
        mean: Mean of each channel.
        covariance: Symmetric, positive semi-definite.
    """

    count: int
    mean: Vector
    covariance: Matrix

    @classmethod
    def of(cls, pixels: Pixels) -> Moments:
        """The moments of these pixels, summed in float64 about their own mean."""
        flat = np.asarray(pixels, dtype=np.float64).reshape(-1, 3)
        if not len(flat):
            raise ValueError("moments need at least one pixel")
        mean = flat.mean(axis=0)
        centred = flat - mean
        return cls(len(flat), mean, centred.T @ centred / len(flat))

    def __add__(self, other: Moments) -> Moments:
        # Means and centred sums are merged, never raw sums of squares: those cancel on nearly flat images.
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        covariance = (
            (1 - share) * self.covariance
            + share * other.covariance
            + share * (1 - share) * np.outer(step, step)
        )
        return Moments(count, self.mean + share * step, covariance)

    @property
    def luma(self) -> LumaMoments:
        """Mean and deviation of the luma: exact, because luma is linear in the colour."""
        weights = np.array(LUMA_WEIGHTS)
        variance = float(weights @ self.covariance @ weights)
        return LumaMoments(float(weights @ self.mean), max(variance, 0.0) ** 0.5)


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
    source: Moments, target: Moments, transform: Transform = "pca", eps: float = 1e-5
) -> tuple[Matrix, Vector]:
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

    Source: Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", section 5 (colour).
    """
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
    return matrix, target.mean - matrix @ source.mean


def luminance_map(
    style: LumaMoments, content: LumaMoments, match: Literal["mean", "deviation"] = "mean", eps: float = 1e-5
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


def _power(matrix: Matrix, exponent: float) -> Matrix:
    """A symmetric positive definite matrix to a real power, symmetric itself."""
    values, vectors = np.linalg.eigh(matrix)
    # Rounding can bring an eigenvalue of a rank-deficient product to zero or below.
    values = np.maximum(values, np.finfo(np.float64).tiny)
    return np.asarray((vectors * values**exponent) @ vectors.T)
