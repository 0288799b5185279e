"""How far a painting by approximate moments is from one by others, over sampled squares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch

from pipeline.feedforward.streaming import StreamedApplication
from pipeline.geometry import Box, Size


@final
@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a result by approximate moments is from one by others, over sampled pixels; in grey levels.

    Attributes:
        rms: The root of the mean square difference.
        largest: The largest difference.
    """

    rms: float
    largest: float


@torch.no_grad()
def compare(first: StreamedApplication, second: StreamedApplication, boxes: Iterable[Box]) -> Deviation:
    """How far two applications to one image are from one another in these boxes."""
    squares, count, largest = 0.0, 0, 0.0
    for box in boxes:
        difference = first.painted(box) - second.painted(box)
        squares += float(difference.double().square().sum())
        count += difference.numel()
        largest = max(largest, float(difference.abs().max()))
    return Deviation(255 * (squares / count) ** 0.5, 255 * largest)


def sample_boxes(size: Size, side_px: int, across: int) -> tuple[Box, ...]:
    """At most `across` x `across` squares, evenly spread; the whole image where they would overlap."""
    rows, columns = (_spread(length, side_px, across) for length in (size.height, size.width))
    return tuple(
        Box(top, left, min(size.height, top + height), min(size.width, left + width))
        for top, height in rows
        for left, width in columns
    )


def _spread(length: int, side: int, across: int) -> list[tuple[int, int]]:
    if side * across >= length:
        return [(0, length)]
    return [((2 * index + 1) * length // (2 * across) - side // 2, side) for index in range(across)]
