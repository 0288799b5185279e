"""Files that stages wrote, as the engine's tensors on the machine's device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline import canvas, weights
from pipeline.config.sections import Network
from pipeline.errors import InputError, WeightsError
from pipeline.features import Encoder, pad_to_stride
from pipeline.geometry import Size
from pipeline.machine import Machine
from pipeline.pyramid import STRIDE_PX

Targets = Mapping[str, Float[Tensor, "channels channels"]]


def load_encoder(path: Path, network: Network, machine: Machine) -> Encoder:
    """The network of a model file, ready on the machine's device.

    Raises:
        WeightsError: The file is missing, damaged, or another network's.
    """
    file = weights.load(path)
    if file.name != network.name:
        # A VGG-19 has every tensor of a VGG-16 in the same shape: nothing else would tell them apart.
        raise WeightsError(path, expected=f"the model file of {network.name}", found=file.name)
    return Encoder(
        file.tensors,
        network.architecture,
        file.preprocessing,
        pooling=network.pooling,
        dtype=machine.dtype,
        device=machine.device,
    )


def read_padded(
    path: Path, size: Size | None, channels: int, machine: Machine
) -> Float[Tensor, "channels padded_height padded_width"]:
    """A file's pixels on the device, reflected up to multiples of 16.

    Args:
        path: A file that a stage wrote.
        size: What its size must be; None takes any.
        channels: How many it must have.
        machine: Where to.

    Raises:
        InputError: The file cannot be read, or has another size or number of channels.
    """
    pixels = torch.from_numpy(canvas.read(path)).permute(2, 0, 1).contiguous()
    found = Size(*pixels.shape[1:])
    if size is not None and found != size:
        raise InputError(path, expected=f"{size} px (height x width) as planned", found=f"{found} px")
    if len(pixels) != channels:
        raise InputError(path, expected=f"an image of {channels} bands", found=f"{len(pixels)}")
    return pad_to_stride(pixels, STRIDE_PX).contiguous().to(machine.device)


def read_targets(path: Path, machine: Machine) -> Targets:
    """Style statistics by layer name, as `impasto targets` wrote them.

    Raises:
        InputError: The file is missing or is no such file.
    """
    try:
        return load_file(path, device=str(machine.device))
    except (OSError, SafetensorError):
        found = "none" if not path.is_file() else "something else, or half of one"
        raise InputError(path, expected="a file made by `impasto targets`", found=found) from None
