"""Whether the borders of tiles show: the gradient across them against the gradient beside them.

    r = sum |I(b) - I(b - 1)| / sum mean_k |I(b + k) - I(b + k - 1)|,   k = -48, -32, -16, 16, 32, 48

over all positions b just behind a border, for rows and columns, I the mean of the channels, without the k
that lead from it to another border. Where tiles join without a trace r is 1 but for chance: the gradients
compared are those of the same brush strokes. They lie alike on the network's pooling grids, too, which leave
a pattern of their own of 2 to 16 px: next to a border gradients differ from those across it in whole images
as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from pipeline.geometry import Box, Size

LEAST_SAMPLES = 1000
"""Fewer say nothing."""
_PERIOD_PX = 16
_REACH_PX = 3 * _PERIOD_PX
_RUN_PX = 512
_BLOCK_PX = 32

Read = Callable[[Box], Float[ndarray, "height width bands"]]


@final
@dataclass(frozen=True, slots=True)
class Seams:
    """The gradient across borders against that beside them.

    Attributes:
        samples: Pixels beside a border that were looked at, all there are.
        ratio: r.
        standard_error: Of the ratio, from blocks of 32 px along the borders.
    """

    samples: int
    ratio: float
    standard_error: float

    @property
    def excess(self) -> float:
        """How far the ratio is from 1 beyond twice its standard error; 0 with too few samples."""
        if self.samples < LEAST_SAMPLES:
            return 0.0
        return max(0.0, abs(self.ratio - 1) - 2 * self.standard_error)


def seams(read: Read, size: Size, rows: Sequence[int], columns: Sequence[int]) -> Seams | None:
    """The seams of an image that was made in tiles; None when it has no border that can be judged.

    Strips of 98 px along the borders are read, run by run, so that memory is bounded.

    Args:
        read: Gives the values inside a box.
        size: Of the image.
        rows: Where a tile begins below another one.
        columns: Where a tile begins to the right of another one.
    """
    across, beside, samples = [], [], 0
    for offsets, strip in _strips(read, size, rows, columns):
        steps = np.abs(np.diff(strip, axis=1))
        reference = steps[:, _REACH_PX + offsets].mean(axis=1)
        samples += len(steps)
        for start in range(0, len(steps), _BLOCK_PX):
            block = slice(start, start + _BLOCK_PX)
            across.append(float(steps[block, _REACH_PX].sum(dtype=np.float64)))
            beside.append(float(reference[block].sum(dtype=np.float64)))
    total = sum(beside)
    if total == 0:
        return None
    ratio = sum(across) / total
    residues = np.array(across) - ratio * np.array(beside)
    count = len(across)
    error = math.sqrt(count / max(1, count - 1) * float((residues**2).sum())) / total
    return Seams(samples, ratio, error)


def _strips(
    read: Read, size: Size, rows: Sequence[int], columns: Sequence[int]
) -> Iterator[tuple[Int[ndarray, " k"], Float[ndarray, "run 2*reach+2"]]]:
    """The pixels around each border, a run of it at a time, with the border in the middle of each row.

    Beside them how far away the gradients are that those across it are compared with.
    """
    for border, offsets in _compared(columns, size.width):
        left, right = border - _REACH_PX - 1, border + _REACH_PX + 1
        for top in range(0, size.height, _RUN_PX):
            yield offsets, read(Box(top, left, min(top + _RUN_PX, size.height), right)).mean(axis=2)
    for border, offsets in _compared(rows, size.height):
        top, bottom = border - _REACH_PX - 1, border + _REACH_PX + 1
        for left in range(0, size.width, _RUN_PX):
            yield offsets, read(Box(top, left, bottom, min(left + _RUN_PX, size.width))).mean(axis=2).T


def _compared(borders: Sequence[int], length_px: int) -> Iterator[tuple[int, Int[ndarray, " k"]]]:
    """The borders that can be judged, and the distances at which there is no border."""
    places = np.arange(-_REACH_PX, _REACH_PX + 1, _PERIOD_PX)
    for border in borders:
        offsets = places[~np.isin(border + places, borders)]
        if offsets.size and border > _REACH_PX and border + _REACH_PX < length_px:
            yield border, offsets
