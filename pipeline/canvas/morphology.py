"""Masks grown, shrunk and feathered: by blocks, so that neither the mask nor the radius need fit in memory.

Grown by a radius r, a mask has at each pixel the greatest value within a distance of r (grey-scale dilation
by a flat disc: Serra, Image Analysis and Mathematical Morphology, 1982), so soft edges are moved as they are.
Shrunk is what remains when everything else is grown. Feathered is blurred by a Gaussian. What lies outside
the image counts for nothing: a mask that touches the border is not shrunk from there, nor feathered.

Small radii are exact. From 128 px on (feathering: from 16 px), the work is done on an image reduced by a
whole number, so that at least 64 (8) of its pixels fit in the radius, and interpolated back. Growing and
shrinking then place edges within 1/40 of the radius, and soften them over less than 1/30 of it on each side;
the thinnest hair is grown, and the thinnest gap kept, as if it were wide. Feathering is then within 0.002 of
the exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, final

import numpy as np
import pyvips
from jaxtyping import Num, UInt16
from numpy import ndarray

from pipeline.canvas import _vips
from pipeline.canvas.transform import resampled
from pipeline.geometry import Box, Size

DISC_PX = 64
"""The least radius in pixels of a reduced image when it is grown."""
BLUR_PX = 8
"""The least standard deviation in pixels of a reduced image when it is feathered."""
BLOCK_PX = 512

_LARGEST_REDUCTION = 256
_DEVIATIONS = 4
# In pixels of the reduced image: a mean over one of them has 1/12, the linear interpolation back 1/6.
_VARIANCE_OF_REDUCTION = 1 / 4
_FORMATS = {"uint16": "ushort", "float32": "float"}

_Pixels: TypeAlias = Num[ndarray, "height width"]


@final
@dataclass(frozen=True, slots=True)
class Workshop:
    """Where intermediate images are kept.

    Attributes:
        scratch: Gives the path of a new scratch file each time.
        sources: The files that the pixels come from, for the error when one is damaged.
        block_px: Side of the blocks that are worked on; the result is the same for any.
    """

    scratch: Callable[[], Path]
    sources: tuple[Path, ...]
    block_px: int = BLOCK_PX


def grown(image: _vips.Image, radius_px: float, workshop: Workshop) -> _vips.Image:
    """The mask and all within `radius_px` of it, in steps of 1/65535.

    Args:
        image: One float band in [0, 1].
        radius_px: At most the image's diagonal.
        workshop: Where the work is done.
    """
    factor = min(_LARGEST_REDUCTION, math.floor(radius_px / DISC_PX))
    levels = _vips.as_levels(image, 16)
    if factor < 2:
        return _vips.as_unit_float(_dilated(levels, radius_px, workshop))
    small = _reduced(levels, factor, np.max, "black", workshop)
    # A pixel of the reduced image is lit by any of its block, and interpolation adds half a pixel at the end.
    small = _dilated(small, radius_px / factor - 0.5, workshop)
    return _enlarged(_vips.as_unit_float(small), factor, _vips.size(image))


def shrunk(image: _vips.Image, radius_px: float, workshop: Workshop) -> _vips.Image:
    """The part of the mask that is farther than `radius_px` from what it leaves; see `grown`."""
    return 1 - grown(1 - image, radius_px, workshop)


def feathered(image: _vips.Image, deviation_px: float, workshop: Workshop) -> _vips.Image:
    """The mask blurred by a Gaussian of this standard deviation; beyond borders, it goes on as at the border.

    Args:
        image: One float band in [0, 1].
        deviation_px: At most the image's longer side.
        workshop: Where the work is done.
    """
    factor = min(_LARGEST_REDUCTION, math.floor(deviation_px / BLUR_PX))
    if factor < 2:
        return _blurred(image, deviation_px)
    small = _reduced(image, factor, np.mean, "copy", workshop)
    deviation = math.sqrt((deviation_px / factor) ** 2 - _VARIANCE_OF_REDUCTION)
    return _enlarged(_blurred(small, deviation), factor, _vips.size(image))


def _blurred(image: _vips.Image, deviation_px: float) -> _vips.Image:
    reach = math.ceil(_DEVIATIONS * deviation_px)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_px) ** 2)
    kernel = pyvips.Image.new_from_array([list(weights / weights.sum())])
    return image.convsep(kernel, precision="float").cast("float")


def _dilated(levels: _vips.Image, radius_px: float, workshop: Workshop) -> _vips.Image:
    """A 16-bit image of which each pixel is the greatest within the disc around it."""
    size = _vips.size(levels)
    reach = math.floor(radius_px)
    if reach == 0:
        return levels

    def strip(top: int, bottom: int) -> _Pixels:
        found = np.empty((bottom - top, size.width), np.uint16)
        for left in range(0, size.width, workshop.block_px):
            box = Box(top, left, bottom, min(left + workshop.block_px, size.width))
            seen = box.grown(reach, within=size)
            block = dilate(_crop(levels, seen, workshop), radius_px)
            found[:, box.left : box.right] = block[box.relative_to(seen).slices]
        return found

    strips = (
        strip(top, min(top + workshop.block_px, size.height))
        for top in range(0, size.height, workshop.block_px)
    )
    return _kept(strips, size, "uint16", workshop)


def dilate(levels: UInt16[ndarray, "height width"], radius_px: float) -> UInt16[ndarray, "height width"]:
    """The greatest value within `radius_px` of each pixel, of those inside the array.

    A disc is a stack of rows. The greatest of a row's n pixels is the greater of two runs of 2^k that
    overlap, and runs of 2^(k+1) come from runs of 2^k: three comparisons for each row of the disc, whatever
    its length.
    """
    reach = math.floor(radius_px)
    if levels.min() == levels.max():
        return levels
    height, width = levels.shape
    run, length = np.pad(levels, reach), 1
    found = np.zeros_like(levels)
    for away in range(reach, -1, -1):
        half = math.isqrt(math.floor(radius_px**2 - away**2))
        row = 2 * half + 1
        while 2 * length <= row:
            run = np.maximum(run[:, :-length], run[:, length:])
            length *= 2
        rows = run[reach - away : reach + away + height]
        start, end = reach - half, reach + half + 1 - length
        greatest = np.maximum(rows[:, start : start + width], rows[:, end : end + width])
        np.maximum(found, greatest[:height], out=found)
        np.maximum(found, greatest[2 * away :], out=found)
    return found


def _reduced(
    image: _vips.Image,
    factor: int,
    statistic: Callable[..., _Pixels],
    outside: Literal["black", "copy"],
    workshop: Workshop,
) -> _vips.Image:
    """One pixel for each block of `factor` squared, and a border of one pixel, from what lies outside."""
    cells = Size(2 - (-image.height // factor), 2 - (-image.width // factor))
    # Interpolation at the image's border needs a value beyond it.
    bordered = image.embed(factor, factor, cells.width * factor, cells.height * factor, extend=outside)
    side = max(1, workshop.block_px // factor)
    kind = "uint16" if image.format == "ushort" else "float32"

    def strip(top: int, bottom: int) -> _Pixels:
        found = np.empty((bottom - top, cells.width), kind)
        for left in range(0, cells.width, side):
            right = min(left + side, cells.width)
            box = Box(top * factor, left * factor, bottom * factor, right * factor)
            block = _crop(bordered, box, workshop)
            block = block.reshape(bottom - top, factor, right - left, factor)
            found[:, left:right] = statistic(block, axis=(1, 3))
        return found

    strips = (strip(top, min(top + side, cells.height)) for top in range(0, cells.height, side))
    return _kept(strips, cells, kind, workshop)


def _enlarged(small: _vips.Image, factor: int, size: Size) -> _vips.Image:
    """What was reduced, at its size again."""
    whole = Size(small.height * factor, small.width * factor)
    return resampled(small, whole, "linear").crop(factor, factor, size.width, size.height)


def _kept(strips: Iterator[_Pixels], size: Size, kind: str, workshop: Workshop) -> _vips.Image:
    """The strips, from the top, written to a scratch file and read from there."""
    path = workshop.scratch()
    with path.open("wb") as file:
        for strip in strips:
            file.write(strip.data)
    return pyvips.Image.rawload(
        str(path), size.width, size.height, 1, format=_FORMATS[kind], interpretation="b-w"
    )


def _crop(image: _vips.Image, box: Box, workshop: Workshop) -> _Pixels:
    with _vips.reading(*workshop.sources):
        pixels = image.crop(box.left, box.top, box.size.width, box.size.height).numpy()
    return np.asarray(pixels).reshape(box.size.height, box.size.width)
