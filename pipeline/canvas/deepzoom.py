"""An image in tiles at every size down to a pixel, for viewers that load what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.canvas import _vips
from pipeline.canvas.opacity import on_white

DeepZoomFormat = Literal["dzi", "szi", "iiif"]

_NAME = "image"
_PROPERTIES = "vips-properties.xml"
# What neighbouring tiles share on each side: without it, viewers show hairlines between them.
_OVERLAP_PX = 1


def export_deepzoom(
    source: Path,
    folder: Path,
    form: DeepZoomFormat,
    *,
    tile_px: int = 512,
    quality: int = 90,
    url: str = "",
) -> None:
    """Writes the tiles of an image as JPEGs of 8-bit sRGB, from one pass over it; opacity is laid on white.

    Memory grows with the image's width and the tiles' height, never with the image's height.

    Args:
        source: A float image of three bands, or four with alpha.
        folder: An empty folder. `dzi`: image.dzi and image_files/LEVEL/COLUMN_ROW.jpg. `szi`: image.szi.
            `iiif`: info.json and its tiles, as a server hands them out at `url`.
        form: Deep Zoom in files, Deep Zoom in one archive, or the IIIF Image API 3 at level 0.
        tile_px: Side of a tile; those of Deep Zoom share a pixel with each neighbour.
        quality: Of the JPEGs, 1 to 100.
        url: For `iiif`: where the folder will be served.

    Raises:
        InputError: `source` cannot be read.
    """
    image = on_white(_vips.as_unit_float(_vips.load(source)))
    picture = _vips.as_levels(image, 8).copy(interpretation="srgb")
    options = {"suffix": f".jpg[Q={quality}]", "tile_size": tile_px, "keep": "none"}
    with _vips.reading(source):
        if form == "iiif":
            prefix, _, name = url.rstrip("/").rpartition("/")
            inner = folder / name
            picture.dzsave(str(inner), layout="iiif3", id=prefix, **options)
            for entry in sorted(inner.iterdir()):
                entry.rename(folder / entry.name)
            inner.rmdir()
            (folder / _PROPERTIES).unlink(missing_ok=True)
        else:
            container = "szi" if form == "szi" else "fs"
            target = folder / (f"{_NAME}.szi" if form == "szi" else _NAME)
            picture.dzsave(str(target), layout="dz", container=container, overlap=_OVERLAP_PX, **options)
            # What libvips knows of the file is of no use to a viewer.
            (folder / f"{_NAME}_files" / _PROPERTIES).unlink(missing_ok=True)
