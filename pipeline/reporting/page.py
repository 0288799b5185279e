"""The report: a page over the collection, and beside it a folder with a page for each artwork.

The pages ask the network nothing and work when they are opened from a disk. Pictures stay where they are and
are named by paths that begin at the page, so a folder of results can be moved or copied as a whole.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, final
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from pipeline import canvas
from pipeline.errors import InputError
from pipeline.files import scratch_path, write_text
from pipeline.geometry import Size
from pipeline.reporting import curves, wording
from pipeline.reporting.model import Artwork, Collection, Picture, Tiles

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_ASSETS = ("report.css", "theme.js", "collection.js", "artwork.js")
_VIEWER = "openseadragon.min.js"
NO_VIEWER = (
    "This page shows a preview. For the full image, put OpenSeadragon in its place: set report.viewer in the "
    "configuration to its file, or delete resources/viewer and run snakemake where there is a network."
)


def write_report(collection: Collection, target: Path, viewer: Path | None = None) -> None:
    """Writes the collection's page to `target`, and the artworks' to a folder beside it of the same name.

    Equal input gives equal bytes. The folder appears as a whole, before the page.

    Args:
        collection: What to show.
        target: The page, whose name has a suffix.
        viewer: OpenSeadragon's script, if it is there.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG; or as `check_folder`.
    """
    check_folder(target)
    folder = target.with_suffix("")
    pages = page_names(collection.artworks)
    with scratch_path(folder) as scratch:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            for name in _ASSETS:
                write_text(scratch / name, asset(name))
            if viewer is not None:
                shutil.copyfile(viewer, scratch / _VIEWER)
            for index, name in enumerate(pages):
                html = render_artwork(collection, index, folder, target, has_viewer=viewer is not None)
                write_text(scratch / name, html)
            whole = render_collection(collection, target)
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    write_text(target, whole)


def check_folder(target: Path) -> None:
    """Checks that the folder which the artworks' pages take the place of is a report's, empty, or not there.

    Args:
        target: The collection's page.

    Raises:
        InputError: Something else has its name: it would be lost.
    """
    folder = target.with_suffix("")
    found = _stranger(folder)
    if found:
        raise InputError(
            folder,
            expected=f"nothing but a report's pages, which {target.name} puts there",
            found=found,
            fix="Give the page another name",
        )


def _stranger(folder: Path) -> str:
    """What shows that a folder is no report's; empty where nothing does."""
    if folder.is_symlink():
        return "a link"
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return "a file of that name"
    # Hidden files are those of file browsers, and Snakemake's.
    entries = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() or entry.name[0] != "."]
    own = {*_ASSETS, _VIEWER}
    if any(entry.name in own for entry in entries):
        # Beside a report's own files hidden folders are a browser's too.
        entries = [entry for entry in entries if entry.name[0] != "."]
    for entry in entries:
        if entry.is_dir() or (entry.name not in own and entry.suffix != ".html"):
            return f"a folder with {entry.name} in it"
    if entries and not any(entry.name in own for entry in entries):
        return f"a folder with {entries[0].name} in it and no {_ASSETS[0]}"
    return ""


def page_names(artworks: Sequence[Artwork]) -> list[str]:
    """A file name for each artwork's page: its own name, without what a file's name should not have."""
    names: list[str] = []
    taken: set[str] = set()
    for artwork in artworks:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", artwork.name)
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}.{number}", number + 1
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names


def render_collection(collection: Collection, target: Path) -> str:
    """The collection's page as HTML.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG.
    """
    styles = sorted({name for artwork in collection.artworks for name in artwork.style_names})
    return (
        environment(target.parent)
        .get_template("collection.html")
        .render(
            collection=collection,
            base=f"{quote(target.stem)}/",
            pages=[quote(name) for name in page_names(collection.artworks)],
            styles=styles,
        )
    )


