"""What export-print and export-panels share: a file of the print, or of one of its panels."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import canvas
from pipeline.commands.recording import Recorded
from pipeline.errors import InputError
from pipeline.formats import Caption
from pipeline.print_layout import Panel, PrintLayout


def layout_of(recorded: Recorded, image: Path) -> PrintLayout:
    """Where things lie on the plan's print, whose picture `image` must be.

    Raises:
        InputError: It is not that picture, or the plan is a part of one.
    """
    plan = recorded.plan
    if plan.print is None:
        raise InputError("--plan", expected="the whole plan of an artwork", found="a level's part of one")
    header = canvas.read_header(image)
    if header.size != plan.print.layout.picture:
        raise InputError(
            image, expected=f"{plan.print.layout.picture} px as planned", found=f"{header.size} px"
        )
    if header.bands - header.has_alpha != 3:
        raise InputError(image, expected="3 bands, or 4 with alpha", found=str(header.bands))
    return plan.print.layout


def write_print(recorded: Recorded, image: Path, target: Path, panel: Panel | None = None) -> None:
    """Writes the print, or one of its panels, in the format that the name of `target` says.

    Args:
        recorded: The plan, and what the file says of its making.
        image: The picture: the assembled image.
        target: The file.
        panel: Which panel; each of its pixels is what it is in the whole print.
    """
    settings, layout = recorded.plan.settings.print, layout_of(recorded, image)
    title = settings.title or recorded.plan.artwork
    sheet, box = layout.sheet, None
    if panel is not None:
        title = f"{title}, {panel.name.replace('-', ' ')}"
        sheet, box = layout.panel_in_sheet(panel)
    caption = Caption(
        title=title,
        author=settings.author or "",
        copyright=settings.copyright or "",
        provenance=json.dumps(recorded.record, ensure_ascii=False),
    )
    canvas.export_print(
        image,
        target,
        settings.dpi,
        encoding=settings.encoding,
        alpha=image if canvas.read_header(image).has_alpha else None,
        caption=caption,
        sheet=sheet,
        box=box,
    )
