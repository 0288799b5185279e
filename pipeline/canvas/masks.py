"""Masks as users give them: an image of any size whose light part is inside, or what it leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from pipeline.canvas import _vips
from pipeline.canvas.inputs import read_header
from pipeline.canvas.transform import clipped, resampled
from pipeline.errors import InputError
from pipeline.geometry import Size

_INVERTED = "not:"
_ROUNDING = 1e-3


class Mask(NamedTuple):
    """Which part of an image is meant.

    Attributes:
        path: An image of any size, grey or RGB; light is inside. Of a colour image the mean of its colours;
            what is transparent is outside, whatever colour it hides.
        inverted: Whether what the mask leaves is meant.
    """

    path: Path
    inverted: bool = False

    @classmethod
    def parse(cls, text: str) -> Mask:
        """The mask that `FILE` says, or what it leaves, that `not:FILE` says."""
        return cls(Path(text.removeprefix(_INVERTED)), text.startswith(_INVERTED))

    def __str__(self) -> str:
        return f"{_INVERTED if self.inverted else ''}{self.path}"


def channel(path: Path, inverted: bool, size: Size) -> _vips.Image:
    """The mask as one float band in [0, 1] at `size`, upright, soft where the mask is.

    A mask in floating point is read through once, for numbers that no mask can hold.

    Raises:
        InputError: The mask cannot be read, is of inks, has bands besides its colours and alpha, or holds
            numbers that are not finite or not between 0 and 1.
    """
    has_alpha = read_header(path, min_side_px=1).has_alpha
    image = _vips.load(path)
    if image.interpretation == "cmyk":
        raise InputError(path, expected="a mask in grey or RGB", found="CMYK", fix="Export it as grey")
    if image.format == "float":
        _check_range(path, image)
    image = _vips.as_unit_float(image).autorot()
    light = image.extract_band(0, n=image.bands - has_alpha).bandmean()
    if has_alpha:
        light = light * image.extract_band(image.bands - 1)
    light = clipped(resampled(light, size, "linear"))
    return 1 - light if inverted else light


def is_dark(mask: Mask) -> bool:
    """Whether the mask covers nothing at all.

    Raises:
        InputError: As `channel`.
    """
    header = read_header(mask.path, min_side_px=1)
    with _vips.reading(mask.path):
        return float(channel(mask.path, mask.inverted, header.size).max()) == 0


def _check_range(path: Path, image: _vips.Image) -> None:
    with _vips.reading(path):
        found = image.stats()
    lowest, highest, total = (float(found(column, 0)[0]) for column in range(3))
    if not math.isfinite(total):
        raise InputError(path, expected="a mask of finite numbers", found="NaN or infinite ones")
    if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise InputError(
            path,
            expected="a mask between 0 and 1 where it is in floating point",
            found=f"{lowest:g} to {highest:g}",
        )