def render_artwork(
    collection: Collection, index: int, folder: Path, target: Path, *, has_viewer: bool
) -> str:
    """The page of an artwork as HTML.

    Args:
        collection: The collection.
        index: Of the artwork.
        folder: Where the page will be.
        target: The collection's page.
        has_viewer: Whether OpenSeadragon will lie beside the page.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG.
    """
    artwork = collection.artworks[index]
    names = page_names(collection.artworks)
    neighbours = [
        _Neighbour(collection.artworks[place].name, quote(names[place])) if 0 <= place < len(names) else None
        for place in (index - 1, index + 1)
    ]
    pictures = _pictures(artwork)
    masks = [_Named(mask.region, mask.picture) for mask in artwork.masks]
    if artwork.cover is not None and artwork.cover.picture is not None:
        masks.append(_Named("uncovered", artwork.cover.picture))
    terms = [curves.term(name) for name in curves.term_names(artwork.levels)]
    size = _size(artwork.result)
    data = {
        "width": size.width,
        "height": size.height,
        "pictures": [
            {"name": shown.name, "source": _url(shown.picture, folder)}
            | ({"tiles": _tiles(artwork.tiles, folder)} if number == 0 and artwork.tiles else {})
            for number, shown in enumerate(pictures)
        ],
        "masks": [{"name": mask.name, "source": _url(mask.picture, folder)} for mask in masks],
        "terms": [{"layer": each.layer, "region": each.region} for each in terms],
    }
    return (
        environment(folder)
        .get_template("artwork.html")
        .render(
            collection=collection,
            artwork=artwork,
            index=quote(os.path.relpath(target, folder)),
            before=neighbours[0],
            after=neighbours[1],
            pictures=pictures,
            masks=masks,
            curve=Markup(curves.loss_curve(artwork.levels, "loss")),
            term_curve=Markup(curves.term_curve(artwork.levels, "terms")),
            terms=terms,
            layers=list(dict.fromkeys(each.layer for each in terms)),
            regions=list(dict.fromkeys(each.region for each in terms)),
            dashes=curves.DASHES,
            viewer=_VIEWER if has_viewer else "",
            notice="" if has_viewer else NO_VIEWER,
            data=_script_json(data),
        )
    )


@final
@dataclass(frozen=True, slots=True)
class _Neighbour:
    name: str
    page: str


@final
@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    picture: Picture


def _pictures(artwork: Artwork) -> list[_Named]:
    """What can be looked at and compared: result, content, levels, proof, what cannot be printed."""
    found = [_Named("Result", artwork.result), _Named("Content", artwork.content)]
    found += [_Named(f"Level {level.level_px}", level.picture) for level in artwork.levels]
    found += [_Named("Soft proof", artwork.proof)] if artwork.proof else []
    return found + ([_Named("Out of gamut", artwork.gamut)] if artwork.gamut else [])


def _tiles(tiles: Tiles, folder: Path) -> dict[str, Any]:
    """The tile source as OpenSeadragon takes it inline: a page from a disk may not request it."""
    return {
        "Image": {
            "xmlns": "http://schemas.microsoft.com/deepzoom/2008",
            "Url": quote(os.path.relpath(tiles.folder, folder)) + "/",
            "Format": tiles.format,
            "Overlap": str(tiles.overlap_px),
            "TileSize": str(tiles.tile_px),
            "Size": {"Width": str(tiles.size.width), "Height": str(tiles.size.height)},
        }
    }


@cache
def environment(folder: Path) -> Environment:
    """What makes pages in this folder of the templates, which are compiled once."""
    found = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(asset),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "duration": wording.duration,
        "figures": wording.figure_rows,
        "integer": wording.integer,
        "list_json": lambda values: json.dumps(list(values)),
        "loss": wording.scientific,
        "mib": wording.mebibytes,
        "percent": wording.percent,
        "print_size": _print_size,
        "rows": wording.setting_rows,
        "size": _size,
        "url": lambda picture: _url(picture, folder),
        "yaml": wording.yaml_text,
    }
    found.globals |= {"series": curves.SERIES}
    return found


def _print_size(artwork: Artwork) -> str:
    return f"{artwork.width_cm:.1f} {wording.TIMES} {artwork.height_cm:.1f} cm"


def _url(picture: Picture, folder: Path) -> str:
    """The picture's address from a page in this folder.

    Raises:
        InputError: The file is missing, or is neither PNG nor JPEG.
    """
    try:
        with picture.path.open("rb") as file:
            start = file.read() if picture.inside else file.read(8)
    except OSError as error:
        raise InputError(
            picture.path, expected="a picture for the report", found=error.strerror or "an unreadable file"
        ) from None
    if not start.startswith(_SIGNATURES):
        raise InputError(picture.path, expected="a PNG or JPEG preview", found="a file of another kind")
    if picture.inside:
        return f"data:image/png;base64,{base64.b64encode(start).decode('ascii')}"
    return quote(os.path.relpath(picture.path, folder))


def _size(picture: Picture) -> Size:
    return canvas.size_of(picture.path)


def _script_json(value: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return files("pipeline.reporting").joinpath(name).read_text(encoding="utf-8")
