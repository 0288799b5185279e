"""A print with a size: cropped, with bleed, in panels and in tiles, by the workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import gradient, left_half, noise, save
from workflows import CONFIG, Checkout, write_inputs

pytestmark = pytest.mark.slow


def test_a_cropped_print_is_that_of_a_photograph_cropped_by_hand(tmp_path: Path) -> None:
    """Content and masks lose the same rest, so that nothing behind them knows of it."""
    fresh = Checkout.make(tmp_path, warm=True)
    write_inputs(fresh.folder)
    inputs = fresh.folder / "inputs"
    content, mask = gradient(100, 80) // 2 + noise(100, 80, seed=7) // 2, left_half(100, 80)
    save(inputs / "whole.png", content)
    save(inputs / "mask.png", mask)
    # 80x60 px and 4 px of bleed: of 80 columns, 62 rows (61.8); around the lower end, the last ones.
    save(inputs / "part.png", content[38:])
    save(inputs / "part_mask.png", mask[38:])
    shape = {"width": "80 px", "height": "60 px", "bleed": "4 px", "dpi": 25.4}
    printed = {**shape, "focus": [0.5, 1], "panels": {"columns": 2, "overlap": "6 px"}, "crop_marks": True}

    def artwork(whole: str, where: str, **settings: Any) -> dict[str, Any]:
        regions = [{"where": where, "style": "inputs/style.png", "name": "left"}]
        regions.append({"where": f"not {where}", "style": "inputs/other.png", "name": "right"})
        return {"content": f"inputs/{whole}.png", "regions": regions, "levels": "auto", **settings}

    fresh.configure(
        {
            **CONFIG,
            "defaults": {"iterations": 1, "network": {"name": "vgg19"}, "colour": {"mode": "luminance"}},
            "artworks": {
                "cropped": artwork("whole", "inputs/mask.png", print=printed),
                "by_hand": artwork("part", "inputs/part_mask.png", print=shape, deepzoom="none"),
            },
        }
    )
    made = fresh.renders("--until", "export_print", "export_panels", "export_deepzoom")
    assert {"crop key=whole-62x80", "crop_mask key=mask-62x80"} <= made
    assert {"export_panels artwork=cropped", "export_deepzoom artwork=cropped"} <= made
    results = fresh.folder / "results"
    assert not (results / "by_hand" / "deepzoom").exists()
    sheet, plain = (
        np.asarray(pyvips.Image.tiffload(str(results / name / "print.tif")).numpy())
        for name in ("cropped", "by_hand")
    )
    assert plain.shape == (68, 88, 3)
    # 4 px of bleed, then marks of 5 px.
    assert sheet.shape == (78, 98, 3)
    # Dithering depends on a pixel's place on the sheet.
    assert np.abs(sheet[5:-5, 5:-5].astype(int) - plain).max() <= 1
    (record,) = (results / "shared" / "cropped").glob("*.json")
    crop = json.loads(record.read_text())
    assert crop["box"] == {"top": 38, "left": 0, "bottom": 100, "right": 80}
    printed_file = pyvips.Image.tiffload(str(results / "cropped" / "print.tif"))
    inside = json.loads(printed_file.get("image-description"))
    assert inside["crop"] == {"image": "inputs/whole.png", "chosen": "given", "record": crop}
    right = np.asarray(
        pyvips.Image.tiffload(str(results / "cropped" / "panels" / "row-1-column-2.tif")).numpy()
    )
    # The second panel shows columns 37 to 80; its bleed is the picture around it.
    np.testing.assert_array_equal(right[5:-5, 5:-5], sheet[5:-5, 37 + 5 : -5])
    assert (results / "cropped" / "deepzoom" / "image_files" / "7" / "0_0.jpg").exists()
