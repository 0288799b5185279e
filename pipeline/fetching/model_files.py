"""Readers of other people's model files: each gives plain numpy tensors under our own names.

Formats: ONNX (initialisers only), TensorFlow Lite (a small set of operations), PyTorch state dictionaries
(never an arbitrary pickle) and safetensors. Nothing here knows where a file came from.
"""

from __future__ import annotations

import contextlib
import json
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from pipeline.errors import WeightsError
from pipeline.layers import DEEPEST_LAYER, Architecture

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Converted:
    """Tensors under our names, and what else the file must remember (all text)."""

    tensors: Mapping[str, Array]
    metadata: Mapping[str, str] = field(default_factory=dict)


Converter = Callable[[Path], Converted]


def convert(path: Path, converter: Converter) -> Converted:
    """What `converter` makes of the file.

    Raises:
        WeightsError: The file is truncated, of another kind, or lacks a tensor.
    """
    try:
        return converter(path)
    except KeyError as error:
        raise WeightsError(
            path,
            expected=f"a tensor named {error.args[0]}",
            found="none",
            fix="Give the file of this network",
        ) from error
    except (ValueError, TypeError, IndexError, struct.error, SafetensorError, OSError) as error:
        raise WeightsError(
            path, expected="a readable model file", found=" ".join(str(error).split())[:200]
        ) from error


def convert_vgg(path: Path, architecture: Architecture, *, rgb_to_bgr: bool = False) -> Converted:
    """A VGG's convolutions up to conv5_1: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias`, ...; float32.

    Args:
        path: Keras' export to ONNX (`.onnx`, BGR already), a PyTorch state dictionary with the keys
            `features.N.weight`, or a `.safetensors` with our own names.
        architecture: Which VGG.
        rgb_to_bgr: The PyTorch file's first convolution reads RGB and ours shall read BGR: its three input
            channels are put in the other order. Exact, because w_R r + w_G g + w_B b is the same sum either
            way; a different mean is not compensated, and the pinned hash decides whether the weights are
            the same ones.
    """
    layers = architecture.up_to([DEEPEST_LAYER])
    stored: Mapping[str, Array]
    match path.suffix:
        case ".onnx":
            stored = read_onnx_initialisers(path)
            names = [_keras_names(layer.convolution) for layer in layers]
        case ".safetensors":
            stored = read_safetensors(path).tensors
            names = [(f"{layer.convolution}.weight", f"{layer.convolution}.bias") for layer in layers]
        case _:
            stored = _state_arrays(path)
            indices = _torchvision_indices(architecture)
            names = [
                (f"features.{indices[layer.name]}.weight", f"features.{indices[layer.name]}.bias")
                for layer in layers
            ]
    tensors: dict[str, Array] = {}
    channels_in = 3
    for layer, (weight_name, bias_name) in zip(layers, names, strict=True):
        weight, bias = stored[weight_name], stored[bias_name]
        if weight.shape != (layer.channels, channels_in, 3, 3) or bias.shape != (layer.channels,):
            raise ValueError(f"{weight_name} of shape {weight.shape}, which is not {architecture.name}'s")
        if rgb_to_bgr and path.suffix not in (".onnx", ".safetensors") and layer.name == "relu1_1":
            weight = weight[:, ::-1]
        tensors[f"{layer.convolution}.weight"] = np.ascontiguousarray(weight, dtype=np.float32)
        tensors[f"{layer.convolution}.bias"] = np.ascontiguousarray(bias, dtype=np.float32)
        channels_in = layer.channels
    return Converted(tensors)


def convert_whole(path: Path) -> Converted:
    """Every tensor of a PyTorch state dictionary or a `.safetensors`, names unchanged."""
    return read_safetensors(path) if path.suffix == ".safetensors" else Converted(_state_arrays(path))


