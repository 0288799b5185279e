"""Where the engine reads images from: by boxes, so that a source may be larger than memory.

Shapes: channels height width, full resolution of one level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
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


@final
class Cutout:
    """A part of a raster as a raster of its own.

    Args:
        raster: The whole.
        part: Which part of it.
    """

    def __init__(self, raster: Raster, part: Box) -> None:
        self.size = part.size
        self._raster = raster
        self._part = part

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`, whose frame is that of the part."""
        part = self._part
        return self._raster.read(
            Box(box.top + part.top, box.left + part.left, box.bottom + part.top, box.right + part.left)
        )


@final
@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """What was read of a raster, in the whole's frame; nothing else of it can be read.

    Attributes:
        size: Of the whole.
        box: Where the part lies.
        values: The values inside the box.
    """

    size: Size
    box: Box
    values: Float[Tensor, "channels height width"]

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`, as a view."""
        rows, columns = box.relative_to(self.box).slices
        return self.values[:, rows, columns]


@final
class Checked:
    """A raster that asks before each box that is read of it whether to go on.

    Args:
        raster: The raster.
        check: What is asked; may raise.
    """

    def __init__(self, raster: Raster, check: Callable[[], None]) -> None:
        self.size = raster.size
        self._raster = raster
        self._check = check

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        self._check()
        return self._raster.read(box)


@final
class Noise:
    """Uniform noise in [0, 1): a pixel's colours depend on the seed and its place alone, on every device.

    Args:
        size: Height and width of the level.
        seed: Another seed is other noise.
        device: Where the values go.
    """

    def __init__(self, size: Size, seed: int, device: torch.device) -> None:
        self.size = size
        self._seed = seed
        self._device = device

    def read(self, box: Box) -> Float[Tensor, "3 height width"]:
        """The values inside `box`."""
        rows = np.empty((3, box.size.height, box.size.width), np.float32)
        for row in range(box.top, box.bottom):
            # On the CPU and row by row, so that neither device nor boxes change a value.
            generator = np.random.Generator(np.random.Philox(key=[self._seed, row]))
            drawn = generator.random((3, self.size.width), np.float32)
            rows[:, row - box.top] = drawn[:, box.left : box.right]
        return torch.from_numpy(rows).to(self._device)
