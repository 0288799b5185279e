"""ICC profiles that users name: whether colours can be sent to them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pyvips

from pipeline.canvas import _vips
from pipeline.errors import InputError
from pipeline.formats import ColourSpace

_CLASSES = {
    b"mntr": "display",
    b"prtr": "printer",
    b"spac": "colour space",
    b"scnr": "the profile of an input device",
    b"link": "a device link",
    b"abst": "an abstract profile",
    b"nmcl": "named colours",
}
_OUTPUT = {b"mntr", b"prtr", b"spac"}
_SPACES: dict[bytes, ColourSpace] = {b"RGB ": "RGB", b"CMYK": "CMYK"}
_TABLES = {b"B2A0", b"B2A1", b"B2D0", b"B2D1"}
_MATRIX = {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"}
_HEADER_BYTES = 128
_MOST_TAGS = 1000
_MOST_BYTES = 64 << 20
_WANTED = "an ICC profile of a display, printer or press, RGB or CMYK"


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """An ICC profile that colours can be sent to.

    Attributes:
        space: What its device takes.
        kind: What its device is.
    """

    space: ColourSpace
    kind: str


def read_profile(path: Path) -> Profile:
    """What the profile at `path` is for; every table that printing needs is there, and works.

    Raises:
        InputError: Missing, truncated, no ICC profile, of a class or colour space that nothing can be sent to
            (an input device, a device link), or unusable.
    """
    data = _bytes(path)
    head = data[:_HEADER_BYTES]
    if len(head) < _HEADER_BYTES or head[36:40] != b"acsp":
        raise InputError(path, expected=_WANTED, found="a file of another kind")
    (size,) = struct.unpack(">I", head[:4])
    if size > len(data):
        raise InputError(
            path,
            expected=f"a profile of {size} bytes, as it says itself",
            found=f"{len(data)}",
            fix="Copy it again",
        )
    kind, space = head[12:16], head[16:20]
    if kind not in _OUTPUT:
        found = _CLASSES.get(kind, f"one of class {_readable(kind)}")
        raise InputError(path, expected=_WANTED, found=found)
    if space not in _SPACES:
        raise InputError(path, expected=_WANTED, found=f"one of the colour space {_readable(space)}")
    tags = _tags(data)
    if not (tags & _TABLES or (space == b"RGB " and tags >= _MATRIX)):
        raise InputError(path, expected=_WANTED, found="one that only takes colours in, without a way out")
    _try(path)
    return Profile(_SPACES[space], _CLASSES[kind])


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise InputError(path, expected=_WANTED, found="no such file") from None
    except OSError as error:
        raise InputError(path, expected=_WANTED, found=str(error.strerror).lower()) from None


def _tags(data: bytes) -> set[bytes]:
    count = min(int.from_bytes(data[_HEADER_BYTES : _HEADER_BYTES + 4], "big"), _MOST_TAGS)
    starts = range(_HEADER_BYTES + 4, min(_HEADER_BYTES + 4 + 12 * count, len(data) - 11), 12)
    return {data[start : start + 4] for start in starts}


def _readable(signature: bytes) -> str:
    return repr(signature.decode("ascii", "replace").strip())


def _try(path: Path) -> None:
    """Sends one colour there, which is the only way to know that the tables can be read."""
    grey = _vips.from_array(np.full((1, 1, 3), 128, np.uint8)).copy(interpretation="srgb")
    try:
        grey.icc_transform(str(path), input_profile="srgb", intent="relative").numpy()
    except pyvips.Error:
        raise InputError(
            path, expected=_WANTED, found="a damaged one", fix="Take it from its maker again"
        ) from None
