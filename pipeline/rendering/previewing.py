"""Pictures of an image while it is optimised, so that a run that goes wrong can be stopped early."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline import canvas
from pipeline.errors import PipelineError
from pipeline.geometry import Box, Size
from pipeline.groups import Part, StoppedError
from pipeline.rasters import Checked, Raster
from pipeline.streaming import Streaming

LONGER_SIDE_PX = 1024
_ROWS = 256


@final
@dataclass(slots=True)
class Previews:
    """Writes a small picture of an image each time that some seconds have passed, over the one before.

    The image is only read, some rows at a time: its optimisation takes the same steps with and without. A
    picture that cannot be written is left out, and so is one for which there is no time any more.

    Attributes:
        path: The picture, a PNG.
        every_s: Seconds between two pictures; the first comes that long after the start.
    """

    path: Path
    every_s: float
    _last_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._last_s = time.monotonic()

    def show(self, image: Raster, size: Size, part: Part, check: Callable[[], None] = lambda: None) -> None:
        """Writes the picture of an image if it is time. All processes of a group must call it together.

        Args:
            image: This process's strip of the image, with the rows it holds of its neighbours.
            size: Of the whole image, without padding.
            part: What this process does of it.
            check: Called before some rows are read; raises StoppedError if there is no time for a picture.
        """
        now_s = time.monotonic()
        # One clock for all.
        if not part.group.gathered(now_s - self._last_s >= self.every_s)[0]:
            return
        self._last_s = now_s
        blocks = part.group.collected(own_rows(Checked(image, check), size, part))
        try:
            picture = shrunk((block.numpy() for block in blocks), size, LONGER_SIDE_PX)
        except StoppedError:
            # The run itself ends where its state is one to go on from.
            return
        finally:
            # The others wait until all of theirs is taken.
            for _ in blocks:
                pass
        if part.group.leads:
            with contextlib.suppress(OSError, PipelineError):
                canvas.write_png(self.path, picture)

    def discard(self) -> None:
        """Removes the picture."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def own_rows(image: Raster, size: Size, part: Part) -> Iterator[Float[Tensor, "rows width 3"]]:
    """The rows that this process answers for, some at a time from the top, on the CPU; padding left out.

    While some are used, the next are read.
    """
    strip = part.strip
    end = min(strip.bottom, size.height)
    boxes = (
        strip.local(Box(top, 0, min(top + _ROWS, end), size.width)) for top in range(strip.top, end, _ROWS)
    )

    def read(box: Box) -> Float[Tensor, "rows width 3"]:
        return image.read(box).permute(1, 2, 0).to(torch.float32).contiguous().cpu()

    # Rows are in the host's memory when they are handed over: nothing on a GPU waits for them.
    with Streaming(torch.device("cpu")) as stream:
        for _, rows in stream.ahead(boxes, read):
            yield rows


def shrunk(
    rows: Iterable[Float[np.ndarray, "rows width 3"]], size: Size, longer_side_px: int
) -> UInt8[np.ndarray, "height width 3"]:
    """An image of some rows at a time as 8-bit pixels, shrunk by whole-number boxes to fit a longer side.

    As in a print, colours are clipped before they are averaged.
    """
    factor = math.ceil(max(size.height, size.width) / longer_side_px)
    heights, widths = (-(-side // factor) for side in (size.height, size.width))
    sums = np.zeros((heights, widths, 3), np.float64)
    top = 0
    for block in rows:
        columns = np.add.reduceat(np.clip(block, 0, 1), np.arange(0, size.width, factor), axis=1)
        np.add.at(sums, np.arange(top, top + len(block)) // factor, columns)
        top += len(block)
    counts = [np.bincount(np.arange(side) // factor) for side in (size.height, size.width)]
    means = sums / np.outer(*counts)[..., None]
    return np.asarray(np.rint(means * 255), np.uint8)
