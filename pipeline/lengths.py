"""Lengths as users write them, such as `3 mm`: a number with its unit."""

from __future__ import annotations

import re

LENGTH_PATTERN = r"\s*([0-9]+(?:\.[0-9]+)?)\s*(mm|cm|in|px)\s*"
_MM_PER_INCH = 25.4
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": _MM_PER_INCH}


def in_px(text: str, dpi: float) -> float:
    """The pixels in a length such as `60 cm`, `8.5 in`, `3 mm` or `8000 px`, at so many pixels per inch.

    Raises:
        ValueError: The text is no such length, or is nothing.
    """
    match = re.fullmatch(LENGTH_PATTERN, text)
    if match is None or float(match[1]) == 0:
        raise ValueError(
            f"must be a length with its unit (mm, cm, in or px), such as '20 cm'; found {text!r}"
        )
    if match[2] == "px":
        return float(match[1])
    return float(match[1]) * _MM_PER_UNIT[match[2]] / _MM_PER_INCH * dpi


def is_physical(text: str) -> bool:
    """Whether a length is one on paper: mm, cm or in."""
    return not text.rstrip().endswith("px")
