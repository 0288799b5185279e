"""What the style images ask for: their statistics, streamed by tiles and exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import InputError
from pipeline.features import Encoder
from pipeline.guidance import SIMPLE, Propagation, over_core, survey
from pipeline.layers import Layer
from pipeline.rasters import Raster
from pipeline.statistics import first_moment, second_moment
from pipeline.tiles import Tile, cut


@final
@dataclass(frozen=True, eq=False, slots=True)
class StyleStatistics:
    """What a style image asks for at one layer: of the whole image, or of the part that its guide covers.

    Attributes:
        gram: G = sum(T^2 F F^T) / sum(T^2).
        mean: sum(T F) / sum(T), the means of the feature maps, free of the guide's area.
        sum: The mean over all positions of T F with T normalised, which grows with the square root of the
            guide's share of the area: the authors' means. Without a guide the same as `mean`.
    """

    gram: Float[Tensor, "channels channels"]
    mean: Float[Tensor, " channels"]
    sum: Float[Tensor, " channels"]


@torch.no_grad()
def style_statistics(
    encoder: Encoder,
    style: Raster,
    guide: Raster | None,
    layers: Sequence[Layer],
    *,
    tile_px: int,
    name: str = "style guide",
    how: Propagation = SIMPLE,
) -> dict[str, StyleStatistics]:
    """The statistics of a style image by layer name, in float64, shallowest layer first, from one pass.

    With a guide they are those of the part it covers. A layer at which the guide is worth less than one unit
    is left out.

    Args:
        encoder: The network.
        style: sRGB in [0, 1], padded to a multiple of the deepest layer's stride.
        guide: One channel T in [0, 1] of the same size, or None for the whole image.
        layers: Which activations.
        tile_px: The largest side of a tile's core, a multiple of the deepest layer's stride.
        name: The guide as the user knows it, for the error.
        how: How the guide reaches a layer.

    Raises:
        InputError: The guide is empty: it vanishes at every layer.
    """
    deepest = max(layers, key=lambda layer: layer.receptive_field_px)
    tiles = cut(style.size, tile_px, deepest.halo_px, deepest.stride_px)
    weights = _weights(guide, layers, tiles, style, how)
    usable = [layer for layer in encoder.architecture.up_to([deepest.name]) if layer.name in weights]
    if not usable:
        first = min(layers, key=lambda layer: layer.receptive_field_px)
        raise InputError(
            name,
            expected=f"a guide that covers at least one unit of {first.name}",
            found=f"an empty one at {style.size} px",
            fix="Paint the region white, or leave the guide out to use the whole image",
        )
    sums: dict[str, _Sums] = {}
    for tile in tiles:
        image = style.read(tile.haloed).to(encoder.device)
        features = encoder(image[None], [layer.name for layer in usable])
        guides = {} if guide is None else over_core(guide, usable, tile, how)
        for layer in usable:
            rows, columns = tile.t_core.divided(layer.stride_px).slices
            T = guides[layer.name][0].to(encoder.device) if guides else None
            core = features[layer.name][:, :, rows, columns]
            moments = _Sums(first_moment(core, T).double(), second_moment(core, T).double())
            sums[layer.name] = sums[layer.name] + moments if layer.name in sums else moments
    return {name: weights[name].applied(moments) for name, moments in sums.items()}


@final
@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """Both moments of a layer, summed over the positions seen so far."""

    first: Float[Tensor, " channels"]
    second: Float[Tensor, "channels channels"]

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.first + other.first, self.second + other.second)


@final
@dataclass(frozen=True, slots=True)
class _Weight:
    """The sums of T and of T^2 over the positions of a layer, and how many positions there are."""

    sum: float
    energy: float
    positions: int

    def applied(self, moments: _Sums) -> StyleStatistics:
        return StyleStatistics(
            gram=moments.second / self.energy,
            mean=moments.first / self.sum,
            # T / sqrt(energy / positions), averaged over the positions.
            sum=moments.first / (self.energy * self.positions) ** 0.5,
        )


def _weights(
    guide: Raster | None, layers: Sequence[Layer], tiles: Sequence[Tile], style: Raster, how: Propagation
) -> Mapping[str, _Weight]:
    """What the guide is worth by layer name, where it is enough."""
    areas = {layer.name: style.size.divided(layer.stride_px).area for layer in layers}
    if guide is None:
        return {name: _Weight(area, area, area) for name, area in areas.items()}
    return {
        name: _Weight(float(total.sum[0]), float(total.energy[0]), areas[name])
        for name, total in survey(guide, layers, tiles, how).totals.items()
        if bool(total.suffice[0])
    }
