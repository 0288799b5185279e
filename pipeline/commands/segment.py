"""`impasto segment`: the people in a content image, or its subject, as a soft mask of its full size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas, weights
from pipeline.commands.options import positive
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import scratch_path, write_json
from pipeline.geometry import Size
from pipeline.machine import prepare_machine

if TYPE_CHECKING:
    from pipeline.segmentation import Segmentation

_LONGER_SIDE_PX = 1024


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
    import torch  # noqa: PLC0415

    from pipeline.segmentation import segment  # noqa: PLC0415

    model, detector, sharpener = _roles(arguments.weights, loaded)
    machine = prepare_machine(arguments.device, "float32", arguments.threads)
    size = canvas.size_of(arguments.image)
    with scratch_path(arguments.output, "small") as small:
        canvas.resize(arguments.image, small, _working_size(size))
        pixels = canvas.read(small)
    image = torch.from_numpy(pixels).permute(2, 0, 1).to(machine.device)
    found = segment(image, model, detector=detector, sharpener=sharpener)
    if found.nobody and arguments.on_nobody == "error":
        raise InputError(
            arguments.image,
            expected="a person or subject",
            found=f"none ({found.nobody})",
            fix="Give a mask file, or set masks.on_nobody to background",
        )
    canvas.write_matte(found.probability.cpu().numpy(), arguments.image, arguments.output)
    warnings = [*found.warnings]
    if found.nobody:
        warnings.append(f"nobody was found, so that all of the image is background: {found.nobody}")
    write_json(arguments.record, _record(found, warnings, size.width / image.shape[2]))
    for warning in warnings:
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


def _record(found: Segmentation, warnings: list[str], scale: float) -> dict[str, object]:
    """What is worth knowing about the mask; boxes are (top, left, bottom, right) in the image's pixels."""
    people = []
    for person in found.people:
        box = person.box
        edges = (box.top, box.left, box.bottom, box.right)
        people.append({"box_px": [round(edge * scale) for edge in edges], "score": person.score})
    return {
        "method": found.method,
        "coverage": found.coverage,
        "confidence": found.confidence,
        "people": people,
        "warnings": warnings,
    }


def _working_size(size: Size) -> Size:
    """The size to segment at: a mask has its network's detail, not the photograph's."""
    longer = max(size.height, size.width)
    shrink = min(1.0, _LONGER_SIDE_PX / longer)
    return Size(max(1, round(size.height * shrink)), max(1, round(size.width * shrink)))
