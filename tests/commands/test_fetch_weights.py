from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import truncate
from running import Impasto, snapshot
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pipeline.fetching.sources import sha256_of

ZEROS = "0" * 64


def test_a_file_of_the_users_is_converted_once(impasto: Impasto, vgg19_source: Path) -> None:
    words = ["fetch-weights", "vgg19", "--path", vgg19_source, "--output", "weights/vgg19.safetensors"]
    imported, done = impasto.imports(*words, "--sha256", sha256_of(vgg19_source))
    assert done.said[-1].startswith("weights/vgg19.safetensors: 26 tensors, sha256 ")
    assert done.said[-1].endswith(", BSD-3-Clause")
    assert not imported & {"torch", "torchvision"}
    path = impasto.folder / "weights" / "vgg19.safetensors"
    given, kept = load_file(vgg19_source), load_file(path)
    assert list(kept) == list(given)
    assert all((kept[name] == given[name]).all() for name in given)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["source_sha256"] == sha256_of(vgg19_source)
        assert "Oxford" in file.metadata()["credit"]

    before = snapshot(impasto.folder)
    impasto.works(*words)
    assert snapshot(impasto.folder) == before


def test_another_file_of_the_users_replaces_the_first(impasto: Impasto, vgg19_source: Path) -> None:
    tensors = load_file(vgg19_source)
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + 1
    save_file(tensors, impasto.folder / "other.safetensors")
    words = ["--output", "vgg19.safetensors"]
    impasto.works("fetch-weights", "vgg19", "--path", vgg19_source, *words)
    impasto.works("fetch-weights", "vgg19", "--path", "other.safetensors", *words)
    kept = load_file(impasto.folder / "vgg19.safetensors")
    assert (kept["conv1_1.bias"] == tensors["conv1_1.bias"]).all()


def test_the_wrong_hash_is_refused(impasto: Impasto, vgg19_source: Path) -> None:
    words = ["--path", vgg19_source, "--sha256", ZEROS, "--output", "vgg19.safetensors"]
    line = impasto.refuses("fetch-weights", "vgg19", *words)
    assert f"expected a file with sha256 {ZEROS}" in line
    assert f"found {sha256_of(vgg19_source)}" in line


def test_tensors_that_are_not_the_pinned_ones_are_refused(impasto: Impasto, vgg19_source: Path) -> None:
    # A VGG-19 has every tensor of a VGG-16, in the same shapes: only the pinned hash tells them apart.
    line = impasto.refuses("fetch-weights", "vgg16", "--path", vgg19_source, "--output", "vgg16.safetensors")
    assert "expected tensors with sha256 5132181826322" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vgg17", "--path", "x.pth"], "weights 'vgg17': expected one of vgg16, vgg19, "),
        (["vgg19", "--path", "absent.pth"], "absent.pth: expected a file; found none. Correct the path."),
        (["vgg19", "--path", "text.pth"], "text.pth: expected a file with sha256 dcbb9e9d"),
        (["vgg19", "--path", "text.safetensors"], "text.safetensors: expected a readable model file; found"),
        (["vgg19", "--path", "cut.safetensors"], "cut.safetensors: expected a readable model file; found"),
        (["vgg19", "--path", "few.safetensors"], "few.safetensors: expected a tensor named conv1_2.weight"),
        (["vgg19", "--path", "flat.safetensors"], "which is not vgg19's"),
        (
            ["sam_vit_b"],
            "sam_vit_b: expected a file of yours; found no source. Give its path and sha256 with",
        ),
        (["vgg19", "--url", "http://127.0.0.1:9/vgg19.pth"], "expected the sha256 of the file at this"),
        (["vgg19", "--url", "x", "--sha256", "0123"], "argument --sha256: expected 64 hexadecimal digits; f"),
        (["vgg19", "--sha256", ZEROS], "--sha256: expected --path or --url beside it; found neither."),
        (["vgg19", "--path", "a", "--url", "b"], "argument --url: not allowed with argument --path"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    (impasto.folder / "text.pth").write_text("no tensors here")
    (impasto.folder / "text.safetensors").write_text("no tensors here")
    tensors = {
        "conv1_1.weight": np.zeros((64, 3, 3, 3), np.float32),
        "conv1_1.bias": np.zeros(64, np.float32),
    }
    save_file(tensors, impasto.folder / "few.safetensors")
    save_file(tensors, impasto.folder / "cut.safetensors")
    truncate(impasto.folder / "cut.safetensors")
    save_file({name: tensor.ravel() for name, tensor in tensors.items()}, impasto.folder / "flat.safetensors")
    line = impasto.refuses("fetch-weights", *words, "--output", f"{words[0]}.safetensors")
    assert said in line


def test_the_output_has_the_networks_name(impasto: Impasto, vgg19_source: Path) -> None:
    words = ["--path", vgg19_source, "--output", "weights.safetensors"]
    line = impasto.refuses("fetch-weights", "vgg19", *words)
    assert line.startswith("weights.safetensors: expected a file named vgg19.safetensors; found another")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/vgg19.pth", "no address"])
def test_an_address_that_does_not_answer_is_told_in_one_line(impasto: Impasto, url: str) -> None:
    words = ["--url", url, "--sha256", ZEROS, "--output", "vgg19.safetensors"]
    done = impasto.run("fetch-weights", "vgg19", *words)
    assert done.returncode == 2
    announced, told = done.stderr.splitlines()
    assert announced == f"downloading {url}"
    assert told.startswith(
        f"impasto fetch-weights: vgg19: expected a source that works; found {url}: expected"
    )
    assert list(impasto.folder.iterdir()) == []
