"""What the terms of a loss see of an image, tile by tile: features, guides and content features.

A tile is read with its halo and seen over its core alone, so that every feature is owned by one tile and the
gradient stays with its owner. pipeline/README.md tells why the tiles' shares add up to the whole.

Shapes: 3 t_height t_width, a haloed tile of the level. sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.guidance import Guidance
from pipeline.layers import Layer
from pipeline.losses import Loss, Observation
from pipeline.rasters import Raster
from pipeline.tiles import Tile


@final
@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """What was read for a tile: all that comes from elsewhere than the network.

    Attributes:
        pixels: The image over the haloed tile.
        guides: As `Observation` has them.
        shares: As `Observation` has them.
        content: The content image's features over the core, where they are at hand.
        content_pixels: The content image over the haloed tile, where they must be computed.
    """

    pixels: Float[Tensor, "3 t_height t_width"]
    guides: Mapping[str, Float[Tensor, "regions height width"]]
    shares: Mapping[str, Float[Tensor, "regions height width"]]
    content: Mapping[str, Float[Tensor, "1 channels height width"]]
    content_pixels: Float[Tensor, "3 t_height t_width"] | None


@final
class View:
    """An image as the terms of one loss see it.

    Args:
        encoder: The network.
        loss: Its terms say which layers they ask for.
        content: The content image, if a term compares with it.
        guidance: The regions' channels, if a term has one.

    Raises:
        ValueError: The loss asks for what is not given.
    """

    def __init__(
        self, encoder: Encoder, loss: Loss, content: Raster | None, guidance: Guidance | None
    ) -> None:
        if loss.content_layers and content is None:
            raise ValueError("a term compares with the content image; give its raster as `content`")
        if (loss.guided_layers or loss.shared_layers) and guidance is None:
            raise ValueError("a term has a region; give the channels as `guidance`")
        self._encoder = encoder
        self.loss = loss
        self._content = content
        self._guidance = guidance

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._encoder.device

    def read(
        self, image: Raster, tile: Tile, content: Mapping[str, Tensor] | None, haloed: Box | None = None
    ) -> Read:
        """What a tile needs of an image, the regions, and the content if its features are not at hand.

        Args:
            image: The image, or a strip of it.
            tile: The tile, in the level's frame.
            content: The content's features, if they are at hand.
            haloed: The haloed tile in the strip's frame, if it is another.
        """
        pixels = image.read(haloed or tile.haloed)
        guides: dict[str, Tensor] = {}
        shares: dict[str, Tensor] = {}
        if self._guidance is not None:
            guides = self._guidance.at(self.loss.guided_layers, tile)
            shares = self._guidance.shares(self.loss.shared_layers, tile)
        return Read(
            pixels,
            {name: T.to(pixels.device) for name, T in guides.items()},
            {name: T.to(pixels.device) for name, T in shares.items()},
            content or {},
            self._content_pixels(tile) if content is None else None,
        )

    def observe(self, pixels: Float[Tensor, "3 t_height t_width"], read: Read, tile: Tile) -> Observation:
        """What is seen over the tile's core when its haloed part holds these pixels."""
        content = read.content if read.content_pixels is None else self._content_of(read.content_pixels, tile)
        return Observation(
            self._features(pixels, self.loss.layers, tile),
            read.guides,
            content,
            read.shares,
            _with_neighbours(pixels, tile.t_core) if self.loss.needs_pixels else None,
        )

    def content(self, tile: Tile) -> dict[str, Tensor]:
        """The content image's features over the tile's core, by layer name."""
        pixels = self._content_pixels(tile)
        features = {} if pixels is None else self._content_of(pixels, tile)
        # Copied: what is kept would hold on to the halo as well.
        return {name: values.clone() for name, values in features.items()}

    def _content_pixels(self, tile: Tile) -> Float[Tensor, "3 t_height t_width"] | None:
        if self._content is None or not self.loss.content_layers:
            return None
        return self._content.read(tile.haloed).to(self._encoder.device)

    @torch.no_grad()
    def _content_of(self, pixels: Float[Tensor, "3 t_height t_width"], tile: Tile) -> dict[str, Tensor]:
        return self._features(pixels, self.loss.content_layers, tile)

    def _features(
        self, pixels: Float[Tensor, "3 t_height t_width"], layers: Iterable[Layer], tile: Tile
    ) -> dict[str, Tensor]:
        """The features of these pixels over the tile's core, by layer name."""
        strides = {layer.name: layer.stride_px for layer in layers}
        features = self._encoder(pixels[None], strides) if strides else {}
        return {name: _core(features[name], tile.t_core.divided(stride)) for name, stride in strides.items()}


def _with_neighbours(
    pixels: Float[Tensor, "3 t_height t_width"], box: Box
) -> Float[Tensor, "3 height_1 width_1"]:
    """The pixels inside `box` and the next row and column; the last ones again where there is no next."""
    found = pixels[:, box.top : box.bottom + 1, box.left : box.right + 1]
    if box.bottom == pixels.shape[1]:
        found = torch.cat([found, found[:, -1:]], dim=1)
    if box.right == pixels.shape[2]:
        found = torch.cat([found, found[:, :, -1:]], dim=2)
    return found


def _core(
    features: Float[Tensor, "1 channels height width"], box: Box
) -> Float[Tensor, "1 channels f_height f_width"]:
    """The features inside `box`; nothing outside it receives a gradient."""
    if box.size == Size(*features.shape[2:]):
        return features
    core: Tensor = _Core.apply(features, box.slices)
    return core


class _Core(Function):
    """Slicing in one step: autograd's own would fill and copy a full-sized gradient once per dimension."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, slices: tuple[slice, slice]) -> Tensor:
        ctx.shape, ctx.slices = features.shape, slices
        rows, columns = slices
        return features[:, :, rows, columns]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        rows, columns = ctx.slices
        gradient = torch.empty(
            ctx.shape, dtype=derivative.dtype, device=derivative.device, memory_format=torch.channels_last
        ).zero_()
        gradient[:, :, rows, columns] = derivative
        return gradient, None
