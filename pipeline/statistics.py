"""Additive statistics of feature maps: sums over positions, so that `a + b` is the statistic of the union.

A sum is all that tiling, caching of style targets and several devices need. Each function accumulates in
float32 (float64 for float64 features), whatever the features' own precision, and remembers for its gradient
only tensors that exist anyway: the features and the guide.

Shapes: `features` is F, one image of `channels` (N) maps over height x width positions (M);
`guide` is T, one normalised guidance channel on the same grid.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Positions that a CPU converts to float32 at a time: enough to keep the product busy, few enough that the
# copy stays in the cache instead of doubling the memory of the largest layer.
_CHUNK = 8192


def second_moment(
    features: Float[Tensor, "1 channels height width"],
    guide: Float[Tensor, "height width"] | None = None,
) -> Float[Tensor, "channels channels"]:
    """The sum over positions of T^2 F F^T, the unnormalised (guided) Gram matrix.

    Gradient for an incoming D: T^2 (D + D^T) F, rounded to the features' precision.
    """
    moment: Tensor = _SecondMoment.apply(features, guide)
    return moment


def squared_difference(
    features: Float[Tensor, "1 channels height width"],
    target: Float[Tensor, "1 channels height width"],
) -> Float[Tensor, ""]:
    """The sum over all elements of (F - target)^2. Gradient for an incoming d: 2 d (F - target)."""
    difference: Tensor = _SquaredDifference.apply(features, target)
    return difference


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
        chunk = _CHUNK if rows.device.type == "cpu" else len(rows)
        for start in range(0, len(rows), chunk):
            some = rows[start : start + chunk].to(total.dtype)
            if weights is not None:
                some = some * weights[start : start + chunk]
            total.addmm_(some.t(), some)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        features, guide = ctx.saved_tensors
        symmetric = (derivative + derivative.t()).to(features.dtype)
        gradient = _as_rows(features) @ symmetric
        if guide is not None:
            gradient.mul_(guide.square().reshape(-1, 1).to(features.dtype))
        return _as_map(gradient, features), None


class _SquaredDifference(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(features, target)
        precise = accumulator(features.dtype)
        return (features.to(precise) - target.to(precise)).square().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        features, target = ctx.saved_tensors
        precise = accumulator(features.dtype)
        difference = features.to(precise) - target.to(precise)
        return difference.mul_(2 * derivative).to(features.dtype), None


def _as_rows(features: Tensor) -> Tensor:
    """Positions as rows, channels as columns: a view of channels-last features, a copy of others."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _as_map(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_as_rows`, as a channels-last view."""
    _, channels, height, width = like.shape
    return rows.view(1, height, width, channels).permute(0, 3, 1, 2)
