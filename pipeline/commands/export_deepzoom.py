"""`impasto export-deepzoom`: the rendered picture in tiles, for viewers that load what they show."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pipeline import canvas
from pipeline.commands.options import positive
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import atomic_folder

_SIGNS = ("image.dzi", "image.szi", "info.json")
_SMALLEST_TILE_PX, _LARGEST_TILE_PX = 128, 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    parser.add_argument(
        "--format",
        choices=get_args(canvas.DeepZoomFormat),
        default="dzi",
        help="image.dzi and tiles beside it, the same in one archive, or tiles for a IIIF server (default: "
        "%(default)s)",
    )
    parser.add_argument("--tile-px", type=positive, default=512, help="side of a tile (default: %(default)s)")
    parser.add_argument(
        "--quality", type=positive, default=90, help="of the JPEG tiles, 1 to 100 (default: %(default)s)"
    )
    parser.add_argument("--url", help="for iiif: the address at which the folder will be served")
    parser.add_argument("--output", type=Path, required=True, help="the folder")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    url = arguments.url or ""
    if not _SMALLEST_TILE_PX <= arguments.tile_px <= _LARGEST_TILE_PX:
        raise InputError(
            "--tile-px",
            expected=f"{_SMALLEST_TILE_PX} to {_LARGEST_TILE_PX}",
            found=str(arguments.tile_px),
        )
    if arguments.quality > 100:
        raise InputError("--quality", expected="1 to 100", found=str(arguments.quality))
    if (arguments.format == "iiif") != bool(url):
        raise InputError(
            "--url",
            expected="an address beside --format iiif, and no other",
            found=url or "none",
        )
    if url and not url.startswith(("http://", "https://")):
        raise InputError("--url", expected="an address that begins with https:// or http://", found=url)
    header = canvas.read_header(arguments.image)
    if header.bands - header.has_alpha != 3:
        raise InputError(arguments.image, expected="3 bands, or 4 with alpha", found=str(header.bands))
    with atomic_folder(arguments.output, *_SIGNS) as folder:
        canvas.export_deepzoom(
            arguments.image,
            folder,
            arguments.format,
            tile_px=arguments.tile_px,
            quality=arguments.quality,
            url=url,
        )
        files = sum(path.is_file() for path in folder.rglob("*"))
    say(f"{arguments.output}: {header.size} px (height x width), {arguments.format} in {files} files")
