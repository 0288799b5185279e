"""Files that stages wrote, as the engine's tensors on the machine's device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline import canvas
from pipeline.errors import InputError
from pipeline.features import pad_to_stride, reflection
from pipeline.geometry import Box, Size
from pipeline.layers import STRIDE_PX, Layer
from pipeline.machine import Machine
from pipeline.streaming import to_device
from pipeline.targets import StyleStatistics
from pipeline.tensor_files import save_tensors

_TARGETS_FILE = "a file made by `impasto targets`"
_PARTS = ("gram", "mean", "sum")
_VANISHED = "vanished"

Targets = Mapping[str, StyleStatistics]
"""Style statistics by layer name; a layer is absent where the style's mask vanishes."""


@final
class FileRaster:
    """A file's pixels, reflected up to multiples of 16 and read by boxes: an image may be larger than memory.

    `read_padded` gives the same values, all at once.

    Args:
        path: A file that a stage wrote.
        size: What its size must be; None takes any.
        channels: How many it must have.
        machine: Where the values go.

    Raises:
        InputError: The file cannot be read, or has another size or number of channels.
    """

    def __init__(self, path: Path, size: Size | None, channels: int, machine: Machine) -> None:
        found = canvas.size_of(path)
        _check_size(path, size, found)
        _check_channels(path, channels, canvas.bands_of(path))
        self.size = found.aligned_up(STRIDE_PX)
        self._path = path
        self._device = machine.device
        self._found = found
        self._rows = reflection(found.height, self.size.height)
        self._columns = reflection(found.width, self.size.width)

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        if box.grown(0, within=self._found) == box:
            pixels = torch.from_numpy(canvas.read(self._path, box)).permute(2, 0, 1)
            return to_device(pixels.clone(memory_format=torch.contiguous_format), self._device)
        rows, columns = self._rows[box.top : box.bottom], self._columns[box.left : box.right]
        top, left = int(rows.min()), int(columns.min())
        held = Box(top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        pixels = torch.from_numpy(canvas.read(self._path, held)).permute(2, 0, 1)
        return to_device(pixels[:, (rows - top)[:, None], columns - left], self._device)


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
    _check_size(path, size, found)
    _check_channels(path, channels, len(pixels))
    return pad_to_stride(pixels, STRIDE_PX).contiguous().to(machine.device)


def _check_size(path: Path, expected: Size | None, found: Size) -> None:
    if expected is not None and found != expected:
        raise InputError(path, expected=f"{expected} px (height x width) as planned", found=f"{found} px")


def _check_channels(path: Path, expected: int, found: int) -> None:
    if found != expected:
        raise InputError(path, expected=f"an image of {expected} bands", found=f"{found}")


def save_targets(path: Path, layers: Mapping[str, StyleStatistics], vanished: Iterable[str] = ()) -> None:
    """Writes style statistics in float32, and which layers have none because the mask vanishes there."""
    tensors = {
        f"{name}.{part}": getattr(statistics, part).to(torch.float32).contiguous().cpu().numpy()
        for name, statistics in layers.items()
        for part in _PARTS
    }
    save_tensors(path, tensors, {_VANISHED: " ".join(vanished)})


def read_targets(path: Path, layers: Iterable[Layer], machine: Machine) -> Targets:
    """The style statistics of these layers, from a file that `save_targets` wrote.

    Raises:
        InputError: The file is missing or is no such file; it was made without one of the layers, or for a
            network with other channels.
    """
    try:
        with safe_open(path, framework="pt", device=str(machine.device)) as file:
            vanished = (file.metadata() or {}).get(_VANISHED)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        found = "none" if not path.is_file() else "something else, or half of one"
        raise InputError(path, expected=_TARGETS_FILE, found=found) from None
    names = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    if vanished is None or set(tensors) != {f"{name}.{part}" for name in names for part in _PARTS}:
        raise InputError(path, expected=_TARGETS_FILE, found="tensors of another kind")
    statistics = {name: StyleStatistics(*(tensors[f"{name}.{part}"] for part in _PARTS)) for name in names}
    return {
        layer.name: _of_layer(path, layer, statistics)
        for layer in layers
        if layer.name not in vanished.split()
    }


def _of_layer(path: Path, layer: Layer, statistics: Targets) -> StyleStatistics:
    found = statistics.get(layer.name)
    if found is None:
        raise InputError(
            path,
            expected=f"the statistics of {layer.name}",
            found=f"those of {', '.join(statistics)}",
            fix=f"Run `impasto targets` with `--layers` that name {layer.name}",
        )
    shapes = [tuple(getattr(found, part).shape) for part in _PARTS]
    means = (layer.channels,)
    if shapes != [means * 2, means, means]:
        raise InputError(
            path,
            expected=f"statistics of the {layer.channels} channels of {layer.name}",
            found=f"tensors of shapes {shapes}",
            fix="The file was made for another network",
        )
    return found
