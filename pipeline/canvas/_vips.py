"""libvips behind one door: how files are opened and saved, and how its errors become one line.

Loaders are called by name, never through `new_from_file`: that one reads options out of brackets in a
file's name, and would hand an untrusted file to any parser that claims it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyvips
from jaxtyping import Num
from numpy import ndarray

from pipeline.errors import InputError, PipelineError, ResourceError
from pipeline.files import NO_ROOM, atomic_path
from pipeline.geometry import Size

Image: TypeAlias = pyvips.Image

TILE_PX = 256
FORMATS = "JPEG, PNG, TIFF, WebP, GIF or HEIF/AVIF"

_NOT_WRITTEN = re.compile(
    r"^ *(?P<where>.+): (?:unable to open for write|write error).*(?:\n\w+ error: (?P<why>.*))?", re.MULTILINE
)
_LOADERS = {f"VipsForeignLoad{name}File" for name in ("Jpeg", "Png", "Tiff", "Webp", "Nsgif", "Heif")}
_MAX_THREADS = 8
CLASSIC_TIFF_LIMIT_BYTES = 3 << 30
_LEVELS = {"uchar": 255.0, "ushort": 65535.0}


@cache
def _settle() -> None:
    """Sets libvips up for a batch pipeline, on first use."""
    # The operation cache is keyed by file name: it would return a file's old pixels after a rewrite.
    pyvips.cache_set_max(0)
    # Each thread holds regions of its own: on a machine with many cores that would be the peak memory.
    if "VIPS_CONCURRENCY" not in os.environ:
        pyvips.concurrency_set(min(pyvips.concurrency_get(), _MAX_THREADS))
    # What matters in a warning comes back as an error; printed, it would break the one-line rule.
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)


def load(path: Path, *, sequential: bool = False) -> Image:
    """The image in `path`, its pixels not read yet; of an animation or a multi-page file, the first page.

    Args:
        path: An image file.
        sequential: Its rows will be asked for once, from the top.

    Raises:
        InputError: Missing, a folder, empty, not one of FORMATS, or its header cannot be read.
    """
    _settle()
    _check_readable(path)
    with reading(path):
        found = pyvips.vips_lib.vips_foreign_find_load(os.fsencode(path))
        loader = "" if found == pyvips.ffi.NULL else pyvips.ffi.string(found).decode()
        # What failed probes left in libvips' error buffer would lengthen the next error.
        pyvips.vips_lib.vips_error_clear()
        if loader not in _LOADERS:
            raise InputError(
                path, expected=f"an image ({FORMATS})", found="a file of another kind, or half of one"
            )
        access = "sequential" if sequential else "random"
        return pyvips.Operation.call(loader, str(path), access=access, fail_on="error")


def _check_readable(path: Path) -> None:
    expected = "an image file"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # Archives have names in old encodings; neither libvips' interface nor JSON takes them.
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise InputError(
            shown, expected="a name in UTF-8", found="bytes that are none", fix="Rename it"
        ) from None
    if path.is_dir():
        raise InputError(path, expected=expected, found="a folder")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise InputError(path, expected=expected, found="no such file") from None
    except OSError as error:
        raise InputError(path, expected="a readable image file", found=str(error.strerror)) from None
    if empty:
        raise InputError(path, expected=expected, found="an empty file")


@contextmanager
def reading(*paths: Path) -> Iterator[None]:
    """Turns libvips' errors inside the block into an InputError about the file at fault.

    Where what is made of them cannot be written, into a ResourceError.
    """
    try:
        yield
    except pyvips.Error as error:
        raise _unwritten(paths[-1], str(error)) or _damaged(_at_fault(paths), str(error)) from None


def _unwritten(path: Path, text: str) -> ResourceError | None:
    """What kept libvips from writing, if that was it."""
    if any(os.strerror(number) in text for number in NO_ROOM):
        return ResourceError(
            path,
            expected="room on the disk for what is made from it",
            found="a full disk",
            fix="Free some space and run again",
        )
    failed = _NOT_WRITTEN.search(text)
    if failed is None:
        return None
    why = (failed["why"] or "none").lower()
    return ResourceError(failed["where"], expected="a place that can be written to", found=why)


def _at_fault(paths: Sequence[Path]) -> Path:
    """The file that cannot be read to its end: pixels are decoded late, in one pass over all files."""
    *others, last = paths
    for path in others:
        try:
            load(path).avg()
        except (pyvips.Error, PipelineError):
            return path
    return last


def _damaged(path: Path, text: str) -> InputError:
    details = [line.strip() for line in text.splitlines()[1:] if line.strip()] or [text.strip()]
    return InputError(
        path,
        expected="a complete image",
        found=f"damaged or truncated data ({details[0]})",
        fix="Copy or export the file again",
    )


def size(image: Image) -> Size:
    """Height and width."""
    return Size(image.height, image.width)


def from_array(array: Num[ndarray, "height width *bands"]) -> Image:
    """An array of uint8, uint16 or float32 as an image that shares its memory."""
    _settle()
    height, width, *bands = array.shape
    format_name = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[array.dtype.name]
    samples = np.ascontiguousarray(array)
    count = bands[0] if bands else 1
    return Image.new_from_memory(samples, width, height, count, format_name)


def full_scale(image: Image) -> float:
    """The sample that stands for 1: the highest level of 8 or 16 bits, and 1 itself in floating point."""
    return _LEVELS.get(image.format, 1.0)


def as_unit_float(image: Image) -> Image:
    """The image as float32: 8 and 16 bits scaled to [0, 1], floats as they are."""
    if image.format not in _LEVELS:
        return image.cast("float")
    # In double first: the nearest float to k/255 is then the same that numpy gives.
    return (image.cast("double") / _LEVELS[image.format]).cast("float")


def as_levels(image: Image, bits: int) -> Image:
    """A float image as unsigned integers: clipped to [0, 1], rounded to nearest."""
    format_name = {8: "uchar", 16: "ushort"}[bits]
    return (image.cast("double") * _LEVELS[format_name]).rint().cast(format_name)


def save_tiff(
    image: Image, target: Path, *sources: Path, compression: str = "none", keep: str = "none", **options: Any
) -> None:
    """Writes a tiled TIFF, whole or not at all.

    Classic TIFF while its 4 GB hold the uncompressed pixels, and a pyramid's copies, with room to spare, else
    BigTIFF.

    Args:
        image: What is written.
        target: The file.
        *sources: The files that the pixels come from, for the error when one is damaged.
        compression: As libvips names it.
        keep: Which metadata to carry over, as libvips names it.
        **options: More of `tiffsave`'s.
    """
    bytes_in_all = image.width * image.height * image.bands * _sample_bytes(image)
    if options.get("pyramid"):
        bytes_in_all += bytes_in_all // 3
    predictor = "horizontal" if compression in {"deflate", "lzw"} else "none"
    with atomic_path(target) as partial, reading(*sources):
        image.tiffsave(
            str(partial),
            tile=True,
            tile_width=TILE_PX,
            tile_height=TILE_PX,
            bigtiff=bytes_in_all > CLASSIC_TIFF_LIMIT_BYTES,
            compression=compression,
            predictor=predictor,
            keep=keep,
            **options,
        )


def _sample_bytes(image: Image) -> int:
    """Bytes per sample."""
    return {"uchar": 1, "ushort": 2, "float": 4}[image.format]
