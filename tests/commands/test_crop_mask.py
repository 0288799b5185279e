from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pictures import left_half, save
from running import Impasto

from pipeline import canvas
from pipeline.geometry import Size

RECORD: dict[str, Any] = {
    "size": {"height": 40, "width": 60},
    "box": {"top": 10, "left": 20, "bottom": 30, "right": 50},
    "focus": [0.5, 0.5],
}


def test_the_part_is_what_the_whole_mask_has_there(impasto: Impasto) -> None:
    save(impasto.folder / "m.png", left_half(13, 20))
    (impasto.folder / "part.json").write_text(json.dumps(RECORD))
    imported, done = impasto.imports("crop-mask", "m.png", "--crop", "part.json", "--output", "part.tif")
    assert done.said == ["part.tif: 20x30 px (height x width), 33.3% of it inside"]
    assert not imported & {"torch", "torchvision"}
    found = canvas.read(impasto.folder / "part.tif")[..., 0]
    canvas.compose_guides([(impasto.folder / "m.png", False)], impasto.folder / "whole.tif", Size(40, 60))
    whole = canvas.read(impasto.folder / "whole.tif")[..., 0]
    np.testing.assert_array_equal(found, whole[10:30, 20:50])
    assert 0 < found[0, 10] < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "part.json: expected a record made by `impasto crop`; found no such file or directory."),
        ("{", "part.json: expected a record made by `impasto crop`; found something else."),
        ("{}", "found something else."),
        (json.dumps(RECORD | {"size": {"height": 29, "width": 60}}), "found something else."),
        (json.dumps(RECORD | {"size": {"height": 0, "width": 60}}), "found something else."),
    ],
)
def test_mistakes_are_told_in_a_line(impasto: Impasto, text: str | None, line: str) -> None:
    save(impasto.folder / "m.png", left_half(40, 60))
    if text is not None:
        (impasto.folder / "part.json").write_text(text)
    words = ["--crop", "part.json", "--output", "part.tif"]
    assert line in impasto.refuses("crop-mask", "m.png", *words)
