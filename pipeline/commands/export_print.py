"""`impasto export-print`: a print file in one format, with the record of how it was made inside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.printing import write_print
from pipeline.commands.recording import add_record_arguments, read_recorded
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.formats import EXTENSIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    add_record_arguments(parser)
    endings = ", ".join(f".{extension}" for extension in EXTENSIONS)
    parser.add_argument(
        "--output", type=Path, required=True, help=f"the print file, in the format of its name: {endings}"
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    output: Path = arguments.output
    if output.suffix.removeprefix(".") not in EXTENSIONS:
        raise InputError(
            "--output", expected=f"a name that ends in .{', .'.join(EXTENSIONS)}", found=f"{output}"
        )
    recorded = read_recorded(arguments)
    write_print(recorded, arguments.image, output)
    settings = recorded.plan.settings.print
    size = canvas.size_of(output)
    say(f"{output}: {size} px (height x width), {settings.bits} bits, {settings.dpi:g} dpi")
