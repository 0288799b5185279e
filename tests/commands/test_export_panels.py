from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import noise, save
from running import Impasto
from tiny_artwork import Artwork

from pipeline import canvas
from pipeline.config.printing import Print
from pipeline.print_layout import lay_out


@pytest.fixture
def in_panels(impasto: Impasto, artwork: Artwork, words: dict[str, list[Any]]) -> list[Any]:
    """The options of a print whose plan asks for two panels of 16 bits, side by side."""
    plan = artwork.plan
    assert plan.print is not None
    settings = Print.model_validate(
        {"dpi": 200, "bits": 16, "panels": {"columns": 2, "overlap": "10 px"}, "crop_marks": True}
    )
    layout = lay_out(settings, plan.print.layout.picture, plan.print.layout.picture, "a")
    changed = plan.model_copy(
        update={
            "settings": plan.settings.model_copy(update={"print": settings}),
            "print": plan.print.model_copy(update={"layout": layout}),
        }
    )
    (impasto.folder / "panels-plan.json").write_text(changed.model_dump_json())
    options = words | {"--plan": ["panels-plan.json"]}
    return [word for option, values in options.items() for word in (option, *values)]


def test_panels_have_a_file_each_and_a_place(impasto: Impasto, in_panels: list[Any]) -> None:
    pixels = noise(89, 72, seed=4)
    canvas.write(impasto.folder / "assembled.tif", pixels / np.float32(255))
    (impasto.folder / "panels").mkdir()
    (impasto.folder / "panels" / "old.tif").touch()
    (impasto.folder / "panels" / "panels.json").touch()
    imported, done = impasto.imports("export-panels", "assembled.tif", *in_panels, "--output", "panels")
    # 3 mm and 5 mm are 24 and 39 px: margins of 63 px around 89x41 px.
    assert done.said == [
        "row-1-column-1: 215x167 px (height x width)",
        "row-1-column-2: 215x167 px (height x width)",
        "panels: 1 x 2 panels (rows x columns)",
    ]
    assert not imported & {"torch", "torchvision"}
    assert {path.name for path in (impasto.folder / "panels").iterdir()} == {
        "row-1-column-1.tif",
        "row-1-column-2.tif",
        "panels.json",
    }
    tiff = pyvips.Image.tiffload(str(impasto.folder / "panels" / "row-1-column-2.tif"))
    assert (tiff.format, tiff.xres) == ("ushort", pytest.approx(200 / 25.4))
    found = np.asarray(tiff.numpy())[63:-63, 63:-63]
    np.testing.assert_array_equal(found, pixels[:, 31:].astype(np.uint16) * 257)
    assert b"halves, row 1 column 2" in tiff.get("xmp-data")
    placed = json.loads((impasto.folder / "panels" / "panels.json").read_text())
    assert [(panel["left_px"], panel["width_px"]) for panel in placed] == [(0, 41), (31, 41)]
    assert placed[1]["left_mm"] == pytest.approx(31 / 200 * 25.4)


def test_a_print_in_one_piece_has_no_panels(impasto: Impasto, words: dict[str, list[Any]]) -> None:
    save(impasto.folder / "assembled.png", noise(89, 72, seed=4))
    options = [word for option, values in words.items() for word in (option, *values)]
    line = impasto.refuses("export-panels", "assembled.png", *options, "--output", "panels")
    assert "--plan: expected a print in panels; found a whole one." in line
    assert not (impasto.folder / "panels").exists()


def test_another_picture_than_the_plans_is_refused(impasto: Impasto, in_panels: list[Any]) -> None:
    save(impasto.folder / "other.png", noise(89, 73, seed=4))
    line = impasto.refuses("export-panels", "other.png", *in_panels, "--output", "panels")
    assert "other.png: expected 89x72 px as planned; found 89x73 px." in line
