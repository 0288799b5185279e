"""Image sizes for planning: read from headers, remembered by path, modification time and size.

A demo input has a declared size, so a plan can be made before the file is.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import final

from pipeline import demo
from pipeline.canvas import read_header
from pipeline.files import write_json
from pipeline.geometry import Size


@final
class HeaderCache:
    """Sizes of images by path, kept in a JSON file between runs.

    Args:
        file: Where the cache is kept; anything unreadable there is forgotten, never an error. None keeps
            nothing.
        demo_dir: The folder whose missing files are looked up in the table of demo inputs.
    """

    def __init__(self, file: Path | None, demo_dir: Path) -> None:
        self._file = file
        self._demo_dir = demo_dir
        self._changed = False
        self._known: dict[str, tuple[int, int, Size]] = {}
        if file is None:
            return
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            for path, (modified_ns, length, height, width) in known.items():
                self._known[path] = (int(modified_ns), int(length), Size(int(height), int(width)))
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}
            self._changed = True

    def size_of(self, path: Path) -> Size:
        """The image's (height, width), from the cache, its header, or the table of demo inputs.

        Whether it is large enough depends on what it is for: a strip of colours may be one pixel wide.

        Raises:
            InputError: There is no such image, or it cannot be one.
        """
        if path.parent == self._demo_dir and not path.exists() and path.name in demo.INPUTS:
            return demo.INPUTS[path.name].size
        try:
            found = path.stat()
        except OSError:
            return read_header(path, min_side_px=1).size
        known = self._known.get(str(path))
        if known is not None and known[:2] == (found.st_mtime_ns, found.st_size):
            return known[2]
        size = read_header(path, min_side_px=1).size
        self._known[str(path)] = (found.st_mtime_ns, found.st_size, size)
        self._changed = True
        return size

    def save(self) -> None:
        """Writes the cache when something in it is new and its folder can be written to."""
        if self._changed and self._file is not None:
            known = {path: (*stamp, size.height, size.width) for path, (*stamp, size) in self._known.items()}
            # Two runs may write it at once, or the folder be read-only: then it is read from headers again.
            with contextlib.suppress(OSError):
                write_json(self._file, known)
            self._changed = False
