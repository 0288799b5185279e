"""Pictures of any size by crops: values over pixels, read by boxes and padded as the engine pads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from pipeline.evaluation.network import STRIDE_PX
from pipeline.geometry import Box, Size


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """Values over pixels that are read by boxes: an image's colours, or one mask per band.

    Attributes:
        size: Height and width; both at least 16.
        read: The values inside a box; sRGB or shares of a mask, in [0, 1].
    """

    size: Size
    read: Callable[[Box], Float[ndarray, "height width bands"]]

    @classmethod
    def of(cls, values: Float[ndarray, "height width bands"]) -> Picture:
        """An array as it lies in memory."""
        return cls(Size(*values.shape[:2]), lambda box: values[box.slices])


def cores_of(size: Size, core_px: int) -> Iterator[Box]:
    """Boxes that cover the padded image once."""
    padded = size.aligned_up(STRIDE_PX)
    for top in range(0, padded.height, core_px):
        for left in range(0, padded.width, core_px):
            yield Box(top, left, min(top + core_px, padded.height), min(left + core_px, padded.width))


def read_padded(picture: Picture, box: Box) -> Float[Tensor, "bands height width"]:
    """A box of the padded picture: what lies beyond the last row or column is its mirror image."""
    rows = _mirrored(box.top, box.bottom, picture.size.height)
    columns = _mirrored(box.left, box.right, picture.size.width)
    inside = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    values = picture.read(inside)[np.ix_(rows - inside.top, columns - inside.left)]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _mirrored(start: int, stop: int, length: int) -> ndarray:
    places = np.arange(start, stop)
    return np.where(places < length, places, 2 * (length - 1) - places)
