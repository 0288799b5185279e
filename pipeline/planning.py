"""Plans from settings: a pure function of the configuration and the image headers, without torch.

The workflow computes it to know its graph, and the plan stage writes the same thing to `plan.json`. Every
mistake that can be known before the work begins is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import final

from pipeline.canvas import MIN_SIDE_PX, check_sides
from pipeline.combination import Expression
from pipeline.config.controls import Region, Style
from pipeline.config.masks import mask_files
from pipeline.config.models import Compute, Config, LevelSettings, WeightsSource, last_repeats
from pipeline.config.sections import Network
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.layers import STYLE_LAYERS
from pipeline.masking import Masking, check_lengths, combined_files, content_dpi
from pipeline.plan import (
    Area,
    ImagePlan,
    LevelPlan,
    MixPlan,
    Plan,
    Recolouring,
    RegionPlan,
    TargetPlan,
    WeightedTarget,
    make_key,
)
from pipeline.pyramid import SMALLEST_SIDE_PX, Demand, Level, Tiling, computed_share, levels, tiling
from pipeline.recolouring import Palette
from pipeline.weights import REGISTRY

_SOFT_UPSCALE = 1.5
_OTHER_SHAPE = 1.02
_SECONDS_PER_MEGAPIXEL_EVALUATION = 12.0
_EVALUATIONS_PER_ITERATION = 1.2
_TWO_PASSES = 1.5


def resolve(config: Config, name: str, size_of: Callable[[Path], Size], where: str = "config.yaml") -> Plan:
    """The plan of artwork `name`.

    Args:
        config: The configuration.
        name: A key of its artworks.
        size_of: Gives an image's (height, width) from its header, or an InputError.
        where: The configuration's name, for errors.

    Raises:
        ConfigError: The sizes cannot be had.
        InputError: An image or mask that the artwork names cannot be read.
    """
    artwork = config.artworks[name]
    at = f"{where}: artworks.{name}"
    content_size = _size(size_of, artwork.content, f"{at}.content", MIN_SIDE_PX)
    found = levels(artwork, content_size, at)
    draft = _Draft(config, name, size_of, found, where)
    draft.check_files(content_size)
    top = found[-1]
    if top.size.height > _SOFT_UPSCALE * content_size.height:
        times = top.size.height / content_size.height
        draft.warn(
            f"level {top.px} is {times:.1f} times as large as the content image ({content_size} px): "
            "its detail comes from the style alone"
        )
    # The top level needs most: asked first, it names the budget that is enough for all of them.
    planned = tuple(draft.level(index) for index in reversed(range(len(found))))[::-1]
    return Plan(
        artwork=name,
        settings=artwork,
        compute=config.compute,
        content=draft.content,
        sources=draft.sources,
        masks=draft.masking.masks,
        combinations=draft.masking.combinations,
        areas={label: area for label, area in draft.areas.items() if area is not None},
        images=draft.images,
        mixes=draft.mixes,
        targets=draft.targets,
        levels=planned,
        chroma=draft.chroma(),
        weights=_weights(config, name, draft.masking, where),
        warnings=tuple(draft.warnings),
    )


@final
class _Draft:
    """What a plan gathers while it is made."""

    def __init__(
        self,
        config: Config,
        name: str,
        size_of: Callable[[Path], Size],
        levels: tuple[Level, ...],
        where: str,
    ) -> None:
        self.name = name
        self.artwork = artwork = config.artworks[name]
        self.compute = config.compute
        self.levels = levels
        self.where = f"{where}: artworks.{name}"
        self.budget_key = f"{where}: compute"
        self.sources: dict[str, Path] = {}
        self.masking = Masking(artwork.masks)
        self.images: dict[str, ImagePlan] = {}
        self.mixes: dict[str, MixPlan] = {}
        self.targets: dict[str, TargetPlan] = {}
        self.warnings: list[str] = []
        self._size_of = size_of
        self.content = self.source(artwork.content)
        content = size_of(artwork.content)
        self._content_dpi = dpi = content_dpi(content, levels[-1].size, artwork.print.dpi)
        combined = combined_files(region.where for region in artwork.regions)
        self.areas = {
            region.label: self.masking.area(region.where, self.content, content, dpi, combined)
            for region in artwork.regions
        }
        self._palette = Palette(artwork, self.content, self.areas, self.source, self._style_area)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    # -- the user's files ------------------------------------------------------------------------

    def check_files(self, content: Size) -> None:
        """Looks at every file the artwork names; warns of a mask that will be stretched."""
        for index, region in enumerate(self.artwork.regions):
            key = f"regions.{index}"
            self._check_mask(region.where, f"{key}.where", content, "content image")
            for style in region.styles:
                size = self._size(style.image, f"{key}.style", MIN_SIDE_PX)
                if style.mask is not None:
                    self._check_mask(style.mask, f"{key}.style.mask", size, "style image")
                if style.fine is not None:
                    self._size(style.fine, f"{key}.style.fine", MIN_SIDE_PX)
            if region.colour is not None and region.colour.source is not None:
                self._size(region.colour.source, f"{key}.colour.source")
        if self.artwork.colour.source is not None:
            self._size(self.artwork.colour.source, "colour.source")
        network = self.artwork.network
        means = network.channel_means
        if network.normalised and means is None and network.pooling != "max":
            self.warn(
                "the channel means that come with the package were measured with max pooling: with "
                f"{network.pooling} pooling a filter's mean is only about 1"
            )
        if means is not None and not means.is_file():
            raise InputError(
                f"{self.where}.network.channel_means",
                expected="a file made by `impasto calibrate`",
                found=f"none at {means}",
            )

    def _size(self, path: Path, key: str, min_side_px: int = 1) -> Size:
        return _size(self._size_of, path, f"{self.where}.{key}", min_side_px)

    def _check_mask(self, mask: Expression, key: str, image: Size, what: str) -> None:
        check_lengths(mask, image, self._content_dpi, f"{self.where}.{key}", what)
        for file in mask_files([mask]):
            found = self._size(file, key)
            ratio = (found.height * image.width) / (found.width * image.height)
            if max(ratio, 1 / ratio) > _OTHER_SHAPE:
                self.warn(
                    f"{file} ({found} px) has another shape than its {what} ({image} px) and is stretched"
                )

    # -- what artworks can share -----------------------------------------------------------------

    def source(self, path: Path) -> str:
        key = make_key(path.stem, {"path": path.as_posix()})
        self.sources[key] = path
        return key

    def _image(self, prepared: str, size: Size, recolourings: tuple[Recolouring, ...]) -> str:
        plan = ImagePlan(prepared=prepared, height=size.height, width=size.width, recolourings=recolourings)
        key = make_key(f"{prepared.rpartition('-')[0]}-{size}", plan.model_dump(mode="json"))
        self.images[key] = plan
        return key

    # -- levels ----------------------------------------------------------------------------------

    def level(self, index: int) -> LevelPlan:
        """The plan of the level of this index."""
        artwork, level = self.artwork, self.levels[index]
        own = artwork.at_level(index, level.px)
        network = _network_at(artwork.network, own)
        assert own.iterations is not None
        assert own.content_weight is not None
        assert own.style_weight is not None
        assert own.tv_weight is not None
        demand = Demand(network, artwork.optimiser, artwork.guidance_channels, own.iterations)
        cut = self._tiling(level, demand)
        whole = artwork.guidance.whole_share > 0 and artwork.needs_guidance
        return LevelPlan(
            level_px=level.px,
            height=level.size.height,
            width=level.size.width,
            iterations=own.iterations,
            network=network,
            content_weight=own.content_weight,
            style_weight=own.style_weight,
            tv_weight=own.tv_weight,
            content=self._image(self.content, level.size, self._palette.of_content()),
            regions=tuple(self._region(region, index, network) for region in artwork.regions),
            whole=self._whole(index, network) if whole else (),
            tile_core_px=cut.core_px,
            halo_px=cut.halo_px,
            keep_tiles=cut.keep_tiles,
            store=cut.store,
            memory_mib=cut.memory_mib,
            disk_mib=cut.disk_mib,
            runtime_min=_runtime_min(own.iterations, level, network, cut),
        )

    def _tiling(self, level: Level, demand: Demand) -> Tiling:
        return tiling(level, demand, self.compute.memory_budget_mib, self.name, self.budget_key)

    def chroma(self) -> tuple[Area, ...] | None:
        """Where the content's chroma comes back in the end."""
        return self._palette.luminance_areas()

    def _region(self, region: Region, index: int, network: Network) -> RegionPlan:
        targets = tuple(
            WeightedTarget(
                target=self._target(
                    self._style_image(style, region, index, network), self._style_area(style), network
                ),
                weight=style.weight,
            )
            for style in region.styles
        )
        return RegionPlan(
            label=region.label,
            where=region.where,
            weight=region.weight,
            content_weight=region.content_weight,
            targets=targets,
        )

    def _whole(self, index: int, network: Network) -> tuple[WeightedTarget, ...]:
        """The mean of the styles' Gram matrices, each image once and whole, as the regions weigh them."""
        shares: dict[str, float] = {}
        for region in self.artwork.regions:
            total = sum(style.weight for style in region.styles)
            for style in region.styles:
                image = self._style_image(style, region, index, network)
                key = self._target(image, None, network)
                shares[key] = shares.get(key, 0.0) + region.weight * style.weight / total
        return tuple(WeightedTarget(target=key, weight=share) for key, share in shares.items())

    def _target(self, image: str, mask: Area | None, network: Network) -> str:
        guidance = self.artwork.guidance
        plan = TargetPlan(
            image=image,
            mask=mask,
            # Style statistics know nothing of content and weights: artworks that differ there share them.
            network=network.model_copy(update={"content_layers": (), "layer_weights": {}}),
            precision=self.compute.precision,
            propagation=guidance.propagation if mask is not None else "simple",
            grow_units=guidance.grow_units if mask is not None else 0,
        )
        key = make_key(image.rpartition("-")[0], plan.model_dump(mode="json"))
        self.targets[key] = plan
        return key

    # -- style images ----------------------------------------------------------------------------

    def _style_area(self, style: Style) -> Area | None:
        """The part of a style image that counts; its lengths are in px."""
        if style.mask is None:
            return None
        return self.masking.area(style.mask, self.source(style.image), self._size_of(style.image), dpi=1)

    def _style_image(self, style: Style, region: Region, index: int, network: Network) -> str:
        """The key of a style's image at a level, or of its mixture with a fine one."""
        level = self.levels[index]
        size = self._style_size(style.image, style.scale, level, network)
        prepared = self.source(style.image)
        if style.fine is None:
            return self._image(prepared, size, self._palette.of_style(style, region))
        coarse, fine = self._palette.of_mixed(style, style.fine, region)
        fine_size = self._style_size(style.fine, style.fine_scale, level, network)
        mixing = self.artwork.mixing
        up_to_layer = last_repeats(mixing.up_to_layer, index)
        taken = _taken_layers(network, up_to_layer)
        network_of_mix = network.model_copy(
            update={"style_layers": taken, "content_layers": (), "layer_weights": {}}
        )
        iterations = last_repeats(mixing.iterations, index)
        demand = Demand(network_of_mix, self.artwork.optimiser, 0, iterations)
        cut = self._tiling(Level(level.px, size), demand)
        lowest = index == 0
        plan = MixPlan(
            start=self._image(prepared, size, coarse)
            if lowest
            else self._style_image(style, region, index - 1, network),
            lowest=lowest,
            fine=self._image(self.source(style.fine), fine_size, fine),
            height=size.height,
            width=size.width,
            iterations=iterations,
            up_to_layer=up_to_layer,
            network=network_of_mix,
            optimiser=self.artwork.optimiser,
            compute=Compute(
                device=self.compute.device, precision=self.compute.precision, threads=self.compute.threads
            ),
            tile_core_px=cut.core_px,
            halo_px=cut.halo_px,
            keep_tiles=cut.keep_tiles,
            store=cut.store,
            memory_mib=cut.memory_mib,
            disk_mib=cut.disk_mib,
            runtime_min=_runtime_min(iterations, Level(level.px, size), network_of_mix, cut),
        )
        stem = f"{prepared.rpartition('-')[0]}-{size}-with-{style.fine.stem}"
        key = make_key(stem, plan.excerpt().model_dump(mode="json"))
        self.mixes[key] = plan
        return key

    def _style_size(self, path: Path, scale: float, level: Level, network: Network) -> Size:
        """A style image's size at a level; refuses what is too small and warns of what will disappoint."""
        native = self._size_of(path)
        size = native.of_area(round(level.px * scale))
        shorter = min(size.height, size.width)
        deepest = network.architecture.deepest(network.style_layers)
        if shorter < SMALLEST_SIDE_PX:
            raise ConfigError(
                f"{self.where}.regions",
                expected=f"style images of {SMALLEST_SIDE_PX} px at least on their shorter side",
                found=f"{size} px (height x width) for {path} at level {level.px}",
                fix="Raise the style's scale or the lowest level, or crop the style image",
            )
        if shorter < deepest.receptive_field_px:
            self.warn(
                f"{path} is {size} px at level {level.px}, and {deepest.name} sees "
                f"{deepest.receptive_field_px} px at once: the style's large shapes will be missing there"
            )
        if size.height > _SOFT_UPSCALE * native.height:
            self.warn(
                f"{path} ({native} px) is enlarged {size.height / native.height:.1f} times at level "
                f"{level.px}: its brushwork will look soft there"
            )
        return size


