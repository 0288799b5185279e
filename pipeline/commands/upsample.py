"""`impasto upsample`: a level's result at the size of the next, in float."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import size
from pipeline.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a level's result")
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument("--output", type=Path, required=True, help="a tiled float TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    canvas.resize(arguments.image, arguments.output, arguments.size)
    say(f"{arguments.output}: {arguments.size} px (height x width)")
