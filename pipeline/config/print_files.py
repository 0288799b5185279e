"""The files of a print: formats, bits, colours, and what they say of themselves.

Field descriptions are the documentation, as in sections.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.config.controls import as_list
from pipeline.config.sections import FilePath, Section
from pipeline.formats import FORMATS, Compression, Encoding, FileFormat, FormatName, Intent, hindrances


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters; found others")
    return text


Line = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]


class PrintFiles(Section):
    """Abstract: what is written, whatever its size."""

    format: Annotated[tuple[FormatName, ...], BeforeValidator(as_list)] = Field(
        ("tiff",), min_length=1, description="Of the print file, or several: a file of each is written."
    )
    bits: Literal[8, 16] = Field(8, description="Bits per channel; 16 in TIFF and PNG only.")
    dither: bool = Field(
        True,
        description="Going to 8 bits, spread what rounding loses as fine noise, always the same, so that "
        "smooth gradients have no steps.",
    )
    compression: Compression = Field(
        "deflate",
        description="In a TIFF: `deflate`, `lzw` and `none` lose nothing; `jpeg` and `webp` are smaller.",
    )
    quality: int = Field(
        95,
        ge=1,
        le=100,
        description="Of JPEG, WebP and AVIF, as formats or in a TIFF; at 100 WebP and AVIF lose nothing.",
    )
    pyramid: bool = Field(
        True,
        description="Put smaller copies into the TIFF, so that viewers open it at once; a third more bytes.",
    )
    profile: FilePath | None = Field(
        None,
        description="An ICC profile of a display, printer or press (.icc or .icm, RGB or CMYK), to which "
        "colours are converted and which is embedded; sRGB by default.",
    )
    intent: Intent = Field(
        "relative",
        description="What becomes of colours that the profile cannot show: `relative` takes the nearest, "
        "`perceptual` makes room for all; `absolute` imitates the paper's white.",
    )
    black_point_compensation: bool = Field(
        True, description="Bring black to the profile's black, so that shadows keep their steps."
    )
    title: Line | None = Field(None, description="Written into the files; the artwork's name by default.")
    author: Line | None = Field(None, description="Who made it; written into the files.")
    copyright: Line | None = Field(None, description="Written into the files.")

    @property
    def forms(self) -> tuple[FileFormat, ...]:
        """The formats, in the order that was asked for."""
        return tuple(FORMATS[name] for name in self.format)

    @property
    def encoding(self) -> Encoding:
        """How pixels become those of the files."""
        return Encoding(
            bits=self.bits,
            dither=self.dither,
            compression=self.compression,
            quality=self.quality,
            pyramid=self.pyramid,
            profile=self.profile,
            intent=self.intent,
            black_point_compensation=self.black_point_compensation,
        )

    @model_validator(mode="after")
    def _formats_hold_it(self) -> PrintFiles:
        if len(set(self.format)) != len(self.format):
            raise ValueError(f"must name each format once; found {', '.join(self.format)}")
        for name in self.format:
            for key, wanted in hindrances(name, self.bits, self.compression, "RGB"):
                raise ValueError(f"must have {key} {wanted}; found {getattr(self, key)}")
        return self
