"""The page of a training."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from pictures import noise, save

from pipeline.errors import InputError
from pipeline.reporting import Picture
from pipeline.reporting.curves import training_curve
from pipeline.reporting.training import TrainingPage, write_training

PAGE = TrainingPage(
    trace=[(1, 900.0), (5, 90.0), (10, 30.0)],
    validations=[(5, 100.0), (10, 40.0)],
    pictures=[],
    iterations=10,
    kept=10,
    ending="early",
    seconds=75.0,
    card={"licence": "CC0-1.0", "colour": "<rgb>"},
)


def test_the_page_shows_losses_pictures_and_card(tmp_path: Path) -> None:
    save(tmp_path / "sheet.png", noise(8, 8, seed=0))
    picture = Picture(tmp_path / "sheet.png", "After 10 iterations", inside=True)
    write_training(replace(PAGE, pictures=[picture]), "Training of sky", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in (
        "<title>Training of sky</title>",
        "10 iterations (ended early: it learnt no more) in",
        "After 10 iterations",
        "CC0-1.0",
    ):
        assert words in page
    assert "&lt;rgb&gt;" in page
    assert "its weights are those" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_the_page_says_which_weights_are_kept(tmp_path: Path) -> None:
    write_training(replace(PAGE, kept=5), "Training", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "; its weights are those after 5, which the validations found best.</p>" in page


def test_a_picture_that_is_missing_is_told(tmp_path: Path) -> None:
    page = replace(PAGE, pictures=[Picture(tmp_path / "gone.png", "")])
    with pytest.raises(InputError, match="expected a picture for the report"):
        write_training(page, "Training", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_curve_has_a_line_for_batches_and_one_for_validations() -> None:
    svg = training_curve(PAGE.trace, PAGE.validations, "t")
    groups = {node.get("id") for node in ET.fromstring(svg).iter()}
    assert {"t-batches", "t-validations"} <= groups
    assert "iterations" in svg
    assert training_curve([], [], "t") == ""
    assert training_curve([(1, float("nan")), (2, 0.0)], [], "t") == ""
