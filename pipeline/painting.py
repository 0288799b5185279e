"""What a trained network paints: an artwork's settings -> which network, which channels, and what it takes.

A pure function of the settings and sizes, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, final

from pipeline import photographs
from pipeline.budget import PROCESS_MIB, DoesNotFitError
from pipeline.config.controls import Region, Style
from pipeline.config.models import Artwork, Compute, Config
from pipeline.config.networks import TrainedNetwork
from pipeline.disk import RENDERED, file_mib
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.inspection import SeenFiles, checked_size, weights_sources
from pipeline.level_plans import LevelPlan, PaintingPlan, RegionPlan
from pipeline.pyramid import Level
from pipeline.shared_plans import Area, NetworkPlan, make_key
from pipeline.transformations import (
    ARCHITECTURES,
    THUMBNAIL_PX,
    Convolution,
    TransformationArchitecture,
    around_px,
    held_bytes,
    pass_bytes_per_px,
    piece_for,
    surrounded,
    tile_for,
)

_LEAST_MIB = 64
_FLOAT_BYTES = 4
# Of one slow thread: 4.4 were measured of the narrow network, of 45 000 multiplications for a pixel.
_SECONDS_PER_MULTIPLICATION = 6.0 / 45_000
_MIB = 2**20
# What is said of a network, and does not change what it learns.
_LEARNT_WITHOUT: dict[str, Any] = {"name": True, "settings": {"licence"}}


def network_of(config: Config, name: str, seen: SeenFiles, where: str) -> tuple[str, NetworkPlan]:
    """The key and plan of the network of artwork `name`, whose regions and styles must suit it.

    Args:
        config: The configuration.
        name: A key of its artworks, one in which a network takes part.
        seen: The user's files.
        where: The configuration's name, for errors.

    Raises:
        ConfigError: There is no such network, it cannot paint the artwork, or its loss network cannot be had.
        InputError: One of its files cannot be read.
    """
    artwork = config.artworks[name]
    at, chosen = f"{where}: artworks.{name}", artwork.feedforward.network
    if chosen not in config.networks:
        raise ConfigError(
            f"{at}.feedforward.network",
            expected=f"one of the networks {', '.join(config.networks)}"
            if config.networks
            else "the name of a network that stands under `networks`",
            found=chosen or "none",
        )
    settings = config.networks[chosen]

    def planned() -> tuple[str, NetworkPlan]:
        _check_files(settings, seen, config.results_dir, f"{where}: networks.{chosen}")
        plan = NetworkPlan(name=chosen, settings=settings, compute=config.compute.for_pixels())
        return make_key(chosen, plan.model_dump(mode="json", exclude=_LEARNT_WITHOUT)), plan

    found = seen.remembered((network_of, chosen), planned)
    _check_regions(artwork, settings, at)
    if settings.file is None or artwork.method == "feedforward":
        # Training needs the loss network, and so do the figures of what is painted.
        weights_sources(config, name, [settings.network], where, partial(seen.once, Path.is_file))
    return found


def painting(
    artwork: Artwork,
    compute: Compute,
    network: tuple[str, NetworkPlan],
    level: Level,
    *,
    content: str,
    luma: tuple[Area, ...] | None,
    source: Callable[[Path], str],
) -> PaintingPlan:
    """The plan of a level's painting.

    Args:
        artwork: The settings.
        compute: The machine's share of the settings.
        network: From `network_of`.
        level: The level.
        content: Key of the content image there, in colours.
        luma: Where luma alone is kept of what is painted: everywhere when empty, nowhere when None.
        source: Gives the key of the prepared image of a path.

    Raises:
        DoesNotFitError: The memory budget is too small for any tile.
    """
    key, plan = network
    settings = plan.settings
    styles = {image: style for style, image in settings.styles.items()}
    images = [_learnt(region, styles).image for region in artwork.regions]
    room_mib = compute.memory_budget_mib - PROCESS_MIB
    if room_mib < _LEAST_MIB:
        raise DoesNotFitError(
            "memory_budget_mib",
            str(PROCESS_MIB + _LEAST_MIB),
            str(compute.memory_budget_mib),
            level,
        )
    cost = _Cost.of(settings, artwork.feedforward.moments, level, room_mib, copied=luma is not None)
    return PaintingPlan(
        network=key,
        level_px=level.px,
        content=content,
        luma=luma,
        channels=tuple(styles[image] for image in images) if len(styles) > 1 else (),
        styles=tuple(source(image) for image in images),
        moments=artwork.feedforward.moments,
        compute=compute.for_pixels(),
        budget_mib=room_mib,
        store=cost.store,
        memory_mib=math.ceil(PROCESS_MIB + cost.memory_mib),
        disk_mib=cost.disk_mib,
        runtime_min=10 + round(2 * _seconds(settings, level.size, compute) / 60),
    )


@final
@dataclass(frozen=True, slots=True)
class _Cost:
    """What a painting takes beside its process.

    Attributes:
        store: Where layers are held.
        memory_mib: What is held in memory together with a tile, or a piece that starts from the picture.
        disk_mib: What is held in files, and images that are written and deleted again.
    """

    store: Literal["memory", "files"]
    memory_mib: float
    disk_mib: int

    @classmethod
    def of(
        cls, settings: TrainedNetwork, moments: str, level: Level, room_mib: int, *, copied: bool
    ) -> _Cost:
        """Of a level, with tiles and held layers in so much memory; `copied` where luma alone is kept."""
        layers, size = _layers(settings), level.size
        by_thumbnail = moments == "thumbnail" and size.area > THUMBNAIL_PX**2
        settled = size.of_area(THUMBNAIL_PX) if by_thumbnail else size
        held_mib = held_bytes(layers, settled, 4) / _MIB
        in_files = held_mib > room_mib / 2
        tile_px, whole = tile_for(layers, room_mib), surrounded(layers, size)
        tile = Size(min(tile_px, whole.height), min(tile_px, whole.width))
        tile_mib = pass_bytes_per_px(layers) * tile.area / _MIB
        # In bfloat16 half of it is held, in memory perhaps: precision is decided on the machine.
        memory_mib = min(held_mib, room_mib / 2) + tile_mib
        # What such a network gives is written apart, before the content's chroma comes back to it.
        scratch_mib = file_mib(size, RENDERED) * (_may_give_luma(settings) + copied)
        if by_thumbnail:
            bands = 3 + len(settings.styles)
            scratch_mib = max(scratch_mib, file_mib(settled, bands * _FLOAT_BYTES))
            memory_mib = max(memory_mib, _unheld_mib(layers, tile_px, size))
        return cls(
            "files" if in_files else "memory",
            memory_mib,
            scratch_mib + (math.ceil(held_mib) if in_files else 0),
        )


def _unheld_mib(layers: Sequence[Convolution], tile_px: int, size: Size) -> float:
    """What a piece of the painting takes that is computed from the picture."""
    piece, more_px = piece_for(layers, tile_px, held=False), around_px(layers, held=False)
    height, width = (
        min(own, whole) + more_px for own, whole in ((piece.height, size.height), (piece.width, size.width))
    )
    return pass_bytes_per_px(layers) * height * width / _MIB


def _seconds(settings: TrainedNetwork, size: Size, compute: Compute) -> float:
    """How long painting takes on a slow processor, whose threads after the first do half as much each.

    Where a GPU may do it, on one thread: its pace is derived from that, and does not depend on threads.
    """
    threads = compute.threads if compute.device == "cpu" else 1
    guides = len(settings.styles) if len(settings.styles) > 1 else 0
    per_px = _architecture(settings).multiplications(3 + guides, settings.upsampling)
    return per_px * _SECONDS_PER_MULTIPLICATION * size.area / 1e6 / (1 + (threads - 1) / 2)


def start_warnings(artwork: Artwork, settings: TrainedNetwork, at: str) -> Iterator[str]:
    """A sentence for each region of several styles, of which a start has one alone.

    Args:
        artwork: The settings; a network that knows a style of each region paints what it starts from.
        settings: The network's.
        at: The artwork's key in the configuration.
    """
    for index, region in enumerate(artwork.regions):
        if len(region.styles) > 1:
            image = _learnt(region, settings.styles.values()).image
            yield (
                f"{at}.regions.{index}.styles: the start is painted in {image} alone, the heaviest that the "
                "network knows: a network paints one style in each region"
            )


def _learnt(region: Region, known: Collection[Path]) -> Style:
    """The region's heaviest style of those that a network knows, the first of equals; one at least is."""
    return max((style for style in region.styles if style.image in known), key=lambda style: style.weight)


