"""`impasto segment`: the people in a content image, or its subject, as a soft mask of its full size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas, weights
from pipeline.commands.options import positive
from pipeline.commands.segmenting import model_file, read_small
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.machine import prepare_machine
from pipeline.mask_record import MaskRecord, PersonRecord

if TYPE_CHECKING:
    from pipeline.segmentation import Segmentation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared content image")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        help="the segmenter's model file; behind that of person the detector's; and behind these "
        "segment-anything's, to sharpen the mask",
    )
    parser.add_argument(
        "--on-nobody",
        choices=("background", "error"),
        default="background",
        help="when nobody is found: all is background, or an error (default: %(default)s)",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="cpu", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="the mask, an 8-bit tiled TIFF")
    parser.add_argument(
        "--record",
        type=Path,
        required=True,
        help="method, coverage, confidence, people and warnings, as JSON",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    loaded = [weights.load(path) for path in arguments.weights]
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.segmentation import segment  # noqa: PLC0415

    model, detector, sharpener = _roles(arguments.weights, loaded)
    machine = prepare_machine(arguments.device, "float32", arguments.threads)
    image = read_small(arguments.image, arguments.output, machine.device)
    found = segment(image, model, detector=detector, sharpener=sharpener)
    if found.nobody and arguments.on_nobody == "error":
        raise InputError(
            arguments.image,
            expected="a person or subject",
            found=f"none ({found.nobody})",
            fix="Give a mask file, or set masks.on_nobody to background",
        )
    canvas.write_matte(found.probability.cpu().numpy(), arguments.image, arguments.output)
    record = _record(found, loaded, canvas.size_of(arguments.image).width / image.shape[2])
    write_json(arguments.record, record.model_dump(mode="json"))
    for warning in record.warnings:
        say(f"warning: {arguments.image}: {warning}")
    figures = f"{found.coverage:.1%} of the image, confidence {found.confidence:.2f}"
    say(f"{arguments.output}: {found.method}, {figures}")


def _roles(
    paths: list[Path], loaded: list[weights.Weights]
) -> tuple[weights.Weights, weights.Weights | None, weights.Weights | None]:
    """The segmenter, its detector if it needs one, and segment-anything if it is there."""
    from pipeline.segmentation import DETECTOR, METHODS  # noqa: PLC0415

    model, *others = loaded
    if model.name not in METHODS:
        raise InputError(paths[0], expected=f"the model file of {', '.join(METHODS)}", found=model.name)
    detector = None
    if model.name == "person":
        if not others or others[0].name != DETECTOR:
            found = others[0].name if others else "none"
            raise InputError(paths[0], expected=f"the model file of {DETECTOR} behind it", found=found)
        detector = others.pop(0)
    for path, other in zip(paths[-len(others) :] if others else [], others, strict=True):
        if len(others) > 1 or not other.name.startswith("sam_"):
            raise InputError(path, expected="one model file of segment-anything behind it", found=other.name)
    return model, detector, others[0] if others else None


def _record(found: Segmentation, asked: list[weights.Weights], scale: float) -> MaskRecord:
    """What is worth knowing about the mask; the photograph has `scale` pixels for one of those segmented."""
    people = []
    for person in found.people:
        top, left, bottom, right = (
            round(edge * scale)
            for edge in (person.box.top, person.box.left, person.box.bottom, person.box.right)
        )
        people.append(PersonRecord(box_px=(top, left, bottom, right), score=person.score))
    warnings = list(found.warnings)
    if found.nobody:
        warnings.append(f"nobody was found, so that all of the image is background: {found.nobody}")
    return MaskRecord(
        method=found.method,
        models=tuple(model_file(one) for one in asked),
        coverage=found.coverage,
        confidence=found.confidence,
        people=tuple(people),
        warnings=tuple(warnings),
    )
