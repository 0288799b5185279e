"""Plans from settings: a pure function of the configuration and the image headers, without torch.

The workflow computes it to know its graph, and the plan stage writes the same thing to `plan.json`. Every
mistake that can be known before the work begins is found here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

from pipeline.config.models import Artwork, Compute, Config, WeightsSource
from pipeline.config.sections import AUTOMATIC_REGIONS, Region, Style
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.plan import (
    ImagePlan,
    LevelPlan,
    MaskPlan,
    Plan,
    Recolouring,
    RegionPlan,
    TargetPlan,
    WeightedTarget,
)
from pipeline.pyramid import SMALLEST_SIDE_PX, Level, Tiling, computed_share, levels, tiling
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
    draft = _Draft(artwork, config.compute, size_of, at)
    content = draft.source(artwork.content)
    content_size = draft.size(artwork.content, "content")
    for index, region in enumerate(artwork.regions):
        draft.check_region(region, f"regions.{index}", content_size)
        if region.where in AUTOMATIC_REGIONS:
            draft.mask(content)
    found = levels(artwork, content_size, at)
    top = found[-1]
    if top.size.height > _SOFT_UPSCALE * content_size.height:
        times = top.size.height / content_size.height
        draft.warn(
            f"level {top.px} is {times:.1f} times as large as the content image ({content_size} px): "
            "its detail comes from the style alone"
        )
    # The top level needs most: asked first, it names the budget that is enough for all of them.
    tilings = [draft.tiling(level, name, f"{where}: compute") for level in reversed(found)][::-1]
    planned = tuple(
        draft.level(index, level, content, cut)
        for index, (level, cut) in enumerate(zip(found, tilings, strict=True))
    )
    return Plan(
        artwork=name,
        settings=artwork,
        compute=config.compute,
        content=content,
        sources=draft.sources,
        masks=draft.masks,
        images=draft.images,
        targets=draft.targets,
        levels=planned,
        weights=_weights(config, name, where),
        warnings=tuple(draft.warnings),
    )


@final
class _Draft:
    """What a plan gathers while it is made."""

    def __init__(
        self, artwork: Artwork, compute: Compute, size_of: Callable[[Path], Size], where: str
    ) -> None:
        self.artwork = artwork
        self.compute = compute
        self.where = where
        self.sources: dict[str, Path] = {}
        self.masks: dict[str, MaskPlan] = {}
        self.images: dict[str, ImagePlan] = {}
        self.targets: dict[str, TargetPlan] = {}
        self.warnings: list[str] = []
        self._size_of = size_of

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def size(self, path: Path, key: str) -> Size:
        """The size of an image that the artwork names at `key`; an error says where."""
        try:
            return self._size_of(path)
        except InputError as error:
            raise InputError.stating(f"{self.where}.{key}: {error}") from None

    def check_region(self, region: Region, key: str, content: Size) -> None:
        """Looks at every file the region names; warns of a mask that will be stretched."""
        self._check_mask(region.mask_file, f"{key}.where", content, "content image")
        for style in region.styles:
            size = self.size(style.image, f"{key}.style")
            self._check_mask(style.mask, f"{key}.style.mask", size, "style image")

    def _check_mask(self, mask: Path | None, key: str, image: Size, what: str) -> None:
        if mask is None:
            return
        found = self.size(mask, key)
        ratio = (found.height * image.width) / (found.width * image.height)
        if max(ratio, 1 / ratio) > _OTHER_SHAPE:
            self.warn(f"{mask} ({found} px) has another shape than its {what} ({image} px) and is stretched")

    def source(self, path: Path) -> str:
        key = _key(path.stem, {"path": path.as_posix()})
        self.sources[key] = path
        return key

    def mask(self, content: str) -> str:
        plan = MaskPlan(prepared=content, settings=self.artwork.masks)
        key = _key(content.rpartition("-")[0], plan.model_dump(mode="json"))
        self.masks[key] = plan
        return key

    def image(self, prepared: str, size: Size, recolouring: Recolouring) -> str:
        plan = ImagePlan(prepared=prepared, height=size.height, width=size.width, recolouring=recolouring)
        key = _key(f"{prepared.rpartition('-')[0]}-{size}", plan.model_dump(mode="json"))
        self.images[key] = plan
        return key

    def tiling(self, level: Level, artwork: str, where: str) -> Tiling:
        return tiling(level, self.artwork, self.compute.memory_budget_mib, artwork, where)

    def level(self, index: int, level: Level, content: str, cut: Tiling) -> LevelPlan:
        artwork = self.artwork
        iterations = artwork.iterations_at(index)
        megapixels = level.padded.area / 1e6
        # Tiles compute their halos as well, and their forward pass twice.
        work = 1.0 if cut.core_px is None else _TWO_PASSES
        work *= computed_share(level.padded, artwork.network, cut.core_px, cut.halo_px)
        evaluations = iterations * _EVALUATIONS_PER_ITERATION
        seconds = evaluations * megapixels * work * _SECONDS_PER_MEGAPIXEL_EVALUATION
        return LevelPlan(
            level_px=level.px,
            height=level.size.height,
            width=level.size.width,
            iterations=iterations,
            content=self.image(content, level.size, self._content_recolouring()),
            regions=tuple(self._region(region, level, content) for region in artwork.regions),
            tile_core_px=cut.core_px,
            halo_px=cut.halo_px,
            memory_mib=cut.memory_mib,
            runtime_min=10 + round(2 * seconds / 60),
        )

    def _region(self, region: Region, level: Level, content: str) -> RegionPlan:
        targets = tuple(
            WeightedTarget(target=self._target(style, level, content), weight=style.weight)
            for style in region.styles
        )
        return RegionPlan(label=region.label, where=region.where, weight=region.weight, targets=targets)

    def _target(self, style: Style, level: Level, content: str) -> str:
        prepared = self.source(style.image)
        native = self._size_of(style.image)
        size = native.of_area(round(level.px * style.scale))
        self._check_style(style, native, size, level)
        plan = TargetPlan(
            image=self.image(prepared, size, self._style_recolouring(content)),
            mask=style.mask,
            # Style statistics know nothing of the content: artworks that differ there alone share them.
            network=self.artwork.network.model_copy(update={"content_layers": ()}),
            precision=self.compute.precision,
        )
        key = _key(plan.image.rpartition("-")[0], plan.model_dump(mode="json"))
        self.targets[key] = plan
        return key

    def _check_style(self, style: Style, native: Size, size: Size, level: Level) -> None:
        shorter = min(size.height, size.width)
        deepest = self.artwork.network.architecture.deepest(self.artwork.network.style_layers)
        if shorter < SMALLEST_SIDE_PX:
            raise ConfigError(
                f"{self.where}.regions",
                expected=f"style images of {SMALLEST_SIDE_PX} px at least on their shorter side",
                found=f"{size} px (height x width) for {style.image} at level {level.px}",
                fix="Raise the style's scale or the lowest level, or crop the style image",
            )
        if shorter < deepest.receptive_field_px:
            self.warn(
                f"{style.image} is {size} px at level {level.px}, and {deepest.name} sees "
                f"{deepest.receptive_field_px} px at once: the style's large shapes will be missing there"
            )
        if size.height > _SOFT_UPSCALE * native.height:
            self.warn(
                f"{style.image} ({native} px) is enlarged {size.height / native.height:.1f} times at level "
                f"{level.px}: its brushwork will look soft there"
            )

    def _style_recolouring(self, content: str) -> Recolouring:
        colour = self.artwork.colour
        if colour.mode == "style_to_content":
            return Recolouring(mode="linear", transform=colour.transform, reference=content)
        if colour.mode == "luminance":
            return Recolouring(mode="luma", reference=content, luma_match=colour.luma_match)
        return Recolouring()

    def _content_recolouring(self) -> Recolouring:
        colour = self.artwork.colour
        if colour.mode == "content_to_style":
            reference = self.source(self.artwork.regions[0].styles[0].image)
            return Recolouring(mode="linear", transform=colour.transform, reference=reference)
        return Recolouring(mode="luma") if colour.mode == "luminance" else Recolouring()


def _weights(config: Config, name: str, where: str) -> dict[str, WeightsSource | None]:
    """The model files the artwork needs, each with the source the user gave, or None."""
    artwork = config.artworks[name]
    needed: list[str] = [artwork.network.name]
    if any(region.where in AUTOMATIC_REGIONS for region in artwork.regions):
        needed.extend(artwork.masks.weights)
    given: Mapping[str, WeightsSource] = {str(key): source for key, source in config.weights.items()}
    for file in needed:
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


def _key(stem: str, depends_on: Any) -> str:
    """A readable name with a hash of everything the thing depends on: ASCII letters, digits, hyphens."""
    text = json.dumps(depends_on, sort_keys=True)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:60].strip("-") or "image"
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
