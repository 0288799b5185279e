"""`impasto crop-mask`: the part of a mask that belongs to the part of its image that the print shows."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.console import say
from pipeline.crop_record import read_crop_record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("mask", type=Path, help="a mask of the whole image, of any size")
    parser.add_argument(
        "--crop", type=Path, required=True, help="what `impasto crop` recorded of the part, as JSON"
    )
    parser.add_argument("--output", type=Path, required=True, help="the mask's part, a tiled 16-bit TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    record = read_crop_record(arguments.crop)
    canvas.crop_mask(arguments.mask, arguments.output, record.size, record.box)
    (coverage,) = canvas.band_means(arguments.output)
    say(f"{arguments.output}: {record.box.size} px (height x width), {coverage:.1%} of it inside")
