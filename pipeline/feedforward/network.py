"""The transformation network: a photograph and where its regions are become a painting, in one pass.

Shapes: a batch of images, 3 colours and one channel per region, height and width in pixels.
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.colour import LUMA_WEIGHTS
from pipeline.geometry import Box, Size
from pipeline.transformations import (
    STRIDE_PX,
    Convolution,
    TransformationArchitecture,
    Upsampling,
)

EPSILON = 1e-5
_REACH = 150 / 255
_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)


@final
class TransformationNetwork(nn.Module):
    """Images in the styles that it was trained on, each style where its region's channel is light.

    `convolutions` and `normalisations` hold the layers by name, so that an image larger than memory can go
    through them one by one (`streaming.py`).

    Args:
        architecture: One of the registry.
        regions: How many regions it knows; with one there is nothing to tell it, and it reads colours alone.
        upsampling: How it doubles sizes.
    """

    _mean: Tensor

    def __init__(
        self, architecture: TransformationArchitecture, regions: int, upsampling: Upsampling = "nearest"
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.upsampling = upsampling
        self.regions = regions
        self.guides = regions if regions > 1 else 0
        self.layers = architecture.layers(3 + self.guides, upsampling)
        self.convolutions = nn.ModuleDict({layer.name: _convolution(layer) for layer in self.layers})
        self.normalisations = nn.ModuleDict(
            {
                layer.name: nn.InstanceNorm2d(layer.outputs, EPSILON, affine=True)
                for layer in self.layers
                if layer.normalised
            }
        )
        self.register_buffer("_mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._mean.device

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        guides: Float[Tensor, "batch regions height width"] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """The painted images; nominally sRGB in [0, 1], never clipped.

        Args:
            image: sRGB in [0, 1], of any size above 4 px: nothing can be normalised over one position.
            guides: Where each region is, in [0, 1]; None for a network of one region.
        """
        size = Size(*image.shape[2:])
        rows = outward(size.height, self.architecture.margin_px, image.device)
        columns = outward(size.width, self.architecture.margin_px, image.device)
        values = self.prepared(image, guides)[:, :, rows[:, None], columns]
        values = values.contiguous(memory_format=torch.channels_last)
        given: list[Tensor] = []
        for layer in self.layers:
            values = self.convolved(layer, values)
            if layer.normalised:
                values = self.normalised(layer, values)
            if layer.rectified:
                values = functional.relu(values)
            if layer.skip:
                crop, size_before = layer.skip_crop, given[-2].shape
                inside = [slice(crop, length - crop) for length in size_before[2:]]
                values = values + given[-2][:, :, inside[0], inside[1]]
            given.append(values)
        return self.coloured(values)[:, :, : size.height, : size.width]

    def prepared(
        self,
        image: Float[Tensor, "batch 3 height width"],
        guides: Float[Tensor, "batch regions height width"] | None,
    ) -> Float[Tensor, "batch channels height width"]:
        """What the first convolution reads: colours and regions on one scale, [-1, 1]."""
        if (0 if guides is None else guides.shape[1]) != self.guides:
            found = "none" if guides is None else f"{guides.shape[1]}"
            raise ValueError(f"the network needs {self.guides} guidance channels; got {found}")
        joined = image if guides is None else torch.cat([image, guides.to(image)], dim=1)
        return 2 * joined - 1

    def convolved(
        self, layer: Convolution, values: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch outputs f_height f_width"]:
        """What a layer's convolution gives for its whole input, before normalisation."""
        if layer.enlarged == "nearest":
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
        found: Tensor
        if not layer.normalised:
            # What comes out are colours: in bfloat16 there would be 128 of them from 0.5 to 1.
            with torch.autocast(values.device.type, enabled=False):
                found = self.convolutions[layer.name](values.to(self._mean.dtype))
            return found
        found = self.convolutions[layer.name](values)
        return found

    def normalised(
        self, layer: Convolution, values: Float[Tensor, "batch outputs height width"]
    ) -> Float[Tensor, "batch outputs height width"]:
        """A layer's values after its instance norm.

        As a norm of groups of one channel each: on the CPU, torch 2.15's instance norm gives wrong gradients
        for a single image in channels-last order.
        """
        norm = self.normalisations[layer.name]
        weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
        return functional.group_norm(values, layer.outputs, weight, bias, EPSILON)

    def convolved_box(
        self, layer: Convolution, values: Float[Tensor, "1 channels height width"], read: Box, box: Box
    ) -> Float[Tensor, "1 outputs f_height f_width"]:
        """What a layer's convolution gives in a box of its output.

        Args:
            layer: The layer.
            values: Its input inside `read`, continued where that lies outside the input.
            read: `layer.reads(box)`.
            box: The box.
        """
        convolution = self.convolutions[layer.name]
        weight, bias = convolution.get_parameter("weight"), convolution.get_parameter("bias")
        if layer.enlarged is None:
            return functional.conv2d(values, weight, bias, layer.stride)
        if layer.enlarged == "nearest":
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            top, left = box.top - 1 - 2 * read.top, box.left - 1 - 2 * read.left
            rows, columns = slice(top, top + box.size.height + 2), slice(left, left + box.size.width + 2)
            return functional.conv2d(values[:, :, rows, columns], weight, bias)
        values = functional.conv_transpose2d(values, weight, bias, stride=2)
        top, left = box.top - (2 * read.top - 1), box.left - (2 * read.left - 1)
        return values[:, :, top : top + box.size.height, left : left + box.size.width]

    def coloured(
        self, values: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """The last convolution's values as colours: mean + 150 tanh on the scale 0..255, as the authors.

        A network that is not bounded gives colours as they are.
        """
        if not self.architecture.bounded:
            return values.to(self._mean.dtype)
        return self._mean + _REACH * torch.tanh(values.to(self._mean.dtype))


def outward(length: int, margin: int, device: torch.device | str = "cpu") -> Tensor:
    """Indices that reflect a side outwards: by `margin` at its start, and at its end up to a multiple of 4.

    Behind the next multiple of 4 there is a whole `margin` again. Borders are not repeated; a side shorter
    than its margin is reflected to and fro.
    """
    first, last = -margin, -(-length // STRIDE_PX) * STRIDE_PX + margin
    period = max(1, 2 * (length - 1))
    steps = torch.arange(first, last, device=device) % period
    return torch.minimum(steps, period - steps) if length > 1 else torch.zeros_like(steps)


def _convolution(layer: Convolution) -> nn.Module:
    if layer.enlarged == "transposed":
        return nn.ConvTranspose2d(layer.inputs, layer.outputs, 3, stride=2, padding=1, output_padding=1)
    return nn.Conv2d(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        layer.stride,
        layer.padding,
        padding_mode="reflect" if layer.reflected else "zeros",
    )


def as_luma(image: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """The Rec.601 luma of an image in three equal channels."""
    weights = torch.tensor(LUMA_WEIGHTS, dtype=image.dtype, device=image.device).view(3, 1, 1)
    return (image * weights).sum(dim=-3, keepdim=True).expand(image.shape)
