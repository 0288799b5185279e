"""`impasto record`: how an artwork's files were made, as JSON beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import provenance
from pipeline.commands.recording import add_record_arguments, read_recorded
from pipeline.console import say
from pipeline.files import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("prints", type=Path, nargs="+", help="the artwork's print files")
    add_record_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the record, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    recorded = read_recorded(arguments)
    made = provenance.file_records({path.name: path for path in arguments.prints})
    write_json(arguments.output, recorded.record | {"outputs": made})
    say(f"{arguments.output}: {recorded.plan.artwork}, {', '.join(path.name for path in arguments.prints)}")
