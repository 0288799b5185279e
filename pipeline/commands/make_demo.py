"""`impasto make-demo`: one input image of the demo collection."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.console import say
from pipeline.demo import INPUTS, make


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "name", choices=sorted(INPUTS), metavar="NAME", help=f"one of {', '.join(sorted(INPUTS))}"
    )
    parser.add_argument("--output", type=Path, required=True, help="where to write it")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    make(arguments.name, arguments.output)
    say(f"{arguments.output}: made")
