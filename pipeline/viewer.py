"""The one script of others' that the report shows images with: OpenSeadragon, fetched and never shipped.

The report works without it, with previews instead of the full image. So where it cannot be had, a file that
says why stands in its place, and nothing fails.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.fetching.sources import (
    LocalPath,
    NpmMember,
    Progress,
    Source,
    ZipMember,
    obtain,
    sha256_of,
)
from pipeline.files import atomic_path, write_text

VERSION = "6.1.1"
FILE = "openseadragon.min.js"
SHA256 = "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"
LICENCE = "BSD-3-Clause"
CREDIT = "CodePlex Foundation and the OpenSeadragon contributors"
SOURCES: tuple[Source, ...] = (
    NpmMember("openseadragon", VERSION, f"package/build/openseadragon/{FILE}", SHA256),
    ZipMember(
        f"https://github.com/openseadragon/openseadragon/releases/download/v{VERSION}/"
        f"openseadragon-bin-{VERSION}.zip",
        f"openseadragon-bin-{VERSION}/{FILE}",
        SHA256,
    ),
)

_ABSENT = "// OpenSeadragon is not here: "


def fetch(target: Path, own: Path | None = None, progress: Progress | None = None) -> str:
    """Writes the script to `target`, or where no source gives it, a file that says so.

    Args:
        target: Where it goes.
        own: The user's file, instead of the sources; that it is not the pinned one is an error.
        progress: Told before each download.

    Returns:
        Why it could not be had, in one line; empty when it is there.

    Raises:
        WeightsError: The user's file is missing or is another.
    """
    if own is not None:
        _copy(obtain(LocalPath(own, SHA256), target.parent), target)
        return ""
    complaints = []
    for source in SOURCES:
        try:
            with tempfile.TemporaryDirectory(prefix="impasto-fetch-") as folder:
                _copy(obtain(source, Path(folder), progress), target)
                return ""
        except WeightsError as error:
            complaints.append(str(error))
    reason = " ".join(complaints)
    write_text(target, f"{_ABSENT}{reason}\n")
    return reason


def is_here(path: Path) -> bool:
    """Whether the file at `path` is the pinned script."""
    return path.is_file() and sha256_of(path) == SHA256


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as partial:
        partial.write_bytes(source.read_bytes())