def _size(size_of: Callable[[Path], Size], path: Path, key: str, min_side_px: int) -> Size:
    """The size of an image that the configuration names at `key`; an error says where."""
    try:
        size = size_of(path)
        check_sides(path, size, min_side_px)
    except InputError as error:
        raise InputError.stating(f"{key}: {error}") from None
    return size


def _network_at(network: Network, level: LevelSettings) -> Network:
    return network.model_copy(
        update={"style_layers": level.style_layers, "content_layers": level.content_layers}
    )


def _taken_layers(network: Network, up_to: str) -> tuple[str, ...]:
    """The layers whose Gram matrices a mixture takes: the first of each block, and the named one."""
    order = network.architecture.names
    taken = {name for name in STYLE_LAYERS if order.index(name) <= order.index(up_to)} | {up_to}
    return tuple(name for name in order if name in taken)


def _runtime_min(iterations: int, level: Level, network: Network, cut: Tiling) -> int:
    """Minutes that a scheduler is asked for: twice what a slow processor takes, and the start."""
    # Tiles compute their halos as well, and their forward pass twice.
    work = 1.0 if cut.core_px is None else _TWO_PASSES
    work *= computed_share(level.padded, network, cut.core_px, cut.halo_px)
    evaluations = iterations * _EVALUATIONS_PER_ITERATION
    seconds = evaluations * level.padded.area / 1e6 * work * _SECONDS_PER_MEGAPIXEL_EVALUATION
    return 10 + round(2 * seconds / 60)


def _weights(config: Config, name: str, masking: Masking, where: str) -> dict[str, WeightsSource | None]:
    """The model files the artwork needs, each with the source the user gave, or None."""
    artwork = config.artworks[name]
    needed: list[str] = [artwork.network.name]
    needed.extend(file for mask in masking.masks.values() for file in mask.settings.weights)
    given: Mapping[str, WeightsSource] = {str(key): source for key, source in config.weights.items()}
    for file in dict.fromkeys(needed):
        source = given.get(file)
        if source is None and not REGISTRY[file].sources:
            raise ConfigError(
                f"{where}: weights.{file}",
                expected=f"its path, or its url and sha256: artworks.{name} needs this model file, "
                "and it cannot be fetched by name",
                found="nothing",
            )
        if source is not None and source.path is not None and not source.path.is_file():
            raise InputError(
                f"{where}: weights.{file}.path", expected="a file", found=f"none at {source.path}"
            )
    return {file: given.get(file) for file in needed}
