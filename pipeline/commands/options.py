"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import re

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
