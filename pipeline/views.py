"""What the terms of a loss see of an image, tile by tile: features, guides and content features.

A tile is read with its halo and seen over its core alone, so that every feature is owned by one tile and the
gradient stays with its owner. pipeline/README.md tells why the tiles' shares add up to the whole.

Shapes: 3 t_height t_width, a haloed tile of the level. sRGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.features import Encoder
from pipeline.geometry import Box
from pipeline.guidance import Guidance
from pipeline.layers import Layer
from pipeline.losses import Loss, Observation
from pipeline.rasters import Raster
from pipeline.statistics import Pull, add_pulls
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
@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """A haloed tile's pixels and what the network made of them; with gradients enabled, with its graph.

    Attributes:
        pixels: What the network was shown.
        features: By layer name, the shallowest first.
        cores: Which part of each layer's features is the tile's own.
    """

    pixels: Float[Tensor, "3 t_height t_width"]
    features: dict[str, Float[Tensor, "1 channels height width"]]
    cores: Mapping[str, Box]

    def over_core(self) -> dict[str, Float[Tensor, "1 channels f_height f_width"]]:
        """The features over the tile's core, by layer name: views."""
        return {name: _core(features, self.cores[name]) for name, features in self.features.items()}

    @torch.no_grad()
    def gradient(
        self, pulls: dict[str, list[Pull]], sums: Sequence[tuple[Tensor, Tensor]]
    ) -> Float[Tensor, "3 t_height t_width"]:
        """What is asked of the pixels. It uses itself up, and the pulls: each layer goes once it is passed.

        Layer by layer from the deepest, so that what a layer is asked is added to what comes from below it
        in place: autograd would fill a map of its own for every statistic, and add them up.

        Args:
            pulls: What is asked of the features over the core, by layer name.
            sums: Numbers that were made of the pixels themselves, and the derivative by each.
        """
        outputs, derivatives = ([*each] for each in zip(*sums, strict=True)) if sums else ([], [])
        asked: Tensor | None = None
        while self.features:
            name, features = self.features.popitem()
            asked = torch.zeros_like(features) if asked is None else asked
            add_pulls(pulls.pop(name), to=_core(asked, self.cores[name]))
            if self.features:
                shallower = next(reversed(self.features.values()))
                (asked,) = torch.autograd.grad(features, shallower, asked)
            else:
                outputs, derivatives = [features, *outputs], [asked, *derivatives]
            del features
        return torch.autograd.grad(outputs, self.pixels, derivatives)[0]


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
        if self._guidance is not None and (self.loss.guided_layers or self.loss.shared_layers):
            guidance = self._guidance.near(self.loss.guided_layers, tile)
            guides = guidance.at(self.loss.guided_layers, tile)
            shares = guidance.shares(self.loss.shared_layers, tile)
        return Read(
            pixels,
            {name: T.to(pixels.device) for name, T in guides.items()},
            {name: T.to(pixels.device) for name, T in shares.items()},
            content or {},
            self._content_pixels(tile) if content is None else None,
        )

    def chain(self, pixels: Float[Tensor, "3 t_height t_width"], tile: Tile) -> Chain:
        """What the network makes of these pixels, which the tile's haloed part holds."""
        return self._chain(pixels, self.loss.layers, tile)

    def observe(self, chain: Chain, read: Read, tile: Tile) -> Observation:
        """What is seen of a chain over the tile's core."""
        content = read.content if read.content_pixels is None else self._content_of(read.content_pixels, tile)
        return Observation(
            chain.over_core(),
            read.guides,
            content,
            read.shares,
            _with_neighbours(chain.pixels, tile.t_core) if self.loss.needs_pixels else None,
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
        return self._chain(pixels, self.loss.content_layers, tile).over_core()

    def _chain(
        self, pixels: Float[Tensor, "3 t_height t_width"], layers: Iterable[Layer], tile: Tile
    ) -> Chain:
        cores = {layer.name: tile.t_core.divided(layer.stride_px) for layer in layers}
        return Chain(pixels, self._encoder(pixels[None], cores) if cores else {}, cores)


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
    """The features inside `box`, a view."""
    rows, columns = box.slices
    return features[:, :, rows, columns]
