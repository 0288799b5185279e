"""The masks of training: where the regions are in a crop.

Trained with one, as the authors do, the network learns to look at its channels and follows any mask later;
but what it sees of a region depends on the region's share of the image, so it is best at shares it has met.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.networks import TrainingMask

_VARIED = 32
_EVEN = 0.3
"""How much of every region's fair share no varied mask takes away."""


def training_masks(
    kind: TrainingMask, regions: int, side_px: int, seed: int
) -> Float[Tensor, "masks regions side side"]:
    """Regions that cover a square once: 1 inside, 0 outside. One mask, or 32 for `varied`.

    `top-bottom`: bands of equal areas from the top; `left-right`: from the left; `circle`: a disc in the
    middle, rings around it, and the corners. `varied`: bands at any angle, rings around any place and soft
    blotches, in any order of the regions and with any shares of the area.

    Args:
        kind: Which.
        regions: How many.
        side_px: Of the square.
        seed: Of what varies.
    """
    places = torch.arange(side_px, dtype=torch.float64) - (side_px - 1) / 2
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    if kind != "varied":
        order = {"top-bottom": rows, "left-right": columns, "circle": rows.square() + columns.square()}[kind]
        return _cut(order, [1 / regions] * regions)[None]
    random = np.random.default_rng([seed, regions])
    found = []
    for index in range(_VARIED):
        shares = _EVEN / regions + (1 - _EVEN) * random.dirichlet([1.0] * regions)
        order = _order(index % 3, rows / side_px, columns / side_px, random)
        found.append(_cut(order, shares.tolist())[torch.from_numpy(random.permutation(regions))])
    return torch.stack(found)


def _order(
    shape: int,
    rows: Float[Tensor, "side side"],
    columns: Float[Tensor, "side side"],
    random: np.random.Generator,
) -> Float[Tensor, "side side"]:
    """A landscape over the square, whose regions are the land between two heights."""
    if shape == 0:
        angle = random.uniform(0, 2 * math.pi)
        return torch.add(math.sin(angle) * rows, columns, alpha=math.cos(angle))
    if shape == 1:
        row, column = (float(place) for place in random.uniform(-0.35, 0.35, 2))
        return (rows - row).square() + (columns - column).square()
    landscape = torch.zeros_like(rows)
    for _ in range(4):
        down, right = (float(waves) for waves in random.normal(0, 1.5, 2))
        phase = random.uniform(0, 2 * math.pi)
        landscape += torch.cos(2 * math.pi * (down * rows + right * columns) + phase)
    return landscape


def _cut(order: Float[Tensor, "side side"], shares: list[float]) -> Float[Tensor, "regions side side"]:
    """The square cut where its places in this order have these shares of it."""
    ranks = torch.empty(order.numel(), dtype=torch.long)
    ranks[order.flatten().argsort(stable=True)] = torch.arange(order.numel())
    ranks = ranks.view(order.shape)
    edges = [0, *(round(edge * order.numel()) for edge in np.cumsum(shares[:-1])), order.numel()]
    return torch.stack([((ranks >= low) & (ranks < high)).float() for low, high in itertools.pairwise(edges)])
