"""A plan as values: one artwork's settings resolved into files, levels and numbers. Making one: planning.py.

What artworks can share is named by a key that holds a hash of everything it depends on, so that equal work
has one name and is done once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

from pydantic import ValidationError

from pipeline.config.models import Artwork, Compute, WeightsSource
from pipeline.config.sections import Masks, Model, Network
from pipeline.errors import InputError
from pipeline.geometry import Size


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

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every image and mask file of the user's that the artwork is made from, without repeats."""
        regions = self.settings.regions
        masks = [region.mask_file for region in regions]
        masks += [style.mask for region in regions for style in region.styles]
        return tuple(dict.fromkeys([*self.sources.values(), *(mask for mask in masks if mask is not None)]))

    def excerpt(self, level_px: int) -> Plan:
        """The plan without anything that this level's pixels do not depend on: a plan to render it by.

        Equal excerpts mean equal pixels, so the workflow makes a level again when its excerpt has changed.

        Raises:
            InputError: The plan has no such level.
        """
        top = self.level(level_px)
        settings = self.settings
        return Plan(
            artwork=self.artwork,
            settings=Artwork(
                content=settings.content,
                regions=settings.regions,
                content_weight=settings.content_weight,
                style_weight=settings.style_weight,
                network=settings.network,
                optimiser=settings.optimiser,
                start=settings.start,
                seed=settings.seed,
            ),
            compute=Compute(
                device=self.compute.device, precision=self.compute.precision, threads=self.compute.threads
            ),
            content=self.content,
            sources={},
            masks={},
            images={},
            targets={},
            levels=tuple(
                level.model_copy(update={"memory_mib": 0, "runtime_min": 0})
                for level in self.levels[: self.levels.index(top) + 1]
            ),
            weights={},
            warnings=(),
        )

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


def read_plan(path: Path) -> Plan:
    """The plan in the file at `path`.

    Raises:
        InputError: There is none, or it is no plan of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = (getattr(error, "strerror", None) or "bytes that are no text").lower()
        raise InputError(path, expected="a plan made by `impasto plan`", found=found) from None
    return parse_plan(text, path)


def parse_plan(text: str, where: object) -> Plan:
    """The plan that `text` holds, as JSON; `where` it stood is for the error.

    Raises:
        InputError: It is no plan of this version.
    """
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            where,
            expected="a plan made by this version of `impasto plan`",
            found=f"{first['msg'].lower()} at {key or 'its start'}",
            fix="Run the plan stage again",
        ) from None
