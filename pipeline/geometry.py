"""Sizes, boxes and their rounding. Pure integers, (height, width) order, no torch.

Frames are prefixes on names where several meet: `b_` the full image, `l_` a level of the pyramid,
`t_` a haloed tile, `f_` a feature map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def align_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def align_down(value: int, multiple: int) -> int:
    """The largest multiple of `multiple` that is at most `value`."""
    return value // multiple * multiple


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Height and width in pixels, both at least 1."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a size is at least 1x1; got {self.height}x{self.width}")

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    def aligned_up(self, multiple: int) -> Size:
        """Both sides rounded up to a multiple of `multiple`."""
        return Size(align_up(self.height, multiple), align_up(self.width, multiple))

    def divided(self, stride: int) -> Size:
        """The size of a feature map of this stride; both sides must be multiples of it."""
        if self.height % stride or self.width % stride:
            raise ValueError(f"{self} is not a multiple of the stride {stride}")
        return Size(self.height // stride, self.width // stride)

    def of_area(self, level_px: int) -> Size:
        """The size of this aspect ratio whose area is `level_px` squared, as near as integers allow.

        Rounding: height first, to nearest; then width from the unrounded aspect ratio, to nearest.
        """
        scale = level_px / math.sqrt(self.area)
        return Size(max(1, round(self.height * scale)), max(1, round(self.width * scale)))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: top and left are inside, bottom and right are one past the end."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, size: Size) -> Box:
        """The box that covers an image of this size."""
        return cls(0, 0, size.height, size.width)

    @property
    def size(self) -> Size:
        """Height and width of the box."""
        return Size(self.bottom - self.top, self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that cut this box out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def lies_within(self, size: Size) -> bool:
        """Whether it has pixels, all of them in an image of this size."""
        return 0 <= self.top < self.bottom <= size.height and 0 <= self.left < self.right <= size.width

    def grown(self, by: int, within: Size) -> Box:
        """The box with `by` more pixels on each side, cut off at the image's borders."""
        return Box(
            max(0, self.top - by),
            max(0, self.left - by),
            min(within.height, self.bottom + by),
            min(within.width, self.right + by),
        )

    def moved(self, rows: int, columns: int) -> Box:
        """The box so many rows further down and columns further right."""
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def relative_to(self, outer: Box) -> Box:
        """This box in the frame of `outer`, whose top left corner becomes (0, 0)."""
        return self.moved(-outer.top, -outer.left)

    def divided(self, stride: int) -> Box:
        """The same box on a feature map of this stride; every edge must be a multiple of it."""
        edges = (self.top, self.left, self.bottom, self.right)
        if any(edge % stride for edge in edges):
            raise ValueError(f"{self} does not lie on the grid of stride {stride}")
        return Box(*(edge // stride for edge in edges))
