"""Where the salient subject is, whatever it is, by U-2-Net's small network in plain torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.errors import WeightsError
from pipeline.weights import Weights

_SIDE_PX = 320
# The depths of the U-blocks on the way down and up; a flat one widens its kernels instead of pooling.
_DOWN = ((7, False), (6, False), (5, False), (4, False), (4, True), (4, True))
_UP = ((4, True), (4, False), (5, False), (6, False), (7, False))


@torch.no_grad()
def subject_probability(
    image: Float[Tensor, "3 height width"], weights: Weights
) -> Float[Tensor, "height width"]:
    """The probability in [0, 1] that a pixel belongs to what the photograph is of, at the image's size.

    The image is squashed to 320x320 and its brightest value made 1, as the network was trained.

    Args:
        image: sRGB in [0, 1].
        weights: The registry's `subject`.

    Raises:
        WeightsError: The tensors are not this network's.

    U-2-Net (Qin et al., Pattern Recognition 106, 2020), the variant of 1.1 million parameters.
    """
    side = (_SIDE_PX, _SIDE_PX)
    small = functional.interpolate(
        image[None].float(), side, mode="bilinear", antialias=True, align_corners=False
    )
    small = small / small.max().clamp(min=1e-6)
    mean = small.new_tensor(weights.preprocessing.mean)[:, None, None]
    deviation = small.new_tensor(weights.preprocessing.deviation)[:, None, None]
    try:
        probability = saliency((small - mean) / deviation, weights)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            weights.name,
            expected="the tensors of U-2-Net's small network",
            found=" ".join(str(error).split())[:160],
            fix="Give the file of this very network",
        ) from error
    whole = functional.interpolate(probability, image.shape[1:], mode="bilinear", align_corners=False)
    return whole[0, 0].clamp(0, 1)


def saliency(x: Float[Tensor, "1 3 height width"], weights: Weights) -> Float[Tensor, "1 1 height width"]:
    """The network's first output, for an input that is preprocessed already.

    Convolutions have numbers for names, in the order in which they are used; batch normalisation has been
    folded into them.
    """
    numbers = itertools.count()
    kept = []
    for index, (depth, flat) in enumerate(_DOWN):
        x = _u_block(
            functional.max_pool2d(x, 2, 2, ceil_mode=True) if index else x, depth, flat, weights, numbers
        )
        kept.append(x)
    sides = [kept.pop()]
    for (depth, flat), across in zip(_UP, reversed(kept), strict=True):
        joined = torch.cat([_resize(sides[0], across), across], 1)
        sides.insert(0, _u_block(joined, depth, flat, weights, numbers))
    maps = [_convolve(side, f"side{index}", weights, 1) for index, side in enumerate(sides, 1)]
    return torch.sigmoid(
        _convolve(torch.cat([_resize(one, maps[0]) for one in maps], 1), "outconv", weights, 0)
    )


def _u_block(x: Tensor, depth: int, flat: bool, weights: Weights, numbers: Iterator[int]) -> Tensor:
    """A U-net in place of a convolution: in, `depth` convolutions down, one fewer up, and the input added."""

    def layer(x: Tensor, dilation: int) -> Tensor:
        return functional.relu(_convolve(x, f"{next(numbers):03d}", weights, dilation))

    whole = x = layer(x, 1)
    kept = []
    for index in range(depth - 1):
        if index and not flat:
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        x = layer(x, 2**index if flat else 1)
        kept.append(x)
    x = layer(x, 2 ** (depth - 1) if flat else 2)
    for index in reversed(range(depth - 1)):
        joined = torch.cat([_resize(x, kept[index]), kept[index]], 1)
        x = layer(joined, 2**index if flat else 1)
    return x + whole


def _convolve(x: Tensor, name: str, weights: Weights, dilation: int) -> Tensor:
    weight, bias = (torch.from_numpy(weights.tensors[f"{name}.{part}"]).to(x) for part in ("weight", "bias"))
    return functional.conv2d(x, weight, bias, padding=dilation, dilation=max(1, dilation))


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
