"""`impasto export-print`: a print file in one format, with the record of how it was made inside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipeline import canvas
from pipeline.commands.recording import add_record_arguments, read_recorded
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.formats import EXTENSIONS, Caption
from pipeline.plan import Plan


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
    settings = recorded.plan.settings.print
    has_alpha = _checked(recorded.plan, arguments.image)
    caption = Caption(
        title=settings.title or recorded.plan.artwork,
        author=settings.author or "",
        copyright=settings.copyright or "",
        provenance=json.dumps(recorded.record, ensure_ascii=False),
    )
    canvas.export_print(
        arguments.image,
        output,
        settings.dpi,
        encoding=settings.encoding,
        alpha=arguments.image if has_alpha else None,
        caption=caption,
    )
    size = canvas.size_of(output)
    say(f"{output}: {size} px (height x width), {settings.bits} bits, {settings.dpi:g} dpi")


def _checked(plan: Plan, image: Path) -> bool:
    """Whether the plan's assembled image has alpha; an InputError unless it is that image."""
    header = canvas.read_header(image)
    if header.size != plan.levels[-1].size:
        raise InputError(image, expected=f"{plan.levels[-1].size} px as planned", found=f"{header.size} px")
    if header.bands - header.has_alpha != 3:
        raise InputError(image, expected="3 bands, or 4 with alpha", found=str(header.bands))
    return header.has_alpha
