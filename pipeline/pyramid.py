"""From an artwork's settings and its content's size to the levels: sizes, tiles, memory. Pure integers.

A level is named by the square root of its area in pixels. Levels come from `levels`, or from the print size:
then the top level is the print to the pixel, and each lower one has half its sides until one is small enough
for the network to see whole shapes in.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import final

from pipeline.config.models import SMALLEST_LEVEL_PX, ArtworkSettings
from pipeline.config.sections import Network, Optimiser, length_px
from pipeline.errors import ConfigError
from pipeline.geometry import Size, align_down
from pipeline.tiles import cut, halo_overhead

STRIDE_PX = 16
"""Images are padded to a multiple of this once per level, so that no pooling ever rounds."""

DEFAULT_LEVELS_PX = (512, 1024)
LOWEST_PRINT_LEVEL_PX = 640
SMALLEST_SIDE_PX = 32
SMALLEST_TILE_PX = 128
_MIB = 2**20
_PROCESS_MIB = 700


@final
@dataclass(frozen=True, slots=True)
class Level:
    """One level of the pyramid.

    Attributes:
        px: Its name: the square root of its area.
        size: Its size in pixels, as files hold it.
    """

    px: int
    size: Size

    @property
    def padded(self) -> Size:
        """The size that is optimised: up to the next multiple of 16; the padding never leaves the level."""
        return self.size.aligned_up(STRIDE_PX)


def levels(settings: ArtworkSettings, content: Size, where: str) -> tuple[Level, ...]:
    """The levels of an artwork, lowest first.

    Args:
        settings: The artwork's settings.
        content: The content image's size.
        where: The artwork's key in the configuration, for errors.

    Raises:
        ConfigError: A level would be thinner than 32 pixels, or the print smaller than the smallest level.
    """
    if settings.print.width is None and settings.print.height is None:
        given = tuple(level.px for level in settings.levels or ())
        found = tuple(Level(px, content.of_area(px)) for px in given or DEFAULT_LEVELS_PX)
    else:
        found = _print_levels(settings, content, where)
    thin = found[0].size
    if min(thin.height, thin.width) < SMALLEST_SIDE_PX:
        raise ConfigError(
            f"{where}.levels",
            expected=f"levels that are {SMALLEST_SIDE_PX} px at least on their shorter side",
            found=f"{thin} px (height x width) at level {found[0].px} for a content image of {content} px",
            fix="Raise the lowest level, or crop the content image",
        )
    return found


def _print_levels(settings: ArtworkSettings, content: Size, where: str) -> tuple[Level, ...]:
    if settings.print.width is not None:
        width = length_px(settings.print.width, settings.print.dpi)
        top = Size(max(1, round(width * content.height / content.width)), width)
    else:
        assert settings.print.height is not None
        height = length_px(settings.print.height, settings.print.dpi)
        top = Size(height, max(1, round(height * content.width / content.height)))
    px = round(math.sqrt(top.area))
    if px < SMALLEST_LEVEL_PX:
        raise ConfigError(
            f"{where}.print",
            expected=f"a print of {SMALLEST_LEVEL_PX} x {SMALLEST_LEVEL_PX} px at least",
            found=f"{top} px (height x width)",
            fix="Raise the width, the height or the dpi",
        )
    halvings = max(0, math.ceil(math.log2(px / LOWEST_PRINT_LEVEL_PX)))
    lower = tuple(Level(round(px / 2**k), content.of_area(round(px / 2**k))) for k in range(halvings, 0, -1))
    return (*lower, Level(px, top))


def activation_bytes_per_px(network: Network, bytes_per_value: int, *, guided: bool) -> int:
    """Bytes that an evaluation holds at its peak, per pixel of the image.

    Each convolution's output and each pooling's, and the pooling's int64 indices when it is a maximum; and
    twice as much as the widest block while the backward pass runs through it, three times when the
    gradients of several guided statistics meet there. Measured peaks lie within 3 % of it in float32.
    """
    layers = network.architecture.up_to(network.layers)
    convolved = sum(layer.channels / layer.stride_px**2 for layer in layers)
    strides = {layer.stride_px for layer in layers}
    pooled = [
        layer.channels / (2 * layer.stride_px) ** 2
        for layer, following in itertools.pairwise(layers)
        if following.stride_px > layer.stride_px
    ]
    widest = max(sum(layer.channels for layer in layers if layer.stride_px == s) / s**2 for s in strides)
    indices = 8 * sum(pooled) if network.pooling == "max" else 0.0
    return math.ceil((convolved + sum(pooled) + (3 if guided else 2) * widest) * bytes_per_value + indices)


def state_bytes_per_px(optimiser: Optimiser, content_values: float, channels: int) -> int:
    """Bytes of images, gradients, direction, history, guidance and content targets per pixel of a level.

    Args:
        optimiser: The method and its history.
        content_values: From `content_values_per_px`.
        channels: Guidance channels.
    """
    # Content, start, image, gradient, trial image, trial gradient, direction: three float32 channels each.
    fixed = 7 * 12 + 4 * channels + 4 * content_values
    if optimiser.method == "adam":
        return math.ceil(fixed + 24)
    per_value = 2 if optimiser.history_precision == "bfloat16" else 4
    return math.ceil(fixed + optimiser.history * 6 * per_value)


def content_values_per_px(network: Network) -> float:
    """Values of the content targets per pixel of a level."""
    found = (network.architecture.layer(name) for name in network.content_layers)
    return sum(layer.channels / layer.stride_px**2 for layer in found)


@final
@dataclass(frozen=True, slots=True)
class Tiling:
    """How a level is cut, and what it costs.

    Attributes:
        core_px: Side of a tile's core, or None when the whole level fits.
        halo_px: Pixels around a core that are computed but not owned.
        memory_mib: What the job will use.
    """

    core_px: int | None
    halo_px: int
    memory_mib: int


@final
@dataclass(frozen=True, slots=True)
class Demand:
    """What an evaluation and its optimiser ask for.

    Attributes:
        network: The network with the layers in use.
        optimiser: The optimiser's settings.
        channels: Guidance channels.
    """

    network: Network
    optimiser: Optimiser
    channels: int


def tiling(level: Level, demand: Demand, budget_mib: int, artwork: str, where: str) -> Tiling:
    """The largest tile that fits the memory budget: the whole level when it does.

    A pure function of its arguments: today's free memory has no say, so a plan means the same everywhere.
    Precision may be decided on the machine; the numbers are those of float32.

    Args:
        level: What is cut.
        demand: What is computed and kept.
        budget_mib: What the job may use.
        artwork: Whose level it is, for errors.
        where: The budget's section in the configuration, for errors.

    Raises:
        ConfigError: Not even the smallest tile fits beside the level's state.
    """
    network, channels = demand.network, demand.channels
    halo = network.architecture.deepest(network.layers).halo_px
    per_px = activation_bytes_per_px(network, 4, guided=channels > 0)
    state_per_px = state_bytes_per_px(demand.optimiser, content_values_per_px(network), channels)
    state = level.padded.area * state_per_px / _MIB
    room = budget_mib - _PROCESS_MIB - state
    if room * _MIB >= level.padded.area * per_px:
        used = _PROCESS_MIB + state + level.padded.area * per_px / _MIB
        return Tiling(None, halo, math.ceil(used))
    side = math.isqrt(max(0, math.floor(room * _MIB / per_px)))
    core = align_down(max(0, side - 2 * halo), STRIDE_PX)
    if core < SMALLEST_TILE_PX:
        smallest = (SMALLEST_TILE_PX + 2 * halo) ** 2 * per_px / _MIB
        needed = math.ceil(_PROCESS_MIB + state + smallest)
        raise ConfigError(
            f"{where}.memory_budget_mib",
            expected=f"{needed} at least for level {level.px} ({level.size} px) of {artwork}",
            found=f"{budget_mib}",
            fix="Raise it or lower the top level",
        )
    return Tiling(core, halo, budget_mib)


def computed_share(padded: Size, network: Network, core_px: int | None, halo_px: int) -> float:
    """Pixels computed per pixel of a padded level, halos included: 1.0 when it is not cut."""
    if core_px is None:
        return 1.0
    stride_px = network.architecture.deepest(network.layers).stride_px
    return halo_overhead(cut(padded, core_px, halo_px, stride_px))
