"""`impasto guide`: a level's guidance channels, one per region, from masks of any size."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--region",
        action="append",
        required=True,
        metavar="NAME=MASK",
        help="a region and its mask file; `NAME=not:MASK` takes what the mask leaves; once for each region",
    )
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument("--output", type=Path, required=True, help="a tiled 16-bit TIFF, one band per region")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    regions = [_region(text) for text in arguments.region]
    canvas.compose_guides(
        [(path, inverted) for _, path, inverted in regions], arguments.output, arguments.size
    )
    coverages = canvas.band_means(arguments.output)
    for (name, path, _), coverage in zip(regions, coverages, strict=True):
        if coverage == 0:
            arguments.output.unlink()
            raise InputError(
                f"region {name}",
                expected="a mask that covers some of the image",
                found=f"nothing in {path}",
                fix="Give the region a mask file of its own, or use where: everything",
            )
        say(f"region {name}: {coverage:.1%} of the image")


def _region(text: str) -> tuple[str, Path, bool]:
    name, separator, mask = text.partition("=")
    if not separator or not name or not mask:
        raise InputError("--region", expected="NAME=MASK", found=repr(text))
    return name, Path(mask.removeprefix("not:")), mask.startswith("not:")
