"""What `impasto record` and the files it is embedded in say of how a print was made."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pipeline import provenance, weights
from pipeline.crop_record import CropRecord, read_crop_record
from pipeline.errors import InputError
from pipeline.feedforward.record import PaintingRecord, read_painting
from pipeline.mask_record import MaskRecord, read_mask_record, read_partition_record
from pipeline.plan import Plan, read_plan
from pipeline.rendering.record import RenderingRecord, read_record
from pipeline.shared_plans import part_key


def add_record_arguments(parser: argparse.ArgumentParser) -> None:
    """The files that a record is made from."""
    parser.add_argument("--plan", type=Path, required=True, help="the artwork's plan.json")
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        required=True,
        help="what stylise and refine recorded, lowest level first; of an artwork that a trained network "
        "paints, what apply did",
    )
    parser.add_argument("--weights", type=Path, nargs="*", default=[], help="the model files that took part")
    parser.add_argument(
        "--painting",
        type=Path,
        nargs="*",
        default=[],
        help="what apply recorded, where the lowest level started from what it painted",
    )
    parser.add_argument(
        "--masks", type=Path, nargs="*", default=[], help="what segment recorded of each automatic mask"
    )
    parser.add_argument(
        "--partitions",
        type=Path,
        nargs="*",
        default=[],
        help="what partition recorded of each image in parts",
    )
    parser.add_argument(
        "--mixtures", type=Path, nargs="*", default=[], help="what mix recorded of each mixture"
    )
    parser.add_argument(
        "--crop",
        type=Path,
        nargs="*",
        default=[],
        help="what crop recorded of the content, where the print shows a part of it",
    )


@final
@dataclass(frozen=True)
class Recorded:
    """An artwork's plan, and the record of its print without its outputs: a file cannot hold its own hash."""

    plan: Plan
    record: dict[str, object]


def read_recorded(arguments: argparse.Namespace) -> Recorded:
    """What is known of a print, from the files that `add_record_arguments` asks for.

    Raises:
        InputError: One of them is missing, damaged, or not of this artwork.
    """
    plan = read_plan(arguments.plan)
    records, painting = _made(plan, arguments.records, arguments.painting)
    crop = _crop(plan, arguments.crop)
    model_files = [weights.identify(path) for path in arguments.weights]
    masks = {path.stem: read_mask_record(path) for path in arguments.masks}
    for path in arguments.partitions:
        for number, part in enumerate(read_partition_record(path).parts, 1):
            masks[part_key(path.stem, number)] = part
    mixtures = {path.stem: read_record(path) for path in arguments.mixtures}
    _check(plan, records, model_files)
    _check_keys("--masks and --partitions", plan.automatic_masks, masks)
    _check_keys("--mixtures", plan.mixes, mixtures)
    facts = _provenance(plan, records, model_files, masks, mixtures=mixtures, painting=painting, crop=crop)
    return Recorded(plan, facts)


@final
@dataclass(frozen=True, slots=True)
class _Made:
    """What is known of a level that was made."""

    level: provenance.LevelRecord
    precision: str
    device: Mapping[str, Any]
    versions: Mapping[str, str]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, found: RenderingRecord) -> _Made:
        """The same of what was optimised."""
        return cls(found.level, found.precision, found.device, found.versions, found.warnings)

    @property
    def made_with(self) -> dict[str, str]:
        """What its pixels depend on beside the settings, in words."""
        packages = {name: f"{name} {version}" for name, version in self.versions.items()}
        return {**packages, "device": str(self.device.get("name")), "precision": self.precision}


def _made(plan: Plan, paths: list[Path], paintings: list[Path]) -> tuple[list[_Made], PaintingRecord | None]:
    """What is known of each level, and of what a trained network painted, where one took part."""
    starts = 1 if plan.settings.start == "feedforward" and not plan.is_painted else 0
    if len(paintings) != starts:
        raise InputError(
            "--painting",
            expected="the record of what the lowest level started from" if starts else "none",
            found=_listed(paintings) or "none",
        )
    if not plan.is_painted:
        made = [_Made.of(read_record(path)) for path in paths]
        return made, read_painting(paintings[0]) if paintings else None
    if len(paths) != 1:
        raise InputError("--records", expected="the one that `impasto apply` made", found=_listed(paths))
    found = read_painting(paths[0])
    return [_painted(found, plan.levels[-1].level_px)], found


def _painted(found: PaintingRecord, level_px: int) -> _Made:
    by = found.application
    return _Made(found.as_level(level_px), by.precision, by.device, by.versions, found.warnings)


