"""What a network's filters give on photographs: the channel means behind the normalised network.

Shapes: 1 photograph at a time, 3 colours or `channels` feature maps, height and width in pixels or units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from pipeline.features import Encoder
from pipeline.layers import Layer

_ENOUGH = 0.9


@final
@dataclass(frozen=True, slots=True)
class Calibration:
    """The channel means over some photographs, and how far they can be trusted.

    Attributes:
        means: By convolution, the mean activation of each filter after its ReLU; float64.
        correlations: By convolution, Pearson's correlation over the filters of the means of the photographs
            in even places with those in odd places.
        photographs: How many there were.
    """

    means: Mapping[str, Float[ndarray, " channels"]]
    correlations: Mapping[str, float]
    photographs: int

    @property
    def doubtful(self) -> tuple[str, ...]:
        """The convolutions where the halves correlate less than 0.9: photographs too few, or too alike."""
        return tuple(name for name, value in self.correlations.items() if value < _ENOUGH)


@torch.no_grad()
def measure_means(
    encoder: Encoder,
    layers: Iterable[Layer],
    photographs: Iterator[Float[Tensor, "3 height width"]],
    show: Callable[[int], None],
) -> Calibration:
    """The channel means of the layers: over positions, then over photographs, each of the same weight.

    Args:
        encoder: The plain network.
        layers: Whose filters are measured.
        photographs: sRGB in [0, 1], sides a multiple of the deepest layer's stride; read one at a time.
        show: Told how many are done after each.

    Raises:
        ValueError: There are fewer than two photographs, which cannot be split.
    """
    layers = tuple(layers)
    names = [layer.name for layer in layers]
    halves: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    count = 0
    for photograph in photographs:
        half = halves[count % 2]
        for name, features in encoder(photograph[None].to(encoder.device), names).items():
            mean = features.mean(dim=(0, 2, 3), dtype=torch.float64).cpu()
            half[name] = half[name] + mean if name in half else mean
        count += 1
        show(count)
    if count < 2:
        raise ValueError(f"two photographs at least are needed to compare halves; got {count}")
    even, odd = ({name: total.numpy() for name, total in half.items()} for half in halves)
    return Calibration(
        {layer.convolution: (even[layer.name] + odd[layer.name]) / count for layer in layers},
        {layer.convolution: _correlation(even[layer.name], odd[layer.name]) for layer in layers},
        count,
    )


def _correlation(first: Float[ndarray, " channels"], second: Float[ndarray, " channels"]) -> float:
    """Pearson's correlation, free of both scales; 0 where a side is constant and tells nothing."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale > 0 else 0.0
