"""Plans as they would be if everything fitted: settings and image sizes -> levels, styles, keys; no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import final

from pipeline.budget import Demand, tiling
from pipeline.canvas import MIN_SIDE_PX, read_profile
from pipeline.config.controls import Region, Style
from pipeline.config.models import Artwork, Config, LevelSettings
from pipeline.config.sections import Network
from pipeline.disk import disk_use
from pipeline.geometry import Size
from pipeline.inspection import SeenFiles, SizeOf, check_prints, checked_size, file_warnings, weights_sources
from pipeline.level_images import SOFT_UPSCALE, LevelImages
from pipeline.level_plans import LevelPlan, PaintingPlan, RegionPlan, WeightedTarget
from pipeline.masking import Masking, check_network, combined_files, content_dpi
from pipeline.painting import network_of, painted_level, painting, start_warnings
from pipeline.plan import Plan, PrintPlan
from pipeline.print_layout import PrintLayout, lay_out
from pipeline.pyramid import Level, levels
from pipeline.recolouring import Palette
from pipeline.shared_plans import Area, CropPlan, TargetPlan, make_key


def draft(config: Config, name: str, size_of: SizeOf, where: str) -> Plan:
    """The plan of artwork `name`, whatever it takes on the disk.

    Args:
        config: The configuration.
        name: A key of its artworks.
        size_of: Gives an image's (height, width) from its header, or an InputError.
        where: The configuration's name, for errors.

    Raises:
        ConfigError: The configuration asks for what cannot be; an UnfitError where that is for the sizes.
        InputError: An image or mask that the artwork names cannot be read.
        DoesNotFitError: A level does not fit the memory budget.
    """
    artwork, seen = config.artworks[name], SeenFiles.of(size_of)
    at = f"{where}: artworks.{name}"
    content = checked_size(seen, artwork.content, f"{at}.content", MIN_SIDE_PX)
    found = levels(artwork, content, at)
    if artwork.method == "feedforward":
        # A network paints the result at once.
        found = found[-1:]
    layout = lay_out(artwork.print, content, found[-1].size, at)
    check_network(artwork.mask_expressions, artwork.masks, at)
    gathered = _Draft(config, name, seen, layout.c_crop, found, where=at)
    for warning in file_warnings(artwork, seen, layout.c_crop, gathered.dpi, at):
        gathered.warn(warning)
    check_prints(artwork.print, layout.sheet.size, f"{at}.print", partial(seen.once, read_profile))
    for warning in _resolution_warnings(artwork, content, found[-1], layout):
        gathered.warn(warning)
    # The top level needs most: asked first, it names the budget that is enough for all of them.
    planned = tuple(gathered.level(index) for index in reversed(range(len(found))))[::-1]
    optimised = () if artwork.method == "feedforward" else (artwork.network.name,)
    models = [*optimised, *gathered.masking.weights]
    plan = Plan(
        artwork=name,
        settings=artwork,
        compute=config.compute,
        content=gathered.content,
        sources=gathered.sources,
        crops=gathered.crops,
        mask_crops=gathered.masking.crops,
        masks=gathered.masking.masks,
        partitions=gathered.masking.partitions,
        combinations=gathered.masking.combinations,
        areas={label: area for label, area in gathered.areas.items() if area is not None},
        images=gathered.images.images,
        mixes=gathered.images.mixes,
        targets=gathered.targets,
        networks={} if gathered.network is None else dict([gathered.network]),
        painting=gathered.painting,
        levels=planned,
        chroma=gathered.chroma(),
        print=_print(layout, content, planned[0]),
        weights=weights_sources(config, name, models, where, partial(seen.once, Path.is_file)),
        disk_mib=0,
        kept_mib=0,
        warnings=tuple(gathered.warnings),
    )
    use = disk_use(plan, seen)
    return plan.model_copy(update={"disk_mib": use.most_mib, "kept_mib": use.kept_mib})


@final
class _Draft:
    """What a plan gathers while it is made."""

    def __init__(
        self,
        config: Config,
        name: str,
        seen: SeenFiles,
        crop: Size | None,
        levels: tuple[Level, ...],
        *,
        where: str,
    ) -> None:
        self.artwork = artwork = config.artworks[name]
        self.levels = levels
        content = crop or seen(artwork.content)
        self.dpi = content_dpi(content, levels[-1].size, artwork.print.dpi)
        self.sources: dict[str, Path] = {}
        self.crops: dict[str, CropPlan] = {}
        self.masking = Masking(artwork.masks, self.crops)
        self.targets: dict[str, TargetPlan] = {}
        self.warnings: list[str] = []
        self._at = where
        self._compute = config.compute
        self._size_of = seen
        self.network = network_of(config, name, seen, where.partition(": ")[0]) if artwork.paints else None
        self.painting: PaintingPlan | None = None
        self.content = self._source(artwork.content)
        if crop is not None:
            self.content = self._crop(self.content, crop)
        # Parts of masks have the image's size already, whoever takes them.
        files = combined_files(region.where for region in artwork.regions)
        combined = files if crop is None else frozenset[str]()
        self.areas = {
            region.label: self.masking.area(region.where, self.content, content, self.dpi, combined)
            for region in artwork.regions
        }
        self.palette = Palette(artwork, self.content, self.areas, self._source, self._style_area)
        self.images = LevelImages(
            artwork,
            levels,
            config.compute,
            seen,
            self._source,
            self.palette,
            where,
            self.warn,
        )

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def level(self, index: int) -> LevelPlan:
        """The plan of the level of this index."""
        artwork, level = self.artwork, self.levels[index]
        if artwork.method == "feedforward":
            return self._painted(level)
        own = artwork.at_level(index, level.px)
        network = _network_at(artwork.network, own)
        assert own.iterations is not None
        assert own.content_weight is not None
        assert own.style_weight is not None
        assert own.tv_weight is not None
        channels, precision = artwork.guidance_channels, self._compute.precision
        demand = Demand(network, artwork.optimiser, channels, own.iterations, precision)
        content = self.images.content(self.content, index)
        if self.network is not None and index == 0:
            self.painting = painting(
                artwork,
                self._compute,
                self.network,
                level,
                content=self.images.coloured(self.content, index),
                luma=self.palette.luminance_areas(),
                source=self._source,
            )
            for warning in start_warnings(artwork, self.network[1].settings, self._at):
                self.warn(warning)
        return LevelPlan(
            level_px=level.px,
            height=level.size.height,
            width=level.size.width,
            iterations=own.iterations,
            network=network,
            content_weight=own.content_weight,
            style_weight=own.style_weight,
            tv_weight=own.tv_weight,
            content=content,
            regions=tuple(self._region(region, index, network) for region in artwork.regions),
            **asdict(
                tiling(
                    level,
                    demand,
                    self._compute.memory_budget_mib,
                    artwork.devices or self._compute.devices,
                    self._compute.host_budget_mib,
                )
            ),
        )

    def _painted(self, level: Level) -> LevelPlan:
        """The plan of the level that a network paints."""
        assert self.network is not None
        content = self.images.plain(self.content, level.size)
        planned = painting(
            self.artwork,
            self._compute,
            self.network,
            level,
            content=content,
            luma=None,
            source=self._source,
        )
        self.painting = planned
        return painted_level(self.artwork, planned, self.network[1].settings, level)

    def chroma(self) -> tuple[Area, ...] | None:
        """Where the content's chroma comes back in the end: everywhere when empty, nowhere when None."""
        if self.artwork.method != "feedforward":
            return self.palette.luminance_areas()
        assert self.network is not None
        in_luma = "luminance" in (self.artwork.colour.mode, self.network[1].settings.colour)
        return () if in_luma else None

    def _region(self, region: Region, index: int, network: Network) -> RegionPlan:
        images = [self.images.style(style, region, index, network) for style in region.styles]
        own, whole = [], []
        total = sum(style.weight for style in region.styles)
        for style, image in zip(region.styles, images, strict=True):
            target = self._target(image, self._style_area(style), network)
            own.append(WeightedTarget(target=target, weight=style.weight))
            if self.artwork.guidance.whole_share > 0 and self.artwork.needs_guidance:
                target = self._target(image, None, network)
                whole.append(WeightedTarget(target=target, weight=region.weight * style.weight / total))
        return RegionPlan(
            label=region.label,
            where=region.where,
            weight=region.weight,
            content_weight=region.content_weight,
            targets=tuple(own),
            whole=tuple(whole),
        )

    def _target(self, image: str, mask: Area | None, network: Network) -> str:
        guidance = self.artwork.guidance
        plan = TargetPlan(
            image=image,
            mask=mask,
            # Style statistics know nothing of content and weights: artworks that differ there share them.
            network=network.model_copy(update={"content_layers": (), "layer_weights": {}}),
            precision=self._compute.precision,
            propagation=guidance.propagation if mask is not None else "simple",
            grow_units=guidance.grow_units if mask is not None else 0,
        )
        key = make_key(image.rpartition("-")[0], plan.model_dump(mode="json"))
        self.targets[key] = plan
        return key

    def _source(self, path: Path) -> str:
        key = make_key(path.stem, {"path": path.as_posix()})
        self.sources[key] = path
        return key

    def _crop(self, prepared: str, size: Size) -> str:
        """The key of the part of a prepared image that the print shows."""
        focus = self.artwork.print.focus
        plan = CropPlan(prepared=prepared, height=size.height, width=size.width, focus=focus)
        key = make_key(f"{prepared.rpartition('-')[0]}-{size}", plan.model_dump(mode="json"))
        self.crops[key] = plan
        return key

    def _style_area(self, style: Style) -> Area | None:
        """The part of a style image that counts; its lengths are in px."""
        if style.mask is None:
            return None
        return self.masking.area(style.mask, self._source(style.image), self._size_of(style.image), dpi=1)


