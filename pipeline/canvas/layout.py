"""A picture laid out on the sheet it is printed on: cut or padded, on white paper, with crop marks."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

from pipeline.canvas import _vips
from pipeline.geometry import Box, Size
from pipeline.print_sheet import PrintSheet


def laid_out(
    image: _vips.Image, sheet: PrintSheet, pad: Sequence[float], paper: float = 1.0, ink: float = 0.0
) -> _vips.Image:
    """The sheet as an image of the picture's bands, by regions; the sheet's own colour `pad` is not read.

    Args:
        image: The picture in float, of the size of `sheet.picture`.
        sheet: Where it lies.
        pad: What the picture leaves of the finished print and its bleed, a value for each band.
        paper: What lies around that, in each band.
        ink: Of the crop marks, in each band.
    """
    if sheet.is_picture_alone:
        return image
    printed, picture = sheet.printed, sheet.picture
    shown = Box(
        max(printed.top, picture.top),
        max(printed.left, picture.left),
        min(printed.bottom, picture.bottom),
        min(printed.right, picture.right),
    )
    if shown.top < shown.bottom and shown.left < shown.right:
        part = shown.relative_to(picture)
        image = image.crop(part.left, part.top, part.size.width, part.size.height)
        image = _embedded(image, shown.relative_to(printed), printed, pad)
    else:
        # A panel of a padded print may lie in its margin.
        image = _plain(printed.size, pad)
    image = _embedded(image, printed, Box.whole(sheet.size), [paper] * image.bands)
    for mark in sheet.marks:
        image = image.insert(_plain(mark.size, [ink] * image.bands), mark.left, mark.top)
    return image


def _plain(size: Size, colour: Sequence[float]) -> _vips.Image:
    """An image of one colour in float."""
    black = pyvips.Image.black(size.width, size.height, bands=len(colour))
    return (black + list(colour)).cast("float")


def _embedded(image: _vips.Image, box: Box, within: Box, background: Sequence[float]) -> _vips.Image:
    """The image at the top left of `box`, in as much background as `within` is large."""
    if box == within:
        return image
    width, height = within.size.width, within.size.height
    return image.embed(box.left, box.top, width, height, extend="background", background=list(background))
