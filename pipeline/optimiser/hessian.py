"""The multiscale initial Hessian of L-BFGS: a step that is larger for larger structures.

    M q = q + sum over k = 1..K of 4^-k U_k U_k^T q

U_k is bilinear upsampling by 2^k (half-pixel centres, edges clamped) and U_k^T its exact adjoint, so that M
is symmetric and M >= I. A constant image is an eigenvector of eigenvalue 1 + K; the finest texture keeps 1.

Along one dimension, each pixel of a block of 2^k lies between two coarse cells, its own and the nearer
neighbour; `_taps` lists their weights. Upsampling reads the cells with one more at each end (the clamped
edge); the adjoint adds into those and then folds them onto the end cells. Both are additions of strided
views in a fixed order, hence deterministic on every device, which the backward pass of torch's bilinear
upsampling is not on CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Size

_ROWS, _COLUMNS = 1, 2
_MAX_SCALES = 7


@final
@dataclass(frozen=True, slots=True)
class MultiscaleHessian:
    """M for images, or tiles of them, whose sides are multiples of 2^K.

    Attributes:
        scales: K, 0 for the identity.
    """

    scales: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.scales <= _MAX_SCALES:
            raise ValueError(f"scales lie in 0..{_MAX_SCALES}; got {self.scales}")

    def fitting(self, size: Size) -> MultiscaleHessian:
        """This one without the scales whose blocks do not divide both sides of an image."""
        # The lowest bit that is set is the largest power of two that divides both.
        sides = size.height | size.width
        return MultiscaleHessian(min(self.scales, (sides & -sides).bit_length() - 1))

    @property
    def stride_px(self) -> int:
        """The grid on which the edges of tiles lie."""
        return 1 << self.scales

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that make M exact inside it, for tiles on multiples of 2^K.

        A pixel needs the cells of its own and both neighbouring blocks. The cells of the outermost block of
        a haloed tile are wrong, because the edge is clamped there, so it takes two blocks.
        """
        return 2 * self.stride_px if self.scales else 0

    def apply_(self, image: Float[Tensor, "channels height width"]) -> Float[Tensor, "channels height width"]:
        """Replaces `image`, of at least float32, by M image and returns it."""
        width = image.shape[_COLUMNS]
        # All grids first: what they are made of is about to change.
        grids = [(cell, _coarse(image, cell)) for cell in (1 << k for k in range(1, self.scales + 1))]
        for cell, grid in grids:
            columns = image.new_zeros(len(image), grid.shape[_ROWS], width)
            _spread(grid, columns, cell, _COLUMNS, 1.0)
            _spread(columns, image, cell, _ROWS, 1.0 / cell**2)
        return image


def _coarse(
    image: Float[Tensor, "channels height width"], cell: int
) -> Float[Tensor, "channels rows columns"]:
    """U^T image on the grid of this cell, with one cell more on all sides that repeats the edge."""
    grid = _gather(_gather(image, cell, _ROWS), cell, _COLUMNS)
    for dim in (_ROWS, _COLUMNS):
        grid.select(dim, 1).add_(grid.select(dim, 0))
        grid.select(dim, -2).add_(grid.select(dim, -1))
        grid.select(dim, 0).copy_(grid.select(dim, 1))
        grid.select(dim, -1).copy_(grid.select(dim, -2))
    return grid


def _taps(cell: int) -> Iterator[tuple[int, int, float]]:
    """(pixel in the block, offset of a coarse cell from the block's left neighbour, bilinear weight)."""
    for pixel in range(cell):
        position = (pixel + 0.5) / cell + 0.5
        left = int(position)
        yield pixel, left, 1.0 - (position - left)
        yield pixel, left + 1, position - left


def _blocks(fine: Tensor, cell: int, dim: int) -> Tensor:
    """A view of `fine` whose dimension `dim` is split in two: blocks, and the pixels of a block."""
    return fine.view(*fine.shape[:dim], fine.shape[dim] // cell, cell, *fine.shape[dim + 1 :])


def _gather(fine: Tensor, cell: int, dim: int) -> Tensor:
    """The adjoint of `_spread`: pixels weighted and added into cells, with one cell more at each end."""
    blocks = _blocks(fine, cell, dim)
    cells = blocks.shape[dim]
    shape = list(fine.shape)
    shape[dim] = cells + 2
    coarse = fine.new_zeros(shape)
    for pixel, offset, weight in _taps(cell):
        coarse.narrow(dim, offset, cells).add_(blocks.select(dim + 1, pixel), alpha=weight)
    return coarse


def _spread(coarse: Tensor, fine: Tensor, cell: int, dim: int, factor: float) -> None:
    """Adds to `fine` the bilinear interpolation of `coarse` (one cell more at each end), times `factor`."""
    blocks = _blocks(fine, cell, dim)
    cells = blocks.shape[dim]
    for pixel, offset, weight in _taps(cell):
        blocks.select(dim + 1, pixel).add_(coarse.narrow(dim, offset, cells), alpha=weight * factor)
