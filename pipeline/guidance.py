"""Guidance channels: where a region is, at every layer of the network.

A region's channel T in [0, 1] is given at the level's size. At a layer it is first propagated to the layer's
grid, then normalised to T / sqrt(mean T^2), the mean over the whole level: the guided Gram is then the
region's own second moment, free of its area. The means are additive statistics, so a level of any size
streams by tiles. How far a propagation looks beyond a tile's core is known here alone: channels are read as
far as it needs, whatever halo the network has.

Shapes: regions height width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from pipeline.geometry import Box, Size
from pipeline.layers import Layer
from pipeline.rasters import Part, Raster
from pipeline.streaming import Streaming
from pipeline.tiles import Tile

# Below the energy of one fully covered unit the second moment would be an average over less than one
# position: a rank-one matrix of noise, blown up by the normalisation.
LEAST_ENERGY = 1.0

# Cubic channels may be negative: their sum, by which means are divided, can come near zero where their energy
# does not. That of the smallest square whose energy suffices is 0.66.
LEAST_SUM = 0.5


@final
@dataclass(frozen=True, slots=True)
class Propagation:
    """How a region reaches a layer.

    Attributes:
        method: What a unit takes of the pixels. `simple`: the average over its own block of pixels. `cubic`:
            bicubic interpolation at the block's centre, without anti-aliasing, as the authors' zoom; it may
            overshoot [0, 1]. `all`: the largest value in its receptive field, so that units count which see
            any of the region. `inside`: the smallest, so that units count which see only the region.
        grow_units: By how many units of the layer the region then grows on each side, in a square; negative
            shrinks it. What overshoots is cut off first: it would be smeared.

    Pixels outside the image never count, nor do units outside it.
    """

    method: Literal["simple", "cubic", "all", "inside"] = "simple"
    grow_units: int = 0

    def reach_px(self, layer: Layer) -> int:
        """Pixels around a unit's block that it looks at, rounded up to a multiple of the stride."""
        around = {"simple": 0, "cubic": layer.stride_px, "all": layer.halo_px, "inside": layer.halo_px}
        return around[self.method] + abs(self.grow_units) * layer.stride_px

    def least_side_px(self, layer: Layer) -> int:
        """The side of a square region that does not vanish at the layer, wherever it lies."""
        stride = layer.stride_px
        # One unit must be covered whole, and a square of units around it when they shrink; the square's
        # corner may lie stride - 1 px off the grid.
        shrinking = stride * 2 * max(0, -self.grow_units)
        least = {
            "simple": 2 * stride - 1,
            "cubic": stride + 3 if stride > 1 else 1,
            "all": stride + 1 - layer.receptive_field_px,
            "inside": stride - 1 + layer.receptive_field_px,
        }
        return max(1, least[self.method] + shrinking)

    def remedy(self, layer: Layer) -> str:
        """How large a region does not vanish at the layer, and which settings would ask for less."""
        side = self.least_side_px(layer)
        ways = ["a larger mask or level"]
        if self.method == "inside":
            ways.append("propagation `simple`")
        if self.grow_units < 0:
            ways.append("less shrinking")
        return f"({side}x{side} px would do: {', or '.join(ways)})"


