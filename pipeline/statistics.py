"""Additive statistics of feature maps: sums over positions, so that `a + b` is the statistic of the union.

A sum is all that tiling, caching of style targets and several devices need. Each function accumulates in
float32 (float64 for float64 features), whatever the features' own precision, and remembers for its gradient
only tensors that exist anyway: the features and the guide. Where a guide is zero a CPU skips the rows.

Beside each function stands its `pull`: the same gradient without the sum, for whoever knows what is asked of
the sum before he has the features. `add_pulls` adds those of several sums of one map in one sweep over it.

Shapes: `features` is F, one image of `channels` (N) maps over height x width positions (M);
`guide` is T, one normalised guidance channel on the same grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Pull = Callable[[slice], Tensor | None]
"""What a derivative asks of some rows of a feature map, `rows width channels`; None where it is nothing."""

# Positions that a CPU takes at a time, in whole rows: enough to keep the product busy, few enough that what
# is made of them stays in the cache instead of doubling the memory of the largest layer.
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
        by_row, channels = _by_row(features), features.shape[1]
        if features.is_cuda and features.dtype == torch.bfloat16:
            if guide is None:
                positions = by_row.reshape(-1, channels)
                return _long_product(positions, positions)
            relative, largest = _relative(guide, features.dtype)
            positions = (by_row * relative[..., None]).reshape(-1, channels)
            return _long_product(positions, positions).mul_(largest.square())
        total = torch.zeros(channels, channels, dtype=accumulator(features.dtype), device=features.device)
        chunks = list(_chunks(features, guide))
        if features.dtype == torch.bfloat16 and len(chunks) >= _CHUNKS_THAT_CANCEL:
            if guide is not None:
                relative, largest = _relative(guide, features.dtype)
            for rows in chunks:
                some = by_row[rows] if guide is None else by_row[rows] * relative[rows, :, None]
                some = some.reshape(-1, channels)
                total += some.t() @ some
            return total if guide is None else total.mul_(largest.square())
        for rows in chunks:
            some = by_row[rows].to(total.dtype)
            if guide is not None:
                some = some * guide[rows, :, None].to(total.dtype)
            some = some.reshape(-1, channels)
            total.addmm_(some.t(), some)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        features, guide = ctx.saved_tensors
        return _pulled(features, second_moment_pull(features, guide, derivative)), None


def second_moment_pull(
    features: Float[Tensor, "1 channels height width"],
    guide: Float[Tensor, "height width"] | None,
    derivative: Float[Tensor, "channels channels"],
) -> Pull:
    """What a derivative D by `second_moment` asks: T^2 (D + D^T) F, rounded to the features' precision."""
    by_row = _by_row(features)
    precise = derivative.to(accumulator(features.dtype))
    symmetric, relative = precise + precise.t(), None
    if guide is not None:
        relative, largest = _relative(guide.square(), features.dtype)
        symmetric *= largest
    symmetric = symmetric.to(features.dtype)

    def pull(rows: slice) -> Tensor | None:
        if _is_empty(guide, rows):
            return None
        some = by_row[rows]
        asked = (some.reshape(-1, some.shape[-1]) @ symmetric).view(some.shape)
        return asked if relative is None else asked.mul_(relative[rows, :, None])

    return pull


class _FirstMoment(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, guide: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, guide)
        by_row, channels = _by_row(features), features.shape[1]
        if features.is_cuda and features.dtype == torch.bfloat16 and guide is not None:
            relative, largest = _relative(guide, features.dtype)
            sums = _long_product(relative.reshape(-1, 1), by_row.reshape(-1, channels))
            return sums[0].mul_(largest)
        total = torch.zeros(channels, dtype=accumulator(features.dtype), device=features.device)
        for rows in _chunks(features, guide):
            some = by_row[rows].to(total.dtype).reshape(-1, channels)
            total += (
                some.sum(dim=0) if guide is None else (guide[rows].reshape(1, -1).to(total.dtype) @ some)[0]
            )
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None]:
        features, guide = ctx.saved_tensors
        return _pulled(features, first_moment_pull(features, guide, derivative)), None


def first_moment_pull(
    features: Float[Tensor, "1 channels height width"],
    guide: Float[Tensor, "height width"] | None,
    derivative: Float[Tensor, " channels"],
) -> Pull:
    """What a derivative d by `first_moment` asks: T d, rounded to the features' precision."""
    by_row = _by_row(features)
    each, relative = derivative.to(accumulator(features.dtype)), None
    if guide is not None:
        relative, largest = _relative(guide, features.dtype)
        each = each * largest
    each = each.to(features.dtype)

    def pull(rows: slice) -> Tensor | None:
        if _is_empty(guide, rows):
            return None
        asked = each.repeat(*by_row[rows].shape[:2], 1)
        return asked if relative is None else asked.mul_(relative[rows, :, None])

    return pull


