"""`impasto combine`: masks combined into one, as an expression says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline import canvas
from pipeline.combination import EVERYTHING, Expression, ExpressionError, lengths, parse
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.lengths import in_px, is_physical

_OPTION = "--expression"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        _OPTION,
        required=True,
        metavar="JSON",
        help='a mask file, `everything`, or a combination: {"not": X}, {"union": [X, Y]}, {"intersection": '
        '[X, Y]}, {"minus": [X, Y]}, {"grow": "12 px", "of": X}, {"shrink": "12 px", "of": X}, {"feather": '
        '"12 px", "of": X}, where X and Y are any of these; text alone needs no quotes',
    )
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument("--output", type=Path, required=True, help="the mask, a tiled 16-bit TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    expression = _expression(arguments.expression, arguments.size)
    canvas.combine_masks(expression, arguments.output, arguments.size)
    (coverage,) = canvas.band_means(arguments.output)
    say(f"{arguments.output}: {arguments.size} px (height x width), {coverage:.1%} of the image")


def _expression(text: str, size: Size) -> Expression:
    raw: Any = text
    if text.lstrip().startswith(("{", "[", '"')):
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(_OPTION, expected="a mask file or JSON", found=repr(text[:80])) from None
    try:
        expression = parse(raw, _check_leaf, _check_length)
    except ExpressionError as error:
        place = ".".join([_OPTION, *map(str, error.keys)])
        raise InputError.stating(f"{place} {error.message}") from None
    longest = max(size.height, size.width)
    for length in lengths(expression):
        if in_px(length, dpi=1) > longest:
            raise InputError(
                _OPTION, expected=f"lengths of at most {longest} px, the longer side of --size", found=length
            )
    return expression


def _check_leaf(leaf: str) -> None:
    if leaf != EVERYTHING and not Path(leaf).suffix:
        raise ValueError(f"must be {EVERYTHING}, or the path of a mask image; found {leaf!r}")


def _check_length(length: str) -> None:
    if is_physical(length):
        raise ValueError(f"must be in px, as a mask has no size in print; found {length!r}")
