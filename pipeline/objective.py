"""Objectives: an image becomes a loss, and on demand its gradient. Whole or by tiles, equal by test.

`WholeObjective` is the statement: autograd over the whole image. `TiledObjective`, which renders all
levels, computes the same numbers in two passes over tiles. Pass 1 adds the tiles' statistics, without
gradients; the loss follows from the sums, and so does its derivative with respect to each sum. Pass 2 runs
each tile forward and backward, and adds what those derivatives ask of the tile's features to their
gradients. A tile measures its core only, so every feature is owned by one tile and nothing is asked outside
the core; the gradients of the haloed tiles ADD up to that of the whole image. A term that is linear in its
sum, as that of the content is, needs no pass 1 for its derivative: where the gradient is wanted whatever
the loss, the term is left to pass 2, and pass 1 runs the network over the image alone and no further than
the deepest layer of the other terms. pipeline/README.md tells why a halo of (R - s) / 2 makes this exact.

Shapes: 3 height width, the level padded to a multiple of the deepest layer's stride. sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.groups import Part
from pipeline.guidance import Guidance
from pipeline.losses import Loss, Observation, Statistic
from pipeline.machine import give_back_freed_memory
from pipeline.rasters import Raster, TensorRaster
from pipeline.stores import Store, TensorStore
from pipeline.streaming import Streaming
from pipeline.tiles import Tile
from pipeline.views import Chain, Read, View

_TIDY_AFTER = 4
"""Tiles: page faults then take some hundredths of the time, and sixteen take hardly more memory than four."""


Pass = Literal["loss", "gradient"]
OnTile = Callable[[Pass, int, int], None]
"""Told after each tile: of which pass, how many are done, of how many."""


class Trial(Protocol):
    """The value of an objective at one image, and the means to take its gradient there.

    What is read of the image must not change before the gradient is taken. A trial that is dropped without
    its gradient has cost the forward half alone.
    """

    @property
    def loss(self) -> float:
        """The sum of the terms. Not known before the gradient where that was to follow."""

    @property
    def terms(self) -> Mapping[str, float]:
        """Each term's weighted value by name, known when the loss is."""

    def write_gradient(self, into: Store) -> None:
        """Writes the derivative of the loss by the image to a store that nothing was written to."""


@dataclass(eq=False, slots=True)
class LateTrial:
    """Abstract: a trial whose loss and terms may be found only when its gradient is taken."""

    _found: tuple[float, Mapping[str, float]] | None

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return self._known[0]

    @property
    def terms(self) -> Mapping[str, float]:
        """Each term's weighted value by name."""
        return self._known[1]

    @property
    def _known(self) -> tuple[float, Mapping[str, float]]:
        if self._found is None:
            raise ValueError("the loss is known once the gradient that was to follow is taken")
        return self._found


