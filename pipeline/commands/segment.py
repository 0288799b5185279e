"""`impasto segment`: the person in a content image, as a soft mask."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas, weights
from pipeline.commands.options import positive
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import scratch_path, write_json
from pipeline.geometry import Size
from pipeline.machine import prepare_machine

_LONGER_SIDE_PX = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared content image")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        help="the segmenter's model file, and segment-anything's behind it to sharpen the mask",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="cpu", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="the mask, an 8-bit tiled TIFF")
    parser.add_argument("--record", type=Path, required=True, help="coverage, confidence, method, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    model, *sharpener = [weights.load(path) for path in arguments.weights]
    # torch takes seconds, which help and mistakes need not wait for.
    import torch  # noqa: PLC0415

    from pipeline.segmentation import METHODS, segment  # noqa: PLC0415

    if model.name not in METHODS:
        raise InputError(
            arguments.weights[0], expected=f"the model file of {', '.join(METHODS)}", found=model.name
        )
    for path, file in zip(arguments.weights[1:], sharpener, strict=True):
        if len(sharpener) > 1 or not file.name.startswith("sam_"):
            raise InputError(path, expected="one model file of segment-anything behind it", found=file.name)
    machine = prepare_machine(arguments.device, "float32", arguments.threads)
    size = canvas.size_of(arguments.image)
    with scratch_path(arguments.output, "small") as small:
        canvas.resize(arguments.image, small, _working_size(size))
        image = torch.from_numpy(canvas.read(small)).permute(2, 0, 1).to(machine.device)
    found = segment(image, model, sharpener[0] if sharpener else None)
    canvas.write_mask(arguments.output, found.probability.cpu().numpy())
    write_json(
        arguments.record, {"method": found.method, "coverage": found.coverage, "confidence": found.confidence}
    )
    figures = f"{found.coverage:.1%} of the image, confidence {found.confidence:.2f}"
    say(f"{arguments.output}: {found.method}, {figures}")


def _working_size(size: Size) -> Size:
    """The size to segment at: a mask has its network's detail, not the photograph's."""
    longer = max(size.height, size.width)
    shrink = min(1.0, _LONGER_SIDE_PX / longer)
    return Size(max(1, round(size.height * shrink)), max(1, round(size.width * shrink)))
