"""`impasto refine`: a higher level, starting from what the one below made of the content."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.options import add_level_arguments
from pipeline.commands.rendering import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_level_arguments(parser)
    parser.add_argument("--start", type=Path, required=True, help="what upsample made of the level below")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    render(arguments, "refine")
