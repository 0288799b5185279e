from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pictures import broken_pictures, left_half, save
from running import Impasto

from pipeline import canvas


def test_masks_are_combined_as_the_expression_says(impasto: Impasto) -> None:
    save(impasto.folder / "left.png", left_half(40, 60))
    save(impasto.folder / "top.png", left_half(60, 40).transpose(1, 0, 2))
    expression = {"union": [{"minus": ["left.png", "top.png"]}, {"shrink": "5 px", "of": "not left.png"}]}
    words = ["--expression", json.dumps(expression), "--size", "40x60"]
    imported, done = impasto.imports("combine", *words, "--output", "m.tif")
    assert done.said == ["m.tif: 40x60 px (height x width), 66.7% of the image"]
    assert not imported & {"torch", "torchvision"}
    rows, columns = np.mgrid[:40, :60]
    expected = ((columns < 30) & (rows >= 20)) | (columns >= 35)
    np.testing.assert_array_equal(canvas.read(impasto.folder / "m.tif")[..., 0], expected)
    assert canvas.read_header(impasto.folder / "m.tif").bits == 16


@pytest.mark.parametrize("expression", ["left.png", '"left.png"', "not not left.png"])
def test_a_mask_alone_is_brought_to_the_size(impasto: Impasto, expression: str) -> None:
    save(impasto.folder / "left.png", left_half(40, 60))
    impasto.works("combine", "--expression", expression, "--size", "20x30", "--output", "m.tif")
    found = canvas.read(impasto.folder / "m.tif")[..., 0]
    assert found.shape == (20, 30)
    assert found.mean() == pytest.approx(0.5, abs=0.01)


def test_a_combination_may_cover_nothing_as_what_it_leaves_may_be_meant(impasto: Impasto) -> None:
    words = ["--expression", "not everything", "--size", "20x30", "--output", "m.tif"]
    assert impasto.works("combine", *words).said[0].endswith(" 0.0% of the image")
    words = ["--region", "none=m.tif", "--size", "20x30", "--output", "g.tif"]
    assert "region none: expected a mask that covers some" in impasto.refuses("guide", *words)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            {"unoin": ["m.png"]},
            "--expression must have one operation among not, union, intersection, minus, gr",
        ),
        (
            {"union": [{"not": "person"}]},
            "--expression.union.0.not must be everything, or the path of a mask imag",
        ),
        (
            {"grow": "3 mm", "of": "m.png"},
            "--expression.grow must be in px, as a mask has no size in print; found",
        ),
        (
            {"grow": "61 px", "of": "m.png"},
            "--expression: expected lengths of at most 60 px, the longer side of --",
        ),
        (
            {"grow": "0 px", "of": "m.png"},
            "--expression.grow must be a length with its unit (mm, cm, in or px), su",
        ),
        (["m.png"], "--expression must be a mask, or a mapping such as {not: person}; found ['m.png']."),
        ('{"not": ', "--expression: expected a mask file or JSON; found '{\"not\": '."),
        ("[" * 100_000, "--expression: expected a mask file or JSON; found '[[[["),
        ({"not": "gone.png"}, "gone.png: expected an image file; found no such file."),
    ],
)
def test_a_wrong_expression_is_told_in_one_line(impasto: Impasto, expression: Any, said: str) -> None:
    text = expression if isinstance(expression, str) else json.dumps(expression)
    line = impasto.refuses("combine", "--expression", text, "--size", "40x60", "--output", "m.tif")
    assert line.startswith(said)


@pytest.mark.parametrize("kind", ["missing", "truncated", "text"])
def test_the_mask_at_fault_is_named(impasto: Impasto, kind: str) -> None:
    save(impasto.folder / "left.png", left_half(40, 60))
    path = broken_pictures(impasto.folder)[kind]
    for raw in (
        {"union": [str(path), "left.png"]},
        {"grow": "9 px", "of": {"minus": ["left.png", str(path)]}},
    ):
        words = ["--expression", json.dumps(raw), "--size", "40x60", "--output", "m.tif"]
        assert impasto.refuses("combine", *words).startswith(f"{path}: expected ")
