"""The loss of training, from the terms, guides and targets that the optimisation uses as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from pipeline.errors import InputError
from pipeline.features import Encoder, pad_to_stride
from pipeline.feedforward.network import as_luma
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.geometry import Size
from pipeline.guidance import Guidance, normalise
from pipeline.layers import STRIDE_PX, Architecture
from pipeline.losses import ContentTerm, GramTerm, Loss, Term, TotalVariationTerm
from pipeline.rasters import TensorRaster
from pipeline.targets import StyleStatistics, style_statistics
from pipeline.tiles import Tile

Targets = Mapping[str, StyleStatistics]
"""Style statistics by layer name."""

_TILE_PX = 512
_SMALLEST = 1e-4
"""Of the mean: a style of next to nothing, such as black, is not to decide alone."""


def style_targets(
    name: str, style: Float[Tensor, "3 height width"], settings: TrainingSettings, encoder: Encoder
) -> Targets:
    """The statistics of a style image, or of its luma, at every style layer.

    Args:
        name: The image as the user knows it, for errors.
        style: sRGB in [0, 1], at the size that its strokes are to be taken from.
        settings: The style layers, and what is shown.
        encoder: The loss network.
    """
    shown = as_luma(style) if settings.colour == "luminance" else style
    layers = [encoder.architecture.layer(layer) for layer in settings.style_layers]
    raster = TensorRaster(pad_to_stride(shown, STRIDE_PX).contiguous())
    return style_statistics(encoder, raster, None, layers, tile_px=_TILE_PX, name=name)


def training_loss(
    settings: TrainingSettings,
    architecture: Architecture,
    regions: Mapping[str, Targets],
) -> Loss:
    """The loss of one crop: content, each region's style, total variation.

    content_weight * mean (F(y) - F(x))^2 + sum_l style_weight / N_l^2 * (1 / R) sum_r E_l^r + tv_weight * the
    sum of squared steps, y the painted crop and x the photograph, E_l^r as in `GramTerm`.

    Differs from the paper: nothing known in the default; weights and layers are the authors'. With `balance:
    styles`, E_l^r is multiplied by the mean of all |G_l^s|^2 over |G_l^r|^2, G_l^r the region's target. With
    normalised guides the region terms are free of the regions' areas, as in the optimisation.

    Args:
        settings: Weights and layers.
        architecture: Of the loss network.
        regions: The style statistics by region, in the order of the guidance channels.
    """
    terms: list[Term] = []
    if settings.content_weight > 0:
        terms.append(ContentTerm(architecture.layer(settings.content_layer), settings.content_weight))
    balance = {layer: _balance(settings, layer, regions) for layer in settings.style_layers}
    for index, (name, targets) in enumerate(regions.items()):
        for layer_name in settings.style_layers:
            layer = architecture.layer(layer_name)
            weight = settings.style_weight / layer.channels**2 / len(regions) * balance[layer_name][name]
            region = index if len(regions) > 1 else None
            terms.append(GramTerm(layer, region, weight, targets[layer_name].gram, name))
    if settings.tv_weight > 0:
        # The term is a mean over elements, the authors' a sum.
        terms.append(TotalVariationTerm(settings.tv_weight * 3 * settings.size_px**2))
    return Loss(tuple(terms))


def _balance(settings: TrainingSettings, layer: str, regions: Mapping[str, Targets]) -> dict[str, float]:
    """A factor for each region's term at a layer: 1, or what makes equal relative errors weigh the same.

    A Gram matrix's error grows with the square of its size. |G_r|^2 times a factor is their mean for every r.
    """
    if settings.balance == "paper":
        return dict.fromkeys(regions, 1.0)
    squares = {name: float(targets[layer].gram.double().square().sum()) for name, targets in regions.items()}
    mean = sum(squares.values()) / len(squares)
    return {name: mean / max(square, _SMALLEST * mean) for name, square in squares.items()}


def training_guidance(
    mask: Float[Tensor, "regions side side"],
    settings: TrainingSettings,
    architecture: Architecture,
    names: Sequence[str],
) -> Guidance:
    """The normalised guides of the fixed mask at every style layer.

    Raises:
        InputError: A region is less than a unit of a layer.
    """
    layers = [architecture.layer(name) for name in settings.style_layers]
    size = Size(settings.size_px, settings.size_px)
    found = normalise(TensorRaster(mask), layers, (Tile.whole(size),), names)
    if found.warnings:
        raise InputError(
            "--size-px",
            expected="crops in which every region covers a unit of every style layer",
            found=found.warnings[0],
            fix="Use larger crops, or fewer regions",
        )
    return found