SIMPLE = Propagation()
"""Area averages: our default."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class Guidance:
    """The normalised channels of one level, read by tiles.

    Attributes:
        channels: T of every region, at the level's size.
        how: How they reach a layer.
        scales: By layer name, 1 / sqrt(mean T^2) per region, on the channels' device; 0 where it vanishes.
        means: By layer name, the mean of the normalised T per region, in float64; 0 where it vanishes.
        vanished: The (layer name, region) where a region has less than one unit; terms skip them.
        warnings: One line for each of those.
        coverage: How the regions share the level.
    """

    channels: Raster
    how: Propagation
    scales: Mapping[str, Float[Tensor, " regions"]]
    means: Mapping[str, Float[Tensor, " regions"]]
    vanished: frozenset[tuple[str, int]]
    warnings: tuple[str, ...]
    coverage: Coverage

    def at(self, layers: Iterable[Layer], tile: Tile) -> dict[str, Float[Tensor, "regions height width"]]:
        """The normalised channels over the tile's core, by layer name."""
        propagated = over_core(self.channels, layers, tile, self.how)
        return {name: T * self.scales[name].to(T).view(-1, 1, 1) for name, T in propagated.items()}

    def near(self, layers: Iterable[Layer], tile: Tile) -> Guidance:
        """The same guidance, of which all was read that these layers and `shares` ask for at the tile."""
        box = _furthest(self.channels.size, tuple(layers), tile, self.how)
        part = Part(self.channels.size, box, self.channels.read(box))
        return dataclasses.replace(self, channels=part)

    def shares(self, layers: Iterable[Layer], tile: Tile) -> dict[str, Float[Tensor, "regions height width"]]:
        """How much of each unit over the tile's core a region covers, in [0, 1], by layer name.

        Area averages, however the channels are propagated; any layer, normalised for or not.
        """
        return over_core(self.channels, layers, tile)

    def mean_gain(self, layer: Layer, region: int) -> float:
        """1 / mean of the normalised T: it makes of mean(T F) the region's own mean, sum(T F) / sum(T).

        Raises:
            ValueError: The region vanishes at this layer.
        """
        if (layer.name, region) in self.vanished:
            raise ValueError(f"region {region} vanishes at {layer.name}; it has no mean there")
        return 1 / float(self.means[layer.name][region])


def normalise(
    channels: Raster,
    layers: Iterable[Layer],
    tiles: Sequence[Tile],
    regions: Sequence[str],
    how: Propagation = SIMPLE,
) -> Guidance:
    """The guidance of a level for these layers, from one pass over its channels.

    Args:
        channels: T of every region, in [0, 1].
        layers: Where guides will be needed.
        tiles: A cut of the level, its cores on multiples of the deepest layer's stride; halos do not matter.
        regions: The regions' names in the order of the channels, for warnings.
        how: How the channels reach a layer.
    """
    layers = sorted(layers, key=lambda layer: layer.receptive_field_px)
    found = survey(channels, layers, tiles, how)
    scales: dict[str, Tensor] = {}
    means: dict[str, Tensor] = {}
    vanished: dict[tuple[str, int], str] = {}
    for layer in layers:
        total, units = found.totals[layer.name], channels.size.divided(layer.stride_px).area
        scales[layer.name] = torch.where(total.suffice, (total.energy / units).rsqrt(), 0.0)
        means[layer.name] = scales[layer.name] * total.sum / units
        for region, (label, suffices) in enumerate(zip(regions, total.suffice.tolist(), strict=True)):
            if not suffices:
                covered = max(0.0, min(float(total.energy[region]), float(total.sum[region])))
                vanished[layer.name, region] = (
                    f"region {label} covers {covered:.2g} of one unit of {layer.name} "
                    f"at {channels.size} px; it is not styled at this layer {how.remedy(layer)}"
                )
    return Guidance(
        channels, how, scales, means, frozenset(vanished), tuple(vanished.values()), found.coverage
    )


def propagate(
    channels: Float[Tensor, "regions height width"], layer: Layer, how: Propagation = SIMPLE
) -> Float[Tensor, "regions f_height f_width"]:
    """The channels on the layer's grid; see `Propagation` for each method.

    The one place that knows how a region reaches a layer. What is given counts as the whole image: callers
    hand it a core grown by `how.reach_px(layer)`, as far as the image goes, and keep the core.

    Differs from the paper: `simple`, the default, averages, where the authors' cubic zoom overshoots to about
    [-0.2, 1.2]; `all` and `inside` go by the exact receptive field and keep soft masks soft.
    """
    propagated = _METHODS[how.method](channels, layer)
    if how.grow_units == 0:
        return propagated
    within, side = propagated.clamp(0, 1), 2 * abs(how.grow_units) + 1
    return _largest(within, side, 1) if how.grow_units > 0 else 1 - _largest(1 - within, side, 1)


def _simple(channels: Tensor, layer: Layer) -> Tensor:
    # Pixel by pixel there is nothing to average; sums must meet the values in the same order all the same.
    return avg_pool2d(channels, layer.stride_px) if layer.stride_px > 1 else channels.contiguous()


