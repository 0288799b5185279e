"""Additive statistics of feature maps: sums over positions, so that `a + b` is the statistic of the union.

A sum is all that tiling, caching of style targets and several devices need. Each function accumulates in
float32 (float64 for float64 features), whatever the features' own precision, and remembers for its gradient
only tensors that exist anyway: the features and the guide. Where a guide is zero a CPU skips the positions.

Shapes: `features` is F, one image of `channels` (N) maps over height x width positions (M);
`guide` is T, one normalised guidance channel on the same grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Positions that a CPU takes at a time: enough to keep the product busy, few enough that what is made of them
# stays in the cache instead of doubling the memory of the largest layer.
_CHUNK = 8192

# A CPU rounds the product of two bfloat16 matrices to bfloat16. From this many chunks on their errors, one
# independent of the other, cancel to less than that of the features, and the product is twice as fast.
_CHUNKS_THAT_CANCEL = 8


def second_moment(
    features: Float[Tensor, "1 channels height width"],
    guide: Float[Tensor, "height width"] | None = None,
) -> Float[Tensor, "channels channels"]:
    """The sum over positions of T^2 F F^T, the unnormalised (guided) Gram matrix.

    Gradient for an incoming D: T^2 (D + D^T) F, rounded to the features' precision.
    """
    moment: Tensor = _SecondMoment.apply(features, guide)
    return moment


def first_moment(
    features: Float[Tensor, "1 channels height width"],
    guide: Float[Tensor, "height width"] | None = None,
) -> Float[Tensor, " channels"]:
    """The sum over positions of T F, the unnormalised (guided) feature-map means.

    Gradient for an incoming d: T d, rounded to the features' precision.
    """
    moment: Tensor = _FirstMoment.apply(features, guide)
    return moment


def squared_difference(
    features: Float[Tensor, "1 channels height width"],
    target: Float[Tensor, "1 channels height width"],
    weights: Float[Tensor, "height width"] | None = None,
) -> Float[Tensor, ""]:
    """The sum over all elements of W (F - target)^2, W = 1 without weights.

    Gradient for an incoming d: 2 d W (F - target).
    """
    difference: Tensor = _SquaredDifference.apply(features, target, weights)
    return difference


def total_variation(pixels: Float[Tensor, "3 height_1 width_1"]) -> Float[Tensor, ""]:
    """The sum of the squared steps from each pixel to its right and to its lower neighbour.

    The last row and column are read as neighbours alone: they own no step.
    """
    owned = pixels[:, :-1, :-1]
    return (pixels[:, :-1, 1:] - owned).square().sum() + (pixels[:, 1:, :-1] - owned).square().sum()


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The precision in which features of this dtype are summed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class _SecondMoment(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, guide: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, guide)
        rows = _as_rows(features)
        weights = None if guide is None else guide.reshape(-1, 1)
        if rows.is_cuda and rows.dtype == torch.bfloat16:
            weighted = rows if weights is None else rows * weights.to(rows.dtype)
            return torch.mm(weighted.t(), weighted, out_dtype=torch.float32)
        total = torch.zeros(rows.shape[1], rows.shape[1], dtype=accumulator(rows.dtype), device=rows.device)
        chunks = list(_chunks(rows, weights))
        rounded = rows.dtype == torch.bfloat16 and len(chunks) >= _CHUNKS_THAT_CANCEL
        factors = rows.dtype if rounded else total.dtype
        for chunk in chunks:
            some = rows[chunk].to(factors)
            if weights is not None:
                some = some * weights[chunk].to(factors)
            if rounded:
                total += some.t() @ some
            else:
                total.addmm_(some.t(), some)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        features, guide = ctx.saved_tensors
        symmetric = (derivative + derivative.t()).to(features.dtype)
        rows = _as_rows(features)
        weights = None if guide is None else guide.square().reshape(-1, 1).to(rows.dtype)
        if weights is None or rows.device.type != "cpu":
            gradient = rows @ symmetric
            return _as_map(gradient if weights is None else gradient.mul_(weights), *features.shape[2:]), None
        gradient = torch.zeros(rows.shape, dtype=rows.dtype)
        for chunk in _chunks(rows, weights):
            torch.mm(rows[chunk], symmetric, out=gradient[chunk]).mul_(weights[chunk])
        return _as_map(gradient, *features.shape[2:]), None


class _FirstMoment(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, guide: Tensor | None) -> Tensor:
        ctx.save_for_backward(guide)
        ctx.like = features.shape, features.dtype, features.device
        rows = _as_rows(features)
        weights = None if guide is None else guide.reshape(1, -1)
        if rows.is_cuda and rows.dtype == torch.bfloat16 and weights is not None:
            return torch.mm(weights.to(rows.dtype), rows, out_dtype=torch.float32)[0]
        total = torch.zeros(rows.shape[1], dtype=accumulator(rows.dtype), device=rows.device)
        for chunk in _chunks(rows, None if weights is None else weights[0]):
            some = rows[chunk].to(total.dtype)
            total += some.sum(dim=0) if weights is None else (weights[:, chunk].to(total.dtype) @ some)[0]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        (guide,) = ctx.saved_tensors
        (_, channels, height, width), dtype, device = ctx.like
        rows = torch.empty(height * width, channels, dtype=dtype, device=device)
        rows.copy_(derivative)
        if guide is not None:
            rows.mul_(guide.reshape(-1, 1).to(dtype))
        return _as_map(rows, height, width), None


class _SquaredDifference(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, target, weights)
        precise = accumulator(features.dtype)
        if features.dtype != precise and not features.is_cuda:
            return _squared_difference_of_rows(features, target, weights)
        squares = (features.to(precise) - target.to(precise)).square()
        return (squares if weights is None else squares.mul_(weights)).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None, None]:
        features, target, weights = ctx.saved_tensors
        precise = accumulator(features.dtype)
        difference = (features.to(precise) - target.to(precise)).mul_(2 * derivative)
        if weights is not None:
            difference.mul_(weights)
        return difference.to(features.dtype), None, None


def _squared_difference_of_rows(features: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """The same sum chunk by chunk: two whole maps in float32 would take longer to write than the network."""
    rows, others = _as_rows(features), _as_rows(target)
    each = None if weights is None else weights.reshape(-1, 1)
    sums = []
    for chunk in _chunks(rows):
        squares = (rows[chunk].to(torch.float32) - others[chunk].to(torch.float32)).square_()
        sums.append((squares if each is None else squares.mul_(each[chunk])).sum())
    return torch.stack(sums).sum()


def _chunks(rows: Tensor, weights: Tensor | None = None) -> Iterator[slice]:
    """Cuts of the positions, each small enough to be converted to float32 at once.

    On a CPU those without a weight are left out: finding them would make the host wait for another device.
    """
    on_host = rows.device.type == "cpu"
    chunk = _CHUNK if on_host else len(rows)
    for start in range(0, len(rows), chunk):
        cut = slice(start, start + chunk)
        if weights is None or not on_host or bool(weights[cut].any()):
            yield cut


def _as_rows(features: Tensor) -> Tensor:
    """Positions as rows, channels as columns: a view of channels-last features, a copy of others."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _as_map(rows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `_as_rows`, as a channels-last view."""
    return rows.view(1, height, width, -1).permute(0, 3, 1, 2)
