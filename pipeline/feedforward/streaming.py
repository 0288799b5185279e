"""A network on an image of any size, by tiles: equal to the whole image at once, in constant memory.

An instance normalisation needs the mean and variance of a layer over the whole image before any position
goes on. So the layers are passed one after the other. A pass cuts a layer's output into tiles, computes its
convolution there from the nearest layer before it that is held, adds the moments of what came out in float64,
and holds it where that is worth its room: at the smallest size, from the second halving to the last residual
block. What lies between is computed anew by each pass that needs it, with its normalisation settled by then.
decisions/0014-streamed-instance-norm.md tells what this costs.

Every tile reads exactly what its convolutions read. So nothing is approximate, at the borders neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.feedforward.network import EPSILON, TransformationNetwork, outward
from pipeline.geometry import Box, Size, align_up
from pipeline.rasters import Raster
from pipeline.stores import Store
from pipeline.streaming import Streaming
from pipeline.transformations import ROW_PX, STRIDE_PX, TILE_STEP_PX, Convolution, piece_for
from pipeline.workspaces import Workspace

_PICTURE = -1


@final
@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """The mean and variance of a layer's channels over its positions, in float64."""

    mean: Float[Tensor, " channels"]
    variance: Float[Tensor, " channels"]


@final
@dataclass(frozen=True, eq=False, slots=True)
class _Begun:
    """What a layer's convolution in a box starts from.

    Attributes:
        start: The layer whose values are there; -1 for the picture.
        boxes: By layer, the box of its output that is computed.
        read: By layer, what it reads of its input, beyond the input's borders too.
        values: What is held of `start`, or the picture.
    """

    start: int
    boxes: Mapping[int, Box]
    read: Mapping[int, Box]
    values: Float[Tensor, "1 channels height width"]


