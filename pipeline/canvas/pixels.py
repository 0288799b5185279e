"""Pixels to arrays and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from pipeline.canvas import _vips
from pipeline.errors import ResourceError
from pipeline.files import NO_ROOM, atomic_path
from pipeline.geometry import Box, Size


def size_of(path: Path) -> Size:
    """Height and width of a file that a stage wrote; `read_header` is for files that users give."""
    return _vips.size(_vips.load(path))


def bands_of(path: Path) -> int:
    """How many bands a file has that a stage wrote."""
    return int(_vips.load(path).bands)


def read(path: Path, box: Box | None = None) -> Float32[ndarray, "height width bands"]:
    """The pixels of a file, or of one box of it: 8 and 16 bits scaled to [0, 1], floats as they are.

    Raises:
        InputError: The file cannot be read, or is damaged within the box.
        ValueError: The box does not lie inside the image.
    """
    image = _vips.load(path)
    whole = Box.whole(_vips.size(image))
    box = whole if box is None else box
    if box.grown(0, within=_vips.size(image)) != box or box.top < 0 or box.left < 0:
        raise ValueError(f"{box} does not lie inside {path} of {whole.size} px")
    return _block(path, _vips.as_unit_float(image), box)


def write(path: Path, array: Float[ndarray, "height width bands"]) -> None:
    """Writes float32 pixels as a tiled TIFF that `read` gives back bit for bit; values may leave [0, 1]."""
    _vips.save_tiff(_vips.from_array(np.asarray(array, dtype=np.float32)), path, path)


def write_rows(
    path: Path, size: Size, bands: int, rows: Iterable[Float[ndarray, "rows width bands"]]
) -> None:
    """Writes what `write` does from some rows at a time, top to bottom: an image may be larger than memory.

    Nothing else is written on the way: libvips would want all rows in a file first, as large as the image.

    Raises:
        ResourceError: The disk is full.
        ValueError: The rows are not all of the image.
    """
    _write_tiles(path, size, bands, _tiles_of_rows(size, bands, rows))


def write_boxes(
    path: Path, size: Size, bands: int, boxes: Iterable[tuple[Box, Float[ndarray, "height width bands"]]]
) -> None:
    """Writes what `write` does from one box after the other, in memory that does not depend on the size.

    Args:
        path: The TIFF.
        size: Of the image.
        bands: Of the image.
        boxes: Each with its pixels: rows of boxes from the top, 256 px high but for the last, each from the
            left, of a multiple of 256 columns but for the last.

    Raises:
        ResourceError: The disk is full.
        ValueError: The boxes are others.
    """
    _write_tiles(path, size, bands, _tiles_of_boxes(size, boxes))


def _write_tiles(
    path: Path, size: Size, bands: int, tiles: Iterator[Float32[ndarray, "tile tile bands"]]
) -> None:
    bytes_in_all = 4 * bands * size.area
    try:
        with atomic_path(path) as partial:
            tifffile.imwrite(
                partial,
                tiles,
                shape=(size.height, size.width, bands),
                dtype=np.float32,
                tile=(_vips.TILE_PX, _vips.TILE_PX),
                bigtiff=bytes_in_all > _vips.CLASSIC_TIFF_LIMIT_BYTES,
                photometric="rgb" if bands == 3 else "minisblack",
                planarconfig="contig",
                metadata=None,
                software=False,
            )
    except OSError as error:
        # Where a write ends early numpy, which writes for tifffile, does not say why: the disk is full.
        if error.errno not in (None, *NO_ROOM):
            raise
        raise ResourceError(
            path,
            expected=f"room on the disk for {bytes_in_all / 2**20:.0f} MiB",
            found="a full disk",
            fix="Free some space and run again",
        ) from None


def _tiles_of_rows(
    size: Size, bands: int, rows: Iterable[Float[ndarray, "rows width bands"]]
) -> Iterator[Float32[ndarray, "tile tile bands"]]:
    """The image's tiles in the order of a TIFF, those at its edges filled up with zeros."""
    side = _vips.TILE_PX
    for strip in _strips_of_rows(size, bands, rows):
        for left in range(0, size.width, side):
            yield _tile(strip[:, left : left + side])


def _strips_of_rows(
    size: Size, bands: int, rows: Iterable[Float[ndarray, "rows width bands"]]
) -> Iterator[Float[ndarray, "rows width bands"]]:
    """As many rows at a time as a tile has, fewer at the end: as they come where they come so."""
    side = _vips.TILE_PX
    strip: Float32[ndarray, "tile width bands"] | None = None
    filled = done = 0
    for some in rows:
        if done + len(some) > size.height:
            raise ValueError(f"{size} px have {size.height} rows; got {done + len(some)}")
        taken = 0
        while taken < len(some):
            count = min(side - filled, len(some) - taken)
            piece = some[taken : taken + count]
            taken, done = taken + count, done + count
            if filled == 0 and (count == side or done == size.height):
                yield piece
                continue
            if strip is None:
                strip = np.empty((side, size.width, bands), np.float32)
            strip[filled : filled + count] = piece
            filled += count
            if filled == side or done == size.height:
                yield strip[:filled]
                filled = 0
    if done != size.height:
        raise ValueError(f"{size} px have {size.height} rows; got {done}")


def _tile(pixels: Float[ndarray, "height width bands"]) -> Float32[ndarray, "tile tile bands"]:
    """A tile of these pixels, filled up with zeros."""
    side = _vips.TILE_PX
    if pixels.shape[:2] == (side, side):
        return np.ascontiguousarray(pixels, np.float32)
    tile = np.zeros((side, side, pixels.shape[2]), np.float32)
    tile[: pixels.shape[0], : pixels.shape[1]] = pixels
    return tile


def _tiles_of_boxes(
    size: Size, boxes: Iterable[tuple[Box, Float[ndarray, "height width bands"]]]
) -> Iterator[Float32[ndarray, "tile tile bands"]]:
    """The same from boxes."""
    side = _vips.TILE_PX
    top = left = 0
    for box, pixels in boxes:
        bottom = min(top + side, size.height)
        ends_tiles = box.right == size.width or box.right % side == 0
        if (box.top, box.left, box.bottom) != (top, left, bottom) or not ends_tiles:
            raise ValueError(f"{size} px need a box of rows {top} to {bottom} from column {left}; got {box}")
        for start in range(0, box.size.width, side):
            yield _tile(pixels[:, start : start + side])
        left = 0 if box.right == size.width else box.right
        top = bottom if left == 0 else top
    if top != size.height:
        raise ValueError(f"{size} px end at row {size.height}; the boxes end at row {top}")


def write_png(path: Path, array: UInt8[ndarray, "height width *bands"]) -> None:
    """Writes 8-bit grey or sRGB pixels as PNG."""
    image = _vips.from_array(array)
    image = image.copy(interpretation="b-w" if image.bands < 3 else "srgb")
    with atomic_path(path) as partial, _vips.reading(path):
        image.pngsave(str(partial))


def _block(path: Path, image: _vips.Image, box: Box) -> Float32[ndarray, "height width bands"]:
    with _vips.reading(path):
        pixels = image.crop(box.left, box.top, box.size.width, box.size.height).numpy()
    return np.asarray(pixels, dtype=np.float32).reshape(box.size.height, box.size.width, image.bands)
