"""Reads a TensorFlow Lite network into tensors and a list of operations for `segmentation.graph`.

Only the operations of small convolutional segmenters and detectors are known; any other ends in a ValueError.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import tflite
from tflite.utils import opcode2name

Array = npt.NDArray[Any]
Graph = dict[str, Any]

_TRANSPOSED_CONVOLUTION = b"Convolution2DTransposeBias"  # MediaPipe's custom operation
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4"}
_ACTIVATIONS = {1: "relu", 3: "relu6"}
_SPARSE = 1  # the format of a dimension; 0 is dense
_ELEMENTWISE = {"RELU": "relu", "HARD_SWISH": "hard_swish", "LOGISTIC": "sigmoid"}
_SAME_PADDING = 0


def read_tflite(path: Path) -> tuple[Graph, dict[str, Array]]:
    """The operations in order, and their tensors as float32 (float16 constants are widened, which is exact).

    The graph: `input` and `output` are numbers of values, `height_px` and `width_px` the input's size;
    each of `operations` has `kind`, `inputs` and `output` (numbers of values), and what its kind needs:
    `tensors` (prefix of `.weight` and `.bias`), `stride`, `same` (padding), `size` (height, width), `sides`
    (zeros at the left, right, top, bottom), `columns`, `axis`, and `activation` where one follows at once.
    Weights are stored as torch wants them: (out, in, h, w), transposed convolutions (in, out, h, w).
    The outputs of a network that has several are rows, which are joined column by column, in order.

    Raises:
        ValueError: Not such a file, or an operation or option that is not known.
    """
    data = path.read_bytes()
    if not tflite.Model.ModelBufferHasIdentifier(data, 0):
        raise ValueError("not a TensorFlow Lite file")
    try:
        return _Reader(tflite.Model.GetRootAs(data, 0)).read()
    except (AttributeError, TypeError) as error:
        # The generated accessors give None or 0 for tables and vectors that are not there.
        raise ValueError("a TensorFlow Lite file with parts missing") from error


@final
class _Reader:
    """Walks over the first subgraph of a model; holds the constants met so far."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.Subgraphs(0)
        self._widened: dict[int, Array] = {}
        self._tensors: dict[str, Array] = {}

    def read(self) -> tuple[Graph, dict[str, Array]]:
        graph = self._graph
        operations = []
        for index in range(graph.OperatorsLength()):
            operation = self._operation(graph.Operators(index))
            if operation:
                operations.append(operation)
        shape = graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()
        outputs = [int(index) for index in graph.OutputsAsNumpy()]
        if len(outputs) > 1:
            _require(
                all(len(self._shape(index)) == 3 for index in outputs), "several outputs that are images"
            )
            joined = {"kind": "concatenate", "inputs": outputs, "output": graph.TensorsLength(), "axis": 2}
            operations.append(joined)
        return {
            "input": int(graph.Inputs(0)),
            "output": operations[-1]["output"] if len(outputs) > 1 else outputs[0],
            "height_px": int(shape[1]),
            "width_px": int(shape[2]),
            "operations": operations,
        }, self._tensors

    def _operation(self, operator: Any) -> Graph | None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        # Old files hold the code in a byte of its own; the larger of the two is the right one.
        kind = opcode2name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        output = int(operator.Outputs(0))
        if kind in ("DEQUANTIZE", "DENSIFY"):
            self._widened[output] = self._constant(inputs[0])
            return None
        described: Graph = {"inputs": inputs[:1], "output": output}
        match kind:
            case "CONV_2D" | "DEPTHWISE_CONV_2D" | "CUSTOM":
                described |= self._convolution(kind, operator, code.CustomCode())
            case "PAD" | "DEPTH_TO_SPACE" | "RESHAPE" | "CONCATENATION":
                described |= self._rearrangement(kind, operator)
            case "ADD" | "MUL":
                described |= _activation(
                    _options(operator, tflite.AddOptions if kind == "ADD" else tflite.MulOptions)
                )
                described["kind"] = "add" if kind == "ADD" else "multiply"
                described["inputs"] = inputs
            case "RESIZE_BILINEAR":
                options = _options(operator, tflite.ResizeBilinearOptions)
                _require(options.HalfPixelCenters() and not options.AlignCorners(), "corner-aligned resizing")
                described["kind"] = "resize"
                described["size"] = [int(side) for side in self._constant(inputs[1])]
            case "AVERAGE_POOL_2D":
                _require(self._shape(output)[1:3] == (1, 1), "a local average pooling")
                described["kind"] = "mean"
            case _ if kind in _ELEMENTWISE:
                described["kind"] = _ELEMENTWISE[kind]
            case _:
                _require(False, f"operation {kind}")
        return described

    def _convolution(self, kind: str, operator: Any, custom: bytes | None) -> Graph:
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        if kind == "CUSTOM":
            _require(custom == _TRANSPOSED_CONVOLUTION, f"operation {custom!r}")
            name = self._keep(inputs, (3, 0, 1, 2))
            kernel = self._tensors[f"{name}.weight"].shape[2:]
            _require(kernel == (2, 2), f"a transposed convolution of {kernel}")
            return {"kind": "transposed_convolution", "tensors": name}
        depthwise = kind == "DEPTHWISE_CONV_2D"
        options = _options(operator, tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
        _require(options.DilationHFactor() == 1 and options.DilationWFactor() == 1, "a dilation")
        _require(options.StrideH() == options.StrideW(), "two different strides")
        if depthwise:
            _require(options.DepthMultiplier() == 1, "a depth multiplier")
        return {
            "kind": "depthwise_convolution" if depthwise else "convolution",
            "stride": int(options.StrideH()),
            "same": options.Padding() == _SAME_PADDING,
            "tensors": self._keep(inputs, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)),
        } | _activation(options)

    def _rearrangement(self, kind: str, operator: Any) -> Graph:
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        shape = self._shape(int(operator.Outputs(0)))
        match kind:
            case "PAD":
                batch, rows, columns, channels = self._constant(inputs[1]).tolist()
                _require(batch == channels == [0, 0], "padded channels")
                return {"kind": "pad", "sides": [*columns, *rows]}
            case "DEPTH_TO_SPACE":
                block = _options(operator, tflite.DepthToSpaceOptions).BlockSize()
                _require(block == 2, f"blocks of {block}")
                return {"kind": "depth_to_space"}
            case "RESHAPE":
                _require(len(shape) == 3 and shape[0] == 1, f"a reshaping to {shape}")
                return {"kind": "rows", "columns": shape[2]}
        options = _options(operator, tflite.ConcatenationOptions)
        _require(options.FusedActivationFunction() == 0, "a fused activation")
        _require(options.Axis() == 1 and len(shape) == 3, "joining of other than rows")
        return {"kind": "concatenate", "inputs": inputs, "axis": 1}

    def _keep(self, inputs: list[int], to_torch: tuple[int, ...]) -> str:
        name = f"{len(self._tensors) // 2:02d}"
        self._tensors[f"{name}.weight"] = np.ascontiguousarray(self._constant(inputs[1]).transpose(to_torch))
        self._tensors[f"{name}.bias"] = self._constant(inputs[2])
        return name

    def _shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self._graph.Tensors(index).ShapeAsNumpy())

    def _constant(self, index: int) -> Array:
        if index in self._widened:
            return self._widened[index]
        tensor = self._graph.Tensors(index)
        _require(tensor.Type() in _DTYPES, f"a constant of type {tensor.Type()}")
        stored = np.frombuffer(
            self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), _DTYPES[tensor.Type()]
        )
        widened = stored.astype(np.int32 if stored.dtype == np.int32 else np.float32)
        if tensor.Sparsity() is not None:
            return _densified(widened, self._shape(index), tensor.Sparsity())
        return widened.reshape(self._shape(index))


