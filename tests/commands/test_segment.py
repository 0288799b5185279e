from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_files import save_lraspp
from pictures import gradient, save
from real_weights import real_weights
from running import Impasto

from pipeline import canvas, weights

OUTPUTS = ["--output", "mask.tif", "--record", "mask.json"]


def lraspp(folder: Path, person: float) -> Path:
    """A model file that finds a person with this probability in every pixel."""
    save_lraspp(folder / "mine.safetensors", person=person)
    name = "lraspp_mobilenet_v3_large"
    words = ["fetch-weights", name, "--path", "mine.safetensors", "--output", f"{name}.safetensors"]
    Impasto(folder).works(*words)
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lraspp(tmp_path_factory.mktemp("everyone"), 0.8)


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lraspp(tmp_path_factory.mktemp("nobody"), 0.05)


def test_a_mask_is_soft_and_has_the_images_shape(impasto: Impasto, everyone: Path) -> None:
    canvas.prepare(save(impasto.folder / "photo.png", gradient(60, 80)), impasto.folder / "photo.tif")
    done = impasto.works("segment", "photo.tif", "--weights", everyone, "--threads", 1, *OUTPUTS)
    assert done.said == ["mask.tif: lraspp_mobilenet_v3_large, 80.0% of the image, confidence 0.60"]
    mask = canvas.read(impasto.folder / "mask.tif")
    assert mask.shape == (60, 80, 1)
    assert mask.min() == mask.max()
    # Bringing it to full size steepens it about one half.
    assert 0.8 < mask[0, 0, 0] < 1
    record = json.loads((impasto.folder / "mask.json").read_text())
    (model,) = record.pop("models")
    assert model["name"] == "lraspp_mobilenet_v3_large"
    assert model["sha256"] == weights.load(everyone).tensors_sha256
    assert record == {
        "method": "lraspp_mobilenet_v3_large",
        "coverage": pytest.approx(0.8, abs=1e-4),
        "confidence": pytest.approx(0.6, abs=2e-4),
        "people": [],
        "warnings": [],
    }


def test_a_mask_has_the_full_size_of_a_large_image(impasto: Impasto, everyone: Path) -> None:
    canvas.prepare(save(impasto.folder / "photo.png", gradient(90, 2100)), impasto.folder / "photo.tif")
    impasto.works("segment", "photo.tif", "--weights", everyone, "--threads", 1, *OUTPUTS)
    assert canvas.read(impasto.folder / "mask.tif").shape == (90, 2100, 1)


def test_nobody_is_background_and_a_warning(impasto: Impasto, nobody: Path) -> None:
    canvas.prepare(save(impasto.folder / "photo.png", gradient(60, 80)), impasto.folder / "photo.tif")
    done = impasto.works("segment", "photo.tif", "--weights", nobody, "--threads", 1, *OUTPUTS)
    why = (
        "nobody was found, so that all of the image is background: "
        "the mask of lraspp_mobilenet_v3_large covers 0.00% of the image"
    )
    assert done.said[0] == f"warning: photo.tif: {why}"
    assert canvas.read(impasto.folder / "mask.tif").max() == 0
    record = json.loads((impasto.folder / "mask.json").read_text())
    assert (record["coverage"], record["warnings"]) == (0.0, [why])


def test_nobody_is_an_error_where_that_is_asked_for(impasto: Impasto, nobody: Path) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses(
        "segment", "photo.png", "--weights", nobody, "--on-nobody", "error", "--threads", 1, *OUTPUTS
    )
    assert line == (
        "photo.png: expected a person or subject; found none (the mask of lraspp_mobilenet_v3_large covers "
        "0.00% of the image). Give a mask file, or set masks.on_nobody to background."
    )
    assert not (impasto.folder / "mask.tif").exists()


def test_people_are_not_looked_for_without_the_detector(impasto: Impasto) -> None:
    person = real_weights("person")
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("segment", "photo.png", "--weights", person, *OUTPUTS)
    assert line == f"{person}: expected the model file of person_detector behind it; found none."


def test_the_wrong_model_is_refused(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "photo.png", gradient(60, 80))
    line = impasto.refuses("segment", "photo.png", "--weights", vgg19, *OUTPUTS)
    assert "expected the model file of person, subject, lraspp_mobilenet_v3_large" in line
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
