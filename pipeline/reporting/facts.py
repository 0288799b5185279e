"""What the report says of masks and mixtures beside their pictures: what a print's record holds of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, final

import numpy as np
from pydantic import ValidationError

from pipeline import canvas
from pipeline.config.sections import Model
from pipeline.crop_record import CropRecord
from pipeline.errors import InputError
from pipeline.mask_record import MaskRecord
from pipeline.plan import Plan
from pipeline.provenance import LevelRecord
from pipeline.reporting.model import AutomaticMask, Cover, Crop, Picture
from pipeline.shared_plans import Area

VISIBLE = 1e-3
"""The share of a picture from which on its uncovered part is shown."""

_ROUNDING = 1 / 255


@final
class MixtureFacts(Model):
    """What the record of a print says of a mixture of styles.

    Attributes:
        images: The paths of the coarse and the fine image.
        level: What making it cost.
        ending: Why the optimiser stopped.
        warnings: A sentence each.
    """

    images: tuple[str, str]
    level: LevelRecord
    ending: str
    warnings: tuple[str, ...]


@final
class _MaskFacts(Model):
    """What the record of a print says of an automatic mask."""

    image: str
    record: MaskRecord


@final
class _CropFacts(Model):
    """What the record of a print says of the part of the content that it shows."""

    image: str
    chosen: Literal["smart", "given"]
    record: CropRecord


Found: TypeAlias = Mapping[str, AutomaticMask]
"""Automatic masks by their keys."""

_Facts = TypeVar("_Facts", MixtureFacts, _MaskFacts)


def automatic_masks(plan: Plan, provenance: Mapping[str, Any], path: Path) -> Found:
    """The automatic masks of a plan, as the record of its print has them.

    Args:
        plan: The plan.
        provenance: The record's contents.
        path: Where it lies, for errors.

    Raises:
        InputError: A mask's facts are missing or are something else.
    """
    found = {}
    for key in plan.automatic_masks:
        facts = _facts(provenance, "masks", key, _MaskFacts, path)
        record = facts.record
        found[key] = AutomaticMask(
            method=record.method,
            image=Path(facts.image).name,
            coverage=record.coverage,
            confidence=record.confidence,
            scores=[person.score for person in record.people],
            warnings=list(record.warnings),
        )
    return found


def mixtures(plan: Plan, provenance: Mapping[str, Any], path: Path) -> dict[str, MixtureFacts]:
    """The mixtures of a plan by key, as the record of its print has them.

    Args:
        plan: The plan.
        provenance: The record's contents.
        path: Where it lies, for errors.

    Raises:
        InputError: A mixture's facts are missing or are something else.
    """
    return {key: _facts(provenance, "mixtures", key, MixtureFacts, path) for key in plan.mixes}


def crop(plan: Plan, provenance: Mapping[str, Any], path: Path) -> Crop | None:
    """Which part of its content a print shows, as its record has it; None where it shows all.

    Raises:
        InputError: The facts are missing or are something else.
    """
    if plan.content not in plan.crops:
        return None
    try:
        facts = _CropFacts.model_validate(provenance["crop"])
    except (KeyError, ValidationError) as error:
        raise InputError(
            path,
            expected="which part of the content is shown, under crop",
            found="something else" if isinstance(error, ValidationError) else "nothing",
            fix="Run `impasto record` again",
        ) from None
    found = facts.record
    return Crop(found.size, found.box, found.focus, facts.chosen == "smart")


def _facts(provenance: Mapping[str, Any], kind: str, key: str, model: type[_Facts], path: Path) -> _Facts:
    try:
        return model.model_validate(provenance[kind][key])
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(
            path,
            expected=f"the facts of {key} under {kind}",
            found="something else" if isinstance(error, ValidationError) else "nothing",
            fix="Run `impasto record` again",
        ) from None


def within(area: Area | None, plan: Plan, found: Found) -> list[AutomaticMask]:
    """The automatic masks that a part of an image is made from, once each."""
    if area is None or area.key is None:
        return []
    combination = plan.combinations.get(area.key)
    keys = (area.key,) if combination is None else combination.leaves
    return [found[key] for key in keys if key in found]


def cover(masks: Sequence[Path], target: Path) -> Cover:
    """How far an artwork's regions are a division of its picture.

    What a sum of masks has less than one is uncovered, what it has more is overlapping; both are means over
    the picture. Differences that rounding to 8 bits can make are not counted.

    Args:
        masks: The pictures of the regions' masks, of one size.
        target: Where the picture of what is uncovered goes, where it is enough to be seen; a PNG.

    Raises:
        InputError: A picture cannot be read.
    """
    total = sum(canvas.read(path)[..., 0].astype(np.float64) for path in masks)
    missing = np.asarray(1 - total)
    missing[np.abs(missing) <= _ROUNDING * len(masks)] = 0
    lacking = np.clip(missing, 0, 1)
    uncovered = float(lacking.mean())
    picture = None
    if uncovered > VISIBLE:
        canvas.write_png(target, (lacking * 255).round().astype(np.uint8))
        picture = Picture(target, "The part of the picture that is in no region", inside=True)
    return Cover(uncovered, float(np.clip(-missing, 0, None).mean()), picture)
