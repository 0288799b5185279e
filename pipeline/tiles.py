"""How an image is cut into tiles: cores that own pixels, halos that are only read. Pure integers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from pipeline.geometry import Box, Size, align_up


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of an image.

    Attributes:
        core: The pixels this tile owns; the cores of all tiles cover the image exactly once.
        haloed: The pixels it must read: the core grown by the halo, cut off at the image's true borders.
    """

    core: Box
    haloed: Box

    @classmethod
    def whole(cls, size: Size) -> Tile:
        """The one tile that is the image of this size."""
        return cls(Box.whole(size), Box.whole(size))

    @property
    def t_core(self) -> Box:
        """The core in the frame of the haloed tile."""
        return self.core.relative_to(self.haloed)


def cut(size: Size, core_px: int, halo_px: int, stride_px: int) -> tuple[Tile, ...]:
    """Tiles whose cores cover `size` exactly, row by row, every edge on a multiple of `stride_px`.

    The tiles of a row are as equal as the stride allows, with their halos: those at the image's borders have
    one side without a halo, and own as much more. All then cost the same memory and time, and there are as
    few of them as can be.

    Args:
        size: The image, padded to a multiple of the stride beforehand.
        core_px: The largest side of a core with a halo on both sides. No tile is larger than such a one.
        halo_px: How far a tile reads beyond its core; `Layer.halo_px` of the deepest layer makes it exact.
        stride_px: The stride of the deepest layer in use.

    Raises:
        ValueError: `size`, `core_px` or `halo_px` is not a multiple of `stride_px`, or a core is empty.
    """
    if core_px < stride_px:
        raise ValueError(f"a tile's core holds at least one stride of {stride_px} px; got {core_px} px")
    for name, length_px in (
        ("height", size.height),
        ("width", size.width),
        ("core", core_px),
        ("halo", halo_px),
    ):
        if length_px % stride_px:
            raise ValueError(f"the {name}, {length_px} px, must be a multiple of the stride, {stride_px} px")
    rows = _edges(size.height, core_px, halo_px, stride_px)
    columns = _edges(size.width, core_px, halo_px, stride_px)
    cores = [
        Box(top, left, bottom, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    return tuple(Tile(core, core.grown(halo_px, within=size)) for core in cores)


def grid(size: Size, core_px: int, halo_px: int) -> tuple[int, int]:
    """How many rows and columns of tiles `cut` makes."""
    return _count(size.height, core_px, halo_px), _count(size.width, core_px, halo_px)


def least_core_px(size: Size, core_px: int, halo_px: int, stride_px: int) -> int:
    """The least side of cores that `cut` makes as many tiles of as of this one; memory goes by it."""
    sides = [
        align_up(-(-_shared_px(length, halo_px) // count), stride_px)
        for length, count in zip((size.height, size.width), grid(size, core_px, halo_px), strict=True)
    ]
    return max(sides)


def halo_overhead(size: Size, core_px: int, halo_px: int, stride_px: int) -> float:
    """Pixels computed per pixel of an image that is cut so: 1.0 without halos, 1.27 for 1024 px and 64 px.

    A planner asks it of images with millions of tiles: rows and columns are enough to know the areas' sum.
    """
    rows = _haloed_length(_edges(size.height, core_px, halo_px, stride_px), halo_px)
    columns = _haloed_length(_edges(size.width, core_px, halo_px, stride_px), halo_px)
    return rows * columns / size.area


def _haloed_length(edges: list[int], halo_px: int) -> int:
    """The lengths of all cores along one side with their halos, cut off at the borders, added."""
    return sum(
        min(edges[-1], end + halo_px) - max(0, start - halo_px) for start, end in itertools.pairwise(edges)
    )


def _shared_px(length_px: int, halo_px: int) -> int:
    """What the cores along one side share out: border tiles own the width of a halo besides.

    All of it where every tile reads all there is: it is then cut for other reasons than the memory.
    """
    return length_px - 2 * halo_px if length_px > 2 * halo_px else length_px


def _count(length_px: int, core_px: int, halo_px: int) -> int:
    """Tiles along one side."""
    return -(-_shared_px(length_px, halo_px) // core_px)


def _edges(length_px: int, core_px: int, halo_px: int, stride_px: int) -> list[int]:
    """Where cores begin and end along one side; rounding: each edge down to the stride's grid."""
    count, shared_px = _count(length_px, core_px, halo_px), _shared_px(length_px, halo_px)
    first_px = (length_px - shared_px) // 2
    units = shared_px // stride_px
    inner = [first_px + units * index // count * stride_px for index in range(1, count)]
    return [0, *inner, length_px]
