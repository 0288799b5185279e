"""What users hand in: looking at headers, and decoding each file once into a form all stages can trust."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyvips

from pipeline.canvas import _vips
from pipeline.errors import InputError
from pipeline.geometry import Size

MIN_SIDE_PX = 16
"""The stride of the deepest layer: a smaller image has no feature there."""
MAX_SIDE_PX = 200_000
MAX_AREA_PX = 4_000_000_000

_BITS = {"uchar": 8, "ushort": 16, "float": 32}
_RGB = {"srgb", "rgb", "rgb16", "scrgb"}
_GREY = {"b-w", "grey16"}
_HALF_STEP = 0.5 / 65535
_PROFILE = "icc-profile-data"
_QUARTER_TURNS = range(5, 9)
_SEQUENTIAL_ORIENTATIONS = range(1, 3)


@final
@dataclass(frozen=True, slots=True)
class Header:
    """What an image file says about itself before its pixels are decoded.

    Attributes:
        size: After the camera's orientation tag has been applied.
        bands: Channels, alpha included.
        bits: Per channel: 8, 16 or 32 (floating point).
        has_alpha: Whether the last band is opacity.
        format: `jpeg`, `png`, `tiff` and the like.
    """

    size: Size
    bands: int
    bits: int
    has_alpha: bool
    format: str


def read_header(path: Path, min_side_px: int = MIN_SIDE_PX) -> Header:
    """The header of an image file, without decoding its pixels; the first page of an animation.

    Args:
        path: Any image file.
        min_side_px: The shortest side that will do: 1 for an image of which only the colours are wanted.

    Raises:
        InputError: Missing, not an image, smaller than `min_side_px`, larger than MAX_SIDE_PX or MAX_AREA_PX
            (so a decompression bomb is never decompressed), or of a sample format that is not handled.
    """
    header = _header(path, _vips.load(path))
    check_sides(path, header.size, min_side_px)
    return header


def read_description(path: Path) -> str:
    """What an image's ImageDescription tag says: the provenance record of a print; empty without one.

    Raises:
        InputError: It is no image.
    """
    image = _vips.load(path)
    return str(image.get("image-description")) if image.get_typeof("image-description") else ""


def check_sides(path: Path, size: Size, min_side_px: int = MIN_SIDE_PX) -> None:
    """Checks that an image has sides of at least `min_side_px`.

    Raises:
        InputError: It is smaller.
    """
    if min(size.height, size.width) < min_side_px:
        raise InputError(
            path, expected=f"sides of at least {min_side_px} px", found=f"{size} px (height x width)"
        )


def prepare(source: Path, target: Path) -> float:
    """Decodes `source` once and writes it as a tiled sRGB TIFF: 3 bands, and alpha as a 4th if there is any.

    The camera's orientation is applied. 8 bits stay 8, anything else becomes 16 (floats are taken as sRGB in
    [0, 1] and clipped). Grey becomes three equal bands; CMYK without a profile is read as a generic press.
    Any size will do, down to a single pixel: what is too small to be rendered may still lend its colours.

    An embedded ICC profile is converted to sRGB relative to the white point with black point compensation:
    colours inside sRGB stay what they were, which the perceptual intent does not promise, and matrix
    profiles (cameras, displays) have no other table anyway; what sRGB cannot show is clipped. A profile that
    is sRGB under another name leaves the pixels untouched.

    Returns:
        The share of samples that were clipped because they lay outside [0, 1] in floating point; 0 for
        integers.

    Raises:
        InputError: As `read_header`, or the pixels are damaged or truncated, or NaN or infinite; then no
            `target` is left behind.
    """
    image = _vips.load(source)
    header = _header(source, image)
    clipped = _clipped_share(source) if image.format == "float" else 0.0
    if _orientation(image) in _SEQUENTIAL_ORIENTATIONS:
        # Row by row from the top needs no decoded copy on disk, which random access to a JPEG or PNG does.
        image = _vips.load(source, sequential=True)
    with _vips.reading(source):
        image = image.autorot()
        colour_bands = header.bands - header.has_alpha
        colours = image.extract_band(0, n=colour_bands)
        bits = 8 if header.bits == 8 else 16
        prepared = to_srgb(colours, bits)
        if header.has_alpha:
            alpha = _to_integers(image.extract_band(colour_bands), bits)
            prepared = prepared.bandjoin(alpha)
        prepared = prepared.copy(interpretation="srgb" if bits == 8 else "rgb16")
    _vips.save_tiff(prepared, target, source, compression="deflate")
    return clipped


def _clipped_share(path: Path) -> float:
    """The share of a float image's samples outside [0, 1] by more than the rounding to 16 bits, in one pass.

    Raises:
        InputError: Some are NaN or infinite.
    """
    image = _vips.load(path, sequential=True)
    outside = ((image < -_HALF_STEP) | (image > 1 + _HALF_STEP)).cast("float").bandmean()
    with _vips.reading(path):
        found = image.bandjoin(outside).stats()
    # A row for all bands together, then one for each; the third column is the sum, the fifth the mean.
    if not all(math.isfinite(found(2, 1 + band)[0]) for band in range(image.bands)):
        raise InputError(
            path,
            expected="finite numbers",
            found="NaN or infinite ones",
            fix="Export it again, or as 16 bits",
        )
    return float(found(4, 1 + image.bands)[0]) / 255


def _header(path: Path, image: _vips.Image) -> Header:
    size = _vips.size(image)
    _check_limits(path, size)
    if image.format not in _BITS or image.interpretation not in _RGB | _GREY | {"cmyk"}:
        raise InputError(
            path,
            expected="grey, RGB or CMYK in 8 or 16 bits, or RGB in float",
            found=f"{image.bands} bands of {image.format} ({image.interpretation})",
            fix="Export it as RGB with 8 or 16 bits",
        )
    has_alpha = bool(image.hasalpha())
    colour_bands = {"cmyk": 4}.get(image.interpretation, 1 if image.interpretation in _GREY else 3)
    if image.bands != colour_bands + has_alpha:
        raise InputError(
            path,
            expected="at most one band besides the colours (alpha)",
            found=f"{image.bands} bands",
            fix="Export it as RGB without further channels",
        )
    if _orientation(image) in _QUARTER_TURNS:
        size = Size(size.width, size.height)
    return Header(size, image.bands, _BITS[image.format], has_alpha, _format(image))


def _check_limits(path: Path, size: Size) -> None:
    if max(size.height, size.width) > MAX_SIDE_PX or size.area > MAX_AREA_PX:
        raise InputError(
            path,
            expected=f"at most {MAX_SIDE_PX} px a side and {MAX_AREA_PX / 1e9:g} gigapixels in all",
            found=f"{size} px (height x width)",
            fix="Scale it down before",
        )


def _format(image: _vips.Image) -> str:
    return str(image.get("vips-loader")).removesuffix("load")


def _orientation(image: _vips.Image) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _to_integers(image: _vips.Image, bits: int) -> _vips.Image:
    return _vips.as_levels(image, bits) if image.format == "float" else image


def to_srgb(colours: _vips.Image, bits: int) -> _vips.Image:
    """Grey, RGB or CMYK without alpha, integers of `bits` or floats, as three bands of sRGB integers."""
    colours = _to_integers(colours, bits)
    convert: dict[str, Any] = {"depth": bits, "intent": "relative", "black_point_compensation": True}
    if colours.interpretation == "cmyk":
        return colours.icc_transform("srgb", embedded=True, input_profile="cmyk", **convert)
    # A profile that libvips cannot use counts as sRGB.
    if colours.get_typeof(_PROFILE) and _largest_move(colours, convert) > 0.5 / 255:
        return colours.icc_transform("srgb", embedded=True, **convert)
    return colours.bandjoin([colours, colours]) if colours.bands == 1 else colours


def _largest_move(colours: _vips.Image, convert: dict[str, Any]) -> float:
    """How far, in [0, 1], the embedded profile moves any colour of a lattice."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(*[steps] * colours.bands), axis=-1).reshape(1, -1, colours.bands)
    probe = _vips.from_array(lattice).copy(interpretation="b-w" if colours.bands == 1 else "srgb")
    probe.set_type(pyvips.GValue.blob_type, _PROFILE, colours.get(_PROFILE))
    moved = probe.icc_transform("srgb", embedded=True, **{**convert, "depth": 16}).numpy()
    return float(np.abs(moved / 65535 - lattice / 255).max())
