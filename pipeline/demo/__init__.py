"""The demo collection's inputs: their sizes, known before the files are, and how each is made.

Photographs are members of a pinned wheel of scikit-image, which is downloaded and never installed; two
styles are painted by code.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.canvas import read_header, write_png
from pipeline.demo.scenes import paint_fields, paint_night
from pipeline.errors import InputError, WeightsError
from pipeline.fetching.sources import Progress, Wheel, WheelMember, obtain
from pipeline.files import atomic_path
from pipeline.geometry import Size

Painter = Callable[[Size], npt.NDArray[np.uint8]]

_SCIKIT_IMAGE = Wheel("scikit-image", "0.26.0", "3.12", "manylinux_2_28_x86_64")
_PAINTED = Size(768, 768)


@dataclass(frozen=True, slots=True)
class DemoInput:
    """One input picture of the demo.

    Attributes:
        name: The file's name.
        size: Height and width that the file has or will have.
        credit: Whom to thank, and the licence.
        origin: Where the file comes from, or the function that paints it.
    """

    name: str
    size: Size
    credit: str
    origin: WheelMember | Painter


def _picture(name: str, height: int, width: int, sha256: str, credit: str) -> DemoInput:
    return DemoInput(
        name, Size(height, width), credit, WheelMember(_SCIKIT_IMAGE, f"skimage/data/{name}", sha256)
    )


_INPUTS = (
    _picture(
        "astronaut.png",
        512,
        512,
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "NASA: the astronaut Eileen Collins; public domain",
    ),
    _picture(
        "coffee.png",
        400,
        600,
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "Rachel Michetti: a cup of coffee; CC0",
    ),
    _picture(
        "chelsea.png",
        300,
        451,
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "Stefan van der Walt: Chelsea the cat; CC0",
    ),
    _picture(
        "rocket.jpg",
        427,
        640,
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "SpaceX: launch of DSCOVR on a Falcon 9; public domain",
    ),
    _picture(
        "ihc.png",
        512,
        512,
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "Center for Microscopy And Molecular Imaging: stained colon tissue; no known copyright restrictions",
    ),
    _picture(
        "hubble_deep_field.jpg",
        872,
        1000,
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "NASA and ESA: the Hubble eXtreme Deep Field; public domain",
    ),
    _picture(
        "retina.jpg",
        1411,
        1411,
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "Mikael Häggström: fundus of a normal right eye; CC0",
    ),
    DemoInput("painted_night.png", _PAINTED, "painted by Impasto's own brushwork.py; CC0", paint_night),
    DemoInput("painted_fields.png", _PAINTED, "painted by Impasto's own brushwork.py; CC0", paint_fields),
)
INPUTS: Mapping[str, DemoInput] = {entry.name: entry for entry in _INPUTS}
"""By file name."""


def is_input(path: Path) -> bool:
    """Whether a picture is one of the demo's: one of the user's may have its name, in another folder."""
    return path.parent.name == "demo" and path.name in INPUTS


def make(name: str, output: Path, progress: Progress | None = None) -> None:
    """Makes one demo input, whole or not at all; the same file every time on one machine.

    Args:
        name: A key of `INPUTS`.
        output: Where the file goes.
        progress: Told before a download.

    Raises:
        InputError: There is no such input, or its file has not the declared size.
        WeightsError: The wheel cannot be had or is not the pinned one.
    """
    if name not in INPUTS:
        raise InputError(name, expected=f"one of {', '.join(INPUTS)}", found="no such demo input")
    entry = INPUTS[name]
    if not isinstance(entry.origin, WheelMember):
        pixels = entry.origin(entry.size)
        _check_size(entry, Size(*pixels.shape[:2]))
        write_png(output, pixels)
        return
    with tempfile.TemporaryDirectory(prefix="impasto-demo-") as folder:
        path = obtain(entry.origin, Path(folder), progress)
        _check_size(entry, read_header(path).size)
        try:
            with atomic_path(output) as partial:
                shutil.copyfile(path, partial)
        except OSError as error:
            raise WeightsError(
                output, expected="room and permission to write it", found=str(error)
            ) from error


def _check_size(entry: DemoInput, found: Size) -> None:
    if found != entry.size:
        raise InputError(
            entry.name, expected=f"{entry.size} pixels, as the table of demo inputs says", found=str(found)
        )
