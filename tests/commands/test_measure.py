from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import broken_pictures, gradient, left_half, noise, save
from running import Impasto

from pipeline import weights
from pipeline.evaluation import style_distance

LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
WARNING = "warning: the style distance is defined with vgg16; these are with vgg19"


def options(path: Path) -> list[object]:
    return ["--weights", path, "--device", "cpu", "--threads", 1]


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def test_an_image_is_its_own_style(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "style.png", noise(48, 64, seed=0))
    done = impasto.works("measure", "style.png", "--style", "style.png", *options(vgg19))
    layers = ", ".join(f"{layer} 0.0000" for layer in LAYERS)
    assert done.said == [WARNING, f"everything: style distance 0.0000 ({layers})"]


def test_the_distance_is_that_of_the_function(impasto: Impasto, vgg19: Path) -> None:
    image, style = noise(64, 80, seed=0), gradient(48, 50)
    save(impasto.folder / "image.png", image)
    save(impasto.folder / "style.png", style)
    words = ["image.png", "--style", "style.png", *options(vgg19), "--output", "distance.json"]
    done = impasto.works("measure", *words)
    found = json.loads((impasto.folder / "distance.json").read_text(encoding="utf-8"))
    expected = style_distance(tensor(image), tensor(style), weights.load(vgg19))
    region = found["regions"]["everything"]
    assert region["distance"] == pytest.approx(expected.value, rel=1e-4)
    assert region["layers"] == {
        name: pytest.approx(value, rel=1e-4, abs=1e-7) for name, value in expected.layers.items()
    }
    assert region["left_out"] == []
    assert f"everything: style distance {expected.value:.3f}" in done.said[-1]
    assert (found["image_px"], found["style_px"]) == ([64, 80], [48, 50])
    assert (found["image"], found["style"], found["style_mask"]) == ("image.png", "style.png", None)
    assert found["network"] == "vgg19"
    assert found["weights_sha256"] == weights.load(vgg19).tensors_sha256


def test_each_region_is_measured_for_itself(impasto: Impasto, vgg19: Path) -> None:
    left = noise(64, 96, seed=0)
    save(impasto.folder / "image.png", np.hstack([left, gradient(64, 96)]))
    save(impasto.folder / "style.png", np.hstack([left, 255 - left]))
    save(impasto.folder / "left.png", left_half(32, 48))
    words = ["image.png", "--style", "style.png", "--style-mask", "left.png", "--output", "distance.json"]
    regions = ["--mask", "left=left.png", "--mask", "right=not:left.png"]
    done = impasto.works("measure", *words, *regions, *options(vgg19))
    assert [line.split(":")[0] for line in done.said] == ["warning", "left", "right"]
    found = json.loads((impasto.folder / "distance.json").read_text(encoding="utf-8"))
    distances = {name: region["layers"]["relu1_1"] for name, region in found["regions"].items()}
    assert distances["left"] < 0.01 * distances["right"]
    assert found["masks"] == ["left=left.png", "right=not:left.png"]
    assert found["style_mask"] == "left.png"


def test_a_large_image_is_run_by_crops_and_says_how_far_it_is(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "image.png", noise(48, 600, seed=0))
    save(impasto.folder / "style.png", noise(48, 64, seed=1))
    done = impasto.works("measure", "image.png", "--style", "style.png", *options(vgg19))
    assert "measure image: 2/2. " in done.said


@pytest.mark.parametrize("words", [["--style-size", "32x48"], ["--level-px", "39"]])
def test_the_style_is_brought_to_a_size(impasto: Impasto, vgg19: Path, words: list[str]) -> None:
    save(impasto.folder / "style.png", noise(64, 96, seed=0))
    given = ["style.png", "--style", "style.png", *words, *options(vgg19), "--output", "distance.json"]
    impasto.works("measure", *given)
    found = json.loads((impasto.folder / "distance.json").read_text(encoding="utf-8"))
    assert found["style_px"] == [32, 48]
    assert found["image_px"] == [64, 96]
    assert found["regions"]["everything"]["distance"] > 0.001


def test_alpha_and_grey_are_taken_as_prepare_takes_them(impasto: Impasto, vgg19: Path) -> None:
    grey = noise(48, 64, seed=0)[..., :1]
    save(impasto.folder / "grey.png", grey)
    save(impasto.folder / "rgba.png", np.concatenate([grey, grey, grey, grey // 2], axis=2))
    done = impasto.works("measure", "grey.png", "--style", "rgba.png", *options(vgg19))
    assert "everything: style distance 0.0000 " in done.said[-1]


def test_a_region_without_a_unit_is_warned_of(impasto: Impasto, vgg19: Path) -> None:
    spot = np.zeros((64, 64, 1), np.uint8)
    spot[16:20, 16:20] = 255
    save(impasto.folder / "spot.png", spot)
    save(impasto.folder / "image.png", noise(64, 64, seed=0))
    words = ["image.png", "--style", "image.png", "--mask", "spot=spot.png", *options(vgg19)]
    done = impasto.works("measure", *words)
    assert "warning: spot is less than one unit of relu4_1, relu5_1, which are left out" in done.said


@pytest.mark.parametrize("kind", ["missing", "truncated"])
@pytest.mark.parametrize("place", ["image", "style", "mask", "style mask"])
def test_what_is_no_image_is_told_in_one_line(impasto: Impasto, vgg19: Path, kind: str, place: str) -> None:
    broken = broken_pictures(impasto.folder)[kind]
    save(impasto.folder / "good.png", noise(96, 96, seed=0))
    image, style = (broken if place == here else "good.png" for here in ("image", "style"))
    words = ["measure", image, "--style", style, *options(vgg19)]
    words += ["--mask", f"sky={broken}"] if place == "mask" else []
    words += ["--style-mask", broken] if place == "style mask" else []
    assert impasto.refuses(*words).startswith(f"{broken}: expected ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "left.png"], "--mask: expected NAME=MASK; found 'left.png'."),
        (["--mask", "sky="], "--mask: expected a mask file; found ''."),
        (["--mask", "sky=not:"], "--mask: expected a mask file; found 'not:'."),
        (["--style-mask", "not:"], "--style-mask: expected a mask file; found 'not:'."),
        (
            ["--mask", "sky=left.png", "--mask", "sky=not:left.png"],
            "--mask: expected a name of its own for each region; found one name twice.",
        ),
        (
            ["--mask", "sky=black.png"],
            "region sky: expected a mask that covers some of the image; found nothing in black.png.",
        ),
        (
            ["--style-mask", "black.png"],
            "--style-mask: expected a mask that covers some of the image; found noth",
        ),
        (
            ["--style-size", "12x12"],
            "--style-size: expected a style with sides of at least 16 px; found 12x12",
        ),
        (["--level-px", "15"], "--level-px: expected a style with sides of at least 16 px; found 15x15 px"),
        (["--level-px", "40", "--style-size", "32x48"], "not allowed with argument"),
        (["--weights", "image.png"], "image.png: expected a safetensors file; found "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, vgg19: Path, words: list[str], said: str
) -> None:
    save(impasto.folder / "image.png", noise(64, 64, seed=0))
    save(impasto.folder / "left.png", left_half(32, 32))
    save(impasto.folder / "black.png", np.zeros((8, 8, 1), np.uint8))
    given = ["measure", "image.png", "--style", "image.png", *options(vgg19), *words]
    assert said in impasto.refuses(*given)
