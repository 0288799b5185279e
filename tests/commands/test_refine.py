from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import save
from running import Impasto
from tiny_artwork import HIGHEST, Artwork, Rendered

from pipeline import canvas

OUTPUTS = ["--output", "out.tif", "--record", "out.json"]


def test_a_level_is_rendered_from_the_one_below(refined: Rendered) -> None:
    image = canvas.read(refined.image)
    start = canvas.read(refined.image.with_name("start.tif"))
    assert image.shape == start.shape == (*HIGHEST, 3)
    assert 0.0005 < np.abs(image - start).mean() < 0.2
    record = refined.facts()
    assert record["level"]["level_px"] == 80
    assert record["level"]["iterations"] == 2
    assert record["level"]["loss_last"] < record["level"]["loss_first"]
    assert refined.done.said[-1].startswith("refined.tif: 89x72 px, loss ")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (None, "the following arguments are required: --start"),
        ("small.png", "small.png: expected 89x72 px (height x width) as planned; found 20x20 px."),
    ],
)
def test_a_wrong_start_is_told_in_one_line(
    impasto: Impasto, artwork: Artwork, vgg19: Path, start: str | None, said: str
) -> None:
    level = artwork.plan.levels[1]
    save(impasto.folder / "small.png", np.full((20, 20, 3), 128, np.uint8))
    words = artwork.level_words(level, vgg19)
    words += ["--start", start] if start is not None else []
    assert said in impasto.refuses("refine", *words, *OUTPUTS)


def test_the_lowest_level_has_none_below(impasto: Impasto, artwork: Artwork, vgg19: Path) -> None:
    level = artwork.plan.levels[0]
    words = [*artwork.level_words(level, vgg19), "--start", artwork.image(level.content)]
    line = impasto.refuses("refine", *words, *OUTPUTS)
    assert line == "--level 64: expected a level above the plan's lowest; found 64. Use impasto stylise."
