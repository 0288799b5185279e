"""Runs the small networks that `tflite_files` reads, in plain torch.

Shapes: every value is (1, channels, height, width), or (1, rows, columns) behind `rows`; float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.weights import Weights

_WITHOUT_OPTIONS: Mapping[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "multiply": torch.mul,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "mean": lambda x: x.mean((2, 3), keepdim=True),
}


def input_size(weights: Weights) -> tuple[int, int]:
    """Height and width that the network reads."""
    graph = json.loads(weights.metadata["graph"])
    return graph["height_px"], graph["width_px"]


@torch.no_grad()
def run(image: Float[Tensor, "1 3 height width"], weights: Weights) -> Float[Tensor, "1 ..."]:
    """The network's output for an image of its `input_size`, on the image's device.

    Raises:
        ValueError: The graph holds an operation that is not known.
    """
    graph = json.loads(weights.metadata["graph"])
    values = {graph["input"]: image}
    for operation in graph["operations"]:
        inputs = [values[number] for number in operation["inputs"]]
        value = _apply(operation, inputs, weights)
        if "activation" in operation:
            value = _WITHOUT_OPTIONS[operation["activation"]](value)
        values[operation["output"]] = value
    return values[graph["output"]]


def _apply(operation: Mapping[str, Any], inputs: list[Tensor], weights: Weights) -> Tensor:
    x, kind = inputs[0], operation["kind"]
    if kind in ("convolution", "depthwise_convolution"):
        weight, bias = _tensors(operation, weights, x)
        if operation["same"]:
            x = pad_same(x, weight.shape[2], operation["stride"])
        groups = x.shape[1] if kind == "depthwise_convolution" else 1
        y = functional.conv2d(x, weight, bias, stride=operation["stride"], groups=groups)
    elif kind == "transposed_convolution":
        weight, bias = _tensors(operation, weights, x)
        y = functional.conv_transpose2d(x, weight, bias, stride=2)
    elif kind == "resize":
        y = functional.interpolate(x, size=tuple(operation["size"]), mode="bilinear", align_corners=False)
    elif kind == "pad":
        y = functional.pad(x, operation["sides"])
    elif kind == "depth_to_space":
        y = depth_to_space(x)
    elif kind == "rows":
        y = x.permute(0, 2, 3, 1).reshape(1, -1, operation["columns"])
    elif kind == "concatenate":
        y = torch.cat(inputs, operation["axis"])
    elif kind in _WITHOUT_OPTIONS:
        y = _WITHOUT_OPTIONS[kind](*inputs)
    else:
        raise ValueError(f"no operation is called {kind!r}")
    return y


def pad_same(
    x: Float[Tensor, "1 channels height width"], kernel: int, stride: int
) -> Float[Tensor, "1 channels padded_height padded_width"]:
    """Zeros around `x` as TensorFlow's SAME padding has them: the odd one goes to the bottom and right."""
    padding: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        padding += [total // 2, total - total // 2]
    return functional.pad(x, padding)


def depth_to_space(x: Float[Tensor, "1 four_channels h w"]) -> Float[Tensor, "1 channels height width"]:
    """Twice the size, each 2x2 block from four groups of channels: TensorFlow's order, not PyTorch's."""
    _, four_channels, height, width = x.shape
    blocks = x.reshape(1, 2, 2, four_channels // 4, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(1, four_channels // 4, 2 * height, 2 * width)


def _tensors(operation: Mapping[str, Any], weights: Weights, like: Tensor) -> tuple[Tensor, Tensor]:
    name = operation["tensors"]
    weight, bias = weights.tensors[f"{name}.weight"], weights.tensors[f"{name}.bias"]
    return torch.from_numpy(weight).to(like), torch.from_numpy(bias).to(like)
