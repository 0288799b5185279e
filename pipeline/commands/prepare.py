"""`impasto prepare`: an image of any kind, decoded once into what the other stages read by regions."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a JPEG, PNG, TIFF, WebP or other image file")
    parser.add_argument("--output", type=Path, required=True, help="the prepared image, a tiled TIFF in sRGB")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    clipped = canvas.prepare(arguments.image, arguments.output)
    header = canvas.read_header(arguments.output, min_side_px=1)
    alpha = ", alpha kept" if header.has_alpha else ""
    say(f"{arguments.output}: {header.size} px (height x width), {header.bits} bits{alpha}")
    if clipped:
        say(f"{arguments.image}: {clipped:.2%} of its numbers lay outside 0 to 1 and were clipped")
