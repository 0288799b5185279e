"""Networks of Johnson's type from files of others: their layers by the names of PyTorch's own example.

- `conv1`, `conv2`, `conv3`, `deconv1`, `deconv2`, `deconv3` (`.conv2d.weight` and `.bias`) are our
  convolutions `c1`, `d1`, `d2`, `u1`, `u2`, `c2`; `res1.conv1`, `res1.conv2`, ... are `r1a`, `r1b`, ...
- `in1`, `in2`, `in3`, `in4`, `in5` (`.weight`, `.bias`) are the normalisations of `c1`, `d1`, `d2`, `u1`,
  `u2`; `res1.in1`, `res1.in2`, ... those of `r1a`, `r1b`, ...

Running means and variances, which old files have and nothing reads, are left out. Their networks read and
give colours on the scale 0..255; ours read [-1, 1] and give [0, 1]. Both scales are folded into the first
and the last convolution, which is exact because borders are reflected.

Differs from theirs: an image whose sides are no multiples of 4 is reflected up to them first, where theirs
grows by up to 3 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import WeightsError
from pipeline.feedforward.network import TransformationNetwork
from pipeline.fetching.model_files import read_state_dict
from pipeline.transformations import ARCHITECTURES

_EXPECTED = "a network in the names of PyTorch's example fast_neural_style"
_HALF, _WHITE = 127.5, 255.0
_PLAIN = {"conv1": "c1", "conv2": "d1", "conv3": "d2", "deconv1": "u1", "deconv2": "u2", "deconv3": "c2"}
_NORMS = {"in1": "c1", "in2": "d1", "in3": "d2", "in4": "u1", "in5": "u2"}


def read_johnson(path: Path) -> TransformationNetwork:
    """The network in a `.safetensors` file, or in one of `torch.save`, from which tensors alone are read.

    Raises:
        WeightsError: The file is missing, damaged, or of other layers.
    """
    if not path.is_file():
        raise WeightsError(path, expected=_EXPECTED, found="none")
    given = {name: value for name, value in _read(path).items() if ".running_" not in name}
    architecture = ARCHITECTURES["johnson"]
    network = TransformationNetwork(architecture, 1, "nearest")
    wanted = dict(_names(architecture.residual_blocks))
    state = network.state_dict()
    for theirs, ours in wanted.items():
        if theirs not in given:
            raise WeightsError(path, expected=f"{_EXPECTED}, {theirs} among them", found="none of that name")
        if given[theirs].shape != state[ours].shape:
            shapes = [tuple(each.shape) for each in (state[ours], given[theirs])]
            raise WeightsError(path, expected=f"{theirs} of shape {shapes[0]}", found=f"{shapes[1]}")
        state[ours] = given[theirs].float()
    unknown = sorted(given.keys() - wanted.keys())
    if unknown:
        raise WeightsError(path, expected=_EXPECTED, found=f"{unknown[0]} besides")
    first = state["convolutions.c1.weight"]
    state["convolutions.c1.bias"] = state["convolutions.c1.bias"] + _HALF * first.sum(dim=(1, 2, 3))
    state["convolutions.c1.weight"] = _HALF * first
    for name in ("weight", "bias"):
        state[f"convolutions.c2.{name}"] = state[f"convolutions.c2.{name}"] / _WHITE
    network.load_state_dict(state)
    return network


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors by name.

    Raises:
        WeightsError: It holds something else.
    """
    try:
        return load_file(path) if path.suffix == ".safetensors" else read_state_dict(path)
    except ValueError as error:
        found = str(error)
    except (OSError, SafetensorError):
        found = "something else, or half of one"
    raise WeightsError(path, expected=_EXPECTED, found=found)


def _names(blocks: int) -> Iterator[tuple[str, str]]:
    """Their names and ours."""
    convolutions, norms = dict(_PLAIN), dict(_NORMS)
    for block in range(1, blocks + 1):
        for number, letter in enumerate("ab", start=1):
            convolutions[f"res{block}.conv{number}"] = f"r{block}{letter}"
            norms[f"res{block}.in{number}"] = f"r{block}{letter}"
    for kind in ("weight", "bias"):
        yield from (
            (f"{theirs}.conv2d.{kind}", f"convolutions.{ours}.{kind}")
            for theirs, ours in convolutions.items()
        )
        yield from ((f"{theirs}.{kind}", f"normalisations.{ours}.{kind}") for theirs, ours in norms.items())
