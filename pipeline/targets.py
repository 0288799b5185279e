"""What the style images ask for: their statistics, streamed by tiles and exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import InputError
from pipeline.features import Encoder
from pipeline.guidance import over_core, totals
from pipeline.layers import Layer
from pipeline.rasters import Raster
from pipeline.statistics import second_moment
from pipeline.tiles import Tile, cut


@torch.no_grad()
def style_statistics(
    encoder: Encoder,
    style: Raster,
    guide: Raster | None,
    layers: Sequence[Layer],
    *,
    tile_px: int,
    name: str = "style guide",
) -> dict[str, Float[Tensor, "channels channels"]]:
    """The Gram matrix G of a style image by layer name, in float64, shallowest layer first.

    With a guide, G = sum T^2 F F^T / sum T^2: the second moment of the part it covers, which is what
    normalising T gives. A layer at which the guide is worth less than one unit is left out.

    Args:
        encoder: The network.
        style: sRGB in [0, 1], padded to a multiple of the deepest layer's stride.
        guide: One channel T in [0, 1] of the same size, or None for the whole image.
        layers: Which activations.
        tile_px: The largest side of a tile's core, a multiple of the deepest layer's stride.
        name: The guide as the user knows it, for the error.

    Raises:
        InputError: The guide is empty: it vanishes at every layer.
    """
    deepest = max(layers, key=lambda layer: layer.receptive_field_px)
    tiles = cut(style.size, tile_px, deepest.halo_px, deepest.stride_px)
    covered = _covered_units(guide, layers, tiles, style)
    usable = [layer for layer in encoder.architecture.up_to([deepest.name]) if layer.name in covered]
    if not usable:
        raise InputError(
            name,
            expected=f"a guide that covers at least one unit of {layers[0].name}",
            found=f"an empty one at {style.size} px",
            fix="Paint the region white, or leave the guide out to use the whole image",
        )
    grams: dict[str, Tensor] = {}
    for tile in tiles:
        image = style.read(tile.haloed).to(encoder.device)
        features = encoder(image[None], [layer.name for layer in usable])
        guides = {} if guide is None else over_core(guide, usable, tile)
        for layer in usable:
            rows, columns = tile.t_core.divided(layer.stride_px).slices
            T = guides[layer.name][0].to(encoder.device) if guides else None
            moment = second_moment(features[layer.name][:, :, rows, columns], T).to(torch.float64)
            moment /= covered[layer.name]
            grams[layer.name] = grams[layer.name] + moment if layer.name in grams else moment
    return grams


def _covered_units(
    guide: Raster | None, layers: Sequence[Layer], tiles: Sequence[Tile], style: Raster
) -> dict[str, float]:
    """The sum of T^2 by layer name (the number of positions without a guide), where it is enough."""
    if guide is None:
        return {layer.name: style.size.divided(layer.stride_px).area for layer in layers}
    found = totals(guide, layers, tiles)
    return {name: float(total.energy[0]) for name, total in found.items() if bool(total.suffice[0])}
