"""The sweeps of L-BFGS over its vectors, tile by tile: each reads every vector it needs once, halos aside.

What the next tile needs is read, and what the last one gave is written, while a tile is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import align_up
from pipeline.groups import Part
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.history import Direction, Pair
from pipeline.optimiser.vectors import between, inner_products, largest_magnitude
from pipeline.stores import BLOCK_PX, Store
from pipeline.streaming import Streaming
from pipeline.strips import Strip
from pipeline.tiles import Tile

# The largest side of a tile, and how many values of all vectors together it may hold: 96 MiB in bfloat16, and
# four times that on a GPU, where hundreds of small operations a tile would cost more than what they compute.
_MAX_TILE_PX = {"cpu": 1024, "cuda": 2048}
_TILE_VALUES = {"cpu": 48 * 2**20, "cuda": 192 * 2**20}
_MIN_TILE_PX = 128


def sweep_tiles(
    strip: Strip, hessian: MultiscaleHessian, vectors: int, device: torch.device
) -> tuple[Tile, ...]:
    """The tiles of a sweep over this many vectors, in the strip's frame, on whole blocks of files if it is.

    A function of sizes, settings and the kind of device alone, so that the order of summation is too: neither
    the tiles of the objective nor the stores of the vectors change a bit of the result.
    """
    core_px = _MAX_TILE_PX[device.type]
    while core_px > _MIN_TILE_PX and 3 * vectors * core_px**2 > _TILE_VALUES[device.type]:
        core_px //= 2
    whole_blocks = strip.level.height % BLOCK_PX == strip.level.width % BLOCK_PX == 0
    grid_px = max(hessian.stride_px, BLOCK_PX) if whole_blocks else hessian.stride_px
    tiles = strip.tiles(core_px, align_up(hessian.halo_px, grid_px), grid_px)
    return tuple(Tile(strip.local(tile.core), strip.local(tile.haloed)) for tile in tiles)


@final
@dataclass(frozen=True, slots=True)
class Products:
    """Inner products in float64 with the gradient g and, while a pair is being completed, with its y.

    Attributes:
        steps: For each s_i: s_i . g and s_i . y.
        changes: For each y_i: y_i . M g and y_i . M y.
        gradient: g . M g.
        largest: The largest magnitude in M g.
        lengths: s . s and y . y of the pair that is being completed, which is the last one.
    """

    steps: list[list[float]]
    changes: list[list[float]]
    gradient: float
    largest: float
    lengths: list[float]


@final
@dataclass(frozen=True, slots=True)
class Sweeper:
    """Sweeps over images of one size, or over one process's strip of them.

    Attributes:
        part: The strip, and those who have the others.
        hessian: M, of the scales that fit the size.
        tiles: From `sweep_tiles`.
        check: Called before each tile; may raise to end the sweep.
    """

    part: Part
    hessian: MultiscaleHessian
    tiles: tuple[Tile, ...]
    check: Callable[[], None]

    @classmethod
    def over(
        cls, part: Part, scales: int, pairs: int, device: torch.device, check: Callable[[], None]
    ) -> Sweeper:
        """The sweeper for this part of a level, `scales` scales of M and this many pairs of history."""
        hessian = MultiscaleHessian(scales).fitting(part.strip.level)
        return cls(part, hessian, sweep_tiles(part.strip, hessian, 2 * pairs, device), check)

    def products(self, gradient: Store, pairs: Sequence[Pair], old_gradient: Store | None = None) -> Products:
        """All inner products that the next direction needs.

        Args:
            gradient: g.
            pairs: The history, oldest first.
            old_gradient: When given, y of the last pair is not there yet: g - `old_gradient`, rounded, which
                is written on the way.
        """
        totals: list[Tensor] = []
        read = partial(_read_for_products, gradient, pairs, old_gradient)
        group = self.part.group
        with group.together():
            with Streaming(gradient.device) as stream:
                for tile, vectors in stream.ahead(self.tiles, read):
                    self.check()
                    (*sums, largest), change = self._products_of(tile, vectors, pairs)
                    if totals:
                        sums = [total + more for total, more in zip(totals[:-1], sums, strict=True)]
                        largest = torch.maximum(totals[-1], largest)
                    totals = [*sums, largest]
                    if change is not None:
                        stream.behind(partial(pairs[-1].change.write, tile.core, change), change)
            *sums, largest = totals
            flattened = torch.cat([total.flatten() for total in sums])
            largest = largest.flatten().to(torch.float64)
        if old_gradient is not None:
            self.part.share(pairs[-1].change)
        over_all, greatest = group.sum(flattened), group.largest(largest)
        # The one place where the host waits for the device.
        flat = torch.cat([over_all, greatest]).tolist()
        width = totals[0].shape[1]
        rows = [flat[start : start + width] for start in range(0, 2 * width * len(pairs), width)]
        own, *lengths, most = flat[2 * width * len(pairs) :]
        return Products(rows[: len(pairs)], rows[len(pairs) :], own, most, lengths)

    def _products_of(
        self, tile: Tile, vectors: _Vectors, pairs: Sequence[Pair]
    ) -> tuple[list[Tensor], Float[Tensor, "channels height width"] | None]:
        """A tile's share, and y of the pair that is being completed, over the core.

        The share: steps x (g, y), changes x (M g, M y), g . M g, s . s, y . y, the largest of M g.
        """
        core = (slice(None), *tile.t_core.slices)
        slope, steps, changes = vectors.gradient, vectors.steps, vectors.changes
        raised = self.hessian.apply_(slope.clone())[core]
        if vectors.old_gradient is None:
            slope = slope[core]
            return [
                inner_products(steps, [slope]),
                inner_products(changes, [raised]),
                inner_products([slope], [raised]),
                largest_magnitude(raised),
            ], None
        change = (slope - vectors.old_gradient).to(pairs[-1].change.dtype)
        # Never in place: `to` gives the tensor itself where the history has the gradient's precision.
        raised_change = self.hessian.apply_(change.to(slope.dtype, copy=True))[core]
        slope, change = slope[core], change[core]
        return [
            inner_products(steps, [slope, change]),
            inner_products([*changes, change], [raised, raised_change]),
            inner_products([slope], [raised]),
            inner_products([steps[-1]], [steps[-1]]),
            inner_products([change], [change]),
            largest_magnitude(raised),
        ], change

    def write_image(
        self,
        direction: Direction,
        gradient: Store,
        pairs: Sequence[Pair],
        *,
        start: Store,
        end: Store,
        step: Store | None,
    ) -> None:
        """Writes the image one full step along `direction` from `start` to `end`, and the step, rounded."""

        def read(tile: Tile) -> tuple[_Vectors, Tensor]:
            vectors = _Vectors(
                gradient.read(tile.haloed),
                steps=[pair.step.read(tile.core) for pair in pairs],
                changes=[pair.change.read(tile.haloed) for pair in pairs],
            )
            return vectors, start.read(tile.core)

        with self.part.group.together(), Streaming(gradient.device) as stream:
            for tile, (vectors, image) in stream.ahead(self.tiles, read):
                self.check()
                along = vectors.gradient.clone()
                for change, b in zip(vectors.changes, direction.b, strict=True):
                    along.add_(change, alpha=b)
                along = self.hessian.apply_(along)[(slice(None), *tile.t_core.slices)]
                along.mul_(-direction.gamma)
                for taken, a in zip(vectors.steps, direction.a, strict=True):
                    along.add_(taken, alpha=-a)
                _write_behind(stream, tile, image, along.add_(image), end=end, step=step)
        self.part.share(end)

    def write_point(self, start: Store, end: Store, share: float, step: Store | None) -> None:
        """Replaces `end` by the point at `share` of the way from `start` to it, and the step with it.

        Ended half-way, `end` is of no use any more.
        """

        def read(tile: Tile) -> tuple[Tensor, Tensor]:
            return start.read(tile.core), end.read(tile.core)

        with self.part.group.together(), Streaming(start.device) as stream:
            for tile, (image, full) in stream.ahead(self.tiles, read):
                self.check()
                _write_behind(stream, tile, image, between(image, full, share), end=end, step=step)
        self.part.share(end)


@final
@dataclass(frozen=True, eq=False, slots=True)
class _Vectors:
    """What a sweep reads for a tile: s of each pair over the core, y over the core or the haloed tile."""

    gradient: Float[Tensor, "channels t_height t_width"]
    steps: list[Tensor]
    changes: list[Tensor]
    old_gradient: Float[Tensor, "channels t_height t_width"] | None = None


def _read_for_products(
    gradient: Store, pairs: Sequence[Pair], old_gradient: Store | None, tile: Tile
) -> _Vectors:
    # y of the pair that is being completed is not there yet.
    complete = pairs if old_gradient is None else pairs[:-1]
    return _Vectors(
        gradient.read(tile.haloed),
        steps=[pair.step.read(tile.core) for pair in pairs],
        changes=[pair.change.read(tile.core) for pair in complete],
        old_gradient=None if old_gradient is None else old_gradient.read(tile.haloed),
    )


def _write_behind(
    stream: Streaming,
    tile: Tile,
    image: Float[Tensor, "channels height width"],
    following: Float[Tensor, "channels height width"],
    *,
    end: Store,
    step: Store | None,
) -> None:
    """Writes the next image over the tile's core, and the step to it."""
    if step is None:
        stream.behind(partial(end.write, tile.core, following), following)
        return
    # The difference of what was written, not what was meant: that is what the gradients see.
    taken = following - image

    def write() -> None:
        end.write(tile.core, following)
        step.write(tile.core, taken)

    stream.behind(write, following, taken)
