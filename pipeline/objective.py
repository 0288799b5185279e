"""Objectives: an image becomes a loss, and on demand its gradient. Whole or by tiles, equal by test.

`WholeObjective` is the statement: autograd over the whole image. `TiledObjective` computes the same numbers
in two passes over tiles. Pass 1 adds the tiles' statistics, without gradients; the loss follows from the
sums, and so does its derivative with respect to each sum. Pass 2 runs each tile forward and backward with
those derivatives as incoming gradients of its own statistics. A tile measures its core only, so every feature
is owned by one tile and autograd injects zero outside the core; the gradients of the haloed tiles ADD up to
that of the whole image. pipeline/README.md tells why a halo of (R - s) / 2 makes this exact.

Shapes: 3 height width, the level padded to a multiple of the deepest layer's stride. sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.groups import Part
from pipeline.guidance import Guidance
from pipeline.losses import Loss, Statistic
from pipeline.rasters import Raster, TensorRaster
from pipeline.stores import Store, TensorStore
from pipeline.streaming import Streaming
from pipeline.tiles import Tile
from pipeline.views import Read, View


class Trial(Protocol):
    """The value of an objective at one image, and the means to take its gradient there.

    What is read of the image must not change before the gradient is taken. A trial that is dropped without
    its gradient has cost the forward half alone.
    """

    @property
    def loss(self) -> float:
        """The sum of the terms."""

    @property
    def terms(self) -> Mapping[str, float]:
        """Each term's weighted value by name."""

    def write_gradient(self, into: Store) -> None:
        """Writes the derivative of the loss by the image to a store that nothing was written to."""


class Objective(Protocol):
    """What an optimiser minimises."""

    @property
    def size(self) -> Size:
        """Height and width of the images it judges."""

    def forward(self, image: Raster) -> Trial:
        """The loss at this image."""


@final
class WholeObjective:
    """The loss of the whole image at once, by plain autograd. A trial keeps its graph until the gradient.

    Args:
        encoder: The network.
        loss: The terms.
        size: The level, padded.
        content: The content image at this size; needed when a term compares with it.
        guidance: The regions at this size; needed when a term has one.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: Loss,
        size: Size,
        *,
        content: Raster | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        self.size = size
        self._loss = loss
        self._view = View(encoder, loss, content, guidance)
        self._content = self._view.content(Tile.whole(size))

    def forward(self, image: Raster | Float[Tensor, "3 height width"]) -> _WholeTrial:
        """The loss at this image."""
        whole = Tile.whole(self.size)
        read = self._view.read(_raster(image), whole, self._content)
        leaf = read.pixels.detach().requires_grad_()
        with torch.enable_grad():
            seen = self._view.observe(leaf, read, whole)
            values = self._loss.judge(self._loss.measure(seen), self.size)
            total = torch.stack(list(values.values())).sum()
        # The one place where the host waits for the device.
        loss, *terms = torch.stack([total, *values.values()]).tolist()
        return _WholeTrial(loss, dict(zip(values, terms, strict=True)), total, leaf)


@final
@dataclass(frozen=True, eq=False, slots=True)
class _WholeTrial:
    loss: float
    terms: Mapping[str, float]
    _total: Float[Tensor, ""]
    _image: Float[Tensor, "3 height width"]

    def gradient(self) -> Float[Tensor, "3 height width"]:
        return torch.autograd.grad(self._total, self._image)[0]

    def write_gradient(self, into: Store) -> None:
        into.fill(self.gradient())


@final
class TiledObjective:
    """The same loss and gradient from tiles, in memory that depends on the tile alone.

    Args:
        encoder: The network.
        loss: The terms.
        size: The level, padded.
        tile_px: The largest side of a tile's core, a multiple of the deepest layer's stride.
        content: The content image at this size; needed when a term compares with it.
        guidance: The regions at this size; needed when a term has one.
        keep_tiles: How many tiles keep their activations from pass 1 to pass 2, which then skips their second
            forward; when all are kept, an evaluation costs no more than that of the whole image.
        cache_content: Keep the content image's features of every tile, in the encoder's precision, instead of
            computing them anew in each pass.
        halo_px: Another halo than the least exact one; for tests of exactness.
        part: What this process does of the level, by default all of it. Images and gradients are then those
            of its strip, and loss and sums those of the level.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: Loss,
        size: Size,
        *,
        tile_px: int,
        content: Raster | None = None,
        guidance: Guidance | None = None,
        keep_tiles: int = 0,
        cache_content: bool = True,
        halo_px: int | None = None,
        part: Part | None = None,
    ) -> None:
        part = part or Part.whole(size)
        self.size = part.strip.size
        self.part = part
        deepest = loss.deepest
        halo_px = deepest.halo_px if halo_px is None else halo_px
        self.tiles = part.strip.tiles(tile_px, halo_px, deepest.stride_px)
        self._loss = loss
        self._view = View(encoder, loss, content, guidance)
        self._kept = frozenset(self.tiles[:keep_tiles])
        self._content: dict[Tile, Mapping[str, Tensor]] = {}
        with part.group.together():
            if cache_content:
                self._content = {tile: self._view.content(tile) for tile in self.tiles}

    def forward(self, image: Raster | Float[Tensor, "3 height width"]) -> TiledTrial:
        """The loss at this image: pass 1."""
        image = _raster(image)
        sums: dict[Statistic, Tensor] = {}
        kept: dict[Tile, _MeasuredTile] = {}
        with self.part.group.together(), Streaming(self._view.device) as stream:
            for tile, read in stream.ahead(self.tiles, partial(self._read, image)):
                with torch.set_grad_enabled(tile in self._kept):
                    measured = self._measure(read, tile)
                if tile in self._kept:
                    kept[tile] = measured
                for statistic, value in measured.sums.items():
                    exact = value.detach().to(torch.float64)
                    sums[statistic] = sums[statistic] + exact if statistic in sums else exact
        sums = self._of_all(sums)
        with torch.enable_grad():
            for value in sums.values():
                value.requires_grad_()
            values = self._loss.judge(sums, self.part.strip.level)
            total = torch.stack(list(values.values())).sum()
        derivatives = dict(zip(sums, torch.autograd.grad(total, list(sums.values())), strict=True))
        # The one place where the host waits for the device.
        loss, *terms = torch.stack([total, *values.values()]).tolist()
        return TiledTrial(loss, dict(zip(values, terms, strict=True)), self, image, derivatives, kept)

    def _of_all(self, sums: Mapping[Statistic, Tensor]) -> dict[Statistic, Tensor]:
        """The sums over the tiles of all processes, in one message."""
        together = self.part.group.sum(torch.cat([value.flatten() for value in sums.values()]))
        parts = torch.split(together, [value.numel() for value in sums.values()])
        return {name: part.view_as(sums[name]) for name, part in zip(sums, parts, strict=True)}

    def _read(self, image: Raster, tile: Tile) -> Read:
        """All that is read for a tile."""
        return self._view.read(image, tile, self._content.get(tile), self.part.strip.local(tile.haloed))

    def _measure(self, read: Read, tile: Tile) -> _MeasuredTile:
        """The statistics of the tile's core; with gradients enabled, with their graph."""
        pixels = read.pixels.detach().requires_grad_(torch.is_grad_enabled())
        return _MeasuredTile(pixels, self._loss.measure(self._view.observe(pixels, read, tile)))


