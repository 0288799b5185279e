"""The files a user takes away: prints with resolution and profile, and previews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyvips

from pipeline.canvas import _vips
from pipeline.canvas._dither import to_8_bits
from pipeline.canvas._xmp import packet
from pipeline.canvas.layout import laid_out
from pipeline.canvas.opacity import laid_on_white, on_white
from pipeline.canvas.profiles import read_profile
from pipeline.canvas.transform import clipped, resampled
from pipeline.errors import ConfigError, InputError, UnfitError
from pipeline.files import atomic_path
from pipeline.formats import (
    EXTENSIONS,
    FORMATS,
    Caption,
    ColourSpace,
    Encoding,
    FileFormat,
    FormatName,
    hindrances,
    keeps_alpha,
)
from pipeline.geometry import Box, Size
from pipeline.print_sheet import PrintSheet

MM_PER_INCH = 25.4
_STRIP_QUALITY = 88
_PICTURE_QUALITY = 90
# A JPEG's segment holds 65,533 bytes, 29 of which say that the rest is XMP.
_JPEG_PACKET_BYTES = 65_504


def export_print(
    source: Path,
    target: Path,
    dpi: float,
    *,
    encoding: Encoding = Encoding(),  # noqa: B008 - frozen
    alpha: Path | None = None,
    caption: Caption = Caption(),  # noqa: B008 - frozen
    sheet: PrintSheet | None = None,
    box: Box | None = None,
) -> None:
    """Writes a print file in the format that its extension says, with its profile and resolution inside.

    Values are clipped to [0, 1], sRGB as encoded, converted in 16 bits to another profile if one is asked
    for, and dithered or rounded to nearest. Opacity is kept, never dithered, where the format and the colour
    space have it; else the image is laid on white. A TIFF is tiled, BigTIFF where 4 GB would not be enough.

    Args:
        source: A float image; its first three bands are printed.
        target: The file, with one of EXTENSIONS.
        dpi: Pixels per inch.
        encoding: Bits, profile, compression.
        alpha: An image of the same size whose last band is the opacity.
        caption: What the file says of itself, as XMP; the provenance as a TIFF's ImageDescription, too. A
            JPEG leaves out a provenance of more than 64 KiB, for which it has no room.
        sheet: The sheet that the picture is laid out on; by default the file is the picture alone.
        box: The part of that which is written, each of its pixels what it is in the whole.

    Raises:
        InputError: A source cannot be read, the alpha differs in size, or the profile is unusable.
        ConfigError: The format cannot hold this.
    """
    form = EXTENSIONS[target.suffix.removeprefix(".")]
    space = "RGB" if encoding.profile is None else read_profile(encoding.profile).space
    image = _vips.load(source).extract_band(0, n=3)
    check_print(form.name, _written(image, sheet, box), encoding, space, str(target))
    image = clipped(_vips.as_unit_float(image))
    opacity = None if alpha is None else _opacity(alpha, source, _vips.size(image))
    if opacity is not None and not keeps_alpha(form.name, encoding.compression, space):
        # On paper: white shows where there is nothing.
        image, opacity = laid_on_white(image, opacity), None
    if sheet is not None:
        image = laid_out(image, sheet, [level / 255 for level in sheet.pad])
        opacity = opacity if opacity is None else laid_out(opacity, sheet, [1.0], ink=1.0)
    image = _encoded(image, encoding)
    if opacity is not None:
        image = image.bandjoin(_vips.as_levels(opacity, encoding.bits))
    if box is not None:
        image = image.crop(box.left, box.top, box.size.width, box.size.height)
    image = _captioned(_resolved(image, encoding.bits, space, dpi), caption, form)
    profile = "srgb" if encoding.profile is None else str(encoding.profile)
    _save(image, target, source, encoding=encoding, profile=profile)


def check_print(name: FormatName, size: Size, encoding: Encoding, space: ColourSpace, where: str) -> None:
    """Checks that a format can hold such a file.

    Args:
        name: The format.
        size: Of the file.
        encoding: Bits and compression.
        space: What the profile's device takes.
        where: What the error is about; a setting's key is added to one that ends in a dot.

    Raises:
        ConfigError: It cannot; an UnfitError where that is for the size.
    """

    def at(key: str) -> str:
        return f"{where}{key}" if where.endswith(".") else where

    form = FORMATS[name]
    if max(size.height, size.width) > form.max_side_px:
        raise UnfitError(
            at("format"),
            expected=f"sides of at most {form.max_side_px} px, the longest that {name} holds",
            found=f"{size} px (height x width)",
            fix="Take tiff",
        )
    for key, wanted in hindrances(name, encoding.bits, encoding.compression, space):
        raise ConfigError(
            at(key),
            expected=wanted,
            found=f"{encoding.bits}" if key == "bits" else "CMYK",
            fix="Or take tiff",
        )


def _written(picture: _vips.Image, sheet: PrintSheet | None, box: Box | None) -> Size:
    """The size of the file."""
    if box is not None:
        return box.size
    return _vips.size(picture) if sheet is None else sheet.size


def _opacity(alpha: Path, source: Path, size: Size) -> _vips.Image:
    """The last band of `alpha`, in [0, 1]."""
    opacity = _vips.load(alpha)
    if _vips.size(opacity) != size:
        raise InputError(alpha, expected=f"{size} px as in {source}", found=f"{_vips.size(opacity)} px")
    return clipped(_vips.as_unit_float(opacity.extract_band(opacity.bands - 1)))


def _encoded(image: _vips.Image, encoding: Encoding) -> _vips.Image:
    """Floats in [0, 1] as the integers of the file, in the colours of its profile."""
    if encoding.profile is not None:
        image = _vips.as_unit_float(to_profile(image, encoding))
    if encoding.bits == 8 and encoding.dither:
        return to_8_bits(image)
    return _vips.as_levels(image, encoding.bits)


def to_profile(image: _vips.Image, encoding: Encoding) -> _vips.Image:
    """Floats in [0, 1], sRGB as encoded, as 16 bits of what the encoding's profile stands for."""
    return (
        _vips.as_levels(image, 16)
        .copy(interpretation="rgb16")
        .icc_transform(
            str(encoding.profile),
            input_profile="srgb",
            intent=encoding.intent,
            black_point_compensation=encoding.black_point_compensation,
            depth=16,
        )
    )


