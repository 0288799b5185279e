"""From an artwork's settings and its content's size to the levels and their sizes. Pure integers.

A level is named by the square root of its area in pixels. Levels come from `levels`, or from the print size:
then the top level is the picture on the print to the pixel, and each lower one has half its sides until one
is small enough for the network to see whole shapes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from pipeline.canvas import MAX_AREA_PX, MAX_SIDE_PX
from pipeline.config.models import SMALLEST_LEVEL_PX, ArtworkSettings
from pipeline.errors import UnfitError
from pipeline.geometry import Size
from pipeline.layers import STRIDE_PX
from pipeline.print_layout import PrintLayout, of_size

DEFAULT_LEVELS_PX = (512, 1024)
LOWEST_PRINT_LEVEL_PX = 640
SMALLEST_SIDE_PX = 32


@final
@dataclass(frozen=True, slots=True)
class Level:
    """One level of the pyramid.

    Attributes:
        px: Its name: the square root of its area.
        size: Its size in pixels, as files hold it.
    """

    px: int
    size: Size

    @property
    def padded(self) -> Size:
        """The size that is optimised: up to the next multiple of 16; the padding never leaves the level."""
        return self.size.aligned_up(STRIDE_PX)


def levels(settings: ArtworkSettings, content: Size, where: str) -> tuple[Level, ...]:
    """The levels of an artwork, lowest first.

    Args:
        settings: The artwork's settings.
        content: The content image's size.
        where: The artwork's key in the configuration, for errors.

    Raises:
        UnfitError: A level would be thinner than 32 pixels, or larger than what can be written, or the print
            smaller than the smallest level; or the levels do not end at the print.
    """
    layout = of_size(settings.print, content, where)
    given = tuple(level.px for level in settings.levels or ())
    if layout is None:
        found = tuple(Level(px, content.of_area(px)) for px in given or DEFAULT_LEVELS_PX)
        _check_largest(found[-1], content, where)
    else:
        found = _print_levels(layout, given, content, where)
    thin = found[0].size
    if min(thin.height, thin.width) < SMALLEST_SIDE_PX:
        raise UnfitError(
            f"{where}.levels",
            expected=f"levels that are {SMALLEST_SIDE_PX} px at least on their shorter side",
            found=f"{thin} px (height x width) at level {found[0].px} for a content image of {content} px",
            fix="Raise the lowest level, or crop the content image",
        )
    return found


def _check_largest(top: Level, content: Size, where: str) -> None:
    if _can_be_written(top.size):
        return
    longer = max(content.height, content.width)
    most = min(math.isqrt(MAX_AREA_PX), math.floor(MAX_SIDE_PX * math.sqrt(content.area) / longer))
    # Sides are rounded, so that the area may be a little larger than its name says.
    while not _can_be_written(content.of_area(most)):
        most -= 1
    raise UnfitError(
        f"{where}.levels",
        expected=f"at most {most} last, for sides of at most {MAX_SIDE_PX} px and {MAX_AREA_PX / 1e9:g} "
        "gigapixels in all",
        found=f"{top.px}, {top.size} px (height x width)",
    )


def _can_be_written(size: Size) -> bool:
    return max(size.height, size.width) <= MAX_SIDE_PX and size.area <= MAX_AREA_PX


def _print_levels(
    layout: PrintLayout, given: tuple[int, ...], content: Size, where: str
) -> tuple[Level, ...]:
    shape, top = layout.c_crop or content, layout.picture
    px = round(math.sqrt(top.area))
    if px < SMALLEST_LEVEL_PX:
        raise UnfitError(
            f"{where}.print",
            expected=f"a print of {SMALLEST_LEVEL_PX} x {SMALLEST_LEVEL_PX} px at least",
            found=f"{top} px (height x width)",
            fix="Raise the width, the height or the dpi",
        )
    if given and given[-1] != px:
        raise UnfitError(
            f"{where}.levels",
            expected=f"{px} last, the print of {top} px (height x width)",
            found=str(given[-1]),
            fix="Leave out the levels or the print's size: the one follows from the other",
        )
    if given:
        lower = given[:-1]
    else:
        halvings = max(0, math.ceil(math.log2(px / LOWEST_PRINT_LEVEL_PX)))
        lower = tuple(round(px / 2**k) for k in range(halvings, 0, -1))
    return (*(Level(each, shape.of_area(each)) for each in lower), Level(px, top))
