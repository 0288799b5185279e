from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from model_files import save_lraspp
from pictures import gradient, save
from running import Impasto

from pipeline import canvas

OUTPUTS = ["--output", "mask.tif", "--record", "mask.json"]


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that finds a person with a probability of 0.8 in every pixel."""
    folder = tmp_path_factory.mktemp("lraspp")
    save_lraspp(folder / "mine.safetensors", person=0.8)
    name = "lraspp_mobilenet_v3_large"
    words = ["fetch-weights", name, "--path", "mine.safetensors", "--output", f"{name}.safetensors"]
    Impasto(folder).works(*words)
    return folder / f"{name}.safetensors"


def test_a_mask_is_soft_and_has_the_images_shape(impasto: Impasto, everyone: Path) -> None:
    canvas.prepare(save(impasto.folder / "photo.png", gradient(60, 80)), impasto.folder / "photo.tif")
    done = impasto.works("segment", "photo.tif", "--weights", everyone, "--threads", 1, *OUTPUTS)
    # Refinement steepens about one half, 1.4 times: 0.8 becomes 0.92.
    assert done.said == ["mask.tif: lraspp_mobilenet_v3_large, 92.0% of the image, confidence 0.84"]
    mask = canvas.read(impasto.folder / "mask.tif")
    assert mask.shape == (60, 80, 1)
    assert (np.rint(mask * 255) == 235).all()
    record = json.loads((impasto.folder / "mask.json").read_text())
    assert record["method"] == "lraspp_mobilenet_v3_large"
    assert record["coverage"] == pytest.approx(0.92, abs=1e-4)
    assert record["confidence"] == pytest.approx(0.84, abs=2e-4)


def test_the_wrong_model_is_refused(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("segment", "photo.png", "--weights", vgg19, *OUTPUTS)
    assert "expected the model file of person, lraspp_mobilenet_v3_large" in line
    assert "found vgg19" in line


def test_a_second_model_must_be_segment_anythings(impasto: Impasto, everyone: Path) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("segment", "photo.png", "--weights", everyone, everyone, *OUTPUTS)
    assert line == (
        f"{everyone}: expected one model file of segment-anything behind it; found lraspp_mobilenet_v3_large."
    )


def test_a_missing_model_is_told_in_one_line(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("segment", "photo.png", "--weights", "person.safetensors", *OUTPUTS)
    assert line == "person.safetensors: expected a weights file; found none. Run impasto fetch-weights."
