"""How a level is cut into tiles, where its vectors lie, and the memory, disk and time that its job asks for.

A pure function of settings and sizes: today's free memory has no say, so a plan means the same everywhere.
Where the precision is decided on the machine, the numbers are those of float32. Pure integers, no torch.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Literal, final

from pipeline.config.sections import Network, Optimiser
from pipeline.costs import (
    activation_bytes_per_px,
    content_values_per_px,
    kept_bytes_per_px,
    saved_bytes_per_px,
    state_bytes_per_px,
    state_file_bytes_per_px,
    vector_bytes_per_px,
)
from pipeline.geometry import Size, align_down, align_up
from pipeline.layers import STRIDE_PX
from pipeline.pyramid import Level
from pipeline.strips import Strip, deal
from pipeline.tiles import grid, halo_overhead, least_core_px

SMALLEST_TILE_PX = 128
_WORTH_FILES = 1.1  # files cost some time of their own
_MOST_KEPT_TILES = 8
_MOST_VALUES = 2**31 - 1  # of one feature map: kernels of GPUs that count further are slow, or wrong
_MIB = 2**20
PROCESS_MIB = 700
_STARTER_MIB = 400  # the process that starts those that share a level
_SECONDS_PER_MEGAPIXEL_EVALUATION = 12.0
FORWARD_S_PER_MEGAPIXEL = _SECONDS_PER_MEGAPIXEL_EVALUATION / 3
"""On a slow processor: a backward pass takes about twice as long."""
_SCHEDULED_EVALUATIONS = 1.2  # per iteration: more than is likely
_TWO_PASSES = 1.5
_WORTH_SHARING = 1.5  # times what one process computes: beyond it, more of them mostly compute halos


@final
@dataclass(frozen=True, slots=True)
class Tiling:
    """How a level is cut, where its vectors lie, and what its job asks for: fields of a `BudgetedPlan`.

    Attributes:
        tile_core_px: The largest side of a tile's core, or None when the whole level fits; at the level's
            borders, where there is no halo, cores are as much larger.
        halo_px: Pixels around a core that are computed but not owned.
        keep_tiles: How many tiles keep their activations from one pass to the next.
        store: Where the optimiser's vectors are: in the device's memory, in the host's, or in files.
        device_mib: What each computing device holds: activations, and vectors where they are in memory.
        memory_mib: What the job will use, its processes themselves included.
        disk_mib: Files that the job makes and deletes again.
        runtime_min: Minutes that a scheduler is asked for where a processor computes.
        processes: How many share the image, each with a device and a strip of its own.
    """

    tile_core_px: int | None
    halo_px: int
    keep_tiles: int
    store: Literal["memory", "host", "files"]
    device_mib: int
    memory_mib: int
    disk_mib: int
    runtime_min: int
    processes: int = 1


@final
@dataclass(frozen=True, slots=True)
class Demand:
    """What an evaluation and its optimiser ask for.

    Attributes:
        network: The network with the layers in use.
        optimiser: The optimiser's settings.
        channels: Guidance channels.
        iterations: Of the optimiser.
        precision: Of the convolutions; `auto` counts as float32.
    """

    network: Network
    optimiser: Optimiser
    channels: int
    iterations: int
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    @property
    def activation_bytes_per_px(self) -> int:
        """What an evaluation holds at its peak."""
        return activation_bytes_per_px(self.network, self._bytes_per_value)

    @property
    def kept_bytes_per_px(self) -> int:
        """What a tile holds that keeps its activations."""
        return kept_bytes_per_px(self.network, self._bytes_per_value)

    @property
    def _bytes_per_value(self) -> int:
        return 2 if self.precision == "bfloat16" else 4


@final
class DoesNotFitError(Exception):
    """A budget is too small for a level; nobody but the planner sees it.

    Attributes:
        key: The budget, a key of `compute`.
        needed: The least that would do, in the budget's unit.
        found: The budget.
        level: What does not fit.
        size: Of that level.
        otherwise: What else would help, to stand between commas; empty when nothing would.
    """

    def __init__(self, key: str, needed: str, found: str, level: Level, otherwise: str = "") -> None:
        super().__init__(f"{key}: {needed} for {level.px}, {found} given")
        self.key = key
        self.needed = needed
        self.found = found
        self.level = level
        self.otherwise = otherwise


def tiling(
    level: Level, demand: Demand, budget_mib: int, devices: int = 1, host_budget_mib: int = 0
) -> Tiling:
    """The whole level when it fits; else tiles, with the vectors in memory, the host's or, at last, in files.

    Where the vectors are changes no bit of the result. Several devices share a level that is worth it, each a
    strip of it; what is cut is then the strip.

    Args:
        level: What is cut.
        demand: What is computed and kept.
        budget_mib: What each of the job's processes may use.
        devices: How many there are to share a level.
        host_budget_mib: What the vectors of all processes may use of the host's memory beside that.

    Raises:
        DoesNotFitError: Not even the smallest tile fits.
    """
    network, channels = demand.network, demand.channels
    strips = _shared(level, demand, devices)
    padded = _largest(strips)
    halo_px = network.architecture.deepest(network.layers).halo_px
    per_px = demand.activation_bytes_per_px
    content_values = content_values_per_px(network)
    state_mib = padded.area * state_bytes_per_px(demand.optimiser, content_values, channels) / _MIB
    # What is read at once is read whole by every process: content, start and guidance.
    state_mib += (level.padded.area - padded.area) * (2 * 12 + 4 * channels) / _MIB
    whole_mib = state_mib + padded.area * per_px / _MIB
    if PROCESS_MIB + whole_mib <= budget_mib and padded.area <= _most_area_px(network):
        return _tiling(strips, demand, _Cut(None, 0, 2.0), "memory", whole_mib)
    # Image, content and guides of one tile are read ahead, and the gradient of another is written behind.
    per_px += 3 * 12 + 2 * 4 * channels
    # The content's features stay where there is memory for vectors.
    vectors_mib = padded.area * (vector_bytes_per_px(demand.optimiser) + 4 * content_values) / _MIB
    room_mib = budget_mib - PROCESS_MIB
    in_files = _fastest(padded, demand, room_mib, per_px, halo_px)
    if in_files is None:
        needed = math.ceil(PROCESS_MIB + (SMALLEST_TILE_PX + 2 * halo_px) ** 2 * per_px / _MIB)
        raise DoesNotFitError(
            "memory_budget_mib", str(needed), str(budget_mib), level, "choose shallower layers"
        )
    in_memory = _fastest(padded, demand, room_mib - vectors_mib, per_px, halo_px)
    if in_memory is not None and in_memory.work <= _WORTH_FILES * in_files.work:
        held_mib = _held_mib(padded, demand, in_memory, per_px, halo_px)
        return _tiling(strips, demand, in_memory, "memory", vectors_mib + held_mib)
    held_mib = _held_mib(padded, demand, in_files, per_px, halo_px)
    host_mib = sum(strip.size.area for strip in strips) * vector_bytes_per_px(demand.optimiser) / _MIB
    if host_mib <= host_budget_mib:
        return _tiling(strips, demand, in_files, "host", held_mib, host_mib=host_mib)
    return _tiling(strips, demand, in_files, "files", held_mib)


def _shared(level: Level, demand: Demand, devices: int) -> tuple[Strip, ...]:
    """A strip of the level for each of as many processes as are worth it, of so many at most."""
    deepest = demand.network.architecture.deepest(demand.network.layers)
    halo_px = strip_halo_px(deepest.halo_px, demand.optimiser)
    padded = level.padded
    # A border between two strips is computed by both.
    most = 1 + math.floor((_WORTH_SHARING - 1) * padded.height / (2 * halo_px))
    for count in range(min(devices, most), 1, -1):
        with contextlib.suppress(ValueError):
            return deal(padded, count, halo_px, STRIDE_PX)
    return (Strip.whole(padded),)


def _largest(strips: tuple[Strip, ...]) -> Size:
    """The size of the strip that costs most, halos included."""
    return max((strip.size for strip in strips), key=lambda size: size.area)


def strip_halo_px(objective_px: int, optimiser: Optimiser) -> int:
    """Rows that a strip holds on either side: for the objective, or for the multiscale initial Hessian.

    Args:
        objective_px: The halo that the objective's deepest layer asks for.
        optimiser: Whose initial Hessian sees two of its coarsest blocks.
    """
    hessian_px = 2 * 2**optimiser.hessian_scales if optimiser.hessian_scales else 0
    return align_up(max(objective_px, hessian_px, STRIDE_PX), STRIDE_PX)


@final
@dataclass(frozen=True, slots=True)
class _Cut:
    """A way to cut a level: its tiles' cores, how many are kept, and passes per pixel, halos included."""

    core_px: int | None
    kept: int
    work: float


