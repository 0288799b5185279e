"""`impasto preview`: a small picture of the result, and the pictures that the report shows."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import positive
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import atomic_folder
from pipeline.plan import read_plan

_RESULT_PX = 4096
"""What can be zoomed into where there are no tiles."""
_PICTURE_PX = 2048
_STYLE_PX = 1024
_MASK_PX = 768
_THUMBNAIL_PX = 800


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    parser.add_argument("--plan", type=Path, required=True, help="the artwork's plan.json")
    parser.add_argument("--content", type=Path, required=True, help="the prepared content image")
    parser.add_argument(
        "--styles", type=Path, nargs="+", required=True, help="the style images as they were used"
    )
    parser.add_argument(
        "--levels", type=Path, nargs="+", required=True, help="each level's result, lowest first"
    )
    parser.add_argument(
        "--guides", type=Path, nargs="*", default=[], help="the top level's guidance channels"
    )
    parser.add_argument(
        "--longer-side-px", type=positive, default=1024, help="of the preview (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="the preview, a PNG")
    parser.add_argument("--pictures", type=Path, required=True, help="the folder for the report's pictures")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    plan = read_plan(arguments.plan)
    if len(arguments.levels) != len(plan.levels):
        raise InputError(
            "--levels", expected=f"{len(plan.levels)} images, one per level", found=str(len(arguments.levels))
        )
    with atomic_folder(arguments.pictures, "result.jpg") as folder:
        canvas.export_preview(arguments.image, folder / "result.jpg", _RESULT_PX)
        canvas.export_preview(folder / "result.jpg", folder / "thumbnail.jpg", _THUMBNAIL_PX)
        canvas.export_preview(arguments.content, folder / "content.jpg", _PICTURE_PX)
        for path in arguments.styles:
            canvas.export_preview(path, folder / f"style-{path.stem}.jpg", _STYLE_PX)
        for level, path in zip(plan.levels, arguments.levels, strict=True):
            canvas.export_preview(path, folder / f"level-{level.level_px}.jpg", _PICTURE_PX)
        for guides in arguments.guides:
            labels = [region.label for region in plan.levels[-1].regions]
            canvas.export_masks(guides, [folder / f"mask-{label}.png" for label in labels], _MASK_PX)
    canvas.export_preview(arguments.image, arguments.output, arguments.longer_side_px)
    say(f"{arguments.output}: {canvas.size_of(arguments.output)} px (height x width)")
