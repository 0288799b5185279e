"""What becomes of the highest level: the print's size and its file, its panels, its deep-zoom image.

Field descriptions are the documentation, as in sections.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, final

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from pipeline.config.print_files import PrintFiles
from pipeline.config.sections import Length, Section
from pipeline.print_sheet import WHITE

MOST_PANELS = 100
"""Columns or rows of panels, at most."""
CENTRE = (0.5, 0.5)

_COLOURS = {"white": WHITE, "black": (0, 0, 0)}


def _focus(value: Any) -> Any:
    """`smart`, or two numbers from 0 to 1.

    Raises:
        ValueError: It is neither.
    """
    if value == "smart":
        return value
    if isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(each) for each in value):
        x, y = (float(each) for each in value)
        if 0 <= x <= 1 and 0 <= y <= 1:
            return x, y
    raise ValueError(
        "must be smart, or [x, y] with 0 at the left and at the top and 1 at the right and at the bottom; "
        f"found {value!r}"
    )


def _colour(value: Any) -> Any:
    """A colour by its name or by its three levels.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str) and value in _COLOURS:
        return _COLOURS[value]
    levels = value if isinstance(value, list | tuple) and len(value) == 3 else [-1]
    if all(_is_number(level) and level in range(256) for level in levels):
        return tuple(int(level) for level in levels)
    raise ValueError(f"must be white, black, or [red, green, blue] from 0 to 255; found {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _list_schema(kind: str, length: int, maximum: int) -> dict[str, Any]:
    items = {"type": kind, "minimum": 0, "maximum": maximum}
    return {"type": "array", "minItems": length, "maxItems": length, "items": items}


Focus = Annotated[
    tuple[float, float] | Literal["smart"],
    BeforeValidator(_focus),
    WithJsonSchema({"anyOf": [{"const": "smart"}, _list_schema("number", 2, 1)]}),
]
"""The point of the content that a crop keeps in its middle, as shares of width and height; or found."""
PlainColour = Annotated[
    tuple[int, int, int],
    BeforeValidator(_colour),
    WithJsonSchema({"anyOf": [{"enum": list(_COLOURS)}, _list_schema("integer", 3, 255)]}),
]
"""A colour in 8-bit sRGB."""


@final
class Panels(Section):
    """A large print in parts that are hung beside each other."""

    columns: int | None = Field(None, ge=1, le=MOST_PANELS, description="How many stand side by side.")
    rows: int | None = Field(None, ge=1, le=MOST_PANELS, description="How many stand above each other.")
    width: Length | None = Field(
        None,
        description="Instead of `columns`: the greatest width of a panel's file, with its overlap, bleed and "
        "crop marks, such as the width of the roll that is printed on.",
    )
    height: Length | None = Field(
        None, description="Instead of `rows`: the greatest height of a panel's file, as `width`."
    )
    overlap: Length | None = Field(
        None, description="What neighbouring panels both show, from edge to edge; nothing by default."
    )

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> Panels:
        for count, length in (("columns", "width"), ("rows", "height")):
            if getattr(self, count) is not None and getattr(self, length) is not None:
                raise ValueError(f"must have {count} or {length}; found both")
        if not any((self.columns, self.width, self.rows, self.height)):
            raise ValueError("must have columns, rows, width or height; found none")
        return self


@final
class Print(PrintFiles):
    """The print: its size, how the content fills it, and its file."""

    width: Length | None = Field(
        None,
        description="Width of the finished print with its unit, such as `20 cm` or `8000 px`; sets levels.",
    )
    height: Length | None = Field(
        None, description="Height of the finished print. Of width and height, one follows from the content."
    )
    turn: bool = Field(
        False,
        description="Width and height change places for a photograph that stands upright where they lie, or "
        "lies where they stand, so that one print serves photographs of both orientations. A single side "
        "is that of a print that lies. Panels are not turned: columns stay columns, and widths widths.",
    )
    dpi: float = Field(300, ge=1, le=10_000, description="Pixels per inch, written into the file.")
    fit: Literal["crop", "pad", "contain"] = Field(
        "crop",
        description="What happens where width and height are both given and the content has another shape. "
        "`crop`: the content fills the print, and what is too much is left out. `pad`: all of the content is "
        "shown, with margins. `contain`: all of it is shown, and the print is smaller on one side.",
    )
    focus: Focus = Field(
        CENTRE,
        description="The point that stays as near to the middle of a crop as can be: [x, y], from [0, 0] at "
        "the top left to [1, 1] at the bottom right. `smart` finds the point that draws the eye.",
    )
    pad: PlainColour = Field(
        WHITE,
        description="Colour of the margins of `fit: pad`: white, black, or [red, green, blue] from 0 to 255.",
    )
    bleed: Length | None = Field(
        None,
        description="How far the picture goes on over each edge of the finished print, to be cut off there.",
    )
    crop_marks: bool = Field(
        False, description="Lines outside the print, and outside each panel, that say where to cut."
    )
    panels: Panels | None = Field(None, description="Cut the print into panels, in files of their own.")

    @property
    def has_size(self) -> bool:
        """Whether a side is given, from which the levels follow."""
        return self.width is not None or self.height is not None

    @model_validator(mode="after")
    def _bleed_has_a_size(self) -> Print:
        if self.bleed is not None and not self.has_size:
            raise ValueError("must have width or height beside bleed, which lies outside of them; found none")
        return self


@final
class DeepZoom(Section):
    """An image in tiles that a viewer loads as it needs them."""

    format: Literal["dzi", "szi", "iiif", "none"] = Field(
        "dzi",
        description="`dzi`: Deep Zoom, a small file and a folder of tiles. `szi`: the same in a single "
        "uncompressed archive. `iiif`: tiles of the IIIF Image API 3, level 0, for a web server. `none`: no "
        "deep-zoom image.",
    )
    tile_px: int = Field(
        512,
        ge=128,
        le=8192,
        description="Side of a tile. Larger ones are fewer files, which cluster file systems ask for: a "
        "gigapixel is 5,100 tiles of 512 px, and 20,400 of 256.",
    )
    quality: int = Field(90, ge=1, le=100, description="Of the tiles, which are JPEGs.")
    url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="For `iiif`: the address at which the folder of results will be served; an artwork's "
        "tiles are then at URL/ARTWORK/deepzoom, which they must say of themselves.",
    )

    @model_validator(mode="before")
    @classmethod
    def _format_alone(cls, raw: Any) -> Any:
        """`szi` written out as `format: szi`."""
        return raw if isinstance(raw, Mapping) else {"format": raw}

    @model_validator(mode="after")
    def _iiif_has_a_name(self) -> DeepZoom:
        if self.format == "iiif" and self.url is None:
            raise ValueError(
                "must have url beside format iiif, the address at which the results are served; found none"
            )
        return self