def convert_numbered(path: Path) -> Converted:
    """A network whose exporter numbered its convolutions (or its `.safetensors`); float32.

    Folded convolutions have numbers for names in an ONNX file (`1967` a weight, `1968` its bias), which grow
    in the order of execution: `000.weight`, `000.bias`, `001.weight`, ... Other names stay as they are.

    Raises:
        ValueError: The numbers do not come in pairs of a weight and its bias.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    stored = read_onnx_initialisers(path)
    numbers = sorted((name for name in stored if name.isdecimal()), key=int)
    tensors = {name: tensor for name, tensor in stored.items() if not name.isdecimal()}
    for index, (weight, bias) in enumerate(zip(numbers[::2], numbers[1::2], strict=True)):
        if stored[weight].ndim != 4 or stored[bias].shape != stored[weight].shape[:1]:
            raise ValueError(f"initialisers {weight} and {bias} that are not a weight and its bias")
        tensors[f"{index:03d}.weight"], tensors[f"{index:03d}.bias"] = stored[weight], stored[bias]
    return Converted(tensors)


def convert_graph(path: Path) -> Converted:
    """A TensorFlow Lite network (or its `.safetensors`): tensors, and the operations as JSON in `graph`."""
    if path.suffix == ".safetensors":
        stored = read_safetensors(path)
        if "graph" not in stored.metadata:
            raise KeyError("graph")
        return stored
    from pipeline.fetching.tflite_files import read_tflite  # noqa: PLC0415 - imports 140 generated modules

    graph, tensors = read_tflite(path)
    return Converted(tensors, {"graph": json.dumps(graph, separators=(",", ":"))})


def read_safetensors(path: Path) -> Converted:
    """All tensors and the metadata of a `.safetensors` file.

    Raises:
        SafetensorError: The file is truncated or of another kind.
    """
    with open_safetensors(path) as stored:
        return Converted(dict(stored.tensors), stored.metadata)


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[Converted]:
    """The same as `read_safetensors`, each tensor read when it is asked for, while the file is open.

    Raises:
        SafetensorError: The file is truncated or of another kind.
    """
    with safe_open(path, framework="numpy") as file:
        yield Converted(_Stored(file), file.metadata() or {})


@final
class _Stored(Mapping[str, Array]):
    """The tensors of an open file."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._names = tuple(file.keys())

    def __getitem__(self, name: str) -> Array:
        try:
            tensor: Array = self._file.get_tensor(name)
        except TypeError as error:
            # Of a type that numpy does not have, such as bfloat16.
            raise SafetensorError(f"{name}: {error}") from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint, which is refused when it holds anything but tensors.

    Raises:
        ValueError: Not such a checkpoint, or a pickle that wants to run code.
        OSError: It cannot be read.
    """
    import torch  # noqa: PLC0415 - only checkpoints need it

    try:
        with warnings.catch_warnings():
            # Of pickles that are none.
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        # A pickle is a program: a text run as one, the page of an error say, may fail in any way. PyTorch's
        # own text advises to let the file run code.
        raise ValueError("a file that is not a PyTorch checkpoint of plain tensors") from error
    if not isinstance(stored, Mapping):
        raise ValueError("a PyTorch file that is not a state dictionary")
    for name, value in stored.items():
        if not isinstance(name, str):
            raise ValueError(f"a PyTorch file that is not a state dictionary: {name!r:.60} is a name in it")
        if not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise ValueError(f"a PyTorch file that is not a state dictionary: {name!r:.60} is a {kind} in it")
    return dict(stored)


def _state_arrays(path: Path) -> dict[str, Array]:
    return {name: value.contiguous().numpy() for name, value in read_state_dict(path).items()}


def read_onnx_initialisers(path: Path) -> dict[str, Array]:
    """The float32 initialisers of an ONNX model by name.

    Reads the protobuf wire format by itself: ModelProto.graph is field 7, GraphProto.initializer 5;
    of a TensorProto dims are 1, data_type 2, float_data 4, name 8, raw_data 9 (onnx.proto of ONNX 1.x).

    Raises:
        ValueError: A wire type that the format does not have.
        IndexError: The file ends too early.
    """
    model = memoryview(path.read_bytes())
    tensors: dict[str, Array] = {}
    for number, graph in _fields(model):
        if number != 7 or isinstance(graph, int):
            continue
        for graph_number, initialiser in _fields(graph):
            if graph_number == 5 and not isinstance(initialiser, int):
                tensors.update(_onnx_tensor(initialiser))
    return tensors


def _onnx_tensor(message: memoryview) -> dict[str, Array]:
    shape: list[int] = []
    name, data_type, data = "", 0, b""
    for number, value in _fields(message):
        match number, value:
            case 1, int():
                shape.append(value)
            case 1, memoryview():
                shape += _packed_varints(value)
            case 2, int():
                data_type = value
            case 8, memoryview():
                name = bytes(value).decode()
            case ((4 | 9), memoryview()):
                data = bytes(value)
    is_float32 = data_type == 1
    return {name: np.frombuffer(data, "<f4").reshape(shape)} if is_float32 and data else {}


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of one protobuf message: integers, or the bytes of everything else."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        match tag & 7:
            case 0:
                value, position = _varint(message, position)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, position = _varint(message, position)
            case 5:
                length = 4
            case wire_type:
                raise ValueError(f"not an ONNX file (wire type {wire_type})")
        if position + length > len(message):
            raise IndexError("the file ends too early")
        yield tag >> 3, message[position : position + length]
        position += length


def _packed_varints(packed: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(packed):
        value, position = _varint(packed, position)
        values.append(value)
    return values


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _keras_names(convolution: str) -> tuple[str, str]:
    block, number = convolution.removeprefix("conv").split("_")
    prefix = f"functional_1/block{block}_conv{number}_1"
    return f"{prefix}/convolution/ReadVariableOp:0", f"{prefix}/Squeeze:0"


def _torchvision_indices(architecture: Architecture) -> dict[str, int]:
    """Where torchvision's `features` holds each layer's convolution: conv, ReLU, ..., pooling per block."""
    indices, index, block = {}, 0, "1"
    for layer in architecture:
        this_block = layer.name.removeprefix("relu").split("_")[0]
        if this_block != block:
            index += 1
            block = this_block
        indices[layer.name] = index
        index += 2
    return indices
