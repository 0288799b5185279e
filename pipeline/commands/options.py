"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.sections import NAME_PATTERN
from pipeline.errors import InputError
from pipeline.geometry import Size


def size(text: str) -> Size:
    """The size that `HEIGHTxWIDTH` says, in pixels."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})x([1-9][0-9]{0,6})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, such as 384x512; found {text!r}")
    return Size(int(match[1]), int(match[2]))


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; found {text!r}")
    return int(text)


def minutes(text: str) -> float:
    """A number of minutes of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value >= 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"expected a number of minutes of at least 0; found {text!r}")
    return value


def named_images(option: str, given: Sequence[str]) -> dict[str, Path]:
    """The images that an option of the form REGION=IMAGE names, by region.

    Raises:
        InputError: One has another form, or names a region again.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not path or re.fullmatch(NAME_PATTERN, name) is None:
            raise InputError(option, expected="REGION=IMAGE", found=repr(text))
        if name in found:
            raise InputError(option, expected="each region once", found=f"{name} twice")
        found[name] = Path(path)
    return found


def check_apart(output: Path, *read: Path) -> None:
    """Raises an InputError where an output would take the place of a file that is read."""
    for path in read:
        if output.exists() and path.exists() and output.samefile(path):
            raise InputError("--output", expected="another file than those that are read", found=str(path))


def add_machine_arguments(parser: argparse.ArgumentParser, precision: str = "auto") -> None:
    """Where to compute and how precisely, for commands that stand outside a plan."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32"),
        default=precision,
        help="(default: %(default)s)",
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")


def add_level_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that stylise and refine have in common."""
    parser.add_argument(
        "--plan", type=Path, required=True, help="the artwork's plan.json; `-` reads standard input"
    )
    parser.add_argument(
        "--level", type=positive, required=True, metavar="PX", help="which of the plan's levels"
    )
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    parser.add_argument("--content", type=Path, required=True, help="the content image at this level")
    parser.add_argument("--targets", type=Path, nargs="+", required=True, help="files of style statistics")
    parser.add_argument(
        "--guides", type=Path, nargs="*", default=[], help="this level's guidance channels, if any"
    )
    parser.add_argument("--output", type=Path, required=True, help="the rendered image, a tiled float TIFF")
    parser.add_argument("--record", type=Path, required=True, help="losses, cost and device, as JSON")
    parser.add_argument(
        "--preview", type=Path, help="a PNG of the image while it is rendered, removed when it is finished"
    )
    parser.add_argument(
        "--preview-every-min",
        type=minutes,
        default=5,
        help="minutes between two of them; 0 writes none (default: %(default)s)",
    )
