"""Photographs that users name one by one or by their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import canvas, photographs
from pipeline.console import say
from pipeline.errors import InputError

_TOLD_AT_MOST = 5


def named(given: Sequence[Path]) -> list[Path]:
    """The files that were named, and those in the folders that were, at any depth, in order of their names.

    Raises:
        InputError: A folder has none.
    """
    paths: list[Path] = []
    for path in given:
        if not path.is_dir():
            paths.append(path)
            continue
        found = photographs.inside(path)
        if not found:
            raise InputError(path, expected="a folder with photographs", found="none in it")
        paths += found
    return paths


def usable(given: Sequence[Path], size_px: int) -> tuple[list[Path], list[str]]:
    """The photographs whose headers can be read and whose sides have `size_px`; and why others are left out.

    Raises:
        InputError: One that was named itself is unsuitable, or none is left.
    """
    chosen = {path for path in given if not path.is_dir()}
    found, complaints = [], []
    for path in dict.fromkeys(named(given)):
        try:
            canvas.read_header(path, min_side_px=size_px)
        except InputError as error:
            if path in chosen:
                raise
            complaints.append(str(error))
        else:
            found.append(path)
    if not found:
        raise InputError(
            given[0],
            expected=f"photographs with sides of at least {size_px} px",
            found=f"{len(complaints)} that cannot be used, the first of them {complaints[0].rstrip('.')}",
        )
    return found, complaints


def warn(complaints: Sequence[str]) -> None:
    """Says which photographs are left out, and why."""
    for complaint in complaints[:_TOLD_AT_MOST]:
        say(f"warning: left out: {complaint}")
    if len(complaints) > _TOLD_AT_MOST:
        say(f"warning: left out: {len(complaints) - _TOLD_AT_MOST} more photographs")
