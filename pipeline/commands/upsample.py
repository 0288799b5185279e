"""`impasto upsample`: where a level starts from, given the result of the one below, in float."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the result of the level below")
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument(
        "--contents",
        type=Path,
        nargs=2,
        metavar=("BELOW", "HERE"),
        help="the content at the level below and here: enlarge what was made of it, and add that to it "
        "(default: enlarge the image alone)",
    )
    parser.add_argument("--output", type=Path, required=True, help="a tiled float TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.contents is None:
        canvas.resize(arguments.image, arguments.output, arguments.size)
    else:
        below, here = arguments.contents
        found = canvas.read_header(here).size
        if found != arguments.size:
            raise InputError(here, expected=f"{arguments.size} px as --size says", found=f"{found} px")
        canvas.carry_over(arguments.image, below, here, arguments.output)
    say(f"{arguments.output}: {arguments.size} px (height x width)")
