"""The statement of the loss, as data: terms, each an additive statistic and a distance to its target.

A term measures (a sum over the positions it is shown) and judges (a distance of that sum's mean over all
positions of the level). Whoever evaluates it may show the level whole or in pieces and add what was measured.

Shapes: N channels, M positions of a layer; G = (1 / M) sum over positions of T^2 F F^T; T is normalised.

Past 400 lines, for the terms are read side by side: each is a formula of the paper with its gradient.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Size
from pipeline.layers import Layer
from pipeline.statistics import (
    Pull,
    first_moment,
    first_moment_pull,
    second_moment,
    second_moment_pull,
    squared_difference,
    squared_difference_pull,
    total_variation,
)

PIXELS = Layer("pixels", channels=3, stride_px=1, receptive_field_px=3)
"""The image itself, for terms that need no network: a unit is a pixel, and it knows its neighbours."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """The name of one additive statistic; terms that agree on it share one computation.

    Attributes:
        kind: Which sum over positions.
        layer: The activation it is taken of.
        region: The guidance channel that weights it; None for all positions alike.
        weights: What weights its positions otherwise: the regions' content weights and the common one.
    """

    kind: Literal["first_moment", "second_moment", "squared_difference", "total_variation"]
    layer: str
    region: int | None = None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """What the terms may look at, for a whole level or for the core of one tile.

    Attributes:
        features: Activations by layer name.
        guides: Normalised guidance channels by layer name, one per region.
        content: The content image's activations by layer name.
        shares: How much of each unit a region covers, in [0, 1], by layer name.
        pixels: sRGB in [0, 1], with one more row and column, the neighbours below and to the right; at the
            level's border they repeat the last ones.
    """

    features: Mapping[str, Float[Tensor, "1 channels height width"]]
    guides: Mapping[str, Float[Tensor, "regions height width"]]
    content: Mapping[str, Float[Tensor, "1 channels height width"]]
    shares: Mapping[str, Float[Tensor, "regions height width"]] = field(default_factory=dict)
    pixels: Float[Tensor, "3 height_1 width_1"] | None = None


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

    def pull(self, seen: Observation, derivative: Tensor) -> Pull | None:
        """What a derivative by the sum asks of the features; None if it looks at the pixels themselves."""

    @property
    def is_linear(self) -> bool:
        """Whether the value is a multiple of the sum, so that its derivative is known before the sum is."""

    def judge(self, mean: Tensor) -> Float[Tensor, ""]:
        """The term's weighted value, given the sum divided by the number of positions of the level."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class ContentTerm:
    """weight * mean over all elements of (F(x) - F(content))^2; by regions when it has their weights.

    With weights w_r, the squared difference at a position counts W times instead,
    W = (sum_r T_r w_r + max(0, 1 - sum_r T_r) weight) / max(1, sum_r T_r),
    where T_r is the share of the unit that region r covers: what no region covers keeps the common weight,
    and where regions overlap, they share the position.

    Attributes:
        layer: The activation.
        weight: Of the whole image, or of what no region covers.
        region_weights: w_r of every region, or None for one weight everywhere.
    """

    layer: Layer
    weight: float = 1.0
    region_weights: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """`content relu4_2`."""
        return f"content {self.layer.name}"

    @property
    def statistic(self) -> Statistic:
        """The squared difference at its layer, weighted when regions have weights."""
        weights = () if self.region_weights is None else (*self.region_weights, self.weight)
        return Statistic("squared_difference", self.layer.name, weights=weights)

    @property
    def is_linear(self) -> bool:
        """Yes."""
        return True

    def measure(self, seen: Observation) -> Float[Tensor, ""]:
        """The sum of (F(x) - F(content))^2, or of W times that, over the elements shown."""
        name = self.layer.name
        weights = None if self.region_weights is None else self._weights(seen.shares[name])
        return squared_difference(seen.features[name], seen.content[name], weights)

    def pull(self, seen: Observation, derivative: Float[Tensor, ""]) -> Pull:
        """What a derivative by the sum asks of the features."""
        name = self.layer.name
        weights = None if self.region_weights is None else self._weights(seen.shares[name])
        return squared_difference_pull(seen.features[name], seen.content[name], weights, derivative)

    def judge(self, mean: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weighted mean over elements; `mean` is the one over positions."""
        return (self.weight if self.region_weights is None else 1.0) * mean / self.layer.channels

    def _weights(self, shares: Float[Tensor, "regions height width"]) -> Float[Tensor, "height width"]:
        """W at every position."""
        each = self.region_weights or ()
        if len(each) != len(shares):
            raise ValueError(f"{len(shares)} regions need as many content weights; got {self.region_weights}")
        covered = shares.sum(dim=0)
        # Numbers, not a tensor of them: that would be copied to the device, and the host wait for it.
        weighted: Tensor = sum(share * weight for share, weight in zip(shares, each, strict=True))
        return (weighted + (1 - covered).clamp(min=0) * self.weight) / covered.clamp(min=1)


@final
@dataclass(frozen=True, eq=False, slots=True)
class GramTerm:
    """weight * E, E = mean over the N^2 entries of (G(x) - target)^2; guided when it has a region.

    Differs from the paper: the poster prints 1 / (4 N^2) before the sum; the authors' code has 1 / N^2, and
    so have we.

    Attributes:
        layer: The activation.
        region: Index of the guidance channel, or None for the Gram of the whole image.
        weight: w_l, times lambda_r when it has a region; the authors' w_l is 1e3 / N^2.
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
        return _named("style", self.layer, self.region, self.subject)

    @property
    def statistic(self) -> Statistic:
        """The second moment at its layer, guided by its region."""
        return Statistic("second_moment", self.layer.name, self.region)

    @property
    def is_linear(self) -> bool:
        """No."""
        return False

    def measure(self, seen: Observation) -> Float[Tensor, "channels channels"]:
        """The sum of T^2 F F^T over the positions shown."""
        guide = None if self.region is None else seen.guides[self.layer.name][self.region]
        return second_moment(seen.features[self.layer.name], guide)

    def pull(self, seen: Observation, derivative: Float[Tensor, "channels channels"]) -> Pull:
        """What a derivative by the sum asks of the features."""
        guide = None if self.region is None else seen.guides[self.layer.name][self.region]
        return second_moment_pull(seen.features[self.layer.name], guide, derivative)

    def judge(self, mean: Float[Tensor, "channels channels"]) -> Float[Tensor, ""]:
        """The weighted mean of squared differences between the Gram matrices."""
        return self.weight * (mean - self.target.to(mean)).square().mean()


@final
@dataclass(frozen=True, eq=False, slots=True)
class MeansTerm:
    """weight * mean over the N channels of (gain * m(x) - target)^2, m the mean over positions of T F.

    With a gain of 1 this is the authors' code, here called `sum`: as T is normalised, m grows with the
    square root of the region's share of the area. A gain of 1 / mean(T) (`Guidance.mean_gain`) makes it
    sum(T F) / sum(T), free of the area, here called `mean`.

    Differs from the paper: the poster prints 1 / (2 N) before the sum; the authors' code has 1 / N, and so
    have we.

    Attributes:
        layer: The activation.
        region: Index of the guidance channel, or None for the means of the whole image.
        weight: w_l, times lambda_r when it has a region; `stacked_weight` for the stacked form.
        target: The style's means, of the same kind: `StyleStatistics.sum` or `.mean`.
        gain: What multiplies the measured means.
        subject: What is styled, for the term's name; `person`.
    """

    layer: Layer
    region: int | None
    weight: float
    target: Float[Tensor, " channels"]
    gain: float = 1.0
    subject: str = ""

    @property
    def name(self) -> str:
        """`means relu1_1 person`."""
        return _named("means", self.layer, self.region, self.subject)

    @property
    def statistic(self) -> Statistic:
        """The first moment at its layer, guided by its region."""
        return Statistic("first_moment", self.layer.name, self.region)

    @property
    def is_linear(self) -> bool:
        """No."""
        return False

    def measure(self, seen: Observation) -> Float[Tensor, " channels"]:
        """The sum of T F over the positions shown."""
        guide = None if self.region is None else seen.guides[self.layer.name][self.region]
        return first_moment(seen.features[self.layer.name], guide)

    def pull(self, seen: Observation, derivative: Float[Tensor, " channels"]) -> Pull:
        """What a derivative by the sum asks of the features."""
        guide = None if self.region is None else seen.guides[self.layer.name][self.region]
        return first_moment_pull(seen.features[self.layer.name], guide, derivative)

    def judge(self, mean: Float[Tensor, " channels"]) -> Float[Tensor, ""]:
        """The weighted mean of squared differences between the means."""
        return self.weight * (self.gain * mean - self.target.to(mean)).square().mean()


@final
@dataclass(frozen=True, slots=True)
class TotalVariationTerm:
    """weight * mean over all elements of the squared steps to the right and to the lower neighbour.

    Colours count on the scale 0..255, as for the networks; the last column has no right neighbour, the last
    row no lower one. What pads a level counts as the rest does.
    """

    weight: float

    @property
    def name(self) -> str:
        """`total variation`."""
        return "total variation"

    @property
    def layer(self) -> Layer:
        """The pixels."""
        return PIXELS

    @property
    def statistic(self) -> Statistic:
        """The total variation of the pixels."""
        return Statistic("total_variation", PIXELS.name)

    @property
    def is_linear(self) -> bool:
        """Yes."""
        return True

    def measure(self, seen: Observation) -> Float[Tensor, ""]:
        """The sum of squared steps from the pixels shown, in squares of 0..1."""
        if seen.pixels is None:
            raise ValueError("the total variation needs the pixels; the observation has none")
        return total_variation(seen.pixels)

    def pull(self, seen: Observation, derivative: Float[Tensor, ""]) -> None:
        """Nothing of features: it looks at the pixels."""

    def judge(self, mean: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weighted mean over elements; `mean` is the one over pixels."""
        return self.weight * 255.0**2 * mean / PIXELS.channels


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
        return frozenset(term.layer for term in self.terms) - {PIXELS}

    @property
    def needs_pixels(self) -> bool:
        """Whether a term looks at the image itself."""
        return any(term.layer == PIXELS for term in self.terms)

    @property
    def content_layers(self) -> frozenset[Layer]:
        """Where features of the content image are needed."""
        return frozenset(term.layer for term in self.terms if term.statistic.kind == "squared_difference")

    @property
    def guided_layers(self) -> frozenset[Layer]:
        """Where guidance channels are needed."""
        return frozenset(term.layer for term in self.terms if term.statistic.region is not None)

    @property
    def shared_layers(self) -> frozenset[Layer]:
        """Where the regions' shares of the units are needed."""
        return frozenset(term.layer for term in self.terms if term.statistic.weights)

    @property
    def statistics(self) -> frozenset[Statistic]:
        """What is measured."""
        return frozenset(term.statistic for term in self.terms)

    @property
    def curved(self) -> Loss:
        """The terms whose sums must be known before any gradient is; all of them if no other is left."""
        terms = tuple(term for term in self.terms if not term.is_linear)
        return Loss(terms) if terms else self

    @property
    def of_pixels(self) -> frozenset[Statistic]:
        """What is measured of the image itself."""
        return frozenset(term.statistic for term in self.terms if term.layer == PIXELS)

    def measure(
        self, seen: Observation, wanted: Collection[Statistic] | None = None
    ) -> dict[Statistic, Tensor]:
        """The statistics that are wanted, by default all the terms need, over the positions shown.

        Each is computed once.
        """
        return {
            statistic: term.measure(seen)
            for statistic, term in self._measuring.items()
            if wanted is None or statistic in wanted
        }

    def pulls(self, seen: Observation, derivatives: Mapping[Statistic, Tensor]) -> dict[str, list[Pull]]:
        """What derivatives by the statistics ask of the features over the positions shown, by layer name."""
        found: dict[str, list[Pull]] = {}
        for statistic, term in self._measuring.items():
            pull = term.pull(seen, derivatives[statistic])
            if pull is not None:
                found.setdefault(statistic.layer, []).append(pull)
        return found

    @property
    def _measuring(self) -> dict[Statistic, Term]:
        """The first term that needs a statistic, which measures it for all that do."""
        found: dict[Statistic, Term] = {}
        for term in self.terms:
            found.setdefault(term.statistic, term)
        return found

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


def stacked_weight(layer: Layer) -> float:
    """2 / N: what a `sum` term of each region weighs beside the global Gram in the stacked form.

    The Gram matrix of [F, T^1 .. T^R] holds that of F, the means of every T^r F twice, and products of the
    channels alone, which are constant. Its squared differences, summed and divided by N^2, are therefore
    E + (2 / N^2) sum_r sum_i (difference of mean(T^r F_i))^2 + a constant. `MeansTerm` has one 1 / N itself.
    """
    return 2 / layer.channels


def mix_targets(targets: Sequence[Float[Tensor, ...]], weights: Sequence[float]) -> Float[Tensor, ...]:
    """The weighted mean of one statistic of several style images, as one target.

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


def _named(kind: str, layer: Layer, region: int | None, subject: str) -> str:
    """A term's name: what it compares, where, and of whom."""
    subject = subject or ("" if region is None else f"region {region}")
    return f"{kind} {layer.name} {subject}".strip()
