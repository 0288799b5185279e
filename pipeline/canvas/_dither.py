"""From many levels to 256 without steps: what rounding loses is spread as noise that the eye hardly sees."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from pipeline.canvas import _vips

_TILE_PX = 128
_BANDS = 4
_ROUNDS = 8
_SEED = 20_170_721
_LOWEST = 0.35  # of the highest frequency of a row


def to_8_bits(image: _vips.Image) -> _vips.Image:
    """A float image in [0, 1] as 8 bits, each sample one of its two neighbouring levels.

    The noise added before rounding is uniform over one level, so a level itself is never moved, and over any
    128x128 px the share of samples rounded up is exactly what was lost, to 1/16384. It is always the same,
    and depends on a pixel's place alone: parts of an image are rounded as in the whole.
    """
    noise = _vips.from_array(_noise_tile()[..., : image.bands])
    across, down = (math.ceil(side / _TILE_PX) for side in (image.width, image.height))
    noise = noise.replicate(across, down).crop(0, 0, image.width, image.height)
    return (image.cast("double") * 255.0 + noise).rint().cast("uchar")


@cache
def _noise_tile() -> Float32[ndarray, "height width bands"]:
    """Noise in (-1/2, 1/2), every value once per band, with next to nothing at low frequencies; it tiles.

    White noise is freed of its low frequencies and made uniform again, in turns.
    """
    generator = np.random.default_rng(_SEED)
    frequency = np.hypot(np.fft.fftfreq(_TILE_PX)[:, None], np.fft.fftfreq(_TILE_PX)[None])
    passed = 1 - np.exp(-((frequency / _LOWEST) ** 2) / 2)
    bands = []
    for _ in range(_BANDS):
        values = generator.permutation(_TILE_PX**2).astype(np.float64)
        for _ in range(_ROUNDS):
            filtered = np.fft.ifft2(np.fft.fft2(values.reshape(_TILE_PX, _TILE_PX)) * passed).real
            values = np.argsort(np.argsort(filtered, axis=None, kind="stable")).astype(np.float64)
        bands.append((values.reshape(_TILE_PX, _TILE_PX) + 0.5) / _TILE_PX**2 - 0.5)
    return np.stack(bands, axis=-1).astype(np.float32)