class _SquaredDifference(Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, target, weights)
        precise = accumulator(features.dtype)
        by_row, others = _by_row(features), _by_row(target)
        sums = []
        # Two whole maps in float32 would take longer to write than the network.
        for rows in _chunks(features):
            squares = (by_row[rows].to(precise) - others[rows].to(precise)).square_()
            sums.append((squares if weights is None else squares.mul_(weights[rows, :, None])).sum())
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, derivative: Tensor) -> tuple[Tensor, None, None]:
        features, target, weights = ctx.saved_tensors
        pull = squared_difference_pull(features, target, weights, derivative)
        return _pulled(features, pull), None, None


def squared_difference_pull(
    features: Float[Tensor, "1 channels height width"],
    target: Float[Tensor, "1 channels height width"],
    weights: Float[Tensor, "height width"] | None,
    derivative: Float[Tensor, ""],
) -> Pull:
    """What a derivative d by `squared_difference` asks: 2 d W (F - target)."""
    by_row, others = _by_row(features), _by_row(target)
    precise = accumulator(features.dtype)
    twice = 2 * derivative.to(precise)

    def pull(rows: slice) -> Tensor:
        asked = (by_row[rows].to(precise) - others[rows].to(precise)).mul_(twice)
        if weights is not None:
            asked.mul_(weights[rows, :, None])
        return asked.to(features.dtype)

    return pull


def add_pulls(pulls: Sequence[Pull], *, to: Float[Tensor, "1 channels height width"]) -> None:
    """Adds what several derivatives ask of one map to its gradient, in one sweep."""
    by_row = _by_row(to)
    for rows in _chunks(to):
        asked: Tensor | None = None
        # The last first, as autograd adds them: the sums are the same to the last bit.
        for pull in reversed(pulls):
            some = pull(rows)
            if some is not None:
                asked = some if asked is None else some.add_(asked)
        if asked is not None:
            by_row[rows] += asked


def _long_product(
    left: Float[Tensor, "positions rows"], right: Float[Tensor, "positions columns"]
) -> Float[Tensor, "rows columns"]:
    """left^T right of bfloat16 values on a GPU, in float32, a chunk of positions at a time.

    Tensor cores cut off what a float32 sum has no place for, always downwards where nothing is negative: a
    sum over the millions of positions of a large tile would be too small, and another one by other tiles.
    """
    whole = left.shape[0] // _CHUNK * _CHUNK
    if whole == 0:
        return torch.mm(left.t(), right, out_dtype=torch.float32)
    some, others = (each[:whole].view(-1, _CHUNK, each.shape[1]) for each in (left, right))
    total = torch.bmm(some.mT, others, out_dtype=torch.float32).sum(dim=0)
    if whole < left.shape[0]:
        total += torch.mm(left[whole:].t(), right[whole:], out_dtype=torch.float32)
    return total


def _pulled(features: Tensor, pull: Pull) -> Tensor:
    """The gradient of one sum alone, channels-last."""
    height, width = features.shape[2:]
    by_row = features.new_empty(height, width, features.shape[1])
    for rows in _chunks(features):
        asked = pull(rows)
        if asked is None:
            by_row[rows].zero_()
        else:
            by_row[rows] = asked
    return by_row.permute(2, 0, 1)[None]


def _chunks(features: Tensor, guide: Tensor | None = None) -> Iterator[slice]:
    """Cuts of the rows, each small enough to be converted to float32 at once.

    On a CPU those without a weight are left out: finding them would make the host wait for another device.
    """
    height, width = features.shape[2:]
    step = max(1, _CHUNK // width) if features.device.type == "cpu" else height
    for top in range(0, height, step):
        rows = slice(top, top + step)
        if not _is_empty(guide, rows):
            yield rows


def _relative(weights: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The weights in the features' precision, and what those are to be multiplied by.

    A region with a sharp border has one weight wherever it has one: rounded to bfloat16 it would be wrong by
    as much as 0.4 % at every position, which no sum evens out. Over the largest it is exactly one.
    """
    if dtype != torch.bfloat16:
        return weights.to(dtype), weights.new_ones(())
    largest = weights.abs().amax()
    return (weights / largest.clamp(min=torch.finfo(weights.dtype).tiny)).to(dtype), largest


def _is_empty(guide: Tensor | None, rows: slice) -> bool:
    """Whether a CPU sees that the guide weights none of these rows."""
    return guide is not None and guide.device.type == "cpu" and not bool(guide[rows].any())


def _by_row(features: Tensor) -> Tensor:
    """A view, `height width channels`: of channels-last features, a part of them too, runs of positions."""
    return features[0].permute(1, 2, 0)
