"""The statement of the loss, as data: terms, each an additive statistic and a distance to its target.

A term measures (a sum over the positions it is shown) and judges (a distance of that sum's mean over all
positions of the level). Whoever evaluates it may show the level whole or in pieces and add what was measured.

Shapes: N channels, M positions of a layer; G = (1 / M) sum over positions of T^2 F F^T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Size
from pipeline.layers import Layer
from pipeline.statistics import second_moment, squared_difference


@dataclass(frozen=True, slots=True)
class Statistic:
    """The name of one additive statistic; terms that agree on it share one computation.

    Attributes:
        kind: Which sum over positions.
        layer: The activation it is taken of.
        region: The guidance channel that weights it; None for all positions alike.
    """

    kind: Literal["second_moment", "squared_difference"]
    layer: str
    region: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """What the terms may look at, for a whole level or for the core of one tile.

    Attributes:
        features: Activations by layer name.
        guides: Normalised guidance channels by layer name, one per region.
        content: The content image's activations by layer name.
    """

    features: Mapping[str, Float[Tensor, "1 channels height width"]]
    guides: Mapping[str, Float[Tensor, "regions height width"]]
    content: Mapping[str, Float[Tensor, "1 channels height width"]]


class Term(Protocol):
    """One summand of the loss."""

    @property
    def name(self) -> str:
        """How logs and reports call it; unique within a loss."""

    @property
    def layer(self) -> Layer:
        """The activation it looks at."""

    @property
    def statistic(self) -> Statistic:
        """Which sum it needs."""

    def measure(self, seen: Observation) -> Tensor:
        """The sum over the positions that are shown."""

    def judge(self, mean: Tensor) -> Float[Tensor, ""]:
        """The term's weighted value, given the sum divided by the number of positions of the level."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class ContentTerm:
    """weight * mean over all elements of (F(x) - F(content))^2."""

    layer: Layer
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`content relu4_2`."""
        return f"content {self.layer.name}"

    @property
    def statistic(self) -> Statistic:
        """The squared difference at its layer."""
        return Statistic("squared_difference", self.layer.name)

    def measure(self, seen: Observation) -> Float[Tensor, ""]:
        """The sum of (F(x) - F(content))^2 over the elements shown."""
        return squared_difference(seen.features[self.layer.name], seen.content[self.layer.name])

    def judge(self, mean: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weighted mean over elements; `mean` is the one over positions."""
        return self.weight * mean / self.layer.channels


@final
@dataclass(frozen=True, eq=False, slots=True)
class GramTerm:
    """weight * E, E = mean over the N^2 entries of (G(x) - target)^2; guided when it has a region.

    Differs from the paper: the poster prints 1 / (4 N^2) before the sum; the authors' code has 1 / N^2, and
    so have we.

    Attributes:
        layer: The activation.
        region: Index of the guidance channel, or None for the Gram of the whole image.
        weight: w_l, times lambda_r when it has a region; `style_weight` gives the authors' w_l.
        target: G of the style image, or `mix_targets` of several.
        subject: What is styled, for the term's name; `person`.
    """

    layer: Layer
    region: int | None
    weight: float
    target: Float[Tensor, "channels channels"]
    subject: str = ""

    @property
    def name(self) -> str:
        """`style relu1_1 person`."""
        subject = self.subject or ("" if self.region is None else f"region {self.region}")
        return f"style {self.layer.name} {subject}".strip()

    @property
    def statistic(self) -> Statistic:
        """The second moment at its layer, guided by its region."""
        return Statistic("second_moment", self.layer.name, self.region)

    def measure(self, seen: Observation) -> Float[Tensor, "channels channels"]:
        """The sum of T^2 F F^T over the positions shown."""
        guide = None if self.region is None else seen.guides[self.layer.name][self.region]
        return second_moment(seen.features[self.layer.name], guide)

    def judge(self, mean: Float[Tensor, "channels channels"]) -> Float[Tensor, ""]:
        """The weighted mean of squared differences between the Gram matrices."""
        return self.weight * (mean - self.target.to(mean)).square().mean()


@final
@dataclass(frozen=True, eq=False)
class Loss:
    """The sum of its terms.

    Raises:
        ValueError: There is no term, or two have one name.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a loss has terms, each of another name; got {names}")

    @property
    def deepest(self) -> Layer:
        """The deepest layer of all terms: the one that sets stride and halo."""
        return max((term.layer for term in self.terms), key=lambda layer: layer.receptive_field_px)

    @property
    def layers(self) -> frozenset[Layer]:
        """Where features of the image are needed."""
        return frozenset(term.layer for term in self.terms)

    @property
    def content_layers(self) -> frozenset[Layer]:
        """Where features of the content image are needed."""
        return frozenset(term.layer for term in self.terms if term.statistic.kind == "squared_difference")

    @property
    def guided_layers(self) -> frozenset[Layer]:
        """Where guidance channels are needed."""
        return frozenset(term.layer for term in self.terms if term.statistic.region is not None)

    def measure(self, seen: Observation) -> dict[Statistic, Tensor]:
        """Every statistic the terms need, over the positions shown; each is computed once."""
        sums: dict[Statistic, Tensor] = {}
        for term in self.terms:
            if term.statistic not in sums:
                sums[term.statistic] = term.measure(seen)
        return sums

    def judge(self, sums: Mapping[Statistic, Tensor], size: Size) -> dict[str, Float[Tensor, ""]]:
        """The terms' weighted values by name, in float64; the loss is their sum.

        Args:
            sums: The statistics over all positions of the level.
            size: The level, in pixels.
        """
        return {
            term.name: term.judge(
                sums[term.statistic].to(torch.float64) / size.divided(term.layer.stride_px).area
            )
            for term in self.terms
        }


def style_weight(layer: Layer) -> float:
    """w_l = 1e3 / N^2, the authors' weight of a style layer for the Oxford networks' activations."""
    return 1e3 / layer.channels**2


def mix_targets(
    targets: Sequence[Float[Tensor, "channels channels"]], weights: Sequence[float]
) -> Float[Tensor, "channels channels"]:
    """The weighted mean of several style images' statistics, as one target.

    sum_s a_s |G - G_s|^2 = |G - sum_s a_s G_s|^2 + constant when the a_s sum to one: the gradient is that of
    the weighted sum of losses, the value differs by a constant, and it costs as much as one style.

    Raises:
        ValueError: The weights are not as many as the targets, or not all positive.
    """
    if len(targets) != len(weights) or not weights or min(weights) <= 0:
        raise ValueError(f"{len(targets)} targets need as many positive weights; got {list(weights)}")
    total = sum(weights)
    mixed = torch.zeros_like(targets[0])
    for target, weight in zip(targets, weights, strict=True):
        mixed += weight / total * target
    return mixed
