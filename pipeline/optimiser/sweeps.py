"""The sweeps of L-BFGS over its vectors, tile by tile: each reads every vector it needs once, halos aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from pipeline.geometry import Size, align_up
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.optimiser.history import Direction, Pair
from pipeline.optimiser.vectors import between, inner_products, largest_magnitude
from pipeline.stores import BLOCK_PX, Store
from pipeline.tiles import Tile, cut

# Values of all vectors together that a tile may hold: 96 MiB in bfloat16.
_TILE_VALUES = 48 * 2**20
_MAX_TILE_PX = 1024
_MIN_TILE_PX = 128


def sweep_tiles(size: Size, hessian: MultiscaleHessian, vectors: int) -> tuple[Tile, ...]:
    """The tiles of a sweep over this many vectors, on whole blocks of files where the size is.

    A function of size and settings alone, so that the order of summation is too: neither the tiles of the
    objective nor the stores of the vectors change a bit of the result.
    """
    core_px = _MAX_TILE_PX
    while core_px > _MIN_TILE_PX and 3 * vectors * core_px**2 > _TILE_VALUES:
        core_px //= 2
    whole_blocks = size.height % BLOCK_PX == size.width % BLOCK_PX == 0
    grid_px = max(hessian.stride_px, BLOCK_PX) if whole_blocks else hessian.stride_px
    return cut(size, core_px, align_up(hessian.halo_px, grid_px), grid_px)


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
    """Sweeps over images of one size.

    Attributes:
        hessian: M, of the scales that fit the size.
        tiles: From `sweep_tiles`.
        check: Called before each tile; may raise to end the sweep.
    """

    hessian: MultiscaleHessian
    tiles: tuple[Tile, ...]
    check: Callable[[], None]

    @classmethod
    def over(cls, size: Size, scales: int, pairs: int, check: Callable[[], None]) -> Sweeper:
        """The sweeper for images of this size, `scales` scales of M and this many pairs of history."""
        hessian = MultiscaleHessian(scales).fitting(size)
        return cls(hessian, sweep_tiles(size, hessian, 2 * pairs), check)

    def products(self, gradient: Store, pairs: Sequence[Pair], old_gradient: Store | None = None) -> Products:
        """All inner products that the next direction needs.

        Args:
            gradient: g.
            pairs: The history, oldest first.
            old_gradient: When given, y of the last pair is not there yet: g - `old_gradient`, rounded, which
                is written on the way.
        """
        totals: list[Tensor] = []
        for tile in self.tiles:
            self.check()
            *sums, largest = self._products_of(tile, gradient, pairs, old_gradient)
            if totals:
                sums = [total + more for total, more in zip(totals[:-1], sums, strict=True)]
                largest = torch.maximum(totals[-1], largest)
            totals = [*sums, largest]
        # The one place where the host waits for the device.
        flat = torch.cat([total.flatten().to(torch.float64) for total in totals]).tolist()
        width = totals[0].shape[1]
        rows = [flat[start : start + width] for start in range(0, 2 * width * len(pairs), width)]
        own, *lengths, largest = flat[2 * width * len(pairs) :]
        return Products(rows[: len(pairs)], rows[len(pairs) :], own, largest, lengths)

    def _products_of(
        self, tile: Tile, gradient: Store, pairs: Sequence[Pair], old_gradient: Store | None
    ) -> list[Tensor]:
        """A tile's share: steps x (g, y), changes x (M g, M y), g . M g, s . s, y . y, the largest of M g."""
        core = (slice(None), *tile.t_core.slices)
        slope = gradient.read(tile.haloed)
        steps = [pair.step.read(tile.core) for pair in pairs]
        if old_gradient is None:
            raised = self.hessian.apply_(slope.clone())[core]
            slope = slope[core]
            changes = [pair.change.read(tile.core) for pair in pairs]
            return [
                inner_products(steps, [slope]),
                inner_products(changes, [raised]),
                inner_products([slope], [raised]),
                largest_magnitude(raised),
            ]
        pair = pairs[-1]
        change = (slope - old_gradient.read(tile.haloed)).to(pair.change.dtype)
        raised = self.hessian.apply_(slope.clone())[core]
        # Never in place: `to` gives the tensor itself where the history has the gradient's precision.
        raised_change = self.hessian.apply_(change.to(slope.dtype, copy=True))[core]
        slope, change = slope[core], change[core]
        pair.change.write(tile.core, change)
        changes = [*(pair.change.read(tile.core) for pair in pairs[:-1]), change]
        return [
            inner_products(steps, [slope, change]),
            inner_products(changes, [raised, raised_change]),
            inner_products([slope], [raised]),
            inner_products([steps[-1]], [steps[-1]]),
            inner_products([change], [change]),
            largest_magnitude(raised),
        ]

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
        for tile in self.tiles:
            self.check()
            along = gradient.read(tile.haloed).clone()
            for pair, b in zip(pairs, direction.b, strict=True):
                along.add_(pair.change.read(tile.haloed), alpha=b)
            along = self.hessian.apply_(along)[(slice(None), *tile.t_core.slices)].mul_(-direction.gamma)
            for pair, a in zip(pairs, direction.a, strict=True):
                along.add_(pair.step.read(tile.core), alpha=-a)
            image = start.read(tile.core)
            end.write(tile.core, along.add_(image))
            if step is not None:
                # The difference of what was written, not what was meant: that is what the gradients see.
                step.write(tile.core, along.sub_(image))

    def write_point(self, start: Store, end: Store, share: float, step: Store | None) -> None:
        """Replaces `end` by the point at `share` of the way from `start` to it, and the step with it."""
        for tile in self.tiles:
            image = start.read(tile.core)
            point = between(image, end.read(tile.core), share)
            end.write(tile.core, point)
            if step is not None:
                step.write(tile.core, point.sub_(image))
