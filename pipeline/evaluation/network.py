"""The evaluator's own network: the convolutions up to relu5_1, written from their definition."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import WeightsError
from pipeline.weights import Weights

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STRIDE_PX = 16
"""Pixels between neighbouring positions of the deepest layer."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """The convolutions up to conv5_1 in their order, and how the first wants its input."""

    convolutions: tuple[tuple[int, str, Tensor, Tensor], ...]
    reverse: bool
    scale: float
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, weights: Weights, dtype: torch.dtype, device: torch.device | str) -> Network:
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
