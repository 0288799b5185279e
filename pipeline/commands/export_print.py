"""`impasto export-print`: the print file, and beside it and inside it the record of how it was made."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline import canvas, provenance, weights
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.mask_record import MaskRecord, read_mask_record, read_partition_record
from pipeline.plan import Plan, read_plan
from pipeline.rendering.record import RenderingRecord, read_record
from pipeline.shared_plans import part_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    parser.add_argument("--plan", type=Path, required=True, help="the artwork's plan.json")
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        required=True,
        help="what stylise and refine recorded, lowest level first",
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="the model files that took part"
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
    parser.add_argument("--output", type=Path, required=True, help="the print file, a tiled TIFF")
    parser.add_argument("--provenance", type=Path, required=True, help="the record, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    plan = read_plan(arguments.plan)
    records = [read_record(path) for path in arguments.records]
    model_files = [weights.load(path) for path in arguments.weights]
    masks = {path.stem: read_mask_record(path) for path in arguments.masks}
    for path in arguments.partitions:
        for number, part in enumerate(read_partition_record(path).parts, 1):
            masks[part_key(path.stem, number)] = part
    mixtures = {path.stem: read_record(path) for path in arguments.mixtures}
    _check(plan, arguments.image, records, model_files)
    _check_keys("--masks and --partitions", plan.automatic_masks, masks)
    _check_keys("--mixtures", plan.mixes, mixtures)
    record = _provenance(plan, records, model_files, masks, mixtures)
    settings = plan.settings.print
    canvas.export_print(
        arguments.image,
        arguments.output,
        settings.dpi,
        bits=settings.bits,
        compression=settings.compression,
        alpha=arguments.image if canvas.read_header(arguments.image).has_alpha else None,
        description=json.dumps(record, ensure_ascii=False),
    )
    made = {arguments.output.name: arguments.output}
    write_json(arguments.provenance, record | {"outputs": provenance.file_records(made)})
    size = canvas.size_of(arguments.output)
    say(f"{arguments.output}: {size} px (height x width), {settings.bits} bits, {settings.dpi:g} dpi")


def _check(
    plan: Plan, image: Path, records: list[RenderingRecord], model_files: list[weights.Weights]
) -> None:
    """Raises an InputError unless these are what the plan's print is made from."""
    header = canvas.read_header(image)
    if header.size != plan.levels[-1].size:
        raise InputError(image, expected=f"{plan.levels[-1].size} px as planned", found=f"{header.size} px")
    if header.bands - header.has_alpha != 3:
        raise InputError(image, expected="3 bands, or 4 with alpha", found=str(header.bands))
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
    records: list[RenderingRecord],
    model_files: list[weights.Weights],
    masks: Mapping[str, MaskRecord],
    mixtures: Mapping[str, RenderingRecord],
) -> dict[str, object]:
    """The record without its outputs: the print file holds it, and cannot hold its own hash."""
    return provenance.record(
        artwork=plan.artwork,
        settings=plan.settings.model_dump(mode="json"),
        seed=plan.settings.seed,
        precision=records[-1].precision,
        device=records[-1].device,
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
        inputs={path.as_posix(): path for path in plan.inputs},
        outputs={},
        deviations=[deviation for record in (*records, *mixtures.values()) for deviation in record.warnings],
    )
