"""The page: one HTML file that holds its style, script, pictures and curves and asks the network nothing."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.errors import InputError
from pipeline.files import write_text
from pipeline.reporting import curves, wording
from pipeline.reporting.model import Artwork, Collection, Picture

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def write_report(collection: Collection, target: Path) -> None:
    """Writes the collection's page to `target`, whole or not at all; equal input gives equal bytes.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG.
    """
    write_text(target, render(collection))


def render(collection: Collection) -> str:
    """The collection's page as HTML.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "duration": wording.duration,
        "integer": wording.integer,
        "loss": wording.scientific,
        "percent": wording.percent,
        "rows": wording.setting_rows,
    }
    return environment.from_string(_asset("report.html")).render(
        collection=collection,
        css=Markup(_asset("report.css")),
        script=Markup(_asset("report.js")),
        loss_curve=_loss_curve,
        term_curve=_term_curve,
        term_names=curves.term_names,
        dashes=curves.DASHES,
        series=curves.SERIES,
    )


def data_uri(picture: Picture) -> str:
    """The picture's bytes as a `data:` address.

    Raises:
        InputError: The file is missing, or is neither PNG nor JPEG.
    """
    try:
        content = picture.path.read_bytes()
    except OSError as error:
        raise InputError(
            picture.path, expected="a picture for the report", found=error.strerror or "an unreadable file"
        ) from None
    for signature, mime in _SIGNATURES.items():
        if content.startswith(signature):
            return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
    raise InputError(picture.path, expected="a PNG or JPEG preview", found="a file of another kind")


def _loss_curve(artwork: Artwork, name: str) -> Markup:
    return Markup(curves.loss_curve(artwork.levels, name))


def _term_curve(artwork: Artwork, name: str) -> Markup:
    return Markup(curves.term_curve(artwork.levels, name))


def _asset(name: str) -> str:
    return files("pipeline.reporting").joinpath(name).read_text(encoding="utf-8")
