"""`impasto export-panels`: the print in parts that are hung beside each other, a file for each."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.printing import layout_of, write_print
from pipeline.commands.recording import add_record_arguments, read_recorded
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import atomic_folder, write_json
from pipeline.print_layout import Panel, PrintLayout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    add_record_arguments(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the folder of the panels, named by row and column; panels.json in it says where each belongs",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    recorded = read_recorded(arguments)
    layout = layout_of(recorded, arguments.image)
    if not layout.panels:
        raise InputError("--plan", expected="a print in panels", found="a whole one")
    forms = recorded.plan.settings.print.forms
    with atomic_folder(arguments.output, "panels.json") as folder:
        for panel in layout.panels:
            for form in forms:
                write_print(recorded, arguments.image, folder / f"{panel.name}.{form.extension}", panel)
            say(f"{panel.name}: {panel.sheet.size} px (height x width)")
        write_json(folder / "panels.json", [_placed(layout, panel) for panel in layout.panels])
    last = layout.panels[-1]
    say(f"{arguments.output}: {last.row} x {last.column} panels (rows x columns)")


def _placed(layout: PrintLayout, panel: Panel) -> dict[str, object]:
    """Where a panel belongs on the finished print, when it is cut to size."""
    box = panel.t_box
    return {
        "name": panel.name,
        "row": panel.row,
        "column": panel.column,
        "top_mm": layout.mm(box.top),
        "left_mm": layout.mm(box.left),
        "height_mm": layout.mm(box.size.height),
        "width_mm": layout.mm(box.size.width),
        "top_px": box.top,
        "left_px": box.left,
        "height_px": box.size.height,
        "width_px": box.size.width,
    }