def _tiling(
    strips: tuple[Strip, ...],
    demand: Demand,
    cut: _Cut,
    store: Literal["memory", "host", "files"],
    device_mib: float,
    *,
    host_mib: float = 0.0,
) -> Tiling:
    bytes_per_px = state_file_bytes_per_px if store == "files" else saved_bytes_per_px
    state_bytes = bytes_per_px(demand.optimiser, demand.iterations)
    halo_px = demand.network.architecture.deepest(demand.network.layers).halo_px
    # Tiles compute their halos as well, and their forward pass twice.
    padded = _largest(strips)
    computed = computed_share(padded, demand.network, cut.core_px, halo_px)
    work = computed * (1.0 if cut.core_px is None else _TWO_PASSES)
    evaluations = demand.iterations * _SCHEDULED_EVALUATIONS
    seconds = evaluations * padded.area / 1e6 * work * _SECONDS_PER_MEGAPIXEL_EVALUATION
    return Tiling(
        cut.core_px,
        halo_px,
        cut.kept,
        store,
        device_mib=math.ceil(device_mib),
        memory_mib=len(strips) * math.ceil(PROCESS_MIB + device_mib + host_mib / len(strips))
        + (_STARTER_MIB if len(strips) > 1 else 0),
        disk_mib=math.ceil(sum(strip.size.area for strip in strips) * state_bytes / _MIB),
        # Twice what a slow processor takes, and the start.
        runtime_min=10 + round(2 * seconds / 60),
        processes=len(strips),
    )