def painted_level(
    artwork: Artwork, planned: PaintingPlan, settings: TrainedNetwork, level: Level
) -> LevelPlan:
    """The plan of the one level of an artwork that a network paints: no iterations, no style statistics."""
    tile_px = tile_for(_layers(settings), planned.budget_mib)
    whole = tile_px >= max(level.size.height, level.size.width)
    return LevelPlan(
        level_px=level.px,
        height=level.size.height,
        width=level.size.width,
        iterations=0,
        network=artwork.network,
        content_weight=artwork.content_weight,
        style_weight=artwork.style_weight,
        tv_weight=artwork.tv_weight,
        content=planned.content,
        regions=tuple(
            RegionPlan(
                label=region.label,
                where=region.where,
                weight=region.weight,
                content_weight=None,
                targets=(),
                whole=(),
            )
            for region in artwork.regions
        ),
        tile_core_px=None if whole else tile_px,
        halo_px=0,
        keep_tiles=0,
        store=planned.store,
        device_mib=planned.memory_mib - PROCESS_MIB,
        memory_mib=planned.memory_mib,
        disk_mib=planned.disk_mib,
        runtime_min=planned.runtime_min,
        processes=1,
    )


def _layers(settings: TrainedNetwork) -> tuple[Convolution, ...]:
    """The network's chain."""
    guides = len(settings.styles) if len(settings.styles) > 1 else 0
    return _architecture(settings).layers(3 + guides, settings.upsampling)