@final
@dataclass(frozen=True, eq=False, slots=True)
class _MeasuredTile:
    """A tile's statistics; with gradients enabled they hold the graph down to its pixels."""

    pixels: Float[Tensor, "3 t_height t_width"]
    sums: Mapping[Statistic, Tensor]


@final
@dataclass(frozen=True, eq=False, slots=True)
class TiledTrial:
    """The sums of pass 1, what the loss asks of each, and the tiles that kept their activations."""

    loss: float
    terms: Mapping[str, float]
    _objective: TiledObjective
    _image: Raster
    _derivatives: Mapping[Statistic, Tensor]
    _kept: dict[Tile, _MeasuredTile]

    def gradient(self) -> Float[Tensor, "3 height width"]:
        """The derivative of the loss by the image, in the image's precision: pass 2, added up in memory."""
        first, size = self._image.read(Box(0, 0, 1, 1)), self._objective.size
        store = TensorStore(len(first), size, first.dtype, first.device, first.device)
        self.write_gradient(store)
        return store.read(Box.whole(size))

    def write_gradient(self, into: Store) -> None:
        """Adds every tile's share to the store, in the order of the tiles."""
        part = self._objective.part
        with part.group.together(), Streaming(self._objective._view.device) as stream:
            for tile, share in self.tile_gradients(stream):
                stream.behind(partial(into.add, part.strip.local(tile.haloed), share), share)
        part.fold(into)

    def tile_gradients(self, stream: Streaming) -> Iterator[tuple[Tile, Float[Tensor, "3 t_height t_width"]]]:
        """Pass 2: what each tile's core asks of the pixels of its haloed tile."""
        kept = frozenset(self._kept)

        def read_unless_kept(tile: Tile) -> Read | None:
            return None if tile in kept else self._objective._read(self._image, tile)

        for tile, read in stream.ahead(self._objective.tiles, read_unless_kept):
            if read is None:
                # Popped, so that each tile's activations go as soon as they are used.
                measured = self._kept.pop(tile)
            else:
                with torch.enable_grad():
                    measured = self._objective._measure(read, tile)
            derivatives = [self._derivatives[name].to(value.dtype) for name, value in measured.sums.items()]
            (share,) = torch.autograd.grad(list(measured.sums.values()), measured.pixels, derivatives)
            del measured
            yield tile, share


def _raster(image: Raster | Float[Tensor, "3 height width"]) -> Raster:
    return TensorRaster(image) if isinstance(image, Tensor) else image
