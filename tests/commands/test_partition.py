from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import gradient, save
from running import Impasto
from tiny_sam import install_mobile_sam, save_checkpoint, tiny_sam

from pipeline import canvas, weights
from pipeline.fetching.sources import LocalPath

OUTPUTS = ["--threads", 1, "--output", "parts", "--record", "parts.json"]


@pytest.fixture
def impasto(tmp_path: Path) -> Impasto:
    """`impasto` in an empty folder, with a package mobile_sam of its own."""
    packages = tmp_path / "packages"
    packages.mkdir()
    install_mobile_sam(packages)
    (tmp_path / "here").mkdir()
    return Impasto(tmp_path / "here", packages=packages)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network's model file under MobileSAM's name."""
    folder = tmp_path_factory.mktemp("network")
    return weights.fetch("sam_vit_t", folder, LocalPath(save_checkpoint(folder / "mine.pt")))


def test_parts_sum_to_one_and_are_recorded(impasto: Impasto, network: Path) -> None:
    canvas.prepare(save(impasto.folder / "photo.png", gradient(100, 80)), impasto.folder / "photo.tif")
    done = impasto.works("partition", "photo.tif", "--weights", network, "--parts", 3, *OUTPUTS)
    assert sorted(path.name for path in impasto.folder.iterdir()) == [
        "parts", "parts.json", "photo.png", "photo.tif",
    ]  # fmt: skip
    masks = [canvas.read(impasto.folder / "parts" / f"{number}.tif") for number in (1, 2, 3)]
    assert [mask.shape for mask in masks] == [(100, 80, 1)] * 3
    assert (np.rint(255 * np.sum(masks, axis=0)) == 255).all()
    # The tiny network finds one segment, so that one of the two is empty.
    assert [bool(mask.any()) for mask in masks] == [True, False, True]
    said = "segment-2-of-3 is empty: sam_vit_t finds 1 segment in the image"
    assert done.said[0] == f"warning: photo.tif: {said}"
    record = json.loads((impasto.folder / "parts.json").read_text())["parts"]
    assert [part["warnings"] for part in record] == [[], [said], []]
    assert sum(part["coverage"] for part in record) == pytest.approx(1)
    shares = ", ".join(f"{part['coverage']:.1%}" for part in record)
    assert done.said[1] == f"parts: 3 parts of the image by sam_vit_t: {shares}"
    (model,) = record[0]["models"]
    assert model == {"name": "sam_vit_t", "sha256": weights.load(network).tensors_sha256}
    assert record[0]["confidence"] == pytest.approx(record[2]["confidence"])
    assert 0.9 < record[0]["confidence"] <= 0.95

    # Once more, over what is there.
    before = [mask.tobytes() for mask in masks]
    impasto.works("partition", "photo.tif", "--weights", network, "--parts", 3, *OUTPUTS)
    after = [canvas.read(impasto.folder / "parts" / f"{number}.tif").tobytes() for number in (1, 2, 3)]
    assert before == after


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", 1], "--parts: expected 2 to 16; found 1."),
        (["--parts", 17], "--parts: expected 2 to 16; found 17."),
        (["--parts", "two"], "argument --parts: expected a whole number of at least 1; found 'two'"),
        (["--parts", 2, "--weights", "none.safetensors"], "none.safetensors: expected a weights file; found"),
        (["--parts", 2, "--weights", "{vgg19}"], "expected the model file of segment-anything; found vgg19."),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, network: Path, vgg19: Path, words: list[Any], said: str
) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    given = ["--weights", network, *(str(vgg19) if word == "{vgg19}" else word for word in words)]
    assert said in impasto.refuses("partition", "photo.png", *given, *OUTPUTS)


def test_an_image_that_is_none_leaves_earlier_parts(impasto: Impasto, network: Path) -> None:
    (impasto.folder / "parts").mkdir()
    (impasto.folder / "parts" / "1.tif").write_text("of yesterday")
    (impasto.folder / "photo.png").write_text("no pixels")
    line = impasto.refuses("partition", "photo.png", "--weights", network, "--parts", 2, *OUTPUTS)
    assert line.startswith("photo.png: expected an image (")


def test_mobile_sam_without_its_package_is_told_in_one_line(tmp_path: Path, network: Path) -> None:
    save(tmp_path / "photo.png", gradient(60, 80))
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "mobile_sam.py").write_text("raise ImportError('no such package')\n")
    alone = Impasto(tmp_path, packages=tmp_path / "packages")
    line = alone.refuses("partition", "photo.png", "--weights", network, "--parts", 2, *OUTPUTS)
    assert line == (
        "sam_vit_t: expected the Python package mobile_sam, which knows its network; found no such package. "
        "Install it, or choose another network for masks.sam."
    )


def test_another_networks_checkpoint_is_told_in_one_line(impasto: Impasto, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "b.pt", tiny_sam)
    wrong = weights.fetch("sam_vit_b", tmp_path, LocalPath(checkpoint))
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("partition", "photo.png", "--weights", wrong, "--parts", 2, *OUTPUTS)
    assert line.startswith("sam_vit_b: expected the tensors of Sam; found Error(s) in loading state_dict")
    assert line.endswith("Give the checkpoint of this very network.")
