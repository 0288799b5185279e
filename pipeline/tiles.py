"""How an image is cut into tiles: cores that own pixels, halos that are only read. Pure integers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from pipeline.geometry import Box, Size


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

    The cores of a row are as equal as the stride allows, none larger than `core_px`: a thin last tile
    would cost nearly as much halo as a full one.

    Args:
        size: The image, padded to a multiple of the stride beforehand.
        core_px: The largest side of a core.
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
    rows = _edges(size.height, core_px, stride_px)
    columns = _edges(size.width, core_px, stride_px)
    cores = [
        Box(top, left, bottom, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    return tuple(Tile(core, core.grown(halo_px, within=size)) for core in cores)


def halo_overhead(size: Size, core_px: int, halo_px: int, stride_px: int) -> float:
    """Pixels computed per pixel of an image that is cut so: 1.0 without halos, 1.27 for 1024 px and 64 px.

    A planner asks it of images with millions of tiles: rows and columns are enough to know the areas' sum.
    """
    rows = _haloed_length(_edges(size.height, core_px, stride_px), halo_px)
    columns = _haloed_length(_edges(size.width, core_px, stride_px), halo_px)
    return rows * columns / size.area


def _haloed_length(edges: list[int], halo_px: int) -> int:
    """The lengths of all cores along one side with their halos, cut off at the borders, added."""
    return sum(
        min(edges[-1], end + halo_px) - max(0, start - halo_px) for start, end in itertools.pairwise(edges)
    )


def _edges(length_px: int, core_px: int, stride_px: int) -> list[int]:
    """Where cores begin and end along one side; rounding: each edge down to the stride's grid."""
    count = -(-length_px // core_px)
    units = length_px // stride_px
    return [units * index // count * stride_px for index in range(count + 1)]
