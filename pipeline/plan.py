"""A plan: one artwork's settings resolved into files, levels and numbers, before any work is done.

A pure function of the configuration and the image headers, without torch: the workflow computes it to know
its graph, and the plan stage writes the same thing to `plan.json`. What artworks can share is named by a key
that holds a hash of everything it depends on, so that equal work has one name and is done once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, final

from pydantic import ValidationError

from pipeline.config import (
    AUTOMATIC_REGIONS,
    Artwork,
    Compute,
    Config,
    Masks,
    Model,
    Network,
    Region,
    Style,
    WeightsSource,
)
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.pyramid import Level, levels, tiling

_SOFT_UPSCALE = 1.5
_SECONDS_PER_MEGAPIXEL_EVALUATION = 12.0
_EVALUATIONS_PER_ITERATION = 1.2


@final
class Recolouring(Model):
    """What happens to an image's colours on its way to a level.

    Attributes:
        mode: `keep`, `linear` (colours of the reference) or `luma` (three equal channels).
        transform: The linear map, for `linear`.
        reference: Key of the prepared image whose colours or luma are matched.
        luma_match: For `luma` with a reference.
    """

    mode: Literal["keep", "linear", "luma"] = "keep"
    transform: Literal["pca", "chol", "sym"] | None = None
    reference: str | None = None
    luma_match: Literal["mean", "deviation"] | None = None


@final
class ImagePlan(Model):
    """A content or style image at one level: `results/shared/images/{key}.tif`."""

    prepared: str
    height: int
    width: int
    recolouring: Recolouring


@final
class MaskPlan(Model):
    """An automatic mask of a content image: `results/shared/masks/{key}.tif`."""

    prepared: str
    settings: Masks


@final
class TargetPlan(Model):
    """The style statistics of an image: `results/shared/targets/{key}.safetensors`."""

    image: str
    mask: Path | None
    network: Network
    precision: Literal["auto", "bfloat16", "float32"]


@final
class WeightedTarget(Model):
    """One style of a region: the key of its statistics, and its share."""

    target: str
    weight: float


@final
class RegionPlan(Model):
    """One region of a level and its styles."""

    label: str
    where: str
    weight: float
    targets: tuple[WeightedTarget, ...]


@final
class LevelPlan(Model):
    """One level: everything that stylise or refine needs beside files."""

    level_px: int
    height: int
    width: int
    iterations: int
    content: str
    regions: tuple[RegionPlan, ...]
    tile_core_px: int | None
    halo_px: int
    memory_mib: int
    runtime_min: int

    @property
    def size(self) -> Size:
        """Height and width of the level's files."""
        return Size(self.height, self.width)


@final
class Plan(Model):
    """One artwork, resolved."""

    artwork: str
    settings: Artwork
    compute: Compute
    content: str
    sources: dict[str, Path]
    masks: dict[str, MaskPlan]
    images: dict[str, ImagePlan]
    targets: dict[str, TargetPlan]
    levels: tuple[LevelPlan, ...]
    weights: dict[str, WeightsSource | None]
    warnings: tuple[str, ...]

    def level(self, level_px: int) -> LevelPlan:
        """The level of this name.

        Raises:
            InputError: The plan has no such level.
        """
        for level in self.levels:
            if level.level_px == level_px:
                return level
        names = ", ".join(str(level.level_px) for level in self.levels)
        raise InputError(
            f"--level {level_px}", expected=f"one of the plan's levels {names}", found=str(level_px)
        )


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
    draft = _Draft(artwork, config.compute, size_of)
    content = draft.source(artwork.content)
    content_size = size_of(artwork.content)
    for region in artwork.regions:
        _check_region(region, f"{at}.regions", size_of)
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
    planned = tuple(draft.level(index, level, content, f"{at}.compute") for index, level in enumerate(found))
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
        weights=_weights(config, artwork),
        warnings=tuple(draft.warnings),
    )


def read_plan(path: Path) -> Plan:
    """The plan in the file at `path`.

    Raises:
        InputError: There is none, or it is no plan of this version.
    """
    try:
        return Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        found = (getattr(error, "strerror", None) or "bytes that are no text").lower()
        raise InputError(path, expected="a plan made by `impasto plan`", found=found) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            path,
            expected="a plan made by this version of `impasto plan`",
            found=f"{first['msg'].lower()} at {key or 'its start'}",
            fix="Run the plan stage again",
        ) from None


@final
class _Draft:
    """What a plan gathers while it is made."""

    def __init__(self, artwork: Artwork, compute: Compute, size_of: Callable[[Path], Size]) -> None:
        self.artwork = artwork
        self.compute = compute
        self.size_of = size_of
        self.sources: dict[str, Path] = {}
        self.masks: dict[str, MaskPlan] = {}
        self.images: dict[str, ImagePlan] = {}
        self.targets: dict[str, TargetPlan] = {}
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

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

    def level(self, index: int, level: Level, content: str, where: str) -> LevelPlan:
        artwork = self.artwork
        cut = tiling(level, artwork.network, artwork.optimiser, self.compute.memory_budget_mib, where)
        iterations = artwork.iterations_at(index)
        megapixels = level.padded.area / 1e6
        seconds = iterations * _EVALUATIONS_PER_ITERATION * megapixels * _SECONDS_PER_MEGAPIXEL_EVALUATION
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
        native = self.size_of(style.image)
        size = native.of_area(round(level.px * style.scale))
        if size.height > _SOFT_UPSCALE * native.height:
            self.warn(
                f"{style.image} ({native} px) is enlarged {size.height / native.height:.1f} times at level "
                f"{level.px}: its brushwork will look soft there"
            )
        plan = TargetPlan(
            image=self.image(prepared, size, self._style_recolouring(content)),
            mask=style.mask,
            network=self.artwork.network,
            precision=self.compute.precision,
        )
        key = _key(plan.image.rpartition("-")[0], plan.model_dump(mode="json"))
        self.targets[key] = plan
        return key

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


def _check_region(region: Region, where: str, size_of: Callable[[Path], Size]) -> None:
    """Raises an InputError unless the region's mask files, if any, can be read."""
    if region.where not in ("everything", *AUTOMATIC_REGIONS):
        path = Path(region.where)
        if not path.suffix:
            raise InputError(
                f"{where}.where",
                expected=f"everything, {', '.join(AUTOMATIC_REGIONS)}, or the path of a mask image",
                found=repr(region.where),
            )
        size_of(path)
    for style in region.styles:
        if style.mask is not None:
            size_of(style.mask)


def _weights(config: Config, artwork: Artwork) -> dict[str, WeightsSource | None]:
    """The model files the artwork needs, each with the source the user gave, or None."""
    needed: list[str] = [artwork.network.name]
    if any(region.where in AUTOMATIC_REGIONS for region in artwork.regions):
        needed.extend(artwork.masks.weights)
    given = {str(name): source for name, source in config.weights.items()}
    return {name: given.get(name) for name in needed}


def _key(stem: str, depends_on: Any) -> str:
    """A readable name with a hash of everything the thing depends on."""
    text = json.dumps(depends_on, sort_keys=True)
    readable = "".join(c if c.isalnum() else "-" for c in stem)[:60]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
