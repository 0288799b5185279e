"""Whether the borders of tiles show: the gradient across them against the gradient beside them.

    r = sum |I(b) - I(b - 1)| / sum mean_k |I(b + k) - I(b + k - 1)|,   k = -48, -32, -16, 16, 32, 48

over all positions b just behind a border, for rows and columns, I the mean of the channels, without the k
that lead to another border. Where tiles join without a trace r is 1 but for chance: the gradients compared
are those of the same brush strokes. They lie alike on the network's pooling grids, too, which leave a pattern
of their own of 2 to 16 px: next to a border gradients differ from those across it in whole images as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
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
        core_px: The distance between borders.
        samples: Pixels beside a border that were looked at, all there are.
        ratio: r.
        standard_error: Of the ratio, from blocks of 32 px along the borders.
    """

    core_px: int
    samples: int
    ratio: float
    standard_error: float

    @property
    def excess(self) -> float:
        """How far the ratio is from 1 beyond twice its standard error; 0 with too few samples."""
        if self.samples < LEAST_SAMPLES:
            return 0.0
        return max(0.0, abs(self.ratio - 1) - 2 * self.standard_error)


def seams(read: Read, size: Size, core_px: int) -> Seams | None:
    """The seams of an image that was made in tiles; None when it has no border that can be judged.

    Strips of 98 px along the borders are read, run by run, so that memory is bounded.

    Args:
        read: Gives the values inside a box.
        size: Of the image.
        core_px: Side of the tiles' cores, a multiple of 16; the first begins at the top left.
    """
    places = np.arange(-_REACH_PX, _REACH_PX + 1, _PERIOD_PX)
    offsets = places[places % core_px != 0]
    if not offsets.size:
        return None
    across, beside, samples = [], [], 0
    for strip in _strips(read, size, core_px):
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
    return Seams(core_px, samples, ratio, error)


def _strips(read: Read, size: Size, core_px: int) -> Iterator[Float[ndarray, "run 2*reach+2"]]:
    """The pixels around each border, a run of it at a time, with the border in the middle of each row."""
    for border in range(core_px, size.width, core_px):
        left, right = border - _REACH_PX - 1, border + _REACH_PX + 1
        if left >= 0 and right <= size.width:
            for top in range(0, size.height, _RUN_PX):
                yield read(Box(top, left, min(top + _RUN_PX, size.height), right)).mean(axis=2)
    for border in range(core_px, size.height, core_px):
        top, bottom = border - _REACH_PX - 1, border + _REACH_PX + 1
        if top >= 0 and bottom <= size.height:
            for left in range(0, size.width, _RUN_PX):
                yield read(Box(top, left, bottom, min(left + _RUN_PX, size.width))).mean(axis=2).T
