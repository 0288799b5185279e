from __future__ import annotations

import numpy as np
import pytest
from pictures import broken_pictures, gradient, noise, save
from running import Impasto

from pipeline import canvas

LUMA = np.array([0.299, 0.587, 0.114])


def test_the_size_is_the_one_that_was_asked_for(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(80, 60))
    done = impasto.works("recolour", "photo.png", "--size", "40x30", "--output", "small.tif")
    assert done.said == ["small.tif: 40x30 px (height x width), keep"]
    assert not done.imported & {"torch", "torchvision"}
    small = canvas.read(impasto.folder / "small.tif")
    assert small.shape == (40, 30, 3)
    # Inside, the mean of two neighbours of a ramp is the ramp at their middle.
    ramp = (2 * np.arange(40) + 0.5) / 79
    assert small[4:-4, 15, 0] == pytest.approx(ramp[4:-4], abs=0.004)
    assert small[..., 2] == pytest.approx(128 / 255, abs=1e-3)


def test_linear_gives_the_references_mean_and_covariance(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    save(impasto.folder / "photo.png", gradient(70, 90) // 2 + noise(70, 90, seed=1) // 4)
    words = ["--size", "80x60", "--mode", "linear", "--reference", "photo.png", "--output", "out.tif"]
    done = impasto.works("recolour", "style.png", *words, "--transform", "chol")
    assert not done.imported & {"torch", "torchvision"}
    found = canvas.moments(impasto.folder / "out.tif")
    wanted = canvas.moments(impasto.folder / "photo.png")
    assert found.mean == pytest.approx(wanted.mean, abs=1e-3)
    assert found.covariance == pytest.approx(wanted.covariance, abs=1e-3)


def test_luma_gives_three_equal_channels(impasto: Impasto) -> None:
    pixels = gradient(64, 48)
    save(impasto.folder / "photo.png", pixels)
    impasto.works("recolour", "photo.png", "--size", "64x48", "--mode", "luma", "--output", "luma.tif")
    luma = canvas.read(impasto.folder / "luma.tif")
    assert luma == pytest.approx(np.repeat((pixels / 255 @ LUMA)[..., None], 3, axis=2), abs=1e-5)


def test_luma_can_take_the_references_mean(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(64, 48, seed=0) // 2)
    save(impasto.folder / "photo.png", np.full((40, 40, 3), 204, np.uint8))
    words = ["--size", "64x48", "--mode", "luma", "--reference", "photo.png", "--luma-match", "mean"]
    impasto.works("recolour", "style.png", *words, "--output", "luma.tif")
    assert canvas.read(impasto.folder / "luma.tif").mean() == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "mode"), [("missing", "keep"), ("truncated", "keep"), ("truncated", "linear")]
)
def test_what_is_no_picture_is_told_in_one_line(impasto: Impasto, kind: str, mode: str) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    path = broken_pictures(impasto.folder)[kind]
    images = [path] if mode == "keep" else ["style.png", "--reference", path]
    line = impasto.refuses("recolour", *images, "--mode", mode, "--size", "40x30", "--output", "out.tif")
    assert line.startswith(f"{path}: expected ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "linear", "--size", "4x4"], "--mode linear: expected --reference IMAGE; found none."),
        (["--mode", "sepia", "--size", "4x4"], "argument --mode: invalid choice: 'sepia'"),
        (
            ["--size", "4by4"],
            "argument --size: expected HEIGHTxWIDTH in pixels, such as 384x512; found '4by4'",
        ),
        (
            ["--size", "4x4", "--mode", "linear", "--reference", "grey.png"],
            "grey.png: expected an image of 3",
        ),
    ],
)
def test_a_wrong_option_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    save(impasto.folder / "style.png", noise(40, 40, seed=0))
    save(impasto.folder / "grey.png", noise(40, 40, seed=0)[..., :1])
    assert said in impasto.refuses("recolour", "style.png", *words, "--output", "out.tif")


def test_a_reference_of_one_colour_is_no_division_by_zero(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", np.full((40, 40, 3), 51, np.uint8))
    save(impasto.folder / "photo.png", np.full((40, 40, 3), 204, np.uint8))
    words = ["--size", "40x40", "--mode", "linear", "--reference", "photo.png", "--output", "out.tif"]
    impasto.works("recolour", "style.png", *words)
    assert canvas.read(impasto.folder / "out.tif") == pytest.approx(0.8, abs=1e-4)
