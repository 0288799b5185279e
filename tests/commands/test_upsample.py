from __future__ import annotations

import numpy as np
import pytest
from pictures import broken_pictures, noise, save
from running import Impasto

from pipeline import canvas
from pipeline.geometry import Size


def test_the_next_level_starts_where_this_one_ended(impasto: Impasto) -> None:
    # A ramp in both directions, past the range that a picture can hold: nothing is clipped or rounded.
    ramp = np.linspace(-0.2, 1.2, 40)[:, None, None] + np.linspace(0, 0.1, 30)[None, :, None] * np.ones(3)
    canvas.write(impasto.folder / "level.tif", ramp)
    imported, done = impasto.imports("upsample", "level.tif", "--size", "80x60", "--output", "start.tif")
    assert done.said == ["start.tif: 80x60 px (height x width)"]
    assert not imported & {"torch", "torchvision"}
    start = canvas.read(impasto.folder / "start.tif")
    assert start.shape == (80, 60, 3)
    # Output i lies at (i + 1/2) / 2 - 1/2.
    rows = -0.2 + 1.4 / 39 * ((np.arange(80) + 0.5) / 2 - 0.5)
    columns = 0.1 / 29 * ((np.arange(60) + 0.5) / 2 - 0.5)
    expected = rows[:, None] + columns[None, :]
    assert start[8:-8, 8:-8, 1] == pytest.approx(expected[8:-8, 8:-8], abs=1e-3)
    assert start.min() < -0.15
    assert start.max() > 1.2


def test_the_content_brings_the_detail_that_the_level_below_cannot_hold(impasto: Impasto) -> None:
    # A checkerboard of single pixels, which a level half as large has as flat grey; there it was darkened
    # from left to right.
    here = np.zeros((80, 60, 3)) + 0.5 + 0.4 * (-1.0) ** np.add.outer(np.arange(80), np.arange(60))[..., None]
    below = np.full((40, 30, 3), 0.5)
    change = np.linspace(0, -0.6, 30)[None, :, None] * np.ones((40, 1, 3))
    for name, image in {"here": here, "below": below, "result": below + change}.items():
        canvas.write(impasto.folder / f"{name}.tif", image)
    canvas.write(impasto.folder / "change.tif", change)
    options = ("--size", "80x60", "--contents", "below.tif", "here.tif", "--output", "start.tif")
    assert impasto.works("upsample", "result.tif", *options).said == ["start.tif: 80x60 px (height x width)"]
    canvas.resize(impasto.folder / "change.tif", impasto.folder / "enlarged.tif", Size(80, 60))
    expected = here + canvas.read(impasto.folder / "enlarged.tif")
    np.testing.assert_allclose(canvas.read(impasto.folder / "start.tif"), expected, rtol=0, atol=1e-6)
    # Unclipped, in float.
    assert expected.min() < -0.4


def test_contents_of_other_sizes_are_told_in_one_line(impasto: Impasto) -> None:
    for name, size in {"here": (80, 60), "below": (40, 31), "result": (40, 30)}.items():
        canvas.write(impasto.folder / f"{name}.tif", np.zeros((*size, 3)))
    options = ("--contents", "below.tif", "here.tif", "--output", "start.tif")
    line = impasto.refuses("upsample", "result.tif", "--size", "80x60", *options)
    assert line == "below.tif: expected 40x30 px as in result.tif; found 40x31 px."
    line = impasto.refuses("upsample", "result.tif", "--size", "80x64", *options)
    assert line == "here.tif: expected 80x64 px as --size says; found 80x60 px."
    assert not (impasto.folder / "start.tif").exists()


@pytest.mark.parametrize("kind", ["missing", "truncated"])
def test_what_is_no_picture_is_told_in_one_line(impasto: Impasto, kind: str) -> None:
    path = broken_pictures(impasto.folder)[kind]
    line = impasto.refuses("upsample", path, "--size", "80x60", "--output", "start.tif")
    assert line.startswith(f"{path}: expected ")


@pytest.mark.parametrize("size", ["", "80", "80x60x3", "-80x60", "99999999x1"])
def test_a_wrong_size_is_told_in_one_line(impasto: Impasto, size: str) -> None:
    save(impasto.folder / "level.png", noise(40, 30, seed=0))
    line = impasto.refuses("upsample", "level.png", f"--size={size}", "--output", "start.tif")
    assert line.startswith("argument --size: expected HEIGHTxWIDTH in pixels, such as 384x512; found ")


def test_a_grey_image_is_no_level(impasto: Impasto) -> None:
    save(impasto.folder / "grey.png", noise(40, 30, seed=0)[..., :1])
    line = impasto.refuses("upsample", "grey.png", "--size", "80x60", "--output", "start.tif")
    assert line == "grey.png: expected an image of at least 3 bands; found 1."