def _cubic(channels: Tensor, layer: Layer) -> Tensor:
    grid = [side // layer.stride_px for side in channels.shape[1:]]
    return interpolate(channels[None], size=grid, mode="bicubic", align_corners=False)[0]


def _all(channels: Tensor, layer: Layer) -> Tensor:
    return _largest(channels, layer.receptive_field_px, layer.stride_px)


def _inside(channels: Tensor, layer: Layer) -> Tensor:
    return 1 - _all(1 - channels, layer)


_METHODS = {"simple": _simple, "cubic": _cubic, "all": _all, "inside": _inside}


def _largest(channels: Tensor, side: int, stride: int) -> Tensor:
    """The maximum over squares of this side, centred on blocks of the stride; outside nothing counts."""
    margin = (side - stride) // 2
    by_columns = max_pool2d(channels, (side, 1), (stride, 1), (margin, 0))
    return max_pool2d(by_columns, (1, side), (1, stride), (0, margin))


def over_core(
    channels: Raster, layers: Iterable[Layer], tile: Tile, how: Propagation = SIMPLE
) -> dict[str, Float[Tensor, "regions height width"]]:
    """The propagated channels over the tile's core, by layer name; not normalised."""
    layers = tuple(layers)
    if not layers:
        return {}
    furthest = _furthest(channels.size, layers, tile, how)
    read = channels.read(furthest)
    propagated = {}
    for layer in layers:
        reached = tile.core.grown(how.reach_px(layer), within=channels.size)
        rows, columns = reached.relative_to(furthest).slices
        f_rows, f_columns = tile.core.relative_to(reached).divided(layer.stride_px).slices
        propagated[layer.name] = propagate(read[:, rows, columns], layer, how)[:, f_rows, f_columns]
    return propagated


def _furthest(size: Size, layers: Sequence[Layer], tile: Tile, how: Propagation) -> Box:
    """The tile's core as far as any of the layers looks around it."""
    return tile.core.grown(max((how.reach_px(layer) for layer in layers), default=0), within=size)


@final
@dataclass(frozen=True, eq=False, slots=True)
class Totals:
    """What a layer's channels are worth over a whole level, per region, in float64.

    Attributes:
        sum: Of T over all units.
        energy: Of T^2: the fully covered units that a region is worth.
    """

    sum: Float[Tensor, " regions"]
    energy: Float[Tensor, " regions"]

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.sum + other.sum, self.energy + other.energy)

    @property
    def suffice(self) -> Tensor:
        """Whether each region is enough of the layer to be styled there."""
        return (self.energy >= LEAST_ENERGY) & (self.sum >= LEAST_SUM)


@final
@dataclass(frozen=True, slots=True)
class Coverage:
    """How the regions share a level, in [0, 1].

    Attributes:
        uncovered: The share of the area that lies in none: the mean of max(0, 1 - sum_r T_r).
        shared: The share that lies in one region too many: the mean of max(0, sum_r T_r - 1).
    """

    uncovered: float
    shared: float


@final
@dataclass(frozen=True, eq=False, slots=True)
class Survey:
    """What one pass over the channels of a level tells.

    Attributes:
        totals: By layer name.
        coverage: How the regions share the level.
    """

    totals: Mapping[str, Totals]
    coverage: Coverage


def survey(
    channels: Raster, layers: Iterable[Layer], tiles: Iterable[Tile], how: Propagation = SIMPLE
) -> Survey:
    """The sums over all units of each layer, and what no region covers and what several do.

    Each tile is read once, while the one before it is summed.
    """
    layers, size = tuple(layers), channels.size
    found: dict[str, Totals] = {}
    uncovered, shared = 0.0, 0.0

    def read(tile: Tile) -> Part:
        box = _furthest(size, layers, tile, how)
        return Part(size, box, channels.read(box))

    # Of a GPU both threads use the default stream, in which one thing follows the other.
    with Streaming(torch.device("cpu")) as stream:
        for tile, part in stream.ahead(tiles, read):
            for name, T in over_core(part, layers, tile, how).items():
                total = Totals(
                    T.sum(dim=(1, 2), dtype=torch.float64), T.square().sum(dim=(1, 2), dtype=torch.float64)
                )
                found[name] = found[name] + total if name in found else total
            rest = 1 - part.read(tile.core).sum(dim=0)
            uncovered += float(rest.clamp(min=0).sum(dtype=torch.float64))
            shared += float((-rest).clamp(min=0).sum(dtype=torch.float64))
    return Survey(found, Coverage(uncovered / size.area, shared / size.area))
