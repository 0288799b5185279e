"""`impasto assemble`: the top level's result with the content's chroma and alpha where they belong."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.canvas import Mask
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import scratch_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the top level's result")
    parser.add_argument("--content", type=Path, required=True, help="the prepared content image")
    parser.add_argument(
        "--colour",
        choices=("none", "style_to_content", "content_to_style", "luminance"),
        default="none",
        help="the artwork's colour mode; luminance brings the content's chroma back (default: %(default)s)",
    )
    parser.add_argument(
        "--luminance-mask",
        action="append",
        default=[],
        metavar="MASK",
        help="bring the chroma back there only: light is inside, `not:MASK` is what a mask leaves; once for "
        "each, their sum counts (default: everywhere)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="a tiled float TIFF of 3 bands, or 4 with alpha"
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.luminance_mask and arguments.colour != "luminance":
        raise InputError("--luminance-mask", expected="--colour luminance beside it", found=arguments.colour)
    size = canvas.size_of(arguments.image)
    has_alpha = canvas.read_header(arguments.content, min_side_px=1).has_alpha
    with (
        scratch_path(arguments.output, "chroma") as chroma,
        scratch_path(arguments.output, "colour") as coloured,
    ):
        image = arguments.image
        if arguments.colour == "luminance":
            canvas.resize(arguments.content, chroma, size)
            image = coloured
            where = [Mask.parse(text) for text in arguments.luminance_mask]
            canvas.combine_luminance(arguments.image, chroma, image, where)
        canvas.add_alpha(image, arguments.content, arguments.output)
    say(f"{arguments.output}: {size} px (height x width){', alpha' if has_alpha else ''}")
