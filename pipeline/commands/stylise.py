"""`impasto stylise`: the lowest level, from the content image or from noise."""

from __future__ import annotations

import argparse

from pipeline.commands.options import add_level_arguments
from pipeline.commands.rendering import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_level_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    render(arguments, None)
