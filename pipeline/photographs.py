"""Photographs in folders: which files count as some, and what tells that they have changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SUFFIXES = {".avif", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def inside(folder: Path) -> list[Path]:
    """The files in a folder, at any depth, that are called as pictures are; in order of their names."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in _SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def state(folder: Path) -> str:
    """Twelve hexadecimal digits that change with names, lengths and times of the pictures in a folder.

    What else file browsers and other programs leave there changes nothing.
    """
    digest = hashlib.sha256()
    for file in inside(folder):
        facts = file.stat()
        name = file.relative_to(folder).as_posix().encode(errors="surrogateescape")
        digest.update(name + f" {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]
