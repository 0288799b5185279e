from __future__ import annotations

import json

import numpy as np
import pytest
from pictures import noise, save
from running import Impasto

from pipeline import canvas


def test_a_part_is_cut_out_pixel_for_pixel_around_its_focus(impasto: Impasto) -> None:
    pixels = np.concatenate([noise(40, 60, seed=1), noise(40, 60, seed=2)[..., :1]], axis=2)
    save(impasto.folder / "a.png", pixels)
    canvas.prepare(impasto.folder / "a.png", impasto.folder / "a.tif")
    words = ["--size", "40x20", "--focus", "0.25,0.5", "--output", "part.tif", "--record", "part.json"]
    imported, done = impasto.imports("crop", "a.tif", *words)
    assert done.said == [
        "part.tif: 40x20 of 40x60 px (height x width), from row 0 and column 5, around 0.25,0.50"
    ]
    assert not imported & {"torch", "torchvision"}
    np.testing.assert_array_equal(canvas.read(impasto.folder / "part.tif") * 255, pixels[:, 5:25])
    header = canvas.read_header(impasto.folder / "part.tif")
    assert (header.bits, header.has_alpha) == (8, True)
    assert json.loads((impasto.folder / "part.json").read_text()) == {
        "size": {"height": 40, "width": 60},
        "box": {"top": 0, "left": 5, "bottom": 40, "right": 25},
        "focus": [0.25, 0.5],
    }


def test_the_eye_goes_to_the_only_colour(impasto: Impasto) -> None:
    pixels = np.full((90, 240, 3), 128, np.uint8)
    pixels[30:60, 170:200] = (220, 40, 30)
    save(impasto.folder / "a.png", pixels)
    words = ["--size", "90x90", "--focus", "smart", "--output", "part.tif", "--record", "part.json"]
    impasto.works("crop", "a.png", *words)
    record = json.loads((impasto.folder / "part.json").read_text())
    assert record["focus"][0] == pytest.approx(185 / 240, abs=0.1)
    assert record["box"]["left"] <= 170
    assert record["box"]["right"] >= 200


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--size", "41x20"], "--size: expected at most 40x60 px, the image's own; found 41x20 px."),
        (
            ["--size", "9x9", "--focus", "1.5,0"],
            "expected smart, or X,Y with both from 0 to 1; found '1.5,0'",
        ),
        (
            ["--size", "9x9", "--focus", "nan,0"],
            "expected smart, or X,Y with both from 0 to 1; found 'nan,0'",
        ),
        (["--size", "9x9", "--focus", "0.5"], "expected smart, or X,Y with both from 0 to 1; found '0.5'"),
    ],
)
def test_mistakes_are_told_in_a_line(impasto: Impasto, words: list[str], line: str) -> None:
    save(impasto.folder / "a.png", noise(40, 60, seed=1))
    assert line in impasto.refuses("crop", "a.png", *words, "--output", "p.tif", "--record", "p.json")
    assert not (impasto.folder / "p.tif").exists()
