"""How a level is dealt to the processes that work on it: strips of whole rows. Pure integers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import final

from pipeline.geometry import Box, Size
from pipeline.tiles import Tile, cut


@final
@dataclass(frozen=True, slots=True)
class Strip:
    """The rows of a level that one process answers for, and the rows around them that it holds as well.

    Its own frame, that of its vectors, begins at the first row that it holds.

    Attributes:
        level: The whole level.
        top: The first row it answers for, in the level's frame.
        bottom: One past the last.
        halo_px: Rows that it holds on either side, where the level has them.
    """

    level: Size
    top: int
    bottom: int
    halo_px: int

    @classmethod
    def whole(cls, level: Size) -> Strip:
        """The strip that is the level."""
        return cls(level, 0, level.height, 0)

    @property
    def held(self) -> Box:
        """All that it holds, in the level's frame."""
        return Box(
            max(0, self.top - self.halo_px),
            0,
            min(self.level.height, self.bottom + self.halo_px),
            self.level.width,
        )

    @property
    def size(self) -> Size:
        """Of what it holds."""
        return self.held.size

    def local(self, box: Box) -> Box:
        """A box of the level's frame in the strip's own."""
        return box.relative_to(self.held)

    def tiles(self, core_px: int, halo_px: int, stride_px: int) -> tuple[Tile, ...]:
        """Its tiles, in the level's frame, as `cut` makes them of an image of the rows that they read.

        Raises:
            ValueError: As `cut`; or a tile would read more rows than the strip holds.
        """
        if self.size != self.level and halo_px > self.halo_px:
            raise ValueError(
                f"a strip with halos of {self.halo_px} px has no tiles with halos of {halo_px} px"
            )
        own = Box(self.top, 0, self.bottom, self.level.width)
        read = own.grown(halo_px, within=self.level)
        tiles = cut(Size(read.bottom - read.top, self.level.width), core_px, halo_px, stride_px)
        cores = []
        for core in (tile.core.moved(read.top, 0) for tile in tiles):
            # Where a strip ends inside the level, another owns the rows that are no halo to `cut`.
            top, bottom = max(core.top, own.top), min(core.bottom, own.bottom)
            if top < bottom:
                cores.append(Box(top, core.left, bottom, core.right))
        return tuple(Tile(core, core.grown(halo_px, within=self.level)) for core in cores)

    def halos(self) -> tuple[Box | None, Box | None]:
        """The rows above and below that others answer for, in its own frame; None at the level's borders."""
        height, width = self.size.height, self.size.width
        return (
            Box(0, 0, self.halo_px, width) if self.top > 0 else None,
            Box(height - self.halo_px, 0, height, width) if self.bottom < self.level.height else None,
        )

    def borders(self) -> tuple[Box | None, Box | None]:
        """Its own rows that the processes above and below hold as halos, in its own frame."""
        above, below = self.halos()
        return (
            None if above is None else Box(above.bottom, 0, above.bottom + self.halo_px, above.right),
            None if below is None else Box(below.top - self.halo_px, 0, below.top, below.right),
        )


def deal(level: Size, count: int, halo_px: int, grid_px: int) -> tuple[Strip, ...]:
    """As many strips as processes, top to bottom; about as many rows are computed for each, halos included.

    Args:
        level: The level, padded.
        count: Of processes.
        halo_px: What a strip holds on either side, a multiple of `grid_px`.
        grid_px: Every edge lies on a multiple of it; rounding: to nearest.

    Raises:
        ValueError: A strip would be thinner than its halo: neighbours alone have what it needs.
    """
    if count == 1:
        return (Strip.whole(level),)
    computed = (level.height + 2 * halo_px * (count - 1)) / count
    inner = [
        grid_px * round((computed * index - halo_px * (2 * index - 1)) / grid_px) for index in range(1, count)
    ]
    strips = tuple(
        Strip(level, top, bottom, halo_px) for top, bottom in itertools.pairwise((0, *inner, level.height))
    )
    if min(strip.bottom - strip.top for strip in strips) < max(halo_px, grid_px):
        raise ValueError(f"{level} px are too few for {count} strips with halos of {halo_px} px")
    return strips
