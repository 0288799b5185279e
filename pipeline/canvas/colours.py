"""Statistics of an image's colours, and maps applied to them: one streaming pass each, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import final

import numpy as np
import pyvips
from jaxtyping import Float, Float32
from numpy import ndarray

from pipeline.canvas import _vips, masks
from pipeline.canvas.masks import Mask
from pipeline.canvas.transform import clipped, resampled
from pipeline.colour import ColourMap, CurveMap, Histogram, Moments, luminance_transfer
from pipeline.errors import InputError
from pipeline.geometry import Size

_STRIP_PX = 1 << 20
_TILE_WIDTH_PX, _TILE_HEIGHT_PX, _TILE_ROWS = 512, 16, 4


@final
@dataclass(frozen=True, slots=True, eq=False)
class MaskedMap:
    """A map of colours and where it applies.

    Attributes:
        map: What happens to a colour there.
        mask: Where, softly; everywhere by default.
    """

    map: ColourMap
    mask: Mask | None = None


def moments(path: Path, mask: Mask | None = None) -> Moments:
    """Weight, mean and covariance of the first three bands, in float64 and one pass.

    Args:
        path: An image of three bands, or four: then each pixel counts by its opacity. Colours that nobody
            sees are arbitrary.
        mask: Each pixel counts by how far it lies inside, as well.

    Raises:
        InputError: The image has fewer than three bands, a file cannot be read, or no pixel counts.
    """
    image = _colours(path)
    strips = _weighted_strips(path, image, mask)
    parts = (Moments.of(values / _vips.full_scale(image), weights) for values, weights in strips)
    whole = reduce(add, parts)
    _check_weight(path, mask, whole.weight)
    return whole


def histogram(path: Path, mask: Mask | None = None) -> Histogram:
    """How often each level of the first three bands occurs, in one pass: 256 levels of 8 bits, else 65536.

    Floating point is rounded to 16 bits and clipped to [0, 1]. What counts, and errors: as for `moments`.
    """
    image = _integers(_colours(path))
    levels = int(_vips.full_scale(image)) + 1
    strips = _weighted_strips(path, image, mask)
    parts = (Histogram.of(values.astype(np.uint16), levels, weights) for values, weights in strips)
    whole = reduce(add, parts)
    _check_weight(path, mask, whole.weight)
    return whole


def recolour(source: Path, target: Path, size: Size, maps: Sequence[MaskedMap]) -> None:
    """Writes `source` recoloured and then brought to `size`, as a tiled TIFF: float32 and unclipped.

    Without maps the samples have 16 bits instead, rounded and clipped to [0, 1]: half the bytes, with 257
    steps in each of an 8-bit image's. What leaves the range then is resampling's overshoot alone.

    A colour x goes to (sum_r T_r f_r(x) + max(0, 1 - sum_r T_r) x) / max(1, sum_r T_r), where T_r in [0, 1]
    says how far the pixel lies inside the mask of map f_r, and is 1 for a map without one: what no mask
    covers keeps its colours, and overlapping masks share.

    The maps come before the resampling, at the image's own size, where their statistics were taken. A curve
    of histogram matching is defined on the levels that occur in the image; on their local means, which is
    what resampling makes, it would give colours that the target does not have. And every level of the pyramid
    is then the same recoloured image at another size. (Affine maps without masks commute with resampling.)

    Args:
        source: An image of three bands or more.
        target: The TIFF.
        size: Its height and width; resampled as `resize` does.
        maps: Curves must have as many levels as `histogram` counts for `source`.

    Raises:
        InputError: The image has fewer than three bands, or a file cannot be read.
    """
    image = _colours(source)
    paths = (masked.mask.path for masked in maps if masked.mask is not None)
    sized = resampled(_blended(image, maps), size, "lanczos3")
    written = sized if maps else _vips.as_levels(clipped(sized), bits=16)
    _vips.save_tiff(written, target, source, *paths)


def combine_luminance(stylised: Path, content: Path, target: Path, where: Sequence[Mask] = ()) -> None:
    """Writes an image with the luma (Rec.601) of `stylised` and the chroma (I and Q) of `content`.

    Args:
        stylised: The image whose luma is taken.
        content: An image of the same size whose chroma is taken.
        target: A float TIFF, unclipped.
        where: Masks of any size, whose sum (at most 1) says how far this happens; `stylised` stays as it is
            elsewhere. Everywhere by default.

    Raises:
        InputError: The two differ in size, or a file cannot be read.
    """
    first, second = _vips.load(stylised), _vips.load(content)
    if _vips.size(first) != _vips.size(second):
        raise InputError(
            content, expected=f"{_vips.size(first)} px as in {stylised}", found=f"{_vips.size(second)} px"
        )
    pair = [_vips.as_unit_float(image.extract_band(0, n=3)) for image in (first, second)]
    image = _recombined(pair[0].bandjoin(pair[1]), luminance_transfer())
    if where:
        size = _vips.size(first)
        share = clipped(reduce(add, (masks.channel(*mask, size) for mask in where)))
        image = share * image + (1 - share) * pair[0]
    _vips.save_tiff(image, target, stylised, content, *(mask.path for mask in where))


def _colours(path: Path) -> _vips.Image:
    image = _vips.load(path)
    if image.bands < 3:
        raise InputError(path, expected="an image of 3 bands", found=f"{image.bands}")
    return image


def _blended(image: _vips.Image, maps: Sequence[MaskedMap]) -> _vips.Image:
    """The first three bands as floats, recoloured; see `recolour`."""
    colours = image.extract_band(0, n=3)
    plain = _vips.as_unit_float(colours)
    if not maps:
        return plain
    if len(maps) == 1 and maps[0].mask is None:
        return _mapped(colours, maps[0].map)
    shares = [_share(image, masked.mask) for masked in maps]
    mapped = [share * _mapped(colours, masked.map) for share, masked in zip(shares, maps, strict=True)]
    total = reduce(add, shares)
    rest = clipped(1 - total)
    # What is left over makes up for what the sum of the shares lacks to 1: max(1, total) = total + rest.
    blended = (reduce(add, mapped) + rest * plain) / (total + rest)
    # Resampling asks for rows as wide as the image, and each of the steps above would hold them.
    return blended.tilecache(
        tile_width=_TILE_WIDTH_PX,
        tile_height=_TILE_HEIGHT_PX,
        max_tiles=_TILE_ROWS * math.ceil(image.width / _TILE_WIDTH_PX),
        threaded=True,
    )


def _share(image: _vips.Image, mask: Mask | None) -> _vips.Image:
    if mask is None:
        return image.extract_band(0).new_from_image(1.0).cast("float")
    return masks.channel(*mask, _vips.size(image))


def _mapped(colours: _vips.Image, how: ColourMap) -> _vips.Image:
    if isinstance(how, CurveMap):
        levels = _integers(colours)
        if how.curves.shape[1] != int(_vips.full_scale(levels)) + 1:
            raise ValueError(f"curves of {how.curves.shape[1]} levels do not fit an image of {levels.format}")
        return levels.maplut(_vips.from_array(how.curves.T[None].astype(np.float32)))
    affine = np.column_stack([how.matrix, how.offset])
    return _recombined(_vips.as_unit_float(colours).bandjoin(1.0), affine)


def _integers(image: _vips.Image) -> _vips.Image:
    return _vips.as_levels(image, 16) if image.format == "float" else image


def _recombined(image: _vips.Image, matrix: Float[ndarray, "out bands"]) -> _vips.Image:
    return image.recomb(pyvips.Image.new_from_array(matrix.tolist())).cast("float")


def _weighted_strips(
    path: Path, image: _vips.Image, mask: Mask | None
) -> Iterator[tuple[Float[ndarray, "height width 3"], Float32[ndarray, "height width"] | None]]:
    """All pixels once: the first three bands in float64, unscaled, and their weights where they differ."""
    weights = _vips.as_unit_float(image.extract_band(3)) if image.bands > 3 else None
    if mask is not None:
        light = masks.channel(*mask, _vips.size(image))
        weights = light if weights is None else weights * light
    paths = [path] if mask is None else [path, mask.path]
    # Levels are whole numbers below 2^16: floats hold them exactly.
    joined = image.extract_band(0, n=3).cast("float")
    joined = joined if weights is None else joined.bandjoin(weights)
    # As wide as the image: a mask that shrinks is resampled by rows, and would be again for each block.
    rows = max(1, _STRIP_PX // image.width)
    for top in range(0, image.height, rows):
        with _vips.reading(*paths):
            strip = joined.crop(0, top, image.width, min(rows, image.height - top)).numpy()
        yield strip[..., :3].astype(np.float64), None if weights is None else strip[..., 3]


def _check_weight(path: Path, mask: Mask | None, weight: float) -> None:
    if weight > 0:
        return
    if mask is None:
        raise InputError(path, expected="pixels that are not wholly transparent", found="none")
    raise InputError(f"mask {mask}", expected=f"light on visible pixels of {path}", found="none")
