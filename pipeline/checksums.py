"""Checksums of the blocks that a vector's file is made of: what tells a damaged one."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, UInt32, UInt64
from torch import Tensor

_HALF = np.uint64(32)


def block_checksums(
    packed: Float[Tensor, "rows columns channels block block"],
) -> UInt32[np.ndarray, "rows columns"]:
    """A number of each block's bytes: the upper half of sum_i w_i x_i mod 2^64, x its words of 32 bits.

    Zero for a block of zeros. For random weights, two different blocks have equal numbers with a probability
    of about 2^-32 (Dietzfelbinger 1996). A CRC tells no more, takes twice the time and holds up all threads.
    """
    rows, columns = packed.shape[:2]
    words = packed.reshape(rows * columns, -1).view(torch.uint8).numpy().view(np.uint64)
    # Words of 64 bits as they are, and their upper halves once more: each half has a weight of its own.
    whole, upper = np.split(_weights(2 * words.shape[1]), 2)
    sums = np.einsum("ij,j->i", words, whole) + np.einsum("ij,j->i", words >> _HALF, upper)
    found: UInt32[np.ndarray, "rows columns"] = (sums >> _HALF).astype(np.uint32).reshape(rows, columns)
    return found


@cache
def _weights(count: int) -> UInt64[np.ndarray, " words"]:
    # Raw bits: what a generator makes of them may differ between versions of numpy. Odd ones lose nothing.
    weights = np.random.Philox(key=0).random_raw(count) | np.uint64(1)
    weights.flags.writeable = False
    return weights
