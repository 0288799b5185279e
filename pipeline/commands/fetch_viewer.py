"""`impasto fetch-viewer`: the script that shows the full image in the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import viewer
from pipeline.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--output", type=Path, required=True, help="the script")
    parser.add_argument("--path", type=Path, help="take this file of yours instead of fetching one")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    reason = viewer.fetch(arguments.output, arguments.path, progress=say)
    if reason:
        say(f"warning: the report will show previews only. {reason}")
    else:
        say(f"{arguments.output}: OpenSeadragon {viewer.VERSION}, {viewer.LICENCE}")
