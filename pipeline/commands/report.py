"""`impasto report`: a page over the whole collection, and one for each artwork."""

from __future__ import annotations

import argparse
import datetime
import tempfile
from pathlib import Path

from pipeline import viewer
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.reporting.gathering import gather
from pipeline.reporting.page import check_folder, write_report

_SUFFIXES = (".html", ".htm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("folders", type=Path, nargs="+", help="each artwork's folder of results")
    parser.add_argument("--title", default="Impasto", help="the page's heading (default: %(default)s)")
    parser.add_argument(
        "--viewer", type=Path, help="what `impasto fetch-viewer` made; without it, previews are shown"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the collection's page, such as report.html; the artworks' lie in a folder beside it, report, "
        "which must not be there yet or be a report's",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    output = arguments.output
    if output.suffix.lower() not in _SUFFIXES:
        expected = f"a file's name with its suffix, {' or '.join(_SUFFIXES)}"
        raise InputError("--output", expected=expected, found=str(output))
    check_folder(output)
    created = datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    there = arguments.viewer is not None and viewer.is_here(arguments.viewer)
    with tempfile.TemporaryDirectory(prefix="impasto-report-") as scratch:
        collection = gather(arguments.folders, arguments.title, created, Path(scratch))
        write_report(collection, output, arguments.viewer if there else None)
    say(f"{output}: {len(arguments.folders)} artworks")
