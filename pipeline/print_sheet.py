"""A file to be printed: the finished print on it, the picture, the bleed, and crop marks. Pure integers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

from pipeline.geometry import Box, Size

MM_PER_INCH = 25.4
WHITE = (255, 255, 255)

_MARK_GAP_MM = 3.0
_MARK_LENGTH_MM = 5.0
_MARK_WIDTH_MM = 0.25 / 72 * MM_PER_INCH


@final
@dataclass(frozen=True, slots=True)
class PrintSheet:
    """A file to be printed, and where things lie on it, in its pixels.

    The picture shows on the finished print and its bleed; what it leaves there has the colour `pad`. Beyond
    that lies white paper with the crop marks, where there are any.

    Attributes:
        size: Of the file.
        trim: The finished print.
        picture: The rendered picture; of a panel, most of it lies outside the file.
        bleed_px: How far the picture and `pad` go on over the finished print.
        pad: 8-bit sRGB.
        marks: The crop marks: black lines outside the bleed, whose inner edges continue the edges of the
            finished print.
    """

    size: Size
    trim: Box
    picture: Box
    bleed_px: int = 0
    pad: tuple[int, int, int] = WHITE
    marks: tuple[Box, ...] = ()

    @property
    def printed(self) -> Box:
        """The finished print and its bleed."""
        return _grown(self.trim, self.bleed_px)

    @property
    def is_picture_alone(self) -> bool:
        """Whether the file is the rendered picture and nothing else."""
        return self.picture == Box.whole(self.size) and not self.marks

    def moved(self, rows: int, columns: int, size: Size) -> PrintSheet:
        """The same things further down and to the right, in a file of this size."""
        return replace(
            self,
            size=size,
            trim=self.trim.moved(rows, columns),
            picture=self.picture.moved(rows, columns),
            marks=tuple(mark.moved(rows, columns) for mark in self.marks),
        )

    @classmethod
    def around(
        cls,
        t_size: Size,
        t_picture: Box,
        bleed_px: int,
        pad: tuple[int, int, int],
        mark_dpi: float | None,
    ) -> PrintSheet:
        """The sheet of a finished print of this size.

        Args:
            t_size: Of the finished print.
            t_picture: The picture in its frame.
            bleed_px: On each side.
            pad: What the picture leaves.
            mark_dpi: The resolution of the crop marks, which have a size on paper; None for none.
        """
        margin = margin_px(bleed_px, mark_dpi)
        trim = Box.whole(t_size).moved(margin, margin)
        return cls(
            size=_grown(trim, margin).size,
            trim=trim,
            picture=t_picture.moved(margin, margin),
            bleed_px=bleed_px,
            pad=pad,
            marks=() if mark_dpi is None else tuple(_marks(trim, bleed_px, mark_dpi)),
        )


def margin_px(bleed_px: int, mark_dpi: float | None) -> int:
    """What a sheet has on each side of the finished print: its bleed, or up to where crop marks end."""
    return bleed_px if mark_dpi is None else _gap_px(bleed_px, mark_dpi) + _px(_MARK_LENGTH_MM, mark_dpi)


def _marks(trim: Box, bleed_px: int, dpi: float) -> Iterator[Box]:
    """Two lines at each corner, outside of what they cut off."""
    near, far = _gap_px(bleed_px, dpi), margin_px(bleed_px, dpi)
    wide = _px(_MARK_WIDTH_MM, dpi)
    rows = ((trim.top - far, trim.top - near), (trim.bottom + near, trim.bottom + far))
    columns = ((trim.left - far, trim.left - near), (trim.right + near, trim.right + far))
    for left, (top, bottom) in itertools.product((trim.left - wide, trim.right), rows):
        yield Box(top, left, bottom, left + wide)
    for top, (left, right) in itertools.product((trim.top - wide, trim.bottom), columns):
        yield Box(top, left, top + wide, right)


def _gap_px(bleed_px: int, dpi: float) -> int:
    """How far from the finished print crop marks begin: outside the bleed, and never close to the edge."""
    return max(bleed_px, _px(_MARK_GAP_MM, dpi))


def _px(mm: float, dpi: float) -> int:
    return max(1, round(mm / MM_PER_INCH * dpi))


def _grown(box: Box, by: int) -> Box:
    return Box(box.top - by, box.left - by, box.bottom + by, box.right + by)