def _crop(plan: Plan, paths: list[Path]) -> CropRecord | None:
    """Where the part of the content lies that a print shows; None where it shows all of it."""
    wanted = plan.crops.get(plan.content)
    if len(paths) != (0 if wanted is None else 1):
        raise InputError(
            "--crop",
            expected="none: the print shows the whole content" if wanted is None else "what crop recorded",
            found=_listed(paths) or "none",
        )
    if wanted is None:
        return None
    found = read_crop_record(paths[0])
    if found.box.size != wanted.size:
        raise InputError(paths[0], expected=f"a part of {wanted.size} px", found=f"{found.box.size} px")
    return found


def _check(plan: Plan, records: list[_Made], model_files: list[weights.Identity]) -> None:
    """Raises an InputError unless these are what the plan's print is made from."""
    wanted = [level.level_px for level in plan.levels]
    given = [record.level.level_px for record in records]
    if given != wanted:
        raise InputError(
            "--records",
            expected=f"one for each level {_listed(wanted)}, lowest first",
            found=_listed(given),
        )
    names = [file.name for file in model_files]
    if sorted(names) != sorted(plan.weights):
        raise InputError("--weights", expected=_listed(plan.weights), found=_listed(names))


def _check_keys(option: str, wanted: Iterable[str], given: Iterable[str]) -> None:
    if sorted(wanted) != sorted(given):
        raise InputError(
            option,
            expected=f"the records of {_listed(sorted(wanted)) or 'none'}",
            found=_listed(sorted(given)) or "none",
        )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _provenance(
    plan: Plan,
    records: list[_Made],
    model_files: list[weights.Identity],
    masks: Mapping[str, MaskRecord],
    *,
    mixtures: Mapping[str, RenderingRecord],
    painting: PaintingRecord | None,
    crop: CropRecord | None,
) -> dict[str, object]:
    return provenance.record(
        artwork=plan.artwork,
        settings=plan.settings.model_dump(mode="json"),
        seed=plan.settings.seed,
        precision=records[-1].precision,
        device=records[-1].device,
        versions=records[-1].versions,
        weights=[
            provenance.WeightsRecord(
                file.name, file.tensors_sha256, file.metadata["licence"], file.metadata["credit"]
            )
            for file in model_files
        ],
        levels=[record.level for record in records],
        masks={
            key: {"image": plan.automatic_masks[key], "record": record.model_dump(mode="json")}
            for key, record in masks.items()
        },
        mixtures={
            key: {
                "images": plan.mixed_images(key),
                "level": record.level,
                "ending": record.ending,
                "warnings": record.warnings,
            }
            for key, record in mixtures.items()
        },
        painting=None if painting is None else _with_network(plan, painting),
        crop=None if crop is None else _placed(plan, crop),
        inputs={path.as_posix(): path for path in plan.inputs},
        outputs={},
        deviations=[
            *(deviation for record in records for deviation in record.warnings),
            *(deviation for mixture in mixtures.values() for deviation in mixture.warnings),
            *_made_otherwise(records, mixtures, painting),
        ],
    )


def _made_otherwise(
    records: list[_Made], mixtures: Mapping[str, RenderingRecord], painting: PaintingRecord | None
) -> Iterator[str]:
    """What was made with other packages or on another device than the highest level."""
    top = records[-1]
    others = {f"level {made.level.level_px}": made for made in records[:-1]}
    others |= {f"mixture {key}": _Made.of(found) for key, found in mixtures.items()}
    if painting is not None:
        others["what a network painted"] = _painted(painting, top.level.level_px)
    for what, made in others.items():
        pairs = [(word, top.made_with.get(key, "")) for key, word in made.made_with.items()]
        differing = [pair for pair in pairs if pair[0] != pair[1]]
        if differing:
            own, its = (", ".join(words) for words in zip(*differing, strict=True))
            yield f"{what} was made with {own}; level {top.level.level_px} with {its}"


def _with_network(plan: Plan, painting: PaintingRecord) -> dict[str, object]:
    """What is known of a painting, and what its network was told."""
    assert plan.painting is not None
    network = plan.networks[plan.painting.network]
    record = painting.model_dump(mode="json")
    if network.settings.file is None:
        # Trainings do not know it: another one is not worth another training.
        record["model"]["licence"] = network.settings.licence
    told = {"name": network.name, "settings": network.settings.model_dump(mode="json")}
    return {**record, "network": told}


def _placed(plan: Plan, crop: CropRecord) -> dict[str, object]:
    chosen = "smart" if plan.crops[plan.content].focus == "smart" else "given"
    record = crop.model_dump(mode="json")
    return {"image": plan.source_of(plan.content), "chosen": chosen, "record": record}
