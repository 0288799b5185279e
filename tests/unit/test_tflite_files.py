"""The TensorFlow Lite reader, on networks of a few operations built here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from pipeline.fetching.tflite_files import read_tflite

ADD, AVERAGE_POOL, CONVOLUTION, DEQUANTIZE, RELU, TANH = 0, 1, 3, 6, 19, 28
FLOAT32, FLOAT16 = 0, 1
SAME = 0
TANH_FUSED, RELU6_FUSED = 4, 3
UINT16, UINT8 = 2, 3

# value numbers: 0 input, 1 weight as float16, 2 weight, 3 bias, 4 convolved, 5 rectified, 6 mean
SHAPES = [(1, 4, 6, 3), (2, 1, 1, 3), (2, 1, 1, 3), (2,), (1, 2, 3, 2), (1, 2, 3, 2), (1, 1, 1, 2)]
WEIGHT = np.array([[0.5, 1, 2], [-1, 4, 0.25]], dtype=np.float16)
BIAS = np.array([7, 8], dtype=np.float32)


def vector(builder: Any, start: Callable[..., Any], offsets: list[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def operator(builder: Any, code: int, inputs: list[int], output: int, options: tuple[int, int] | None) -> int:
    ins = builder.CreateNumpyVector(np.array(inputs, dtype=np.int32))
    outs = builder.CreateNumpyVector(np.array([output], dtype=np.int32))
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, ins)
    tflite.OperatorAddOutputs(builder, outs)
    if options:
        tflite.OperatorAddBuiltinOptionsType(builder, options[0])
        tflite.OperatorAddBuiltinOptions(builder, options[1])
    return int(tflite.OperatorEnd(builder))


def sparsity(builder: Any, block: bool) -> int:
    """Three dense dimensions, then columns 0 and 2 of the first row and 1 of the second."""
    dimensions = []
    for number, size in enumerate(SHAPES[1]):
        if number == 3:
            vectors = []
            for kind, values in ((tflite.Uint8Vector, [0, 2, 3]), (tflite.Uint16Vector, [0, 2, 1])):
                dtype = np.uint8 if kind is tflite.Uint8Vector else np.uint16
                content = builder.CreateNumpyVector(np.array(values, dtype=dtype))
                name = kind.__name__
                getattr(tflite, f"{name}Start")(builder)
                getattr(tflite, f"{name}AddValues")(builder, content)
                vectors.append(int(getattr(tflite, f"{name}End")(builder)))
        tflite.DimensionMetadataStart(builder)
        tflite.DimensionMetadataAddFormat(builder, 1 if number == 3 else 0)
        if number == 3:
            tflite.DimensionMetadataAddArraySegmentsType(builder, UINT8)
            tflite.DimensionMetadataAddArraySegments(builder, vectors[0])
            tflite.DimensionMetadataAddArrayIndicesType(builder, UINT16)
            tflite.DimensionMetadataAddArrayIndices(builder, vectors[1])
        else:
            tflite.DimensionMetadataAddDenseSize(builder, size)
        dimensions.append(int(tflite.DimensionMetadataEnd(builder)))
    metadata = vector(builder, tflite.SparsityParametersStartDimMetadataVector, dimensions)
    order = builder.CreateNumpyVector(np.array([3, 0, 1, 2] if block else [0, 1, 2, 3], dtype=np.int32))
    tflite.SparsityParametersStart(builder)
    tflite.SparsityParametersAddTraversalOrder(builder, order)
    tflite.SparsityParametersAddDimMetadata(builder, metadata)
    return int(tflite.SparsityParametersEnd(builder))


def build(last: int = AVERAGE_POOL, fused: int = 0, sparse: str = "") -> bytes:
    """dequantise the weight, 1x1 convolution with stride 2, ReLU, and `last`."""
    builder = flatbuffers.Builder(1024)
    buffers = []
    weight = WEIGHT[[0, 0, 1], [0, 2, 1]] if sparse else WEIGHT
    for data in (b"", weight.tobytes(), BIAS.tobytes()):
        content = builder.CreateByteVector(data)
        tflite.BufferStart(builder)
        tflite.BufferAddData(builder, content)
        buffers.append(int(tflite.BufferEnd(builder)))
    tensors = []
    for number, shape in enumerate(SHAPES):
        sides = builder.CreateNumpyVector(np.array(shape, dtype=np.int32))
        holes = sparsity(builder, sparse == "block") if sparse and number == 1 else 0
        tflite.TensorStart(builder)
        if holes:
            tflite.TensorAddSparsity(builder, holes)
        tflite.TensorAddShape(builder, sides)
        tflite.TensorAddType(builder, FLOAT16 if number == 1 else FLOAT32)
        tflite.TensorAddBuffer(builder, {1: 1, 3: 2}.get(number, 0))
        tensors.append(int(tflite.TensorEnd(builder)))
    tflite.Conv2DOptionsStart(builder)
    tflite.Conv2DOptionsAddPadding(builder, SAME)
    tflite.Conv2DOptionsAddStrideH(builder, 2)
    tflite.Conv2DOptionsAddStrideW(builder, 2)
    tflite.Conv2DOptionsAddFusedActivationFunction(builder, fused)
    options = (tflite.BuiltinOptions.Conv2DOptions, int(tflite.Conv2DOptionsEnd(builder)))
    operators = [
        operator(builder, 0, [1], 2, None),
        operator(builder, 1, [0, 2, 3], 4, options),
        operator(builder, 2, [4], 5, None),
        operator(builder, 3, [5], 6, None),
    ]
    all_tensors = vector(builder, tflite.SubGraphStartTensorsVector, tensors)
    all_operators = vector(builder, tflite.SubGraphStartOperatorsVector, operators)
    ins = builder.CreateNumpyVector(np.array([0], dtype=np.int32))
    outs = builder.CreateNumpyVector(np.array([6], dtype=np.int32))
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, all_tensors)
    tflite.SubGraphAddOperators(builder, all_operators)
    tflite.SubGraphAddInputs(builder, ins)
    tflite.SubGraphAddOutputs(builder, outs)
    graph = int(tflite.SubGraphEnd(builder))
    codes = []
    for code in (DEQUANTIZE, CONVOLUTION, RELU, last):
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
        codes.append(int(tflite.OperatorCodeEnd(builder)))
    graphs = vector(builder, tflite.ModelStartSubgraphsVector, [graph])
    all_codes = vector(builder, tflite.ModelStartOperatorCodesVector, codes)
    all_buffers = vector(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddOperatorCodes(builder, all_codes)
    tflite.ModelAddBuffers(builder, all_buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_operations_and_tensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(build())
    graph, tensors = read_tflite(path)
    assert graph == {
        "input": 0,
        "output": 6,
        "height_px": 4,
        "width_px": 6,
        "operations": [
            {"inputs": [0], "output": 4, "kind": "convolution", "stride": 2, "same": True, "tensors": "00"},
            {"inputs": [4], "output": 5, "kind": "relu"},
            {"inputs": [5], "output": 6, "kind": "mean"},
        ],
    }
    assert tensors.keys() == {"00.weight", "00.bias"}
    assert tensors["00.weight"].dtype == np.float32
    assert tensors["00.weight"].shape == (2, 3, 1, 1)
    assert tensors["00.weight"][:, :, 0, 0].tolist() == [[0.5, 1, 2], [-1, 4, 0.25]]
    assert tensors["00.bias"].tolist() == [7, 8]


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(build(last=TANH))
    with pytest.raises(ValueError, match="operation TANH, which this reader does not know"):
        read_tflite(path)
    path.write_bytes(build(fused=TANH_FUSED))
    with pytest.raises(ValueError, match="a fused activation of type 4"):
        read_tflite(path)
    path.write_bytes(build(sparse="block"))
    with pytest.raises(ValueError, match="a sparsity in blocks"):
        read_tflite(path)


def test_an_activation_that_is_fused_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(build(fused=RELU6_FUSED))
    graph, _ = read_tflite(path)
    assert [operation.get("activation") for operation in graph["operations"]] == ["relu6", None, None]


def test_a_sparse_weight_is_filled_with_zeros(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(build(sparse="rows"))
    _, tensors = read_tflite(path)
    assert tensors["00.weight"][:, :, 0, 0].tolist() == [[0.5, 0, 2], [0, 4, 0]]


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    whole = build()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Exception) as error:  # noqa: PT011 - convert() turns all of these into one line
        read_tflite(path)
    assert type(error.value).__name__ in {"ValueError", "error", "IndexError"}