def _architecture(settings: TrainedNetwork) -> TransformationArchitecture:
    """The network's; of a file that is not opened before the work, a wide one."""
    return ARCHITECTURES["wide" if settings.file is not None else settings.architecture]


def _may_give_luma(settings: TrainedNetwork) -> bool:
    """Whether the network gives luma; one in a file, which is not opened before the work, may."""
    return settings.file is not None or settings.colour == "luminance"


def _check_files(settings: TrainedNetwork, seen: SeenFiles, results: Path, at: str) -> None:
    for style, image in settings.styles.items():
        checked_size(seen, image, f"{at}.styles.{style}")
    for index, photograph in enumerate(settings.photographs):
        if not photograph.is_dir():
            checked_size(seen, photograph, f"{at}.photographs.{index}", settings.size_px)
        elif not photographs.inside(photograph):
            raise InputError(
                f"{at}.photographs.{index}",
                expected="a folder with photographs",
                found=f"none in {photograph}",
            )
    if settings.file is None:
        return
    if settings.file.resolve().is_relative_to(results.resolve()):
        raise InputError(
            f"{at}.file",
            expected=f"a network that lies outside of {results}",
            found=str(settings.file),
            fix="Copy it elsewhere: what lies among the results is made anew when its code or inputs change",
        )
    if not settings.file.is_file():
        raise InputError(f"{at}.file", expected="a trained network", found=f"none at {settings.file}")


def _check_regions(artwork: Artwork, settings: TrainedNetwork, at: str) -> None:
    """Raises a ConfigError unless the network knows the regions' styles and can tell the regions apart."""
    known = {image: style for style, image in settings.styles.items()}
    only_start = artwork.method != "feedforward"
    for index, region in enumerate(artwork.regions):
        place, first = f"{at}.regions.{index}", region.styles[0]
        if len(region.styles) > 1 and not only_start:
            raise ConfigError(
                f"{place}.styles",
                expected="one style for method feedforward",
                found=str(len(region.styles)),
                fix="A network knows single styles: choose one, or train one on their mixture",
            )
        if not any(style.image in known for style in region.styles):
            raise ConfigError(
                f"{place}.style",
                expected=f"a style of the network ({', '.join(map(str, known))})",
                found=", ".join(str(style.image) for style in region.styles),
            )
        if only_start:
            continue
        if first.mask is not None or first.fine is not None or first.scale != 1:
            raise ConfigError(
                f"{place}.style",
                expected="an image alone for method feedforward",
                found="a mask, fine or scale beside it",
                fix="What a style looks like is decided when the network is trained",
            )
        if region.colour is not None:
            raise ConfigError(
                f"{place}.colour", expected="none for method feedforward", found=region.colour.mode
            )
    if not only_start and artwork.colour.mode not in ("none", "luminance"):
        raise ConfigError(
            f"{at}.colour.mode",
            expected="none or luminance for method feedforward",
            found=artwork.colour.mode,
        )
    used = {known[_learnt(region, known).image] for region in artwork.regions}
    if len(known) > 1 and len(used) < 2:
        raise ConfigError(
            f"{at}.regions",
            expected=f"regions of two styles at least, for a network of {len(known)}",
            found=f"one style, {', '.join(used)}",
            fix="Such a network sees only where its styles differ: train one of a single style",
        )
    if len(known) == 1 and artwork.needs_guidance:
        raise ConfigError(
            f"{at}.regions",
            expected="everything, for a network of one style",
            found=", ".join(region.label for region in artwork.regions),
        )
