"""Masks combined into one file, by regions: what the form in pipeline/combination.py means for soft masks.

A mask's values are in [0, 1]: how far a pixel belongs to it. With a and b of two masks at a pixel,

    not a = 1 - a       union = max(a, b)       intersection = min(a, b)       a minus b = a - min(a, b)

as fuzzy sets have them (Zadeh, 1965), but for `minus`, which takes from a what both share. So a mask and
what it leaves sum to one; a mask united or intersected with itself is itself, and without itself nothing; and
the parts of a whole sum to one where the edges are soft as well: a, b minus a and not (a union b); or
a minus b, a intersection b, b minus a and not (a union b).
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache, reduce
from itertools import count
from pathlib import Path

import pyvips

from pipeline.canvas import _vips, masks
from pipeline.canvas.morphology import BLOCK_PX, Workshop, feathered, grown, shrunk
from pipeline.combination import EVERYTHING, Combination, Expression, leaves
from pipeline.files import scratch_path
from pipeline.geometry import Size
from pipeline.lengths import in_px

_DPI_OF_PX = 1.0


def combine_masks(expression: Expression, target: Path, size: Size, *, block_px: int = BLOCK_PX) -> None:
    """Writes the mask that an expression says, soft where its masks are soft, as a 16-bit tiled TIFF.

    Masks of other sizes are brought to `size` first. For each mask that is grown or shrunk, and each that is
    feathered far, two bytes per pixel at most lie beside `target` while it is written.

    Args:
        expression: Its leaves are mask files, as `Mask` has them, or `everything`; its lengths are in px.
        target: The TIFF.
        size: Its height and width.
        block_px: Side of the blocks that are worked on; the file is the same for any.

    Raises:
        InputError: A mask cannot be read, or holds numbers that are not finite or not between 0 and 1.
    """
    files = tuple(dict.fromkeys(Path(leaf) for leaf in leaves(expression) if leaf != EVERYTHING))
    numbers = count()
    with ExitStack() as stack:
        workshop = Workshop(
            lambda: stack.enter_context(scratch_path(target, f"part{next(numbers)}")),
            files or (target,),
            block_px,
        )
        image = _evaluated(expression, size, workshop)
        _vips.save_tiff(_vips.as_levels(image, 16), target, *workshop.sources, compression="deflate")


def _evaluated(expression: Expression, size: Size, workshop: Workshop) -> _vips.Image:
    @cache
    def leaf(text: str) -> _vips.Image:
        if text == EVERYTHING:
            return (pyvips.Image.black(size.width, size.height) + 1).cast("float")
        return masks.channel(Path(text), False, size)

    def image(expression: Expression) -> _vips.Image:
        return leaf(expression) if isinstance(expression, str) else combined(expression)

    def combined(node: Combination) -> _vips.Image:
        first, *others = (image(each) for each in node.of)
        match node.operation:
            case "not":
                return 1 - first
            case "union":
                return _union([first, *others])
            case "intersection":
                return reduce(pyvips.Image.minpair, [first, *others])
            case "minus":
                return first - first.minpair(_union(others)) if others else first
        length_px = in_px(node.by or "", _DPI_OF_PX)
        change = {"grow": grown, "shrink": shrunk, "feather": feathered}[node.operation]
        return change(first, length_px, workshop)

    return image(expression)


def _union(images: list[_vips.Image]) -> _vips.Image:
    return reduce(pyvips.Image.maxpair, images)
