"""`impasto stylise`: the lowest level, from the content image, from noise, or from a painting."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.options import add_level_arguments
from pipeline.commands.rendering import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_level_arguments(parser)
    parser.add_argument(
        "--start",
        type=Path,
        help="what a trained network made of the content, for plans whose start is `feedforward`",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    render(arguments, "stylise")