def _resolution_warnings(artwork: Artwork, content: Size, top: Level, layout: PrintLayout) -> Iterator[str]:
    """What the user should know of a content image with fewer pixels than the print."""
    shown = layout.c_crop or content
    times = top.size.height / shown.height
    if times <= SOFT_UPSCALE:
        return
    if artwork.print.has_size:
        yield (
            f"the content image has {layout.content_dpi(content):.0f} px per inch of the print, which has "
            f"{layout.dpi:g}: finer detail comes from the style alone"
        )
    else:
        yield (
            f"level {top.px} is {times:.1f} times as large as the content image ({content} px): "
            "its detail comes from the style alone"
        )


def _print(layout: PrintLayout, content: Size, lowest: LevelPlan) -> PrintPlan:
    seen_px = lowest.network.architecture.deepest(lowest.network.style_layers).receptive_field_px
    return PrintPlan(
        layout=layout,
        height_mm=layout.height_mm,
        width_mm=layout.width_mm,
        bleed_mm=layout.mm(layout.sheet.bleed_px),
        content_dpi=layout.content_dpi(content),
        largest_structure_mm=layout.mm(seen_px * layout.picture.height / lowest.height),
    )


def _network_at(network: Network, level: LevelSettings) -> Network:
    return network.model_copy(
        update={"style_layers": level.style_layers, "content_layers": level.content_layers}
    )
