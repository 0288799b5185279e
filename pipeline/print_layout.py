"""From a print's settings and its content's size to where everything lies on the sheet. Pure integers.

Lengths become pixels once, each by itself and to nearest: a side of the finished print is
`round(mm / 25.4 * dpi)`. From there on everything is whole pixels, so that parts fit together.

Frames are prefixes: `c_` the content image, `t_` the finished print as it hangs; without one, a file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import final

from pipeline.canvas import MAX_AREA_PX, MAX_SIDE_PX
from pipeline.config.printing import MOST_PANELS, Panels, Print
from pipeline.config.sections import Model, length_px
from pipeline.errors import UnfitError
from pipeline.geometry import Box, Size
from pipeline.print_sheet import MM_PER_INCH, PrintSheet, margin_px


@final
class Panel(Model):
    """One of the parts that a print is hung in.

    Attributes:
        name: What its file is called: `row-1-column-2`.
        row: From the top, from 1.
        column: From the left, from 1.
        t_box: What of the finished print it shows when it is cut to size, overlaps included.
        sheet: Its file.
    """

    name: str
    row: int
    column: int
    t_box: Box
    sheet: PrintSheet


@final
class PrintLayout(Model):
    """A print, to the pixel.

    Attributes:
        dpi: Pixels per inch.
        sheet: The print's file.
        c_crop: The size of the part of the content that is rendered, in the content's own pixels; None for
            all of it.
        panels: What the print is cut into, row by row; none where it is whole.
    """

    dpi: float
    sheet: PrintSheet
    c_crop: Size | None = None
    panels: tuple[Panel, ...] = ()

    @property
    def picture(self) -> Size:
        """What is rendered: the top level."""
        return self.sheet.picture.size

    @property
    def height_mm(self) -> float:
        """Of the finished print."""
        return self.mm(self.sheet.trim.size.height)

    @property
    def width_mm(self) -> float:
        """Of the finished print."""
        return self.mm(self.sheet.trim.size.width)

    def panel_in_sheet(self, panel: Panel) -> tuple[PrintSheet, Box]:
        """A panel's sheet in the frame of the whole print's, and which part of that its file is."""
        rows, columns = panel.t_box.top, panel.t_box.left
        # Both sheets have the same margins, so that the panel's file lies within the print's.
        box = Box.whole(panel.sheet.size).moved(rows, columns)
        return panel.sheet.moved(rows, columns, self.sheet.size), box

    def mm(self, px: float) -> float:
        """Millimetres on paper of so many pixels."""
        return px / self.dpi * MM_PER_INCH

    def content_dpi(self, content: Size) -> float:
        """The content image's own pixels per inch of the print, of what of it is rendered."""
        return self.dpi * math.sqrt((self.c_crop or content).area / self.picture.area)


def lay_out(settings: Print, content: Size, top: Size, where: str) -> PrintLayout:
    """Where everything lies on a print: that of its size, or else of the picture of the highest level.

    Args:
        settings: The print's.
        content: The content image's size.
        top: The highest level's size.
        where: The artwork's key in the configuration, for errors.

    Raises:
        UnfitError: As `of_size`; or panels cannot be had.
    """
    layout = of_size(settings, content, where)
    if layout is None:
        sheet = PrintSheet.around(top, Box.whole(top), 0, settings.pad, _mark_dpi(settings))
        layout = PrintLayout(dpi=settings.dpi, sheet=sheet)
    if settings.panels is None:
        return layout
    panels = tuple(_panels(settings.panels, settings, layout.sheet, f"{where}.print.panels"))
    return layout.model_copy(update={"panels": panels})


def of_size(settings: Print, content: Size, where: str) -> PrintLayout | None:
    """The print whose width or height is given, whole; None where neither is.

    Args:
        settings: The print's.
        content: The content image's size.
        where: The artwork's key in the configuration, for errors.

    Raises:
        UnfitError: It is larger than what can be written, or its bleed larger than half of it.
    """
    if not settings.has_size:
        return None
    asked = _asked(settings, content)
    if settings.fit == "contain":
        asked = _shape_within(content, asked)
    bleed = 0 if settings.bleed is None else length_px(settings.bleed, settings.dpi)
    _check(settings, asked, bleed, where)
    # Where the picture reaches an edge of the finished print it goes on over the bleed. All in all it has the
    # content's shape where it leaves margins, and the print's where it leaves none.
    picture = Size(asked.height + 2 * bleed, asked.width + 2 * bleed)
    if settings.fit == "pad":
        whole = _shape_within(content, picture)
        if whole.height < asked.height or whole.width < asked.width:
            picture = whole
    top, left = (asked.height - picture.height) // 2, (asked.width - picture.width) // 2
    t_picture = Box(top, left, top + picture.height, left + picture.width)
    sheet = PrintSheet.around(asked, t_picture, bleed, settings.pad, _mark_dpi(settings))
    crop = _cropped(content, picture)
    return PrintLayout(dpi=settings.dpi, sheet=sheet, c_crop=None if crop == content else crop)


def crop_box(content: Size, crop: Size, focus: tuple[float, float]) -> Box:
    """The part of the content that is kept: its middle is as near to the focus as the content allows.

    Args:
        content: The content's size.
        crop: The part's, no larger.
        focus: (x, y) as shares of the content's width and height.
    """
    x, y = focus
    left = min(max(0, round(x * content.width - crop.width / 2)), content.width - crop.width)
    top = min(max(0, round(y * content.height - crop.height / 2)), content.height - crop.height)
    return Box(top, left, top + crop.height, left + crop.width)


