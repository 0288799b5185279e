"""What the judges of a result look at: its colours from afar, and how many of its pixels are clipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from pipeline.canvas import _vips
from pipeline.canvas.masks import Mask, channel
from pipeline.canvas.transform import clipped, resampled
from pipeline.geometry import Size


@final
@dataclass(frozen=True, slots=True)
class SeenColours:
    """An image's colours from afar, and how much of them is seen.

    Attributes:
        lab: CIELAB (D65 white, L from 0 to 100), of what is seen; black where nothing is.
        opacity: In [0, 1]; 1 where the image has none.
    """

    lab: Float32[ndarray, "height width 3"]
    opacity: Float32[ndarray, "height width"]


def read_lab(path: Path, size: Size) -> SeenColours:
    """The image's colours at a small size: of sRGB clipped to [0, 1] as in a print, and then averaged.

    Each pixel has its part in them by its opacity, if there is any: what is not seen has none.

    Raises:
        InputError: The file cannot be read.
    """
    image = clipped(_vips.as_unit_float(_vips.load(path)))
    has_opacity = image.bands > 3
    if has_opacity:
        image = (image.extract_band(0, n=3) * image.extract_band(3)).bandjoin(image.extract_band(3))
    with _vips.reading(path):
        small = clipped(resampled(image, size, "linear")).copy_memory()
    colours, opacity = small, np.ones((size.height, size.width), dtype=np.float32)
    if has_opacity:
        # libvips has 0 / 0 = 0.
        colours = clipped(small.extract_band(0, n=3) / small.extract_band(3))
        opacity = np.asarray(small.extract_band(3).numpy(), dtype=np.float32).reshape(size.height, size.width)
    lab = _vips.as_levels(colours, 16).copy(interpretation="rgb16").colourspace("lab").numpy()
    return SeenColours(np.asarray(lab, dtype=np.float32), opacity)


def read_shares(guides: Path, size: Size) -> Float32[ndarray, "height width regions"]:
    """Guidance channels at a small size, in [0, 1].

    Raises:
        InputError: The file cannot be read.
    """
    image = _vips.as_unit_float(_vips.load(guides))
    with _vips.reading(guides):
        shares = clipped(resampled(image, size, "linear")).numpy()
    return np.asarray(shares, dtype=np.float32).reshape(size.height, size.width, -1)


def read_square_shares(guides: Path, side_px: int) -> Float32[ndarray, "rows columns regions"]:
    """The mean of each guidance channel over each square of an image, in [0, 1], from one pass.

    Args:
        guides: The channels.
        side_px: Of the squares, the first at the top left; what of one lies outside the image counts as 0.

    Raises:
        InputError: The file cannot be read.
    """
    image = _vips.as_unit_float(_vips.load(guides))
    rows, columns = -(-image.height // side_px), -(-image.width // side_px)
    whole = image.embed(0, 0, columns * side_px, rows * side_px)
    with _vips.reading(guides):
        # Along rows first: what is held of them is then small.
        shares = whole.shrinkh(side_px).shrinkv(side_px).numpy()
    return np.asarray(shares, dtype=np.float32).reshape(rows, columns, -1)


def read_mask(mask: Mask, size: Size) -> Float32[ndarray, "height width"]:
    """A mask at a small size, in [0, 1].

    Raises:
        InputError: The file is no mask.
    """
    with _vips.reading(mask.path):
        values = channel(mask.path, mask.inverted, size).numpy()
    return np.asarray(values, dtype=np.float32).reshape(size.height, size.width)


def colour_differences(
    found: Float32[ndarray, "height width 3"], wanted: Float32[ndarray, "height width 3"]
) -> Float32[ndarray, "height width"]:
    """CIEDE2000 between colours in CIELAB, pixel by pixel."""
    left, right = (_vips.from_array(values).copy(interpretation="lab") for values in (found, wanted))
    return np.asarray(left.dE00(right).numpy(), dtype=np.float32)


@final
@dataclass(frozen=True, slots=True)
class Clipped:
    """How much of an image is at the ends of the range, as shares of its pixels.

    Attributes:
        dark: Of those with a channel at or below 0.
        light: Of those with one at or above 1.
        either: Of those that are one of both, or both at once, as pure red is.
    """

    dark: float
    light: float
    either: float


def clipped_shares(path: Path) -> Clipped:
    """The shares of pixels with a channel at black or white, or beyond; those without opacity do not count.

    All pixels are read, in one pass.

    Raises:
        InputError: The file cannot be read.
    """
    image = _vips.as_unit_float(_vips.load(path))
    colours = image.extract_band(0, n=3)
    # Each comparison is 255 or 0 per band.
    dark, light = (colours <= 0.0).bandor(), (colours >= 1.0).bandor()
    counted = dark.bandjoin([light, dark | light])
    if image.bands > 3:
        seen = image.extract_band(3) > 0.0
        counted = (counted & seen).bandjoin(seen)
    with _vips.reading(path):
        found = counted.stats()
    means = [float(found(4, 1 + band)[0]) for band in range(counted.bands)]
    whole = means[3] if image.bands > 3 else 255.0
    return Clipped(*(mean / whole if whole else 0.0 for mean in means[:3]))
