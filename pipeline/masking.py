"""Where regions are, and which parts of style images count: masks as files, keys, and combinations of them.

A pure function of the settings and image sizes, without torch. A mask file, an automatic mask, and what
either leaves are used as they are; anything else is a combination, made once for all who ask for it. A mask
file that one region combines and another takes as it is, is brought to the image's size for both in the same
way, so that their sum is one where it should be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

from pipeline.combination import (
    EVERYTHING,
    Combination,
    Expression,
    as_leaf,
    label,
    leaves,
    lengths,
    mapped,
    without_not,
)
from pipeline.config.masks import AUTOMATIC_MASKS, PartName, is_file, parts_of
from pipeline.config.sections import Masks
from pipeline.errors import ConfigError, UnfitError
from pipeline.geometry import Size
from pipeline.lengths import in_px
from pipeline.shared_plans import (
    Area,
    CombinationPlan,
    CropPlan,
    MaskCropPlan,
    MaskPlan,
    PartitionPlan,
    make_key,
    part_key,
)


@final
class Masking:
    """Gathers the masks that an artwork needs while its plan is made.

    Args:
        settings: How automatic masks are found.
        crops: The images of which a part alone is used, by key. Their masks are found in that part; the
            user's masks are of the whole image and lose the same rest.

    Attributes:
        crops: Parts of masks of the user's by key.
        masks: Automatic masks by key.
        partitions: Images cut into parts by key.
        combinations: Combinations by key.
    """

    def __init__(self, settings: Masks, crops: Mapping[str, CropPlan] | None = None) -> None:
        self._settings = settings
        self._crops: Mapping[str, CropPlan] = {} if crops is None else crops
        self.crops: dict[str, MaskCropPlan] = {}
        self.masks: dict[str, MaskPlan] = {}
        self.partitions: dict[str, PartitionPlan] = {}
        self.combinations: dict[str, CombinationPlan] = {}

    def area(
        self,
        expression: Expression,
        prepared: str,
        size: Size,
        dpi: float,
        combined: frozenset[str] = frozenset(),
    ) -> Area | None:
        """The part of an image that an expression means; None for everything.

        Args:
            expression: As the configuration has it.
            prepared: Key of the prepared image.
            size: The image's size.
            dpi: The image's pixels per inch of the print, for lengths in mm, cm or in.
            combined: The mask files that are combined elsewhere.
        """
        if expression == EVERYTHING:
            return None
        inner, inverted = without_not(expression)
        if isinstance(inner, Combination) or inner in (EVERYTHING, *combined):
            return Area(mask=self._combination(inner, prepared, size, dpi), inverted=inverted)
        if inner in AUTOMATIC_MASKS:
            return Area(mask=self._automatic(inner, prepared), inverted=inverted != (inner == "background"))
        part = PartName.parse(inner)
        if part is not None:
            return Area(mask=self._partition(part.parts, prepared), part=part.number, inverted=inverted)
        if prepared in self._crops:
            return Area(mask=self._cropped(Path(inner), prepared), inverted=inverted)
        return Area(file=Path(inner), inverted=inverted)

    @property
    def weights(self) -> tuple[str, ...]:
        """The model files that the masks need, by name."""
        names = [name for mask in self.masks.values() for name in mask.settings.weights]
        return tuple(dict.fromkeys([*names, *(each.weights for each in self.partitions.values())]))

    def _automatic(self, name: str, prepared: str) -> str:
        settings = self._settings
        if name == "subject":
            settings = settings.model_copy(update={"method": "subject"})
        plan = MaskPlan(prepared=prepared, settings=settings)
        key = make_key(prepared.rpartition("-")[0], plan.model_dump(mode="json"))
        self.masks[key] = plan
        return key

    def _cropped(self, file: Path, crop: str) -> str:
        size = self._crops[crop].size
        plan = MaskCropPlan(file=file, crop=crop, height=size.height, width=size.width)
        key = make_key(f"{file.stem}-{size}", plan.model_dump(mode="json"))
        self.crops[key] = plan
        return key

    def _partition(self, parts: int, prepared: str) -> str:
        assert self._settings.sam is not None, "the configuration asks for it beside segments"
        plan = PartitionPlan(prepared=prepared, parts=parts, sam=self._settings.sam)
        key = make_key(f"{prepared.rpartition('-')[0]}-in-{parts}", plan.model_dump(mode="json"))
        self.partitions[key] = plan
        return key

    def _combination(self, expression: Expression, prepared: str, size: Size, dpi: float) -> str:
        def leaf(name: str) -> Expression:
            if name in AUTOMATIC_MASKS:
                key = self._automatic(name, prepared)
                return Combination("not", (key,)) if name == "background" else key
            part = PartName.parse(name)
            if part is not None:
                return part_key(self._partition(part.parts, prepared), part.number)
            if name != EVERYTHING and prepared in self._crops:
                return self._cropped(Path(name), prepared)
            return name if name == EVERYTHING else as_leaf(Path(name))

        resolved = mapped(expression, leaf, lambda length: f"{in_px(length, dpi):.10g} px")
        plan = CombinationPlan(height=size.height, width=size.width, expression=resolved)
        stem = f"{prepared.rpartition('-')[0]}-{label(expression)}"
        key = make_key(stem, plan.model_dump(mode="json"))
        self.combinations[key] = plan
        return key


def combined_files(expressions: Iterable[Expression]) -> frozenset[str]:
    """The mask files that are more than taken as they are, or inverted."""
    inner = (without_not(expression)[0] for expression in expressions)
    found = (leaf for each in inner if isinstance(each, Combination) for leaf in leaves(each))
    return frozenset(leaf for leaf in found if is_file(leaf))


def content_dpi(content: Size, top: Size, print_dpi: float) -> float:
    """The pixels per inch of the print of the content image, or of its part, that the top level shows."""
    return print_dpi * math.sqrt(content.area / top.area)


def check_network(masks: Iterable[Expression], settings: Masks, where: str) -> None:
    """Refuses segments where nothing finds them.

    Args:
        masks: Every mask of an artwork.
        settings: How automatic masks are found.
        where: The artwork's key in the configuration.

    Raises:
        ConfigError: A part of an image is named, but no network of segment-anything's.
    """
    named = parts_of(masks)
    if named and settings.sam is None:
        raise ConfigError(
            f"{where}.masks.sam",
            expected=f"the segment-anything network that finds {named[0]}, such as vit_b",
            found="none",
        )


def check_lengths(expression: Expression, size: Size, dpi: float, where: str, what: str) -> None:
    """Refuses a length by which nothing sensible could be changed.

    Args:
        expression: A mask of an image.
        size: The image's size.
        dpi: As for `Masking.area`.
        where: The expression's key in the configuration.
        what: The image, in words.

    Raises:
        UnfitError: It is longer than the image's longer side.
    """
    longest = max(size.height, size.width)
    for length in lengths(expression):
        if in_px(length, dpi) > longest:
            raise UnfitError(
                where,
                expected=f"lengths of at most {longest} px, the longer side of its {what}",
                found=f"{length} ({in_px(length, dpi):.0f} px)",
            )