def _asked(settings: Print, content: Size) -> Size:
    """The finished print as it was asked for, turned where that is wanted.

    A side that was not asked for follows from the content's shape.
    """
    width = None if settings.width is None else length_px(settings.width, settings.dpi)
    height = None if settings.height is None else length_px(settings.height, settings.dpi)
    upright = width is not None and height is not None and height > width
    if settings.turn and (content.width > content.height if upright else content.height > content.width):
        width, height = height, width
    if width is None:
        assert height is not None
        width = max(1, round(height * content.width / content.height))
    elif height is None:
        height = max(1, round(width * content.height / content.width))
    return Size(height, width)


def _shape_within(shape: Size, space: Size) -> Size:
    """The largest size of this shape inside a space; the space itself where it has the shape to a pixel."""
    if _is_of_shape(shape, space):
        return space
    if space.height * shape.width <= space.width * shape.height:
        return Size(space.height, max(1, round(space.height * shape.width / shape.height)))
    return Size(max(1, round(space.width * shape.height / shape.width)), space.width)


def _cropped(content: Size, picture: Size) -> Size:
    """The largest part of the content that has the picture's shape; all of it where that is so to a pixel."""
    return content if _is_of_shape(content, picture) else _shape_within(picture, content)


def _is_of_shape(shape: Size, size: Size) -> bool:
    """Whether one side of a size follows from the other by a shape, once it is rounded to pixels."""
    return (
        round(size.width * shape.height / shape.width) == size.height
        or round(size.height * shape.width / shape.height) == size.width
    )


def _check(settings: Print, asked: Size, bleed: int, where: str) -> None:
    margin = margin_px(bleed, _mark_dpi(settings))
    sides = (asked.height + 2 * margin, asked.width + 2 * margin)
    if max(sides) > MAX_SIDE_PX or sides[0] * sides[1] > MAX_AREA_PX:
        raise UnfitError(
            f"{where}.print",
            expected=f"a print of at most {MAX_SIDE_PX} px a side and {MAX_AREA_PX / 1e9:g} "
            "gigapixels in all",
            found=f"{sides[0]}x{sides[1]} px (height x width)",
            fix="Lower its size or the dpi: from farther away, fewer pixels per inch look as sharp",
        )
    most = min(asked.height, asked.width) // 2
    if bleed > most:
        raise UnfitError(
            f"{where}.print.bleed",
            expected=f"at most half of the print's shorter side ({most} px)",
            found=f"{settings.bleed} ({bleed} px)",
        )


def _mark_dpi(settings: Print) -> float | None:
    return settings.dpi if settings.crop_marks else None


# -- panels ----------------------------------------------------------------------------------------


def _panels(panels: Panels, settings: Print, whole: PrintSheet, where: str) -> Iterator[Panel]:
    overlap = 0 if panels.overlap is None else length_px(panels.overlap, settings.dpi)
    margin = whole.trim.top

    def spans(side: int, count: int | None, greatest: str | None, *keys: str) -> list[tuple[int, int]]:
        most = None if greatest is None else length_px(greatest, settings.dpi)
        if most is not None:
            _check_greatest(side + 2 * margin, most, 2 * margin + max(1, 2 * overlap), f"{where}.{keys[1]}")
            count = math.ceil((side - overlap) / (most - 2 * margin - overlap))
            _check_count(count, most, keys, where)
        return _spans(side, count or 1, overlap, where)

    rows = spans(whole.trim.size.height, panels.rows, panels.height, "rows", "height")
    columns = spans(whole.trim.size.width, panels.columns, panels.width, "columns", "width")
    t_picture = whole.picture.moved(-margin, -margin)
    for (row, (top, bottom)), (column, (left, right)) in itertools.product(
        enumerate(rows, 1), enumerate(columns, 1)
    ):
        t_box = Box(top, left, bottom, right)
        picture = t_picture.moved(-top, -left)
        yield Panel(
            name=f"row-{row:0{len(str(len(rows)))}}-column-{column:0{len(str(len(columns)))}}",
            row=row,
            column=column,
            t_box=t_box,
            sheet=PrintSheet.around(t_box.size, picture, whole.bleed_px, whole.pad, _mark_dpi(settings)),
        )


def _check_greatest(whole: int, most: int, least: int, where: str) -> None:
    if most > whole:
        raise UnfitError(where, expected=f"at most the print's own, {whole} px", found=f"{most} px")
    if most < least:
        raise UnfitError(
            where,
            expected=f"at least {least} px, for twice the overlap, and bleed and crop marks on both sides",
            found=f"{most} px",
        )


def _check_count(count: int, most: int, keys: Sequence[str], where: str) -> None:
    if count > MOST_PANELS:
        raise UnfitError(
            f"{where}.{keys[1]}",
            expected=f"at most {MOST_PANELS} {keys[0]}",
            found=f"{count}, of {most} px each",
        )


def _spans(side: int, count: int, overlap: int, where: str) -> list[tuple[int, int]]:
    """Where panels begin and end along a side: equal but for a pixel, each shares `overlap` with the next."""
    if count == 1:
        return [(0, side)]
    if side - overlap < count * max(1, overlap):
        raise UnfitError(
            f"{where}.overlap",
            expected=f"at most {side // (count + 1)} px, half of one of {count} panels on {side} px",
            found=f"{overlap} px",
        )
    starts = [number * (side - overlap) // count for number in range(count + 1)]
    return [(start, end + overlap) for start, end in itertools.pairwise(starts)]
