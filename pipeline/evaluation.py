"""How far an image is from a style: the yardstick that results are judged by, independent of what made them.

Written from the formulas with torch's own functions. Nothing here is shared with the network, the statistics,
the guidance or the losses of the engine, so that a mistake there cannot hide here; please keep it so.

    G_l = sum T^2 F F^T / sum T^2         over the positions of layer l, T the mask's average over each unit
    d_l = |G_l - G_l(style)|^2 / |G_l(style)|^2       (Frobenius norms)
    d   = mean of d_l over relu1_1, relu2_1, relu3_1, relu4_1, relu5_1

0 is the style's own texture at every scale, and 1 is as far as an image without any features.

An image is padded at the bottom and right to multiples of 16 by reflection, as the engine pads it, and is run
by crops: each yields the positions of its core and reads a margin around it that is wide enough to make
them what they are in the whole image, so memory is bounded whatever the image's size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import InputError, WeightsError
from pipeline.geometry import Box, Size
from pipeline.weights import Weights

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STRIDE_PX = 16
"""Pixels between neighbouring positions of the deepest layer."""
_CONTENT_LAYER = "relu4_2"
_CORE_PX = 512
_LEAST_UNITS = 1.0

Gram = Float[Tensor, "channels channels"]


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """Values over pixels that are read by boxes: an image's colours, or one mask per band.

    Attributes:
        size: Height and width; both at least 16.
        read: The values inside a box; sRGB or shares of a mask, in [0, 1].
    """

    size: Size
    read: Callable[[Box], Float[ndarray, "height width bands"]]

    @classmethod
    def of(cls, values: Float[ndarray, "height width bands"]) -> Picture:
        """An array as it lies in memory."""
        return cls(Size(*values.shape[:2]), lambda box: values[box.slices])


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
    return sum(1 for _ in _cores(size, core_px))


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
    network = _Network.of(weights, dtype, device)
    sums = [{name: _Moment() for name in STYLE_LAYERS} for _ in names]
    chosen = _cores(image.size, core_px) if cores is None else cores
    for done, core in enumerate(chosen, start=1):
        crop = core.grown(network.margin_px, within=image.size.aligned_up(STRIDE_PX))
        pixels = _read(image, crop).to(device=device, dtype=dtype)
        parts = torch.ones(1, core.size.height, core.size.width) if masks is None else _read(masks, core)
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
    network = _Network.of(weights, dtype, device)
    agreed: list[float] = []
    for core in _cores(image.size, _CORE_PX) if cores is None else cores:
        crop = core.grown(network.margin_px, within=image.size.aligned_up(STRIDE_PX))
        ours, theirs = (
            network.layer(_read(picture, crop).to(device=device, dtype=dtype), _CONTENT_LAYER)
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
                _read(masks, core).to(device=device, dtype=torch.float64), stride_px
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


@final
@dataclass(frozen=True, eq=False, slots=True)
class _Network:
    """The convolutions up to conv5_1 in their order, and how the first wants its input."""

    convolutions: tuple[tuple[int, str, Tensor, Tensor], ...]
    reverse: bool
    scale: float
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, weights: Weights, dtype: torch.dtype, device: torch.device | str) -> _Network:
        """The network of a model file: which convolutions it has is read off the names of its tensors."""
        found = {
            (int(match[1]), int(match[2]))
            for match in (re.fullmatch(r"conv([1-5])_([1-9])\.weight", name) for name in weights.tensors)
            if match is not None
        }
        order = sorted(place for place in found if place <= (5, 1))
        if {block for block, _ in order} != {1, 2, 3, 4, 5} or (5, 1) not in found:
            raise WeightsError(
                f"the weights of {weights.name}", expected="convolutions conv1_1 to conv5_1", found="others"
            )

        def tensor(values: ndarray | Sequence[float]) -> Tensor:
            return torch.from_numpy(np.array(values)).to(device=device, dtype=dtype)

        form = weights.preprocessing
        return cls(
            tuple(
                (
                    block,
                    f"relu{block}_{number}",
                    tensor(weights.tensors[f"conv{block}_{number}.weight"]),
                    tensor(weights.tensors[f"conv{block}_{number}.bias"]),
                )
                for block, number in order
            ),
            form.channel_order == "BGR",
            form.scale,
            tensor(form.mean).view(3, 1, 1),
            tensor(form.deviation).view(3, 1, 1),
        )

    @property
    def margin_px(self) -> int:
        """Pixels around a core that its positions see at most, rounded up to the deepest layer's grid.

        Each 3x3 convolution looks one unit further, 2^(block - 1) pixels; a pooling looks no further.
        """
        reach = sum(1 << (block - 1) for block, *_ in self.convolutions)
        return math.ceil(reach / STRIDE_PX) * STRIDE_PX

    def activations(
        self, pixels: Float[Tensor, "3 height width"]
    ) -> Iterator[tuple[str, int, Float[Tensor, "1 channels f_height f_width"]]]:
        """Name, stride and activations of each style layer, one after the other."""
        for name, stride_px, features in self._all(pixels):
            if name in STYLE_LAYERS:
                yield name, stride_px, features

    def layer(
        self, pixels: Float[Tensor, "3 height width"], wanted: str
    ) -> tuple[int, Float[Tensor, "1 channels f_height f_width"]]:
        """Stride and activations of one layer."""
        return next((stride_px, values) for name, stride_px, values in self._all(pixels) if name == wanted)

    def _all(
        self, pixels: Float[Tensor, "3 height width"]
    ) -> Iterator[tuple[str, int, Float[Tensor, "1 channels f_height f_width"]]]:
        colours = pixels.flip(0) if self.reverse else pixels
        features = ((colours * self.scale - self.mean) / self.deviation)[None]
        before = 1
        for block, name, weight, bias in self.convolutions:
            if block > before:
                features = functional.max_pool2d(features, 2)
                before = block
            features = functional.relu(functional.conv2d(features, weight, bias, padding=1))
            yield name, 1 << (block - 1), features


def _cores(size: Size, core_px: int) -> Iterator[Box]:
    """Boxes that cover the padded image once."""
    padded = size.aligned_up(STRIDE_PX)
    for top in range(0, padded.height, core_px):
        for left in range(0, padded.width, core_px):
            yield Box(top, left, min(top + core_px, padded.height), min(left + core_px, padded.width))


def _read(picture: Picture, box: Box) -> Float[Tensor, "bands height width"]:
    """A box of the padded picture: what lies beyond the last row or column is its mirror image."""
    rows = _mirrored(box.top, box.bottom, picture.size.height)
    columns = _mirrored(box.left, box.right, picture.size.width)
    inside = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    values = picture.read(inside)[np.ix_(rows - inside.top, columns - inside.left)]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _mirrored(start: int, stop: int, length: int) -> ndarray:
    places = np.arange(start, stop)
    return np.where(places < length, places, 2 * (length - 1) - places)


def _bands_last(values: Float[Tensor, "bands height width"]) -> Float[ndarray, "height width bands"]:
    array: ndarray = values.detach().cpu().permute(1, 2, 0).numpy()
    return array


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
