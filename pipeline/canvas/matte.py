"""A coarse mask brought to a photograph's full size, along its edges, by regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from pipeline import matting
from pipeline.canvas import _vips
from pipeline.canvas.transform import clipped, resampled
from pipeline.geometry import Size

_LONGEST_GRID_PX = 1024
UNIT = 1 / 128
"""How far a coarse mask's edge may be from the true one, as a share of the image's shorter side."""


def write_matte(
    probability: Float[ndarray, "height width"], image: Path, output: Path, *, unit: float = UNIT
) -> None:
    """Writes the mask at the size of `image` as an 8-bit tiled TIFF: it follows hair and edges, stays soft.

    Exactly 0 or 1 where `probability` is decided (`matting.fit` says where). The image is read twice, once
    averaged down and once pixel by pixel; memory grows with its width at most.

    Args:
        probability: The coarse mask in [0, 1], of any size and aspect ratio: it is stretched over the image.
            Detail beyond 1024 px a side is not used.
        image: A prepared image, grey or colour, 8 or 16 bits. Its alpha is ignored.
        output: The TIFF.
        unit: How far the coarse mask's edge may be from the true one, as a share of the image's shorter side:
            two pixels of the person network's 256.

    Raises:
        InputError: `image` cannot be read, or is damaged.
    """
    source = colours_of(_vips.load(image))
    with _vips.reading(image):
        (matte,) = fitted([probability], source, unit)
    levels = _vips.as_levels(evaluated(matte, source), 8).copy(interpretation="b-w")
    _vips.save_tiff(levels, output, image, compression="deflate")


def evaluated(matte: matting.Matte, colours: _vips.Image) -> _vips.Image:
    """The matte of an image of three float bands, at its size: `matting.Matte`'s equation."""
    planes = np.concatenate(
        [matte.slope, np.stack([matte.offset, matte.doubt, matte.prior], axis=-1)], axis=-1
    )
    grid = _vips.from_array(planes.astype(np.float32))
    full = resampled(grid, _vips.size(colours), "linear")
    terms = full.extract_band(0, n=3) * colours
    value = full.extract_band(3)
    for band in range(3):
        value += terms.extract_band(band)
    doubt = full.extract_band(4)
    return doubt * clipped(value) + (1 - doubt) * full.extract_band(5)


def fitted(
    probabilities: Sequence[Float[ndarray, "height width"]], colours: _vips.Image, unit: float
) -> list[matting.Matte]:
    """The mattes of coarse masks of one size, for which the image is averaged down once."""
    size = _vips.size(colours)
    longer = max(size.height, size.width)
    scale = min(longer, max(probabilities[0].shape), _LONGEST_GRID_PX) / longer
    grid = Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))
    guide = _pixels(_averaged(colours, grid))
    found = []
    for probability in probabilities:
        coarse = _vips.from_array(np.asarray(probability, dtype=np.float32))
        prior = _pixels(clipped(resampled(coarse, grid, "linear")))[..., 0]
        found.append(matting.fit(prior, guide, unit * min(grid.height, grid.width)))
    return found


def _averaged(image: _vips.Image, size: Size) -> _vips.Image:
    """The image averaged down to `size`, which is not larger."""
    # Block means down to less than twice the size first: a kernel as wide as the whole reduction would hold
    # so many rows that memory grew with the image (225 MiB instead of 109 for 256 megapixels).
    narrow = image.reduceh(image.width / size.width, kernel="linear", gap=1.0)
    return narrow.reducev(image.height / size.height, kernel="linear", gap=1.0)


def colours_of(image: _vips.Image) -> _vips.Image:
    """Three float bands in [0, 1]: the colours, or grey three times."""
    if image.bands < 3:
        grey = image.extract_band(0)
        image = grey.bandjoin([grey, grey])
    return _vips.as_unit_float(image.extract_band(0, n=3))


def _pixels(image: _vips.Image) -> Float32[ndarray, "height width bands"]:
    return np.asarray(image.numpy(), dtype=np.float32).reshape(image.height, image.width, image.bands)
