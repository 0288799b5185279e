"""`impasto partition`: an image cut into parts by segment-anything, a soft mask of its full size for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas, weights
from pipeline.commands.options import positive
from pipeline.commands.segmenting import model_file, read_small
from pipeline.config.masks import MOST_PARTS, PartName
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import atomic_folder, write_json
from pipeline.machine import prepare_machine
from pipeline.mask_record import MaskRecord, PartitionRecord

if TYPE_CHECKING:
    from pipeline.segmentation.parts import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared image")
    parser.add_argument("--weights", type=Path, required=True, help="segment-anything's model file")
    parser.add_argument(
        "--parts",
        type=positive,
        required=True,
        help=f"how many parts, 2 to {MOST_PARTS}: the largest segments, and what they leave",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="cpu", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder of the masks: 1.tif, the largest, 2.tif, ..."
    )
    parser.add_argument(
        "--record",
        type=Path,
        required=True,
        help="each part's method, coverage, confidence and warnings, as JSON",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if not 2 <= arguments.parts <= MOST_PARTS:
        raise InputError("--parts", expected=f"2 to {MOST_PARTS}", found=str(arguments.parts))
    network = weights.load(arguments.weights)
    if not network.name.startswith("sam_"):
        raise InputError(arguments.weights, expected="the model file of segment-anything", found=network.name)
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.segmentation.parts import find_parts  # noqa: PLC0415

    machine = prepare_machine(arguments.device, "float32", arguments.threads)
    image = read_small(arguments.image, arguments.output, machine.device)
    parts = find_parts(image, network, arguments.parts)
    _write(parts, arguments.image, arguments.output)
    record = _record(parts, network)
    write_json(arguments.record, record.model_dump(mode="json"))
    for warning in dict.fromkeys(warning for part in record.parts for warning in part.warnings):
        say(f"warning: {arguments.image}: {warning}")
    shares = ", ".join(f"{part.coverage:.1%}" for part in parts)
    say(f"{arguments.output}: {len(parts)} parts of the image by {network.name}: {shares}")


def _write(parts: list[Part], image: Path, folder: Path) -> None:
    """The masks, all of them or none."""
    with atomic_folder(folder, "1.tif") as partial:
        targets = [partial / f"{number}.tif" for number in range(1, len(parts) + 1)]
        canvas.write_parts([part.mask for part in parts], image, targets)


def _record(parts: list[Part], network: weights.Weights) -> PartitionRecord:
    """What is worth knowing about the parts; an empty one says why it is."""
    there = sum(part.coverage > 0 for part in parts[:-1])
    found = []
    for number, part in enumerate(parts, 1):
        name = PartName(number, len(parts))
        warnings = []
        if part.coverage == 0 and number < len(parts):
            few = f"{there} segment{'' if there == 1 else 's'}"
            warnings.append(f"{name} is empty: {network.name} finds {few} in the image")
        elif part.coverage == 0:
            warnings.append(f"{name} is empty: the segments leave nothing")
        found.append(
            MaskRecord(
                method=network.name,
                models=(model_file(network),),
                coverage=part.coverage,
                confidence=part.confidence,
                warnings=tuple(warnings),
            )
        )
    return PartitionRecord(parts=tuple(found))
