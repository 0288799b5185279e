"""The network: an image becomes activations by layer name.

Shapes: 1 image, 3 colours or `channels` feature maps, height and width in pixels or units of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu_

from pipeline.errors import WeightsError
from pipeline.geometry import Size
from pipeline.layers import Architecture, Layer


def _max_pool(features: Tensor) -> Tensor:
    """The largest of 2x2; where no gradient follows, without the places of the maxima: 3 times as fast."""
    if features.is_cuda:
        return max_pool2d(features, 2)
    if torch.is_grad_enabled():
        # A CPU gives each image of a batch a thread; strips of one image are such a batch.
        count, _, height, width = features.shape
        strips = math.gcd(height // 2, torch.get_num_threads())
        batch = features.permute(0, 2, 3, 1).reshape(count * strips, height // strips, width, -1)
        batch = batch.permute(0, 3, 1, 2)
        pooled = max_pool2d(batch, 2).permute(0, 2, 3, 1)
        return pooled.reshape(count, height // 2, width // 2, -1).permute(0, 3, 1, 2)
    rows = torch.maximum(features[:, :, ::2], features[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


_POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": _max_pool,
    "average": lambda features: avg_pool2d(features, 2),
}


class InputFormat(Protocol):
    """What a network was trained to see: (x[channel_order] * scale - mean) / deviation, x in [0, 1]."""

    @property
    def channel_order(self) -> Literal["BGR", "RGB"]:
        """The order of the network's input channels."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """What is subtracted, in the network's channel order and scale."""

    @property
    def scale(self) -> float:
        """What multiplies [0, 1]: 255 for the Oxford networks."""

    @property
    def deviation(self) -> tuple[float, float, float]:
        """What divides in the end, in the network's channel order."""


@final
class Encoder(nn.Module):
    """Activations of a frozen VGG network after their ReLU: 3x3 convolutions, zero padding 1, 2x2 pooling.

    Everything runs channels-last: bfloat16 convolutions at full size are 1.4x faster so on a CPU, and the
    positions of a feature map are then the rows of a matrix, which the statistics need without a copy.

    Args:
        weights: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out) and so on; it may end after any layer.
        architecture: How many convolutions and channels each block has.
        preprocessing: What the network was trained to see.
        pooling: `max`, as the network was trained, or `average`.
        dtype: Of convolutions and activations: bfloat16, float32 or float64.
        device: Where it computes.

    Raises:
        WeightsError: A weight or bias has the wrong shape, or not even the first convolution is there.
    """

    _gain: Tensor
    _offset: Tensor

    def __init__(
        self,
        weights: Mapping[str, np.ndarray | Tensor],
        architecture: Architecture,
        preprocessing: InputFormat,
        *,
        pooling: Literal["max", "average"] = "max",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.dtype = dtype
        self._pool = _POOLINGS[pooling]
        self._convolutions = nn.ModuleDict()
        inputs = 3
        for layer in architecture:
            if f"{layer.convolution}.weight" not in weights:
                break
            self._convolutions[layer.convolution] = _frozen_convolution(weights, layer, inputs, dtype)
            inputs = layer.channels
        if not self._convolutions:
            raise WeightsError("weights", expected="a tensor conv1_1.weight", found="none of that name")

        # The image keeps its own precision until the first convolution, and the channel order is folded into
        # that convolution's weights: reordering the image would cost a copy and a scattered gradient.
        rgb = [preprocessing.channel_order.index(colour) for colour in "RGB"]
        first = self._convolutions["conv1_1"].get_parameter("weight")
        first.data = first.data[:, rgb]
        precision = torch.float64 if dtype == torch.float64 else torch.float32
        deviation = torch.tensor(preprocessing.deviation, dtype=precision)[rgb].view(1, 3, 1, 1)
        mean = torch.tensor(preprocessing.mean, dtype=precision)[rgb].view(1, 3, 1, 1)
        self.register_buffer("_gain", preprocessing.scale / deviation)
        self.register_buffer("_offset", mean / deviation)
        self.to(device=device).to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._gain.device

    def forward(
        self, image: Float[Tensor, "1 3 height width"], layers: Iterable[str]
    ) -> dict[str, Float[Tensor, "1 channels f_height f_width"]]:
        """The named activations, shallowest first; nothing deeper than the deepest of them is computed.

        Args:
            image: sRGB in [0, 1], float32 or float64; sides a multiple of the deepest layer's stride.
            layers: Names such as `relu4_2`.

        Raises:
            WeightsError: The weights end before one of the layers.
            KeyError: The architecture has no such layer.
        """
        wanted = set(layers)
        prepared = image * self._gain - self._offset
        features = prepared.to(dtype=self.dtype, memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        for layer in self.architecture.up_to(wanted):
            if layer.name.endswith("_1") and layer.stride_px > 1:
                features = self._pool(features)
            # In place: the backward pass of a convolution with frozen weights never reads its own output.
            features = relu_(self._convolution(layer)(features))
            if layer.name in wanted:
                found[layer.name] = features
        return found

    def _convolution(self, layer: Layer) -> nn.Module:
        if layer.convolution not in self._convolutions:
            raise WeightsError(
                "weights",
                expected=f"a convolution {layer.convolution} for {layer.name}",
                found=f"weights that end at {list(self._convolutions)[-1]}",
                fix="Choose shallower layers, or a file that holds the whole network",
            )
        return self._convolutions[layer.convolution]


def pad_to_stride(
    image: Float[Tensor, "channels height width"], stride_px: int
) -> Float[Tensor, "channels p_height p_width"]:
    """The image, grown at the bottom and right to multiples of `stride_px` by reflection.

    Done once per level, so that no pooling ever meets an odd size.
    Images smaller than their padding are reflected to and fro; a side of one pixel is repeated.
    """
    height, width = image.shape[1:]
    padded = Size(height, width).aligned_up(stride_px)
    rows = reflection(height, padded.height, image.device)
    columns = reflection(width, padded.width, image.device)
    # Both at once: one after the other would hold two copies of the largest image there is.
    return image[:, rows[:, None], columns]


def reflection(length: int, padded: int, device: torch.device | str = "cpu") -> Tensor:
    """Indices 0 1 2 3 2 1 0 1 ...: a walk between the borders that does not repeat the border itself."""
    period = max(1, 2 * (length - 1))
    steps = torch.arange(padded, device=device) % period
    return torch.minimum(steps, period - steps) if length > 1 else steps


def _frozen_convolution(
    weights: Mapping[str, np.ndarray | Tensor], layer: Layer, inputs: int, dtype: torch.dtype
) -> nn.Conv2d:
    """The convolution of this layer as the file has it, without gradients for its weights."""
    convolution = nn.Conv2d(inputs, layer.channels, 3, padding=1, dtype=dtype, device="meta")
    for part in ("weight", "bias"):
        shape = tuple(convolution.get_parameter(part).shape)
        name = f"{layer.convolution}.{part}"
        value = weights.get(name)
        found = None if value is None else tuple(value.shape)
        if value is None or found != shape:
            raise WeightsError(
                f"weights, {name}",
                expected=f"a tensor of shape {shape}",
                found="none" if found is None else f"shape {found}",
                fix="The file does not belong to this network",
            )
        # Not `to_empty`, for which torch imports half a second of itself. np.array copies: torch refuses to
        # borrow read-only memory without a warning.
        copied = value.detach().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        setattr(convolution, part, nn.Parameter(copied.to(dtype), requires_grad=False))
    return convolution