@final
class StreamedApplication:
    """One network on one image. Settle or set the moments first, then have boxes of it painted.

    Args:
        network: The network; what it computes with decides the device.
        image: Colours in sRGB, [0, 1].
        guides: Where the regions are, in [0, 1], of the image's size; None for a network of one region.
        tile_px: The side of a tile, in the image's pixels: smaller layers are cut into smaller tiles.
        dtype: Of convolutions and of what is held, bfloat16 or float32; the last one's, which gives colours,
            is float32 always.

    Attributes:
        moments: By layer name, as far as they are known.
    """

    def __init__(
        self,
        network: TransformationNetwork,
        image: Raster,
        guides: Raster | None,
        *,
        tile_px: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if guides is not None and guides.size != image.size:
            raise ValueError(f"guides of {guides.size} px do not fit an image of {image.size} px")
        self.moments: dict[str, Moments] = {}
        self._network = network.eval()
        self._layers = network.layers
        self._image, self._guides = image, guides
        self._tile_px = align_up(tile_px, TILE_STEP_PX)
        self._dtype = dtype
        margin = network.architecture.margin_px
        self._rows = outward(image.size.height, margin)
        self._columns = outward(image.size.width, margin)
        self._sizes = {_PICTURE: Size(len(self._rows), len(self._columns))}
        for index, layer in enumerate(self._layers):
            self._sizes[index] = layer.size_of(self._sizes[index - 1])
        self._held: dict[int, Store] = {}
        self._finished: set[int] = set()

    @property
    def tiles_to_settle(self) -> int:
        """How many tiles `settle` computes."""
        return sum(len(self._tiles(index)) for index in self._normalised())

    @property
    def boxes(self) -> list[Box]:
        """The image in boxes of about a tile's area, in the order that `canvas.write_boxes` takes."""
        piece = piece_for(self._layers, self._tile_px, held=True)
        return _cut(Box.whole(self._image.size), Size(ROW_PX, align_up(piece.width, ROW_PX)))

    @property
    def row_borders(self) -> tuple[int, ...]:
        """Rows at which `boxes` go on in another piece, or by another tile of what is held, from the top."""
        return self._borders({part.top for part in self._pieces()}, self._image.size.height)

    @property
    def column_borders(self) -> tuple[int, ...]:
        """Columns at which they do, from the left."""
        return self._borders({part.left for part in self._pieces()}, self._image.size.width)

    def settle(self, workspace: Workspace, show: Callable[[int], None] = lambda _: None) -> None:
        """Finds the moments of every layer over the whole image.

        Args:
            workspace: Where layers are held; their files stay until the image has been painted.
            show: Told after each tile how many are done, of `tiles_to_settle`.
        """
        done = 0
        for index in self._normalised():
            layer, size = self._layers[index], self._sizes[index]
            store = (
                workspace.new(layer.name, layer.outputs, size, self._dtype)
                if layer.stride_px == STRIDE_PX
                else None
            )
            sums = _Sums()
            with Streaming(self._network.device) as stream:
                for box, begun in stream.ahead(self._tiles(index), partial(self._begun, index)):
                    raw = self._completed(index, begun)
                    sums.add(raw)
                    if store is not None:
                        stream.behind(partial(store.write, box, raw[0]), raw)
                    del begun, raw
                    done += 1
                    show(done)
            self.moments[layer.name] = sums.moments()
            if store is not None:
                self._held[index] = store
            if layer.skip:
                self._finish(index)
                for past in [held for held in self._held if held < index]:
                    del self._held[past]
                workspace.keep(self._held.values())

    @torch.no_grad()
    def sample(self, boxes: Iterable[Box]) -> None:
        """Estimates the moments of every layer from what lies under these boxes of the image."""
        boxes = tuple(boxes)
        for index in self._normalised():
            sums = _Sums()
            for part in (part for box in boxes for part in self._parts(box)):
                sums.add(self._convolved(index, self._scaled(part, index)))
            self.moments[self._layers[index].name] = sums.moments()

    def painted_boxes(self) -> Iterator[tuple[Box, Float[Tensor, "3 height width"]]]:
        """Each of `boxes` with what is painted there; while a piece is computed, the next one is read."""
        last = len(self._layers) - 1
        with Streaming(self._network.device) as stream:
            pieces = stream.ahead(self._pieces(), partial(self._begun, last))
            for box in self.boxes:
                yield box, self._joined(box, (self._coloured(begun) for _, begun in pieces))

    def painted(self, box: Box) -> Float[Tensor, "3 height width"]:
        """The painted image inside a box, by the moments known now: nominally sRGB in [0, 1], never clipped.

        It is computed in pieces that read no more than a tile does, whatever is held.
        """
        last = len(self._layers) - 1
        return self._joined(box, (self._coloured(self._begun(last, part)) for part in self._parts(box)))

    def _joined(
        self, box: Box, pieces: Iterator[Float[Tensor, "3 f_height f_width"]]
    ) -> Float[Tensor, "3 height width"]:
        """The box from the next of these pieces."""
        parts = self._parts(box)
        if len(parts) == 1:
            return next(pieces)
        whole = torch.empty(3, box.size.height, box.size.width, device=self._network.device)
        for part in parts:
            rows, columns = part.relative_to(box).slices
            whole[:, rows, columns] = next(pieces)
        return whole

    def _coloured(self, begun: _Begun) -> Float[Tensor, "3 height width"]:
        values = self._completed(len(self._layers) - 1, begun)
        return self._network.coloured(values.float())[0]

    @property
    def _piece(self) -> Size:
        return piece_for(self._layers, self._tile_px, held=bool(self._held))

    def _pieces(self) -> list[Box]:
        return [part for box in self.boxes for part in self._parts(box)]

    def _parts(self, box: Box) -> list[Box]:
        return _cut(box, self._piece)

    def _borders(self, starts: set[int], length_px: int) -> tuple[int, ...]:
        # What is held last begins with the image: its tiles' borders lie on multiples of a tile's side.
        held = range(self._tile_px, length_px, self._tile_px) if self._held else ()
        return tuple(sorted(starts.difference({0}).union(held)))

    def _normalised(self) -> list[int]:
        return [index for index, layer in enumerate(self._layers) if layer.normalised]

    def _tiles(self, index: int) -> list[Box]:
        side = self._tile_px // self._layers[index].stride_px
        return _cut(Box.whole(self._sizes[index]), Size(side, side))

    def _scaled(self, box: Box, index: int) -> Box:
        """The positions of a layer over a box of the image, about."""
        size, image = self._sizes[index], self._image.size
        top, bottom = (edge * size.height // image.height for edge in (box.top, box.bottom))
        left, right = (edge * size.width // image.width for edge in (box.left, box.right))
        return Box(top, left, max(bottom, top + 1), max(right, left + 1))

    def _convolved(self, index: int, box: Box) -> Float[Tensor, "1 channels height width"]:
        """What a layer's convolution gives in a box, before normalisation."""
        return self._completed(index, self._begun(index, box))

    def _begun(self, index: int, box: Box) -> _Begun:
        """What there is to be read for a layer's convolution in a box."""
        start = max((held for held in self._held if held < index), default=_PICTURE)
        boxes, read = {index: box}, {}
        for step in range(index, start, -1):
            read[step] = self._layers[step].reads(boxes[step])
            boxes[step - 1] = _within(read[step], self._sizes[step - 1])
        return _Begun(start, boxes, read, self._lying(start, boxes[start]))

    @torch.no_grad()
    def _completed(self, index: int, begun: _Begun) -> Float[Tensor, "1 channels height width"]:
        """What the layer's convolution gives, from what was read for it."""
        start, boxes, read = begun.start, begun.boxes, begun.read
        values = {start: self._given(start, begun.values)}
        for step in range(start + 1, index):
            raw = self._step(step, values[step - 1], boxes[step - 1], read[step], boxes[step])
            skipped = None
            if self._layers[step].skip:
                wanted = _shifted(boxes[step], self._layers[step].skip_crop)
                skipped = (
                    values[step - 2][:, :, *wanted.relative_to(boxes[step - 2]).slices]
                    if step - 2 in values
                    else self._given(step - 2, self._lying(step - 2, wanted))
                )
            values[step] = self._activated(step, raw, skipped)
            values.pop(step - 3, None)
        return self._step(index, values[index - 1], boxes[index - 1], read[index], boxes[index])

    def _step(
        self, index: int, values: Tensor, inside: Box, read: Box, box: Box
    ) -> Float[Tensor, "1 channels height width"]:
        around = (
            inside.left - read.left,
            read.right - inside.right,
            inside.top - read.top,
            read.bottom - inside.bottom,
        )
        layer = self._layers[index]
        values = _continued(layer, values, around)
        if not layer.normalised:
            # As in the network itself: colours are never bfloat16 numbers.
            return self._network.convolved_box(layer, values.float(), read, box)
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            return self._network.convolved_box(layer, values, read, box)

    def _lying(self, index: int, box: Box) -> Float[Tensor, "1 channels height width"]:
        """What is held of a layer in a box, or the picture."""
        return self._pictured(box) if index == _PICTURE else self._held[index].read(box)[None]

    def _given(
        self, index: int, lying: Float[Tensor, "1 channels height width"]
    ) -> Float[Tensor, "1 channels height width"]:
        """What a held layer, or the picture, gives on."""
        if index == _PICTURE or index in self._finished:
            return lying
        return self._activated(index, lying, None)

    def _activated(
        self, index: int, raw: Tensor, skipped: Tensor | None
    ) -> Float[Tensor, "1 channels height width"]:
        """A layer's output: its convolution's, normalised, rectified and added to."""
        layer = self._layers[index]
        normalisation = self._network.normalisations[layer.name]
        moments = self.moments[layer.name]
        gain = normalisation.get_parameter("weight").double() / (moments.variance + EPSILON).sqrt()
        shift = normalisation.get_parameter("bias")
        mean = moments.mean.to(raw.device)
        values = raw.float() - mean.float().view(-1, 1, 1)
        values = values.mul_(gain.float().view(-1, 1, 1)).add_(shift.view(-1, 1, 1))
        if layer.rectified:
            values = values.relu_()
        if skipped is not None:
            values = values.add_(skipped)
        return values.to(self._dtype)

    @torch.no_grad()
    def _finish(self, index: int) -> None:
        """Replaces what a residual block's last convolution gave by the block's output, in place."""
        store, crop = self._held[index], self._layers[index].skip_crop

        def read(box: Box) -> tuple[Tensor, Tensor]:
            return self._lying(index, box), self._lying(index - 2, _shifted(box, crop))

        with Streaming(self._network.device) as stream:
            for box, (raw, before) in stream.ahead(self._tiles(index), read):
                values = self._activated(index, raw, self._given(index - 2, before))[0]
                stream.behind(partial(store.write, box, values), values)
                del raw, before, values
        self._finished.add(index)

    def _pictured(self, box: Box) -> Float[Tensor, "1 channels height width"]:
        """What the first convolution reads in a box of the reflected image."""
        rows, columns = self._rows[box.top : box.bottom], self._columns[box.left : box.right]
        top, left = int(rows.min()), int(columns.min())
        inside = Box(top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        place = (rows - top)[:, None], columns - left
        device = self._network.device
        image = self._image.read(inside)[None].to(device)
        guides = None if self._guides is None else self._guides.read(inside)[None].to(device)
        values = self._network.prepared(image, guides)[:, :, place[0], place[1]]
        return values.to(self._dtype).contiguous(memory_format=torch.channels_last)


@final
class _Sums:
    """The sums behind moments, over tiles of any sizes."""

    def __init__(self) -> None:
        self._count = 0
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def add(self, values: Float[Tensor, "1 channels height width"]) -> None:
        """Counts these positions as well."""
        # A tile's own moments are taken around its own mean, which float32 can do; their sums are not.
        variance, mean = torch.var_mean(values.float(), dim=(0, 2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        count = values.shape[2] * values.shape[3]
        self._count += count
        self._first = self._first + count * mean
        self._second = self._second + count * (variance + mean.square())

    def moments(self) -> Moments:
        """The moments of all positions counted."""
        mean = torch.as_tensor(self._first) / self._count
        variance = torch.as_tensor(self._second) / self._count - mean.square()
        return Moments(mean, variance.clamp(min=0))


def _cut(box: Box, part: Size) -> list[Box]:
    """The box in parts of this size, the last of each row and column smaller, row by row."""
    return [
        Box(top, left, min(top + part.height, box.bottom), min(left + part.width, box.right))
        for top in range(box.top, box.bottom, part.height)
        for left in range(box.left, box.right, part.width)
    ]


def _within(box: Box, size: Size) -> Box:
    return box.grown(0, within=size)


def _shifted(box: Box, by: int) -> Box:
    """The box of a block's input that the skip connection adds to this box of its output."""
    return Box(box.top + by, box.left + by, box.bottom + by, box.right + by)


def _continued(layer: Convolution, values: Tensor, around: tuple[int, int, int, int]) -> Tensor:
    """A layer's input with what the layer takes to be around it: left, right, top, bottom."""
    if not any(around):
        return values
    if not layer.reflected:
        return functional.pad(values, around)
    # A row that is reflected after doubling is the last one before it.
    return functional.pad(values, around, mode="reflect" if layer.enlarged is None else "replicate")
