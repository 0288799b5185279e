"""Functions that note which files they are asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def noting(notes: list[str], name: str, function: Callable[[Path], Found]) -> Callable[[Path], Found]:
    """The function, which adds its name and the path to `notes` at each call."""

    def called(path: Path) -> Found:
        notes.append(f"{name} {path}")
        return function(path)

    return called