class Objective(Protocol):
    """What an optimiser minimises."""

    @property
    def size(self) -> Size:
        """Height and width of the images it judges."""

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> Trial:
        """The loss at this image.

        Args:
            image: To be judged.
            gradient_follows: The gradient is taken before the loss is asked for, which may spare work.
        """


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

    def forward(
        self,
        image: Raster | Float[Tensor, "3 height width"],
        *,
        gradient_follows: bool = False,  # noqa: ARG002 - one graph serves both passes
    ) -> _WholeTrial:
        """The loss at this image; a gradient that follows spares nothing."""
        whole = Tile.whole(self.size)
        read = self._view.read(_raster(image), whole, self._content)
        leaf = read.pixels.detach().requires_grad_()
        with torch.enable_grad():
            seen = self._view.observe(self._view.chain(leaf, whole), read, whole)
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
        on_tile: Told after each tile of this process.
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
        on_tile: OnTile | None = None,
    ) -> None:
        part = part or Part.whole(size)
        self.size = part.strip.size
        self.part = part
        deepest = loss.deepest
        halo_px = deepest.halo_px if halo_px is None else halo_px
        self.tiles = part.strip.tiles(tile_px, halo_px, deepest.stride_px)
        self._loss = loss
        self._on_tile = on_tile
        self._view = View(encoder, loss, content, guidance)
        self._first_view = View(encoder, loss.curved, content, guidance)
        self._kept = frozenset(self.tiles[:keep_tiles])
        self._content: dict[Tile, Mapping[str, Tensor]] = {}
        with part.group.together():
            if cache_content:
                self._content = {tile: self._view.content(tile) for tile in self.tiles}

    def forward(
        self, image: Raster | Float[Tensor, "3 height width"], *, gradient_follows: bool = False
    ) -> TiledTrial:
        """The loss at this image: pass 1. A gradient that follows measures the linear terms itself."""
        image = _raster(image)
        sums: dict[Statistic, Tensor] = {}
        kept: dict[Tile, _Seen] = {}
        first = self._first_view if gradient_follows else self._view
        late = self._loss.statistics - first.loss.statistics

        def view(tile: Tile) -> View:
            return self._view if tile in self._kept else first

        with self.part.group.together(), Streaming(self._view.device) as stream:
            tiles = stream.ahead(self.tiles, lambda tile: self._read(view(tile), image, tile))
            for done, (tile, read) in enumerate(tiles, start=1):
                with torch.set_grad_enabled(tile in self._kept):
                    seen = _seen(view(tile), read, tile)
                if tile in self._kept:
                    kept[tile] = seen
                with torch.no_grad():
                    _add(view(tile).loss.measure(seen[1], first.loss.statistics), to=sums)
                del seen, read
                self._finish("loss", done)
        whole = self._of_all(sums)
        with self.part.group.together():
            nothing = {name: torch.zeros((), dtype=torch.float64, device=self._view.device) for name in late}
            values, derivatives = self._judged({**whole, **nothing})
            found = None if late else _numbers(values)
        return TiledTrial(found, self, image, whole, derivatives, kept)

    def _judged(self, sums: Mapping[Statistic, Tensor]) -> tuple[dict[str, Tensor], dict[Statistic, Tensor]]:
        """The terms' values, and the derivative of the loss by each sum."""
        with torch.enable_grad():
            for value in sums.values():
                value.requires_grad_()
            values = self._loss.judge(sums, self.part.strip.level)
            total = torch.stack(list(values.values())).sum()
        derivatives = torch.autograd.grad(total, list(sums.values()))
        return values, dict(zip(sums, derivatives, strict=True))

    def _finish(self, of: Pass, done: int) -> None:
        """Tells that so many tiles of a pass are done, and bounds the memory that they leave behind."""
        if done % _TIDY_AFTER == 0 and self._view.device.type == "cpu":
            give_back_freed_memory()
        if self._on_tile is not None:
            self._on_tile(of, done, len(self.tiles))

    def _of_all(self, sums: Mapping[Statistic, Tensor]) -> dict[Statistic, Tensor]:
        """The sums over the tiles of all processes, in one message."""
        with self.part.group.together():
            own = torch.cat([value.flatten() for value in sums.values()])
        parts = torch.split(self.part.group.sum(own), [value.numel() for value in sums.values()])
        return {name: part.view_as(sums[name]) for name, part in zip(sums, parts, strict=True)}

    def _read(self, view: View, image: Raster, tile: Tile) -> Read:
        """All that this view needs for a tile."""
        return view.read(image, tile, self._content.get(tile), self.part.strip.local(tile.haloed))


_Seen = tuple[Chain, Observation]
"""A tile's features, with their graph where gradients were enabled, and what is measured of them."""


def _seen(view: View, read: Read, tile: Tile) -> _Seen:
    """The tile as the network shows it; with gradients enabled, with its graph."""
    chain = view.chain(read.pixels.detach().requires_grad_(torch.is_grad_enabled()), tile)
    return chain, view.observe(chain, read, tile)


