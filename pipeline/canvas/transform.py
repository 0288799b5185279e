"""One image file in, another out at another size, streamed by regions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pyvips

from pipeline.canvas import _vips
from pipeline.errors import InputError
from pipeline.geometry import Size

Kernel = Literal["lanczos3", "cubic", "linear"]

_INTERPOLATORS = {"lanczos3": "bicubic", "cubic": "bicubic", "linear": "bilinear"}
_LARGEST_PURE_SHRINK = 64
_CACHED_ROWS = 16
_ROWS_PER_SHRINK = 22  # 16 rows of output and 6 of the kernel's reach, in output rows


def resize(
    source: Path,
    target: Path,
    size: Size,
    kernel: Kernel = "lanczos3",
    bands: int = 3,
    *,
    clip: bool = False,
) -> None:
    """Writes `source` at exactly `size` as a float32 tiled TIFF on the [0, 1] scale.

    Pixel centres correspond as in image resampling: output i lies at (i + 1/2) old / new - 1/2. Borders
    repeat the outermost pixels. Each axis is treated by itself, so one may shrink while the other grows.
    Shrinking is anti-aliased by widening the kernel (past 64-fold, by block means down to 4-fold first).
    Enlarging with `lanczos3` or `cubic` is Catmull-Rom bicubic: libvips has no Lanczos interpolator.
    Positions are rounded to 1/64 px by libvips.

    Args:
        source: Any image that `read` takes.
        target: The float TIFF.
        size: Its height and width.
        kernel: `linear` never overshoots; the others may leave the range of the input.
        bands: How many of the first bands are kept.
        clip: Whether the result is clipped to [0, 1].

    Raises:
        InputError: `source` cannot be read or has fewer bands.
    """
    image = resampled(_colours(source, bands), size, kernel)
    _vips.save_tiff(clipped(image) if clip else image, target, source)


def carry_over(result: Path, below: Path, content: Path, target: Path) -> None:
    """Writes `content` with what was made of it at a lower level: `content` + up(`result` - `below`).

    What the lower level could not hold is the content's own detail, where up(`result`) alone has none.

    Args:
        result: The image that was made at the lower level.
        below: The content at that level, as large.
        content: The content at the level of `target`, whose size that has.
        target: A float32 tiled TIFF, unclipped; resampled as `resize` does.

    Raises:
        InputError: A file cannot be read or has fewer than three bands; `result` and `below` differ in size.
    """
    made, lower, upper = (_colours(path) for path in (result, below, content))
    if _vips.size(made) != _vips.size(lower):
        raise InputError(
            below, expected=f"{_vips.size(made)} px as in {result}", found=f"{_vips.size(lower)} px"
        )
    change = resampled(made - lower, _vips.size(upper), "lanczos3")
    _vips.save_tiff((upper + change).cast("float"), target, result, below, content)


def _colours(path: Path, bands: int = 3) -> _vips.Image:
    """The first bands of a file as float."""
    image = _vips.load(path)
    if image.bands < bands:
        raise InputError(path, expected=f"an image of at least {bands} bands", found=f"{image.bands}")
    return _vips.as_unit_float(image.extract_band(0, n=bands))


def clipped(image: _vips.Image) -> _vips.Image:
    """The image limited to [0, 1]."""
    return image.clamp(min=0.0, max=1.0)


def resampled(image: _vips.Image, size: Size, kernel: Kernel) -> _vips.Image:
    """A float image at exactly `size`; see `resize`."""
    # libvips' own `resize` shifts enlarged images by half an old minus half a new pixel.
    shrink_x, shrink_y = image.width / size.width, image.height / size.height
    if shrink_x > 1:
        image = image.reduceh(shrink_x, kernel=kernel, gap=_gap(shrink_x))
    if shrink_y > 1:
        # Without this the vertical kernel asks for its whole reach of full-width rows at once.
        image = image.tilecache(
            tile_width=image.width,
            tile_height=_CACHED_ROWS,
            max_tiles=_tiles_in_reach(shrink_y),
            access="sequential",
            threaded=True,
        )
        image = image.reducev(shrink_y, kernel=kernel, gap=_gap(shrink_y))
    if shrink_x < 1 or shrink_y < 1:
        image = image.affine(
            [max(1.0, 1 / shrink_x), 0, 0, max(1.0, 1 / shrink_y)],
            interpolate=pyvips.Interpolate.new(_INTERPOLATORS[kernel]),
            idx=0.5,
            idy=0.5,
            odx=-0.5,
            ody=-0.5,
            oarea=[0, 0, size.width, size.height],
            extend="copy",
            premultiplied=True,
        )
    return image


def _tiles_in_reach(shrink: float) -> int:
    return 16 + 2 * math.ceil(_ROWS_PER_SHRINK * shrink / _CACHED_ROWS)


def _gap(shrink: float) -> float:
    return 0.0 if shrink <= _LARGEST_PURE_SHRINK else 4.0