def _held_mib(padded: Size, demand: Demand, cut: _Cut, per_px: int, halo_px: int) -> float:
    """Activations of the tiles that are kept, and of the one that is being computed."""
    side_px = (cut.core_px or 0) + 2 * halo_px
    haloed_px = min(side_px, padded.height) * min(side_px, padded.width)
    return haloed_px * (per_px + cut.kept * demand.kept_bytes_per_px) / _MIB


def _fastest(padded: Size, demand: Demand, room_mib: float, per_px: int, halo_px: int) -> _Cut | None:
    """The cut that computes fewest pixels, each pass counted; None when no tile fits.

    A tile that is kept costs a forward and a backward pass, another one two forward passes and a backward
    one. Smaller tiles have more halo, but more of them can be kept.
    """
    best: _Cut | None = None
    most_px = _most_area_px(demand.network)
    for kept in range(_MOST_KEPT_TILES + 1):
        bytes_per_px = per_px + kept * demand.kept_bytes_per_px
        core = _core_px(min(room_mib * _MIB / bytes_per_px, most_px), halo_px)
        if core < SMALLEST_TILE_PX:
            break
        core = max(SMALLEST_TILE_PX, least_core_px(padded, core, halo_px, STRIDE_PX))
        work = computed_share(padded, demand.network, core, halo_px) * (
            3 - kept_share(padded, core, halo_px, kept)
        )
        if best is None or work < best.work:
            best = _Cut(core, kept, work)
    return best


def _most_area_px(network: Network) -> int:
    """The largest area of a tile whose feature maps can all be counted."""
    widest = max(layer.channels / layer.stride_px**2 for layer in network.architecture.up_to(network.layers))
    return math.floor(_MOST_VALUES / widest)


def _core_px(area_px: float, halo_px: int) -> int:
    """The side of the largest core whose tile has at most this area; below a stride it is 0."""
    side = math.isqrt(max(0, math.floor(area_px)))
    return align_down(max(0, side - 2 * halo_px), STRIDE_PX)


def computed_share(padded: Size, network: Network, core_px: int | None, halo_px: int) -> float:
    """Pixels computed per pixel of a padded level, halos included: 1.0 when it is not cut."""
    if core_px is None:
        return 1.0
    stride_px = network.architecture.deepest(network.layers).stride_px
    return halo_overhead(padded, core_px, halo_px, stride_px)


def tile_grid(padded: Size, core_px: int | None, halo_px: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    return (1, 1) if core_px is None else grid(padded, core_px, halo_px)


def kept_share(padded: Size, core_px: int | None, halo_px: int, keep_tiles: int) -> float:
    """The share of the pixels whose activations are kept between the passes: all of a whole level's."""
    rows, columns = tile_grid(padded, core_px, halo_px)
    return 1.0 if core_px is None else min(1.0, keep_tiles / (rows * columns))