def _add(measured: Mapping[Statistic, Tensor], *, to: dict[Statistic, Tensor]) -> None:
    """Adds a tile's sums to those of the tiles before it, in float64."""
    for name, value in measured.items():
        exact = value.detach().to(torch.float64)
        to[name] = to[name] + exact if name in to else exact


def _numbers(values: Mapping[str, Float[Tensor, ""]]) -> tuple[float, dict[str, float]]:
    """The loss, and its terms by name: the one place where the host waits for the device."""
    each = torch.stack(list(values.values()))
    loss, *terms = torch.stack([each.sum(), *each]).tolist()
    return loss, dict(zip(values, terms, strict=True))


@final
@dataclass(eq=False, slots=True)
class TiledTrial(LateTrial):
    """The sums of pass 1, what the loss asks of each, and the tiles that kept their activations."""

    _objective: TiledObjective
    _image: Raster
    _sums: Mapping[Statistic, Tensor]
    _derivatives: Mapping[Statistic, Tensor]
    _kept: dict[Tile, _Seen]

    def gradient(self) -> Float[Tensor, "3 height width"]:
        """The derivative of the loss by the image, in the image's precision: pass 2, added up in memory."""
        first, size = self._image.read(Box(0, 0, 1, 1)), self._objective.size
        store = TensorStore(len(first), size, first.dtype, first.device, first.device)
        self.write_gradient(store)
        return store.read(Box.whole(size))

    def write_gradient(self, into: Store) -> None:
        """Adds every tile's share to the store, in the order of the tiles."""
        part = self._objective.part
        late: dict[Statistic, Tensor] = {}
        with part.group.together(), Streaming(self._objective._view.device) as stream:
            for tile, share in self.tile_gradients(stream, late):
                stream.behind(partial(into.add, part.strip.local(tile.haloed), share), share)
                del share
        part.fold(into)
        if self._found is None:
            sums = {**self._sums, **self._objective._of_all(late)}
            with part.group.together():
                self._found = _numbers(self._objective._loss.judge(sums, part.strip.level))

    def tile_gradients(
        self, stream: Streaming, late: dict[Statistic, Tensor] | None = None
    ) -> Iterator[tuple[Tile, Float[Tensor, "3 t_height t_width"]]]:
        """Pass 2: what each tile's core asks of the pixels of its haloed tile.

        Args:
            stream: Reads ahead.
            late: Where the tiles add to the sums that pass 1 left out.
        """
        kept, view = frozenset(self._kept), self._objective._view

        def read_unless_kept(tile: Tile) -> Read | None:
            return None if tile in kept else self._objective._read(view, self._image, tile)

        tiles = stream.ahead(self._objective.tiles, read_unless_kept)
        for done, (tile, read) in enumerate(tiles, start=1):
            if read is None:
                # Popped, so that each tile's activations go as soon as they are used.
                chain, observation = self._kept.pop(tile)
            else:
                with torch.enable_grad():
                    chain, observation = _seen(view, read, tile)
            if late is not None:
                with torch.no_grad():
                    wanted = self._derivatives.keys() - self._sums.keys()
                    _add(view.loss.measure(observation, wanted), to=late)
            pulls = view.loss.pulls(observation, self._derivatives)
            with torch.enable_grad():
                of_pixels = view.loss.measure(observation, view.loss.of_pixels)
            asked = [(value, self._derivatives[name].to(value.dtype)) for name, value in of_pixels.items()]
            del read, observation
            shares = [chain.gradient(pulls, asked)]
            del chain, asked, of_pixels
            self._objective._finish("gradient", done)
            # Popped, so that no name here holds on to it while the next tile is computed.
            yield tile, shares.pop()


def _raster(image: Raster | Float[Tensor, "3 height width"]) -> Raster:
    return TensorRaster(image) if isinstance(image, Tensor) else image
