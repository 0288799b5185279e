"""Small copies of photographs, in memory: what a network is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pipeline.canvas import _vips
from pipeline.canvas.inputs import read_header, to_srgb
from pipeline.canvas.transform import resampled
from pipeline.geometry import Size


def read_shrunk(path: Path, shorter_px: int) -> UInt8[ndarray, "height width 3"]:
    """A photograph upright in 8-bit sRGB, shrunk until its shorter side has so many pixels; alpha is dropped.

    Smaller ones keep their size. Colours are converted as `prepare` does.

    Raises:
        InputError: As `read_header`, or the pixels are damaged or truncated.
    """
    header = read_header(path, min_side_px=1)
    shorter = min(header.size.height, header.size.width)
    scale = min(1.0, shorter_px / shorter)
    size = Size(max(1, round(header.size.height * scale)), max(1, round(header.size.width * scale)))
    image = _vips.load(path)
    with _vips.reading(path):
        image = image.autorot().extract_band(0, n=header.bands - header.has_alpha)
        image = _vips.as_unit_float(to_srgb(image, 8 if header.bits == 8 else 16))
        pixels = _vips.as_levels(resampled(image, size, "lanczos3"), 8).numpy()
    return np.asarray(pixels, dtype=np.uint8)
