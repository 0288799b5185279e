"""`impasto report`: one page over the whole collection."""

from __future__ import annotations

import argparse
import datetime
import tempfile
from pathlib import Path

from pipeline.console import say
from pipeline.reporting.gathering import gather
from pipeline.reporting.page import write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("folders", type=Path, nargs="+", help="each artwork's folder of results")
    parser.add_argument("--title", default="Impasto", help="the page's heading (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="the page, one self-contained HTML file")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    created = datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    with tempfile.TemporaryDirectory(prefix="impasto-report-") as scratch:
        write_report(gather(arguments.folders, arguments.title, created, Path(scratch)), arguments.output)
    say(f"{arguments.output}: {len(arguments.folders)} artworks")
