"""A coarse mask brought to a photograph's full size, along its edges, block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from pipeline import matting
from pipeline.canvas import _vips
from pipeline.canvas.transform import clipped, resampled
from pipeline.files import scratch_path
from pipeline.geometry import Box, Size

_LONGEST_GRID_PX = 1024
_UNIT = 1 / 128
_BLOCK_PX = 512


def write_matte(
    probability: Float[ndarray, "height width"],
    image: Path,
    output: Path,
    *,
    unit: float = _UNIT,
    block_px: int = _BLOCK_PX,
) -> None:
    """Writes the mask at the size of `image` as an 8-bit tiled TIFF: it follows hair and edges, stays soft.

    Exactly 0 or 1 where `probability` is decided (`matting.fit` says where). The image is read twice: once
    averaged down, once by blocks at the edge of the mask. Memory grows with its width at most; the blocks
    leave no trace, the file is the same for any `block_px`.

    Args:
        probability: The coarse mask in [0, 1], of any size and aspect ratio: it is stretched over the image.
        image: A prepared image, grey or colour, 8 or 16 bits. Its alpha is ignored.
        output: The TIFF; beside it lies one byte per pixel of scratch while it is written.
        unit: How far the coarse mask's edge may be from the true one, as a share of the image's shorter side:
            two pixels of the person network's 256.
        block_px: Side of the blocks.

    Raises:
        InputError: `image` cannot be read, or is damaged.
    """
    source = _colours(_vips.load(image))
    size = _vips.size(source)
    matte = _fitted(probability, source, image, unit)
    with scratch_path(output, "raw") as raw:
        with raw.open("wb") as file:
            for top in range(0, size.height, block_px):
                file.write(_strip(matte, source, image, top, block_px).data)
        levels = pyvips.Image.rawload(str(raw), size.width, size.height, 1).copy(interpretation="b-w")
        _vips.save_tiff(levels, output, raw, compression="deflate")


def _fitted(
    probability: Float[ndarray, "height width"], source: _vips.Image, image: Path, unit: float
) -> matting.Matte:
    size = _vips.size(source)
    longest = min(max(size.height, size.width), max(probability.shape), _LONGEST_GRID_PX)
    scale = longest / max(size.height, size.width)
    grid = Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))
    coarse = _vips.from_array(np.asarray(probability, dtype=np.float32))
    prior = clipped(resampled(coarse, grid, "linear"))
    small = resampled(_vips.as_unit_float(source), grid, "linear")
    unit_px = max(1.0, unit * min(grid.height, grid.width))
    return matting.fit(_pixels(image, prior)[..., 0], _pixels(image, small), unit_px)


def _strip(
    matte: matting.Matte, source: _vips.Image, image: Path, top: int, block_px: int
) -> UInt8[ndarray, "rows width"]:
    size = _vips.size(source)
    bottom = min(top + block_px, size.height)
    strip = np.empty((bottom - top, size.width), np.uint8)
    for left in range(0, size.width, block_px):
        box = Box(top, left, bottom, min(left + block_px, size.width))
        value = matting.constant(matte, box, size)
        if value is None:
            block = source.crop(box.left, box.top, box.size.width, box.size.height)
            alpha = matting.render(matte, _pixels(image, _vips.as_unit_float(block)), box, size)
            strip[:, box.left : box.right] = np.rint(alpha * np.float32(255))
        else:
            strip[:, box.left : box.right] = round(value * 255)
    return strip


def _colours(image: _vips.Image) -> _vips.Image:
    """Three bands: the colours, or grey three times."""
    if image.bands >= 3:
        return image.extract_band(0, n=3)
    grey = image.extract_band(0)
    return grey.bandjoin([grey, grey])


def _pixels(path: Path, image: _vips.Image) -> Float32[ndarray, "height width bands"]:
    with _vips.reading(path):
        pixels = image.numpy()
    return np.asarray(pixels, dtype=np.float32).reshape(image.height, image.width, image.bands)