def _resolved(image: _vips.Image, bits: int, space: ColourSpace, dpi: float) -> _vips.Image:
    """The image with its colour space and resolution named."""
    dots_per_mm = dpi / MM_PER_INCH
    interpretation = "cmyk" if space == "CMYK" else "srgb" if bits == 8 else "rgb16"
    image = image.copy(interpretation=interpretation, xres=dots_per_mm, yres=dots_per_mm)
    # With the unit remembered from the source (cm), libvips writes 299.9994 for 300 dpi.
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return image


def _captioned(image: _vips.Image, caption: Caption, form: FileFormat) -> _vips.Image:
    """The image with what it says of itself."""
    data = packet(caption)
    if form.name == "jpeg" and len(data) > _JPEG_PACKET_BYTES:
        data = packet(replace(caption, provenance=""))
    image.set_type(pyvips.GValue.blob_type, "xmp-data", data)
    if form.name == "tiff" and caption.provenance:
        image.set_type(pyvips.GValue.gstr_type, "image-description", caption.provenance)
    for tag, text in (("Artist", caption.author), ("Copyright", caption.copyright)):
        if text:
            image.set_type(pyvips.GValue.gstr_type, f"exif-ifd0-{tag}", text)
    return image


def _save(image: _vips.Image, target: Path, source: Path, *, encoding: Encoding, profile: str) -> None:
    form = EXTENSIONS[target.suffix.removeprefix(".")]
    lossless = encoding.quality == 100
    if form.name == "tiff":
        _vips.save_tiff(
            image,
            target,
            source,
            compression=encoding.compression,
            keep="all",
            profile=profile,
            resunit="inch",
            Q=encoding.quality,
            lossless=lossless,
            pyramid=encoding.pyramid,
            # One picture to programs that know no pyramids: the copies hang below the page.
            subifd=encoding.pyramid,
        )
        return
    quality: dict[str, Any] = {"Q": encoding.quality}
    save, options = {
        "png": (image.pngsave, {}),
        # Neither optimised nor progressive: libjpeg would hold the whole image.
        "jpeg": (image.jpegsave, quality),
        "webp": (image.webpsave, quality | {"lossless": lossless}),
        "avif": (image.heifsave, quality | {"lossless": lossless, "compression": "av1"}),
    }[form.name]
    with atomic_path(target) as partial, _vips.reading(source):
        save(str(partial), keep="all", profile=profile, **options)


def export_preview(source: Path, target: Path, max_side_px: int) -> None:
    """Writes an 8-bit sRGB picture whose longer side is at most `max_side_px`; smaller ones keep their size.

    As in the print, colours are clipped before they are averaged, and opacity is laid on white.

    Args:
        source: An image of one band or three, and one more where it has opacity.
        target: The picture, a PNG or, by its suffix, a JPEG (quality 90).
        max_side_px: Of the picture.
    """
    image = on_white(_vips.as_unit_float(_vips.load(source)))
    scale = min(1.0, max_side_px / max(image.width, image.height))
    size = Size(max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    preview = _vips.as_levels(resampled(image, size, "lanczos3"), 8)
    preview = preview.copy(interpretation="b-w" if preview.bands < 3 else "srgb")
    with atomic_path(target) as partial, _vips.reading(source):
        if target.suffix == ".jpg":
            preview.jpegsave(str(partial), keep="icc", profile="srgb", Q=_PICTURE_QUALITY)
        else:
            preview.pngsave(str(partial), keep="icc", profile="srgb")


def join_pictures(sources: Sequence[Path], target: Path, height_px: int) -> None:
    """Writes pictures side by side, each at this height, with white between them, as a JPEG."""
    panels = []
    for source in sources:
        image = on_white(_vips.as_unit_float(_vips.load(source)))
        image = image.bandjoin([image, image]) if image.bands == 1 else image
        size = Size(height_px, max(1, round(image.width * height_px / image.height)))
        panels.append(_vips.as_levels(resampled(image, size, "lanczos3"), 8))
    strip, *others = panels
    for panel in others:
        strip = strip.join(panel, "horizontal", expand=True, shim=height_px // 32, background=255)
    with atomic_path(target) as partial, _vips.reading(*sources):
        strip.copy(interpretation="srgb").jpegsave(str(partial), Q=_STRIP_QUALITY, keep="none")
