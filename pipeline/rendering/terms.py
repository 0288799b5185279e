"""The loss of a level, from its plan: which terms there are and what each weighs.

With the plain network, every layer's term weighs 1 / N^2, N its channels; with the normalised one, every
layer weighs the same. The normalised network's activations are about 1, and losses of fourth and second
order in them are weighed as many times more that the same settings mean the same picture: 1e6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from pipeline.config import controls
from pipeline.config.masks import is_automatic
from pipeline.errors import InputError
from pipeline.guidance import Guidance, Propagation
from pipeline.layers import Layer
from pipeline.level_plans import LevelPlan, WeightedTarget
from pipeline.losses import (
    ContentTerm,
    GramTerm,
    Loss,
    MeansTerm,
    Term,
    TotalVariationTerm,
    mix_targets,
    stacked_weight,
)
from pipeline.targets import StyleStatistics

Targets: TypeAlias = Mapping[str, Mapping[str, StyleStatistics]]
"""Style statistics by the target's key, then by layer."""

NORMALISED_UNIT = 1e6
"""The factor of Gram and content weights in the normalised network: 1 stands for the authors' 1e6."""


def level_loss(
    level: LevelPlan, settings: controls.Guidance, targets: Targets, guidance: Guidance | None
) -> Loss:
    """The loss of a level: content, the styles of its regions and of the whole, total variation.

    Args:
        level: Its weights, layers and regions.
        settings: The form of the guidance and its weights.
        targets: The statistics of every style that the level names.
        guidance: Where the regions are, or None when one style covers everything.

    Raises:
        InputError: A region is nowhere, or nothing is left to optimise.
    """
    terms = [*_content(level, guidance)]
    for index in range(len(level.regions)):
        terms += _region(level, settings, targets, guidance, index)
    if guidance is not None and settings.whole_share > 0:
        terms += _whole(level, settings, targets, guidance)
    if level.tv_weight > 0:
        terms.append(TotalVariationTerm(level.tv_weight))
    if not terms:
        found, fix = "no layer at which a style has statistics", "use larger style masks"
        if len(_nowhere(level, guidance)) == len(level.regions):
            found, fix = "no region that is anywhere", "look at the masks"
        raise InputError(
            f"level {level.level_px}",
            expected="something to optimise",
            found=f"a content weight of 0 and {found}",
            fix=f"Raise the content weight, or {fix}",
        )
    return Loss(tuple(terms))


def absent_styles(level: LevelPlan, targets: Targets, how: Propagation) -> Iterator[str]:
    """Where a style's own mask leaves it without statistics: a sentence for each layer."""
    for region in level.regions:
        for style in region.targets:
            for layer in _styled_layers(level):
                if layer.name not in targets[style.target]:
                    yield (
                        f"region {region.label} takes nothing of {style.target} at {layer.name}: the mask "
                        f"on the style covers less than one unit there {how.remedy(layer)}"
                    )


def gram_weight(level: LevelPlan, layer: Layer) -> float:
    """w_l: 1e3 / N^2 by default; 1e9 / 5 with the normalised network and five layers."""
    network = level.network
    factor = level.style_weight * network.layer_weights.get(layer.name, 1.0)
    if network.normalised:
        return factor * NORMALISED_UNIT / len(network.style_layers)
    return factor / layer.channels**2


def means_weight(level: LevelPlan, settings: controls.Guidance, layer: Layer) -> float:
    """w_l of feature map means: `means_weight` / N^2, or shared by the layers of the normalised network.

    Means are of second order in the activations, Gram matrices of fourth: no further unit is needed.
    """
    network = level.network
    factor = settings.means_weight * network.layer_weights.get(layer.name, 1.0)
    return factor / (len(network.style_layers) if network.normalised else layer.channels**2)


def _content(level: LevelPlan, guidance: Guidance | None) -> Iterator[Term]:
    unit = NORMALISED_UNIT if level.network.normalised else 1.0
    common, own = level.content_weight, [region.content_weight for region in level.regions]
    if guidance is None and own[0] is not None:
        common, own = own[0], [None]
    for name in level.network.content_layers:
        scale = unit * level.network.layer_weights.get(name, 1.0)
        weights = [scale * (common if weight is None else weight) for weight in own]
        if max(*weights, scale * common) == 0:
            continue
        layer = level.network.architecture.layer(name)
        by_region = None if all(weight is None for weight in own) else tuple(weights)
        yield ContentTerm(layer, scale * common, by_region)