def _densified(values: Array, shape: tuple[int, ...], sparsity: Any) -> Array:
    """The dense array of values whose last dimension alone is sparse: segments of indices, one per row."""
    order = [int(dimension) for dimension in sparsity.TraversalOrderAsNumpy()]
    formats = [sparsity.DimMetadata(d).Format() for d in range(sparsity.DimMetadataLength())]
    last = len(shape) - 1
    _require(order == [*range(last + 1)] and formats == [0] * last + [_SPARSE], "a sparsity in blocks")
    metadata = sparsity.DimMetadata(last)
    segments = _indices(metadata.ArraySegmentsType(), metadata.ArraySegments())
    columns = _indices(metadata.ArrayIndicesType(), metadata.ArrayIndices())
    dense = np.zeros((math.prod(shape[:-1]), shape[-1]), values.dtype)
    _require(len(segments) == len(dense) + 1 and len(columns) == len(values), "a sparsity of other sizes")
    rows = np.repeat(np.arange(len(dense)), np.diff(segments))
    dense[rows, columns] = values
    return dense.reshape(shape)


def _indices(kind: int, table: Any) -> Array:
    vectors = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}
    _require(kind in vectors, f"indices of type {kind}")
    vector = vectors[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), dtype=np.int64)


def _activation(options: Any) -> Graph:
    kind = options.FusedActivationFunction()
    _require(kind == 0 or kind in _ACTIVATIONS, f"a fused activation of type {kind}")
    return {"activation": _ACTIVATIONS[kind]} if kind else {}


def _options(operator: Any, kind: Any) -> Any:
    options, table = kind(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def _require(known: bool, what: str) -> None:
    if not known:
        raise ValueError(f"{what}, which this reader does not know")
