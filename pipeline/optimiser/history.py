"""The history of L-BFGS, and the direction it gives in the compact form: a few numbers from inner products.

The inverse BFGS matrix of the pairs (s_i, y_i) over H0 = gamma M is, with the pairs as columns of S and Y,

    H = gamma M + [S, gamma M Y] [[R^-T (D + gamma Y^T M Y) R^-1, -R^-T], [-R^-1, 0]] [S, gamma M Y]^T

where R is the upper triangle of S^T Y and D its diagonal (Byrd, Nocedal and Schnabel 1994, theorem 2.2). So

    -H g = -(gamma M (g + Y b) + S a),  b = -R^-1 S^T g,  a = -R^-T (D b + gamma Y^T M (g + Y b))

and g^T H g = gamma g^T M (g + Y b) + (S^T g)^T a: inner products alone, which one sweep over the vectors
gives. The direction itself is nowhere stored; it is formed tile by tile where the next image is written. It
is that of the two-loop recursion (Nocedal and Wright 2006, algorithm 7.4) up to rounding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.stores import Store


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """One pair of the history, rounded to the history's precision: s of two images, y of their gradients."""

    step: Store
    change: Store


@final
@dataclass(frozen=True, slots=True)
class Projection:
    """What a direction needs to know of the gradient g.

    Attributes:
        steps: s_i . g for each pair.
        changes: y_i . M g for each pair.
        gradient: g . M g.
        largest: The largest magnitude in M g.
    """

    steps: list[float]
    changes: list[float]
    gradient: float
    largest: float

    def numbers(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class Direction:
    """-(gamma M (g + sum of b_i y_i) + sum of a_i s_i) and its slope, the inner product with g."""

    gamma: float
    a: list[float]
    b: list[float]
    slope: float


@final
@dataclass(frozen=True, slots=True)
class History:
    """The pairs, oldest first, and their inner products in float64, of the rounded values.

    Attributes:
        pairs: (s_i, y_i).
        curvatures: s_i . y_j where i <= j; zero below.
        changes: y_i . M y_j.
    """

    pairs: tuple[Pair, ...] = ()
    curvatures: Float[Tensor, "pairs pairs"] = field(default_factory=lambda: _matrix([]))
    changes: Float[Tensor, "pairs pairs"] = field(default_factory=lambda: _matrix([]))

    def newest(self, count: int) -> History:
        """The history of the newest `count` pairs at most."""
        first = max(0, len(self.pairs) - count)
        return History(self.pairs[first:], self.curvatures[first:, first:], self.changes[first:, first:])

    def with_pair(self, pair: Pair, curvatures: list[float], changes: list[float]) -> History:
        """The history with one pair more.

        Args:
            pair: The new one.
            curvatures: s_i . y of the new y with each s, its own last.
            changes: y_i . M y of the new y with each y, its own last.
        """
        count = len(curvatures)
        grown = [torch.zeros(count, count, dtype=torch.float64) for _ in range(2)]
        for matrix, old, column in zip(
            grown, (self.curvatures, self.changes), (curvatures, changes), strict=True
        ):
            matrix[:-1, :-1] = old
            matrix[:, -1] = torch.tensor(column, dtype=torch.float64)
        grown[1][-1] = grown[1][:, -1]
        return History((*self.pairs, pair), *grown)

    def direction(self, projection: Projection, first_step: float) -> Direction:
        """The direction -H g; without pairs -M g, scaled so that its largest magnitude is `first_step`."""
        if not self.pairs:
            gamma = first_step / projection.largest if projection.largest > 0 else 1.0
            return Direction(gamma, [], [], -gamma * projection.gradient)
        R = self.curvatures
        steps = torch.tensor(projection.steps, dtype=torch.float64)
        changes = torch.tensor(projection.changes, dtype=torch.float64)
        gamma = (R[-1, -1] / self.changes[-1, -1]).item()
        b = -torch.linalg.solve_triangular(R, steps[:, None], upper=True)[:, 0]
        inner = R.diagonal() * b + gamma * (changes + self.changes @ b)
        a = -torch.linalg.solve_triangular(R.T, inner[:, None], upper=False)[:, 0]
        slope = -(gamma * (projection.gradient + changes @ b) + steps @ a).item()
        return Direction(gamma, a.tolist(), b.tolist(), slope)

    def numbers(self) -> dict[str, Any]:
        """The inner products."""
        return {"curvatures": self.curvatures.tolist(), "changes": self.changes.tolist()}

    @classmethod
    def restored(cls, numbers: dict[str, Any], pairs: tuple[Pair, ...]) -> History:
        """The inverse of `numbers`, for these pairs."""
        return cls(pairs, _matrix(numbers["curvatures"]), _matrix(numbers["changes"]))


def _matrix(rows: list[list[float]]) -> Float[Tensor, "rows columns"]:
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(rows))
