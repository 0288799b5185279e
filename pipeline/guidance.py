"""Guidance channels: where a region is, at every layer of the network.

A region's channel T in [0, 1] is given at the level's size. At a layer it is first propagated to the layer's
grid, then normalised to T / sqrt(mean T^2), the mean over the whole level: the guided Gram is then the
region's own second moment, free of its area. The mean is an additive statistic, so a level of any size
streams by tiles.

Shapes: regions height width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pipeline.layers import Layer
from pipeline.rasters import Raster
from pipeline.tiles import Tile

# Below the energy of one fully covered unit the second moment would be an average over less than one
# position: a rank-one matrix of noise, blown up by the normalisation.
LEAST_ENERGY = 1.0


@final
@dataclass(frozen=True, eq=False, slots=True)
class Guidance:
    """The normalised channels of one level, read by tiles.

    Attributes:
        channels: T of every region, at the level's size.
        scales: By layer name, 1 / sqrt(mean T^2) per region, on the channels' device; 0 where it vanishes.
        vanished: The (layer name, region) where a region has less than one unit; terms skip them.
        warnings: One line for each of those.
    """

    channels: Raster
    scales: Mapping[str, Float[Tensor, " regions"]]
    vanished: frozenset[tuple[str, int]]
    warnings: tuple[str, ...]

    def at(self, layers: Iterable[Layer], tile: Tile) -> dict[str, Float[Tensor, "regions height width"]]:
        """The normalised channels over the tile's core, by layer name."""
        propagated = over_core(self.channels, layers, tile)
        return {name: T * self.scales[name].to(T).view(-1, 1, 1) for name, T in propagated.items()}


def normalise(
    channels: Raster, layers: Iterable[Layer], tiles: Sequence[Tile], regions: Sequence[str]
) -> Guidance:
    """The guidance of a level for these layers, from one pass over its channels.

    Args:
        channels: T of every region, in [0, 1].
        layers: Where guides will be needed.
        tiles: A cut of the level whose stride and halo suit the deepest of the layers.
        regions: The regions' names in the order of the channels, for warnings.
    """
    layers = sorted(layers, key=lambda layer: layer.receptive_field_px)
    energies = energy(channels, layers, tiles)
    scales: dict[str, Tensor] = {}
    vanished: dict[tuple[str, int], str] = {}
    for layer in layers:
        totals = energies[layer.name]
        mean = totals / channels.size.divided(layer.stride_px).area
        scales[layer.name] = torch.where(totals >= LEAST_ENERGY, mean.rsqrt(), 0.0)
        for region, (label, total) in enumerate(zip(regions, totals.tolist(), strict=True)):
            if total < LEAST_ENERGY:
                vanished[layer.name, region] = (
                    f"region {label} covers {total:.2g} of one unit of {layer.name} "
                    f"at {channels.size} px; it is not styled at this layer"
                )
    return Guidance(channels, scales, frozenset(vanished), tuple(vanished.values()))


def propagate(
    channels: Float[Tensor, "regions height width"], layer: Layer
) -> Float[Tensor, "regions f_height f_width"]:
    """The channels on the layer's grid: the average over the pixels of each unit.

    The one place that knows how a region reaches a layer. It may look as far around a unit as the layer's
    receptive field: callers hand it a haloed tile and keep the core.

    Differs from the paper: the authors' cubic zoom overshoots to about [-0.2, 1.2]; an average cannot.
    """
    return avg_pool2d(channels, layer.stride_px)


def over_core(
    channels: Raster, layers: Iterable[Layer], tile: Tile
) -> dict[str, Float[Tensor, "regions height width"]]:
    """The propagated channels over the tile's core, by layer name; not normalised."""
    haloed = channels.read(tile.haloed)
    propagated = {}
    for layer in layers:
        rows, columns = tile.t_core.divided(layer.stride_px).slices
        propagated[layer.name] = propagate(haloed, layer)[:, rows, columns]
    return propagated


def energy(
    channels: Raster, layers: Iterable[Layer], tiles: Iterable[Tile]
) -> dict[str, Float[Tensor, " regions"]]:
    """The sum of T^2 over all units by layer name, in float64: the fully covered units a region is worth."""
    layers = tuple(layers)
    totals: dict[str, Tensor] = {}
    for tile in tiles:
        for name, T in over_core(channels, layers, tile).items():
            energies = T.square().sum(dim=(1, 2), dtype=torch.float64)
            totals[name] = totals[name] + energies if name in totals else energies
    return totals


def coverage(channels: Raster, tiles: Iterable[Tile]) -> Float[Tensor, " regions"]:
    """The share of the level's area that each region covers, in [0, 1]: its mean T. float64."""
    totals = [channels.read(tile.core).sum(dim=(1, 2), dtype=torch.float64) for tile in tiles]
    return torch.stack(totals).sum(dim=0) / channels.size.area
