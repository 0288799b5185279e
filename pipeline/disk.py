"""What an artwork's files take on the disk, from its plan alone: an upper bound, file by file; no torch.

Files that are compressed count in full: how far they shrink is known only afterwards. Images with alpha take
a fourth band at the end, which counts for those without as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline.combination import lengths
from pipeline.geometry import Size
from pipeline.level_plans import BudgetedPlan, LevelPlan
from pipeline.plan import Plan
from pipeline.shared_plans import CombinationPlan

_FILE_TILE_PX = 256
RENDERED = 12  # bytes per pixel: three float32
SIZED = 6  # three bands of 16 bits: an image in its own colours
PREPARED = 6  # three bands of 16 bits, or four of 8
MASK = 1
COMBINED = 2
GUIDE = 2
ASSEMBLED = 16  # with alpha
_PRINT_BANDS = 4  # with alpha, or CMYK
TILES = 2  # JPEGs of a picture and its halves, as measured
_MIB = 2**20


@final
@dataclass(frozen=True, slots=True)
class DiskUse:
    """What an artwork's files take.

    Attributes:
        kept_mib: What stays when the artwork is done.
        most_mib: What there is at once, at most: with the state of the level that is rendered, say.
    """

    kept_mib: int
    most_mib: int


def disk_use(plan: Plan, size_of: Callable[[Path], Size]) -> DiskUse:
    """What an artwork's files take, those included that it shares with others.

    Args:
        plan: The plan; its own `disk_mib` and `kept_mib` are not read.
        size_of: Gives the (height, width) of an image of the user's.
    """
    levels = plan.levels
    shared = _shared_bytes(plan, size_of)
    results = [_bytes(level.size, RENDERED) for level in levels]
    guides = [_guide_bytes(plan, level) for level in levels]
    # The lowest level starts from the content or a painting, each other from a file that goes again.
    starts = [results[0] if plan.painting is not None else 0, *results[1:]]
    while_rendering = [
        sum(results[:index]) + sum(guides) + starts[index] + _rendering_bytes(level)
        for index, level in enumerate(levels)
    ]
    # What an optimised level starts from is painted before it.
    if plan.painting is not None and not plan.is_painted:
        while_rendering.append(sum(guides) + starts[0] + plan.painting.disk_mib * _MIB)
    while_combining = [
        _bytes(Size(mask.height, mask.width), combining_per_px(mask)) for mask in plan.combinations.values()
    ]
    while_mixing = [_rendering_bytes(mix) for mix in plan.mixes.values()]
    settings, top = plan.settings, levels[-1].size
    printed = _printed_bytes(plan) + _deepzoom_bytes(plan)
    pictures = 3 * settings.preview_px**2 * (2 + len(levels) + len(levels[-1].targets))
    rendered = sum(results) + sum(guides)
    # The result is judged at each level's size.
    shrunk = max(results[:-1], default=0)
    at_the_end = [
        rendered + _bytes(top, assembled_per_px(plan)),
        rendered + _bytes(top, ASSEMBLED) + printed + pictures + shrunk,
    ]
    most = max(*while_combining, *while_mixing, *while_rendering, *at_the_end)
    return DiskUse(
        kept_mib=math.ceil((shared + rendered + printed + pictures) / _MIB),
        most_mib=math.ceil((shared + most) / _MIB),
    )


def _shared_bytes(plan: Plan, size_of: Callable[[Path], Size]) -> int:
    """What is kept under names that other artworks may share."""
    sizes = {key: size_of(path) for key, path in plan.sources.items()}
    sizes |= {key: crop.size for key, crop in plan.crops.items()}
    found = sum(_bytes(size, PREPARED) for size in sizes.values())
    found += sum(
        _bytes(Size(image.height, image.width), RENDERED if image.recolourings else SIZED)
        for image in plan.images.values()
    )
    found += sum(_bytes(mix.size, RENDERED) for mix in plan.mixes.values())
    found += sum(_bytes(sizes[mask.prepared], MASK) for mask in plan.masks.values())
    found += sum(_bytes(Size(mask.height, mask.width), COMBINED) for mask in plan.mask_crops.values())
    # The parts lie in one file before they have one each.
    found += sum(_bytes(sizes[cut.prepared], 2 * MASK * cut.parts) for cut in plan.partitions.values())
    found += sum(_bytes(Size(mask.height, mask.width), COMBINED) for mask in plan.combinations.values())
    for target in plan.targets.values():
        layers = [target.network.architecture.layer(name) for name in target.network.style_layers]
        found += sum(4 * (layer.channels**2 + 2 * layer.channels) for layer in layers)
    return found


def _printed_bytes(plan: Plan) -> int:
    """The print and its panels, in each of their formats."""
    assert plan.print is not None
    layout, settings = plan.print.layout, plan.settings.print
    sheets = [layout.sheet, *(panel.sheet for panel in layout.panels)]
    once = sum(_bytes(sheet.size, _PRINT_BANDS * settings.bits // 8) for sheet in sheets)
    whole = len(settings.format) * once
    return whole + (whole // 3 if settings.pyramid else 0)


def _deepzoom_bytes(plan: Plan) -> int:
    return 0 if plan.settings.deepzoom.format == "none" else TILES * plan.levels[-1].size.area


def assembled_per_px(plan: Plan) -> int:
    """Bytes per pixel of assembling a print's picture: with what brings chroma back, which goes again."""
    return ASSEMBLED + (0 if plan.chroma is None else 2 * RENDERED)


def combining_per_px(mask: CombinationPlan) -> int:
    """Bytes per pixel beside a mask while it is made from others: of each that grows, shrinks or blurs."""
    return COMBINED * sum(1 for _ in lengths(mask.expression))


def _guide_bytes(plan: Plan, level: LevelPlan) -> int:
    return _bytes(level.size, GUIDE * plan.settings.guidance_channels)


def rendering_mib(plan: BudgetedPlan) -> int:
    """What the job takes that optimises an image: its state, and the result that is written from it."""
    return math.ceil(_rendering_bytes(plan) / _MIB)


def _rendering_bytes(plan: BudgetedPlan) -> int:
    state, result = plan.disk_mib * _MIB, _bytes(plan.size, RENDERED)
    # Of vectors in files only the image is left by then; a state that was saved from memory stays.
    return max(state, 2 * result) if plan.store == "files" else state + result


def file_mib(size: Size, bytes_per_px: int) -> int:
    """What an image file takes, uncompressed."""
    return math.ceil(_bytes(size, bytes_per_px) / _MIB)


def print_mib(plan: Plan) -> int:
    """What a print and its panels take, in all formats that the artwork asks for."""
    return math.ceil(_printed_bytes(plan) / _MIB)


def _bytes(size: Size, per_px: int) -> int:
    """Of an image file that is laid out in square tiles, the last ones filled up."""
    return size.aligned_up(_FILE_TILE_PX).area * per_px
