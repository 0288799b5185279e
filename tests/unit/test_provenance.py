"""The provenance record: hashes, plain JSON, and nothing that names a machine or a person."""

from __future__ import annotations

import dataclasses
import getpass
import json
import platform
import subprocess
import sys
import tracemalloc
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipeline import provenance
from pipeline.errors import InputError
from pipeline.provenance import LevelRecord, WeightsRecord

ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

LEVEL = LevelRecord(
    level_px=512,
    height_px=418,
    width_px=627,
    tile_px=None,
    iterations=120,
    passes=131,
    loss_first=4.0e7,
    loss_last=8.0e5,
    seconds=95.5,
    peak_memory_mib=900.0,
)
WEIGHTS = WeightsRecord("vgg16", "ab" * 32, "CC BY 4.0", "Simonyan and Zisserman")


def make_record(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    content = tmp_path / "content.png"
    content.write_bytes(b"abc")
    output = tmp_path / "print.tif"
    output.write_bytes(b"")
    arguments: dict[str, Any] = {
        "artwork": "harbour",
        "settings": {"content": Path("photos/content.png"), "levels": (512, 1024), "print": {"dpi": 300}},
        "seed": 7,
        "precision": "float32",
        "device": {"name": "some processor", "threads": 2},
        "versions": {"torch": "2.1.0"},
        "weights": [WEIGHTS],
        "levels": [LEVEL],
        "inputs": {"photos/content.png": content},
        "outputs": {"results/harbour/print.tif": output},
        "deviations": ["The tile was halved: the device had no memory left."],
        "masks": {"harbour-0": {"image": Path("photos/content.png"), "coverage": 0.25}},
        "mixtures": {"wave-0": {"ending": "converged", "warnings": ("Nothing is left.",)}},
        "crop": {"image": Path("photos/content.png"), "chosen": "smart"},
    }
    return provenance.record(**arguments | changes)


def test_a_record_holds_what_it_was_given(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    assert record == {
        "artwork": "harbour",
        "settings": {"content": "photos/content.png", "levels": [512, 1024], "print": {"dpi": 300}},
        "seed": 7,
        "precision": "float32",
        "device": {"name": "some processor", "threads": 2},
        "versions": {"torch": "2.1.0"},
        "weights": [
            {
                "name": "vgg16",
                "sha256": "ab" * 32,
                "licence": "CC BY 4.0",
                "credit": "Simonyan and Zisserman",
            }
        ],
        "levels": [
            {
                "level_px": 512,
                "height_px": 418,
                "width_px": 627,
                "tile_px": None,
                "iterations": 120,
                "passes": 131,
                "loss_first": 4.0e7,
                "loss_last": 8.0e5,
                "seconds": 95.5,
                "peak_memory_mib": 900.0,
            }
        ],
        "inputs": [{"path": "photos/content.png", "bytes": 3, "sha256": ABC_SHA256}],
        "outputs": [{"path": "results/harbour/print.tif", "bytes": 0, "sha256": EMPTY_SHA256}],
        "deviations": ["The tile was halved: the device had no memory left."],
        "masks": {"harbour-0": {"image": "photos/content.png", "coverage": 0.25}},
        "mixtures": {"wave-0": {"ending": "converged", "warnings": ["Nothing is left."]}},
        "painting": None,
        "crop": {"image": "photos/content.png", "chosen": "smart"},
    }


def test_a_record_survives_json(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert LevelRecord(**record["levels"][0]) == LEVEL
    assert WeightsRecord(**record["weights"][0]) == WEIGHTS


def test_equal_input_gives_an_equal_record(tmp_path: Path) -> None:
    assert make_record(tmp_path) == make_record(tmp_path)


def test_a_record_names_no_machine_and_no_person(tmp_path: Path) -> None:
    content = tmp_path / "content.png"
    content.write_bytes(b"abc")
    record = make_record(
        tmp_path,
        settings={"content": str(content), "style": tmp_path / "style.png", "windows": r"C:\Users\ann\a.png"},
        inputs={str(content): content, "~ann/photos/b.png": content},
        device=provenance.device_facts("cpu"),
    )
    assert record["settings"] == {"content": "content.png", "style": "style.png", "windows": "a.png"}
    assert [entry["path"] for entry in record["inputs"]] == ["content.png", "b.png"]
    words = json.dumps(record).replace('"', " ").split()
    for name in (platform.node(), getpass.getuser()):
        assert name not in words
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("photos/a.png", "photos/a.png"),
        ("../photos/a.png", "../photos/a.png"),
        ("/home/ann/a.png", "a.png"),
        ("~/photos/a.png", "a.png"),
        (r"D:\photos\a.png", "a.png"),
        ("everything", "everything"),
        (Path("photos") / "a.png", "photos/a.png"),
    ],
)
def test_paths_stay_as_written_unless_they_tell_of_the_machine(written: str | Path, kept: str) -> None:
    assert provenance.as_written(written) == kept


def test_plain_values() -> None:
    class Mode(Enum):
        LUMINANCE = "luminance"

    @dataclasses.dataclass
    class Print:
        dpi: int
        mode: Mode

    value = {"print": Print(300, Mode.LUMINANCE), 3: (None, True, 0.5), "loss": [float("nan"), float("inf")]}
    assert provenance.plain(value) == {
        "print": {"dpi": 300, "mode": "luminance"},
        "3": [None, True, 0.5],
        "loss": [None, None],
    }


def test_a_value_without_a_json_form_is_a_bug() -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        provenance.plain({"levels": {512}})


def test_file_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert provenance.file_sha256(path) == ABC_SHA256


def test_file_sha256_reads_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(32 * 2**20)
    tracemalloc.start()
    try:
        provenance.file_sha256(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(("name", "found"), [("missing.png", "nothing of that name"), (".", "a folder")])
def test_file_sha256_of_what_is_no_file(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        provenance.file_sha256(tmp_path / name)
    assert str(tmp_path.parent) not in str(caught.value)


def test_peak_memory_grows_with_use() -> None:
    program = (
        "from pipeline.provenance import peak_memory_mib\n"
        "before = peak_memory_mib()\n"
        "block = b'x' * (200 * 2**20)\n"
        "print(peak_memory_mib() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 150 < float(done.stdout) < 260


def test_device_facts_of_the_cpu() -> None:
    import torch

    facts = provenance.device_facts("cpu")
    assert facts["device"] == "cpu"
    assert facts["name"]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["torch"] == torch.__version__
    assert facts["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert "compute_capability" not in facts
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.gpu
def test_device_facts_of_a_gpu() -> None:
    facts = provenance.device_facts("cuda")
    assert facts["cuda"]
    assert facts["cudnn"]
    assert facts["compute_capability"].count(".") == 1


@pytest.mark.parametrize(
    ("text", "name", "sets"),
    [
        ("model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512_bf16 fma\n", "Some CPU @ 2 GHz", 3),
        ("processor\t: 0\nFeatures\t: fp asimd sve bf16\n", platform.machine(), 3),
        ("", platform.machine(), 0),
    ],
)
def test_cpu_facts(text: str, name: str, sets: int) -> None:
    found_name, found_sets = provenance._cpu_facts(text)
    assert (found_name, len(found_sets)) == (name, sets)


def test_versions_of_what_decides_pixels() -> None:
    found = provenance.versions()
    assert set(found) == {"impasto", "python", "torch", "pyvips", "libvips", "numpy", "snakemake"}
    assert found["python"] == platform.python_version()


def test_an_absent_package_has_an_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", {"libvips": "no-such-distribution-anywhere"})
    assert provenance.versions() == {"python": platform.python_version(), "libvips": "unknown"}


def test_the_module_starts_without_torch() -> None:
    program = "import sys, pipeline.provenance as p; p.versions(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
