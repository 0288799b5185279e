"""Soft proofs: how an image will look in the colours of a profile, and what of it cannot be shown there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from pipeline.canvas import _vips
from pipeline.canvas.export import to_profile
from pipeline.canvas.opacity import on_white
from pipeline.canvas.transform import clipped, resampled
from pipeline.files import atomic_path
from pipeline.formats import Encoding
from pipeline.geometry import Size

NOTICED = 3.0
"""CIEDE2000 beyond which a colour counts as another one; tables of presses are off by 1 to 2 themselves."""
_OUTSIDE = (255, 0, 255)


@final
@dataclass(frozen=True, slots=True)
class Proof:
    """What a profile does to an image's colours.

    Attributes:
        size: Of the small copy that was looked at.
        out_of_gamut: The share of its pixels that the device cannot show: that come back from it as another
            colour, sent there by the relative intent without black point compensation.
        mean_difference: The mean CIEDE2000 between image and proof, with the encoding's own intent.
        largest_difference: That which 99 % of the pixels stay below.
    """

    size: Size
    out_of_gamut: float
    mean_difference: float
    largest_difference: float


def write_proof(source: Path, target: Path, gamut: Path, encoding: Encoding, longer_side_px: int) -> Proof:
    """Writes a soft proof, and a picture in which what the device cannot show is magenta, as 8-bit sRGB PNGs.

    Args:
        source: A float image of three bands, or four with alpha, which is laid on white as on every press.
        target: The proof: the image as the device shows it, seen relative to its white.
        gamut: The other picture: the image in grey, with magenta.
        encoding: The profile, the intent, and black point compensation.
        longer_side_px: Of both, at most.

    Raises:
        InputError: The source cannot be read, or the profile is unusable.
    """
    image = _vips.load(source)
    scale = min(1.0, longer_side_px / max(image.width, image.height))
    size = Size(max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    with _vips.reading(source):
        small = clipped(resampled(on_white(_vips.as_unit_float(image)), size, "lanczos3")).copy_memory()
    proof = _back(to_profile(small, encoding), encoding.black_point_compensation)
    plain = Encoding(profile=encoding.profile, intent="relative", black_point_compensation=False)
    nearest = _back(to_profile(small, plain), compensated=False)
    own = _vips.as_levels(small, 16).copy(interpretation="rgb16")
    outside = _difference(own, nearest) > NOTICED
    apart = _difference(own, proof)
    _save(_vips.as_levels(_vips.as_unit_float(proof), 8), target)
    grey = np.asarray(small.numpy()).mean(axis=2, keepdims=True)
    shown = np.rint(255 * (0.25 + 0.5 * grey)).astype(np.uint8).repeat(3, axis=2)
    shown[outside] = _OUTSIDE
    _save(_vips.from_array(shown), gamut)
    return Proof(size, float(outside.mean()), float(apart.mean()), float(np.quantile(apart, 0.99)))


def _back(printed: _vips.Image, compensated: bool) -> _vips.Image:
    """What the device shows, in 16 bits of sRGB; the profile is in the image."""
    return printed.icc_transform(
        "srgb", embedded=True, intent="relative", black_point_compensation=compensated, depth=16
    )


def _difference(first: _vips.Image, second: _vips.Image) -> np.ndarray:
    left, right = (image.copy(interpretation="rgb16").colourspace("lab") for image in (first, second))
    return np.asarray(left.dE00(right).numpy(), dtype=np.float64)


def _save(image: _vips.Image, target: Path) -> None:
    with atomic_path(target) as partial, _vips.reading(target):
        image.copy(interpretation="srgb").pngsave(str(partial), keep="icc", profile="srgb")
