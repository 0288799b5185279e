"""A plan as values: one artwork's settings resolved into files, levels and numbers. Making one: planning.py.

What artworks can share is named by keys: shared_plans.py. What is made at one level: level_plans.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import ValidationError

from pipeline.config.masks import mask_files
from pipeline.config.models import Artwork, Compute, WeightsSource
from pipeline.config.sections import Model, NetworkName
from pipeline.errors import InputError
from pipeline.level_plans import LevelPlan, MixPlan, PaintingPlan
from pipeline.print_layout import PrintLayout
from pipeline.shared_plans import (
    Area,
    CombinationPlan,
    CropPlan,
    ImagePlan,
    MaskCropPlan,
    MaskPlan,
    NetworkPlan,
    PartitionPlan,
    TargetPlan,
    part_key,
)


@final
class PrintPlan(Model):
    """A print: its geometry, and what there is to see on it.

    Attributes:
        layout: Where everything lies, to the pixel.
        height_mm: Of the finished print.
        width_mm: Of the finished print.
        bleed_mm: On each side.
        content_dpi: The content image's own pixels per inch of the print.
        largest_structure_mm: What a unit of the deepest style layer sees at the lowest level: brushwork is no
            larger.
    """

    layout: PrintLayout
    height_mm: float
    width_mm: float
    bleed_mm: float
    content_dpi: float
    largest_structure_mm: float


@final
class Plan(Model):
    """One artwork, resolved.

    Attributes:
        artwork: Its name.
        settings: As the configuration has them, defaults and presets written out.
        compute: The machine's share.
        content: Key of the prepared content image, or of the part of it that is rendered.
        sources: The user's images by key.
        crops: Parts of prepared images by key.
        mask_crops: The same parts of masks by key.
        masks: Automatic masks by key.
        partitions: Images cut into parts by key.
        combinations: Masks made of others by key.
        areas: Where each region that is less than everything is, by its label.
        images: Images at a level's size and colours by key.
        mixes: Mixed style images by key.
        targets: Style statistics by key.
        networks: Transformation networks by key.
        painting: What such a network paints; None where none does.
        levels: Lowest first.
        chroma: Where the content's chroma comes back in the end: everywhere when empty, nowhere when None.
        print: The print and what it means for the eye; None in an excerpt.
        weights: The model files and where the user has them from.
        disk_mib: What the artwork's files take at most at once.
        kept_mib: What of them stays.
        warnings: What the user should know before the work begins.
    """

    artwork: str
    settings: Artwork
    compute: Compute
    content: str
    sources: dict[str, Path]
    crops: dict[str, CropPlan]
    mask_crops: dict[str, MaskCropPlan]
    masks: dict[str, MaskPlan]
    partitions: dict[str, PartitionPlan]
    combinations: dict[str, CombinationPlan]
    areas: dict[str, Area]
    images: dict[str, ImagePlan]
    mixes: dict[str, MixPlan]
    targets: dict[str, TargetPlan]
    networks: dict[str, NetworkPlan]
    painting: PaintingPlan | None
    levels: tuple[LevelPlan, ...]
    chroma: tuple[Area, ...] | None
    print: PrintPlan | None
    weights: dict[str, WeightsSource | None]
    disk_mib: int
    kept_mib: int
    warnings: tuple[str, ...]

    @property
    def is_painted(self) -> bool:
        """Whether a trained network paints the result, instead of levels that are optimised."""
        return self.settings.method == "feedforward"

    @property
    def judging_network(self) -> NetworkName:
        """The network that figures are had from: what rendered it, or what its painter was trained with."""
        if self.is_painted and self.painting is not None:
            return self.networks[self.painting.network].settings.network
        return self.settings.network.name

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file of the user's that the artwork is made from, but for models, without repeats."""
        given = (self.settings.network.channel_means, self.settings.print.profile)
        others = [*mask_files(self.settings.mask_expressions), *(path for path in given if path is not None)]
        return tuple(dict.fromkeys([*self.sources.values(), *others]))

    def source_of(self, key: str) -> Path:
        """The user's image that the prepared image of this key, or the part of one, comes from."""
        return self.sources[self.crops[key].prepared if key in self.crops else key]

    @property
    def loss_networks(self) -> tuple[NetworkName, ...]:
        """The loss networks that training its networks needs, or the figures of what they paint."""
        used = (each.settings for each in self.networks.values())
        return tuple(each.network for each in used if each.file is None or self.is_painted)

    def mixed_from(self, key: str) -> tuple[str, str]:
        """The keys of the coarse and the fine image of a mixture: the coarse one is the lowest level's."""
        mix = self.mixes[key]
        fine = mix.fine
        while not mix.lowest:
            mix = self.mixes[mix.start]
        return mix.start, fine

    @property
    def automatic_masks(self) -> dict[str, Path]:
        """Every automatic mask by its key, with the user's image that it is found in."""
        found = {key: self.source_of(mask.prepared) for key, mask in self.masks.items()}
        for key, partition in self.partitions.items():
            for number in range(1, partition.parts + 1):
                found[part_key(key, number)] = self.source_of(partition.prepared)
        return found

    def mixed_images(self, key: str) -> tuple[Path, Path]:
        """The user's coarse and fine image of a mixture."""
        coarse, fine = (self.sources[self.images[image].prepared] for image in self.mixed_from(key))
        return coarse, fine

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
                guidance=settings.guidance,
                optimiser=settings.optimiser,
                start=settings.start,
                feedforward=settings.feedforward,
                seed=settings.seed,
            ),
            compute=self.compute.for_pixels(),
            content=self.content,
            sources={},
            crops={},
            mask_crops={},
            masks={},
            partitions={},
            combinations={},
            areas={},
            images={},
            mixes={},
            targets={},
            networks={},
            painting=None,
            levels=tuple(level.without_costs() for level in self.levels[: self.levels.index(top) + 1]),
            chroma=None,
            print=None,
            weights={},
            disk_mib=0,
            kept_mib=0,
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
