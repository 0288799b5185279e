"""`impasto guide`: a level's guidance channels, one per region, from masks of any size."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import scratch_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--region",
        action="append",
        required=True,
        metavar="NAME=MASK",
        help="a region and its mask file; `NAME=not:MASK` takes what the mask leaves; once for each region",
    )
    parser.add_argument(
        "--may-be-empty",
        action="append",
        default=[],
        metavar="NAME",
        help="a region that may cover nothing, because nobody may be in the photograph; once for each",
    )
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument("--output", type=Path, required=True, help="a tiled 16-bit TIFF, one band per region")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    regions = [_region(text) for text in arguments.region]
    masks = [(path, inverted) for _, path, inverted in regions]
    with scratch_path(arguments.output) as guides:
        canvas.compose_guides(masks, guides, arguments.size)
        coverages = canvas.band_means(guides)
        for (name, path, _), coverage in zip(regions, coverages, strict=True):
            if coverage == 0 and name not in arguments.may_be_empty:
                raise InputError(
                    f"region {name}",
                    expected="a mask that covers some of the image",
                    found=f"nothing in {path}",
                    fix="Give the region a mask file of its own, or use where: everything",
                )
        guides.replace(arguments.output)
    for (name, _, _), coverage in zip(regions, coverages, strict=True):
        say(f"region {name}: {coverage:.1%} of the image")


def _region(text: str) -> tuple[str, Path, bool]:
    name, separator, mask = text.partition("=")
    path = mask.removeprefix("not:")
    if not separator or not name or not path:
        raise InputError("--region", expected="NAME=MASK", found=repr(text))
    return name, Path(path), mask.startswith("not:")
