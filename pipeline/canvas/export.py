"""The files a user takes away: prints with resolution and profile, and previews."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyvips

from pipeline.canvas import _vips
from pipeline.canvas.transform import resampled
from pipeline.errors import ConfigError, InputError
from pipeline.files import atomic_path
from pipeline.geometry import Size

Compression = Literal["deflate", "lzw", "none", "jpeg"]

MM_PER_INCH = 25.4
_JPEG_QUALITY = 95
_STRIP_QUALITY = 88


def export_print(
    source: Path,
    target: Path,
    dpi: float,
    *,
    bits: Literal[8, 16] = 8,
    compression: Compression = "deflate",
    alpha: Path | None = None,
    description: str = "",
) -> None:
    """Writes a print file: tiled TIFF, sRGB profile embedded, its resolution in the resolution tags.

    Values are clipped to [0, 1] and rounded to nearest. BigTIFF where 4 GB would not be enough.

    Args:
        source: A float image; its first three bands are printed.
        target: The TIFF.
        dpi: Pixels per inch.
        bits: Per channel.
        compression: `jpeg` (quality 95) loses a little, and holds 8 bits without alpha only.
        alpha: An image of the same size whose last band is the opacity.
        description: Text for the ImageDescription tag: the provenance record.

    Raises:
        InputError: A source cannot be read, or the alpha differs in size.
        ConfigError: JPEG compression of 16 bits or of alpha.
    """
    if compression == "jpeg" and (bits != 8 or alpha is not None):
        raise ConfigError(
            target,
            expected="8 bits without alpha for jpeg compression",
            found=f"{bits} bits, alpha {'no' if alpha is None else 'yes'}",
            fix="Take deflate or lzw",
        )
    image = _vips.load(source).extract_band(0, n=3)
    image = _vips.as_levels(_vips.as_unit_float(image), bits)
    if alpha is not None:
        opacity = _vips.load(alpha)
        if _vips.size(opacity) != _vips.size(image):
            raise InputError(
                alpha, expected=f"{_vips.size(image)} px as in {source}", found=f"{_vips.size(opacity)} px"
            )
        opacity = _vips.as_unit_float(opacity.extract_band(opacity.bands - 1))
        image = image.bandjoin(_vips.as_levels(opacity, bits))
    dots_per_mm = dpi / MM_PER_INCH
    image = image.copy(interpretation="srgb" if bits == 8 else "rgb16", xres=dots_per_mm, yres=dots_per_mm)
    # With the unit remembered from the source (cm), libvips writes 299.9994 for 300 dpi.
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    if description:
        image.set_type(pyvips.GValue.gstr_type, "image-description", description)
    _vips.save_tiff(
        image,
        target,
        source,
        compression=compression,
        keep="all",
        profile="srgb",
        resunit="inch",
        Q=_JPEG_QUALITY,
    )


def export_preview(source: Path, target: Path, max_side_px: int) -> None:
    """Writes an 8-bit sRGB PNG whose longer side is at most `max_side_px`; smaller images keep their size."""
    image = _vips.load(source)
    image = _vips.as_unit_float(image.extract_band(0, n=min(3, image.bands)))
    scale = min(1.0, max_side_px / max(image.width, image.height))
    size = Size(max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    preview = _vips.as_levels(resampled(image, size, "lanczos3"), 8)
    preview = preview.copy(interpretation="b-w" if preview.bands < 3 else "srgb")
    with atomic_path(target) as partial, _vips.reading(source):
        preview.pngsave(str(partial), keep="icc", profile="srgb")


def join_pictures(sources: Sequence[Path], target: Path, height_px: int) -> None:
    """Writes pictures side by side, each at this height, with white between them, as a JPEG."""
    panels = []
    for source in sources:
        image = _vips.load(source)
        image = _vips.as_unit_float(image.extract_band(0, n=min(3, image.bands)))
        image = image.bandjoin([image, image]) if image.bands == 1 else image
        size = Size(height_px, max(1, round(image.width * height_px / image.height)))
        panels.append(_vips.as_levels(resampled(image, size, "lanczos3"), 8))
    strip, *others = panels
    for panel in others:
        strip = strip.join(panel, "horizontal", expand=True, shim=height_px // 32, background=255)
    with atomic_path(target) as partial, _vips.reading(*sources):
        strip.copy(interpretation="srgb").jpegsave(str(partial), Q=_STRIP_QUALITY, keep="none")
