"""Style distances, and how like the content's the shapes of an image are, from sums over crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import InputError
from pipeline.evaluation.crops import Picture, cores_of, read_padded
from pipeline.evaluation.network import STRIDE_PX, STYLE_LAYERS, Network
from pipeline.geometry import Box, Size
from pipeline.weights import Weights

_CONTENT_LAYER = "relu4_2"
_CORE_PX = 512
_LEAST_UNITS = 1.0

Gram = Float[Tensor, "channels channels"]


@final
@dataclass(frozen=True, slots=True)
class StyleDistance:
    """How far an image, or a part of it, is from a style.

    Attributes:
        layers: d_l by layer.
        left_out: The layers where the part, of the image or of the style, is less than one unit: a moment of
            less than one position says nothing.
    """

    layers: Mapping[str, float]
    left_out: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """d, the mean over the layers."""
        return sum(self.layers.values()) / len(self.layers)


def style_distance(
    image: Float[Tensor, "3 height width"],
    style: Float[Tensor, "3 s_height s_width"],
    weights: Weights,
    *,
    mask: Float[Tensor, "height width"] | None = None,
    style_mask: Float[Tensor, "s_height s_width"] | None = None,
) -> StyleDistance:
    """The style distance of an image, or of the part that a mask shows, to a style or a part of it.

    Args:
        image: sRGB in [0, 1]; in float64 the network runs in float64, else in float32.
        style: The style at the size that the image was made with: the measure depends on it.
        weights: The plain network; the distance is defined with the Oxford VGG-16.
        mask: The part of the image, in [0, 1].
        style_mask: The part of the style, in [0, 1].

    Raises:
        InputError: A mask covers less than a unit of every layer.
        WeightsError: The weights end before relu5_1.
    """
    dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
    found, wanted = (
        gram_matrices(
            Picture.of(_bands_last(picture)),
            weights,
            None if part is None else Picture.of(_bands_last(part[None])),
            names=(name,),
            dtype=dtype,
            device=image.device,
        )
        for picture, part, name in ((image, mask, "mask"), (style, style_mask, "style mask"))
    )
    return distance(found[0], wanted[0])


def distance(found: Mapping[str, Gram], wanted: Mapping[str, Gram]) -> StyleDistance:
    """The style distance between Gram matrices by layer, over the layers that both have.

    Raises:
        InputError: They have no layer in common.
    """
    layers = {
        name: float((found[name] - wanted[name]).square().sum() / wanted[name].square().sum())
        for name in STYLE_LAYERS
        if name in found and name in wanted
    }
    if not layers:
        raise InputError("the style distance", expected="a layer where both parts have a unit", found="none")
    return StyleDistance(layers, tuple(name for name in STYLE_LAYERS if name not in layers))


def crop_count(size: Size, core_px: int = _CORE_PX) -> int:
    """How many crops `gram_matrices` runs for an image of this size."""
    return sum(1 for _ in cores_of(size, core_px))


@torch.no_grad()
def gram_matrices(
    image: Picture,
    weights: Weights,
    masks: Picture | None = None,
    *,
    names: Sequence[str] = ("everything",),
    core_px: int = _CORE_PX,
    cores: Sequence[Box] | None = None,
    least: bool = True,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    show: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Gram]]:
    """The Gram matrices by layer of each part of an image, in one pass; float64, on the CPU.

    A layer where a part has less than one unit (the sum of T^2 over its positions is below 1) is left out.

    Args:
        image: Three bands.
        weights: The plain network.
        masks: One band per part, of the image's size; None takes the whole image.
        names: Of the parts, for errors.
        core_px: The largest side of a crop's core; a multiple of 16.
        cores: Those that are run, on multiples of 16; all of the image by default.
        least: Whether every part must have a layer.
        dtype: Of the network: bfloat16, float32 or float64. Products are summed in float32 at least, and
            crops in float64.
        device: Where the network runs.
        show: Told after each crop how many are done, of `crop_count`.

    Raises:
        InputError: The image is smaller than 16 px, its masks are of another size or number, or a part
            covers less than a unit of every layer, and `least` is asked for.
        WeightsError: The weights end before relu5_1.
    """
    _check(image, masks, names)
    network = Network.of(weights, dtype, device)
    sums = [{name: _Moment() for name in STYLE_LAYERS} for _ in names]
    chosen = cores_of(image.size, core_px) if cores is None else cores
    for done, core in enumerate(chosen, start=1):
        crop = core.grown(network.margin_px, within=image.size.aligned_up(STRIDE_PX))
        pixels = read_padded(image, crop).to(device=device, dtype=dtype)
        parts = (
            torch.ones(1, core.size.height, core.size.width) if masks is None else read_padded(masks, core)
        )
        parts = parts.to(device=device, dtype=dtype)
        for name, stride_px, features in network.activations(pixels):
            rows, columns = core.relative_to(crop).divided(stride_px).slices
            shares = functional.avg_pool2d(parts, stride_px)
            for part, share in zip(sums, shares, strict=True):
                part[name].add(features[0, :, rows, columns], share)
        show(done)
    grams = [
        {name: moment.mean for name, moment in part.items() if moment.units >= _LEAST_UNITS} for part in sums
    ]
    for name, gram in zip(names, grams, strict=True):
        if least and not gram:
            raise InputError(name, expected="a mask that covers at least a pixel", found="less than one")
    return grams


@torch.no_grad()
def similarities(
    image: Picture,
    content: Picture,
    weights: Weights,
    masks: Picture | None = None,
    *,
    cores: Sequence[Box] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> list[float | None]:
    """How like the content's the shapes of an image are: of all of it, then of each part; 1 is the same.

    The cosine between the activations of relu4_2 at each position, weighted by their lengths: sum F . C over
    sum |F| |C|, each position counted by the mask. None for a part without a position.

    Args:
        image: Three bands.
        content: Three bands of the same size.
        weights: The plain network.
        masks: One band per part.
        cores: Those that are run; all of the image by default.
        dtype: Of the network.
        device: Where the network runs.

    Raises:
        InputError: The images differ in size.
        WeightsError: The weights end before relu5_1.
    """
    if image.size != content.size:
        raise InputError("the content", expected=f"{image.size} px as the image", found=f"{content.size} px")
    network = Network.of(weights, dtype, device)
    agreed: list[float] = []
    for core in cores_of(image.size, _CORE_PX) if cores is None else cores:
        crop = core.grown(network.margin_px, within=image.size.aligned_up(STRIDE_PX))
        ours, theirs = (
            network.layer(read_padded(picture, crop).to(device=device, dtype=dtype), _CONTENT_LAYER)
            for picture in (image, content)
        )
        stride_px, features = ours
        rows, columns = core.relative_to(crop).divided(stride_px).slices
        pair = [values[0, :, rows, columns].double() for values in (features, theirs[1])]
        product = (pair[0] * pair[1]).sum(dim=0)
        lengths = pair[0].norm(dim=0) * pair[1].norm(dim=0)
        shares = torch.ones(1, *product.shape, dtype=torch.float64, device=product.device)
        if masks is not None:
            parts = functional.avg_pool2d(
                read_padded(masks, core).to(device=device, dtype=torch.float64), stride_px
            )
            shares = torch.cat([shares, parts])
        sums = [float((share * values).sum()) for share in shares for values in (product, lengths)]
        agreed = sums if not agreed else [one + other for one, other in zip(agreed, sums, strict=True)]
    pairs = zip(agreed[::2], agreed[1::2], strict=True)
    return [product / length if length > 0 else None for product, length in pairs]


@final
class _Moment:
    """The sum of T^2 F F^T over positions and that of T^2, both in float64."""

    def __init__(self) -> None:
        self._sum = torch.zeros((), dtype=torch.float64)
        self.units = 0.0

    def add(
        self, features: Float[Tensor, "channels height width"], share: Float[Tensor, "height width"]
    ) -> None:
        """Counts these positions as well."""
        # Sums of products need more digits than the convolutions before them.
        wide = torch.float32 if features.dtype == torch.bfloat16 else features.dtype
        weighted = (features.to(wide) * share.to(wide)).flatten(1)
        self._sum = self._sum + (weighted @ weighted.T).to(device="cpu", dtype=torch.float64)
        self.units += float(share.square().sum(dtype=torch.float64))

    @property
    def mean(self) -> Gram:
        """The sum over the positions' weights."""
        return self._sum / self.units


def _check(image: Picture, masks: Picture | None, names: Sequence[str]) -> None:
    if min(image.size.height, image.size.width) < STRIDE_PX:
        raise InputError(
            "the image",
            expected=f"sides of at least {STRIDE_PX} px",
            found=f"{image.size} px (height x width)",
        )
    if masks is not None and masks.size != image.size:
        raise InputError(
            ", ".join(names), expected=f"a mask of {image.size} px as the image", found=f"{masks.size} px"
        )


def _bands_last(values: Float[Tensor, "bands height width"]) -> Float[ndarray, "height width bands"]:
    array: ndarray = values.detach().cpu().permute(1, 2, 0).numpy()
    return array
