"""`impasto crop`: the part of a content image that its print shows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from pipeline import canvas
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.crop_record import CropRecord
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.print_layout import crop_box


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared image")
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument(
        "--focus",
        type=_focus,
        default=(0.5, 0.5),
        metavar="X,Y",
        help="the point that stays as near to the middle as can be: 0,0 is the top left and 1,1 the bottom "
        "right; `smart` finds the point that draws the eye (default: 0.5,0.5)",
    )
    parser.add_argument("--output", type=Path, required=True, help="the part, a prepared image again")
    parser.add_argument(
        "--record", type=Path, required=True, help="where the part lies in its image, as JSON"
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    whole = canvas.read_header(arguments.image, min_side_px=1).size
    if arguments.size.height > whole.height or arguments.size.width > whole.width:
        raise InputError(
            "--size", expected=f"at most {whole} px, the image's own", found=f"{arguments.size} px"
        )
    focus = arguments.focus
    if focus == "smart":
        focus = canvas.find_focus(arguments.image, arguments.size)
    box = crop_box(whole, arguments.size, focus)
    canvas.crop(arguments.image, arguments.output, box)
    record = CropRecord(size=whole, box=box, focus=focus)
    write_json(arguments.record, record.model_dump(mode="json"))
    x, y = focus
    say(
        f"{arguments.output}: {arguments.size} of {whole} px (height x width), from row {box.top} and column "
        f"{box.left}, around {x:.2f},{y:.2f}"
    )


def _focus(text: str) -> tuple[float, float] | Literal["smart"]:
    if text == "smart":
        return "smart"
    try:
        x, y = (float(share) for share in text.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f"expected smart, or X,Y with both from 0 to 1; found {text!r}")
    return x, y
