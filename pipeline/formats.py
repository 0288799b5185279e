"""The image formats that a print can have, and what each of them can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

FormatName = Literal["tiff", "png", "jpeg", "webp", "avif"]
Compression = Literal["none", "deflate", "lzw", "jpeg", "webp"]
ColourSpace = Literal["RGB", "CMYK"]
Intent = Literal["perceptual", "relative", "saturation", "absolute"]


@final
@dataclass(frozen=True, slots=True)
class FileFormat:
    """What a format can hold, in the hands of the libraries that write it.

    Attributes:
        name: As the configuration says it.
        extension: Of its files, without the dot.
        max_side_px: The longest side.
        bits: Per channel.
        alpha: Whether it holds opacity; what has some is laid on white for a format that does not.
        cmyk: Whether it holds CMYK.
        held_bytes_per_px: What its writer keeps of each pixel until the file is done; 0 for one that streams.
    """

    name: FormatName
    extension: str
    max_side_px: int
    bits: tuple[int, ...]
    alpha: bool
    cmyk: bool
    held_bytes_per_px: int


FORMATS: Mapping[FormatName, FileFormat] = {
    found.name: found
    for found in (
        FileFormat("tiff", "tif", 10_000_000, (8, 16), True, True, 0),
        FileFormat("png", "png", 1_000_000, (8, 16), True, False, 0),
        # The format's own limit is 65,535; libjpeg stops before.
        FileFormat("jpeg", "jpg", 65_500, (8,), False, True, 0),
        FileFormat("webp", "webp", 16_383, (8,), True, False, 16),
        FileFormat("avif", "avif", 16_384, (8,), True, False, 24),
    )
}
"""The formats by name."""

EXTENSIONS: Mapping[str, FileFormat] = {found.extension: found for found in FORMATS.values()}
"""The formats by their files' extension."""

_COMPRESSED_LIKE: Mapping[Compression, FormatName] = {"jpeg": "jpeg", "webp": "webp"}


def keeps_alpha(name: FormatName, compression: Compression, space: ColourSpace) -> bool:
    """Whether opacity can be kept; presses know none, and neither do TIFFs with JPEG in their tiles."""
    inner = FORMATS[_COMPRESSED_LIKE.get(compression, name)] if name == "tiff" else FORMATS[name]
    return inner.alpha and space == "RGB"


def hindrances(
    name: FormatName, bits: int, compression: Compression, space: ColourSpace
) -> Iterator[tuple[str, str]]:
    """What a file cannot be, for each setting at fault: its key, and what it must be instead."""
    form = FORMATS[name]
    inside = _COMPRESSED_LIKE.get(compression) if name == "tiff" else None
    what = name if inside is None else f"tiff with {inside} compression"
    held = form if inside is None else FORMATS[inside]
    if bits not in held.bits:
        yield "bits", f"8, all that {what} holds"
    if space == "CMYK" and not held.cmyk:
        yield "profile", f"an RGB profile: {what} holds no CMYK"


@final
@dataclass(frozen=True, slots=True)
class Encoding:
    """How pixels become a file's.

    Attributes:
        bits: Per channel.
        dither: Whether rounding to 8 bits is spread as noise.
        compression: Of a TIFF.
        quality: Of what loses something, 1 to 100; WebP and AVIF lose nothing at 100.
        pyramid: Whether a TIFF has smaller copies inside.
        profile: The ICC profile to convert to; None is sRGB.
        intent: What becomes of colours outside the profile's.
        black_point_compensation: Whether black becomes the profile's black.
    """

    bits: Literal[8, 16] = 8
    dither: bool = True
    compression: Compression = "deflate"
    quality: int = 95
    pyramid: bool = True
    profile: Path | None = None
    intent: Intent = "relative"
    black_point_compensation: bool = True


@final
@dataclass(frozen=True, slots=True)
class Caption:
    """What a file says of itself.

    Attributes:
        title: Of the work.
        author: Who made it.
        copyright: The notice.
        provenance: How it was made, as JSON.
    """

    title: str = ""
    author: str = ""
    copyright: str = ""
    provenance: str = ""