def _region(
    level: LevelPlan,
    settings: controls.Guidance,
    targets: Targets,
    guidance: Guidance | None,
    index: int,
) -> Iterator[Term]:
    region = level.regions[index]
    layers = _styled_layers(level)
    present = [layer for layer in layers if not _vanished(guidance, layer, index)]
    if layers and not present:
        if is_automatic(region.where):
            # Nobody was found, or nothing is left beside whom was found: the other regions are all there is.
            return
        raise InputError(
            f"region {region.label}",
            expected=f"a mask that covers at least one unit of {layers[0].name} at level {level.level_px}",
            found="less than that",
            fix="Enlarge the mask, or leave the region out",
        )
    where, subject = (None, "") if guidance is None else (index, region.label)
    share = region.weight / max(1, len(level.regions) - len(_nowhere(level, guidance)))
    for layer in present:
        found = _statistics(region.targets, targets, layer)
        if not found:
            continue
        match settings.form:
            case "gram":
                target = _mixed(found, _gram)
                yield GramTerm(layer, where, share * gram_weight(level, layer), target, subject)
            case "means":
                of, gain = _sum, 1.0
                if settings.normalisation == "mean":
                    of = _mean
                    gain = 1.0 if guidance is None else guidance.mean_gain(layer, index)
                weight = share * means_weight(level, settings, layer)
                yield MeansTerm(layer, where, weight, _mixed(found, of), gain, subject)
                if guidance is None and settings.whole_share > 0:
                    gram = _mixed(found, _gram)
                    yield GramTerm(layer, None, settings.whole_share * gram_weight(level, layer), gram)
            case "stacked":
                gram = _mixed(found, _gram)
                if guidance is None:
                    yield GramTerm(layer, None, gram_weight(level, layer), gram)
                else:
                    weight = region.weight * gram_weight(level, layer) * stacked_weight(layer)
                    yield MeansTerm(layer, where, weight, _mixed(found, _sum), 1.0, subject)


def _whole(
    level: LevelPlan, settings: controls.Guidance, targets: Targets, guidance: Guidance
) -> Iterator[Term]:
    """The Gram matrix of the whole image beside the regions: the mean of their styles'."""
    nowhere = _nowhere(level, guidance)
    styles = [
        style for index, region in enumerate(level.regions) if index not in nowhere for style in region.whole
    ]
    for layer in _styled_layers(level):
        found = _statistics(styles, targets, layer)
        if found:
            weight = settings.whole_share * gram_weight(level, layer)
            yield GramTerm(layer, None, weight, _mixed(found, _gram), "everywhere")


def _nowhere(level: LevelPlan, guidance: Guidance | None) -> set[int]:
    """The automatic regions that are nowhere in the photograph: the others share the style weight."""
    layers = _styled_layers(level)
    return {
        index
        for index, region in enumerate(level.regions)
        if is_automatic(region.where) and all(_vanished(guidance, layer, index) for layer in layers)
    }


def _styled_layers(level: LevelPlan) -> list[Layer]:
    """The layers of the style loss that weigh anything."""
    network = level.network
    return [
        network.architecture.layer(name)
        for name in network.style_layers
        if network.layer_weights.get(name, 1.0) > 0
    ]


def _statistics(
    weighted: Sequence[WeightedTarget], targets: Targets, layer: Layer
) -> list[tuple[StyleStatistics, float]]:
    """What the styles have at a layer, and each one's weight; a mask may leave a style without one."""
    found = [(targets[target.target].get(layer.name), target.weight) for target in weighted]
    return [(statistics, weight) for statistics, weight in found if statistics is not None]


def _mixed(
    found: Sequence[tuple[StyleStatistics, float]], of: Callable[[StyleStatistics], Tensor]
) -> Float[Tensor, ...]:
    """The weighted mean of one statistic of several styles."""
    return mix_targets([of(statistics) for statistics, _ in found], [weight for _, weight in found])


def _gram(statistics: StyleStatistics) -> Tensor:
    return statistics.gram


def _mean(statistics: StyleStatistics) -> Tensor:
    return statistics.mean


def _sum(statistics: StyleStatistics) -> Tensor:
    return statistics.sum


def _vanished(guidance: Guidance | None, layer: Layer, region: int) -> bool:
    return guidance is not None and (layer.name, region) in guidance.vanished
