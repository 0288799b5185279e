"""Where the engine reads images from: by boxes, so that a source may be larger than memory.

Shapes: channels height width, full resolution of one level.
"""

from __future__ import annotations

from typing import Protocol, final

from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Box, Size


class Raster(Protocol):
    """Values over the pixels of a level: an image's colours, or one guidance channel per region."""

    @property
    def size(self) -> Size:
        """Height and width of the level."""

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""


@final
class TensorRaster:
    """A raster that lies in memory.

    Args:
        values: The whole level; read boxes are views of it.
    """

    def __init__(self, values: Float[Tensor, "channels height width"]) -> None:
        self._values = values

    @property
    def size(self) -> Size:
        """Height and width of the level."""
        return Size(*self._values.shape[1:])

    def read(self, box: Box) -> Float[Tensor, "channels f_height f_width"]:
        """The values inside `box`, as a view."""
        rows, columns = box.slices
        return self._values[:, rows, columns]
