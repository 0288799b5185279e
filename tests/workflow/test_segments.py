"""Regions that segment-anything finds, through the whole workflow, by a tiny network of its own classes."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from pictures import gradient, save
from tiny_sam import install_mobile_sam, save_checkpoint
from workflows import CONFIG, Checkout

from pipeline import canvas

pytestmark = pytest.mark.slow

WEIGHTS = {**CONFIG["weights"], "sam_vit_t": {"path": "inputs/mobile_sam.pt"}}
SETTINGS = {
    "network": {"name": "vgg19"},
    "masks": {"sam": "vit_t"},
    "iterations": 1,
    "levels": [64],
    "deepzoom": "none",
}


def configure(checkout: Checkout, **regions: Any) -> None:
    artworks = {name: {"content": "inputs/content.png", "regions": each} for name, each in regions.items()}
    checkout.configure(
        {**copy.deepcopy(CONFIG), "weights": WEIGHTS, "defaults": SETTINGS, "artworks": artworks}
    )


def test_regions_that_are_found_take_their_styles(warm: Checkout) -> None:
    install_mobile_sam(warm.folder)
    save_checkpoint(warm.folder / "inputs" / "mobile_sam.pt")
    save(warm.folder / "inputs" / "content.png", gradient(100, 80))
    dealt = {"automatic": 3, "styles": ["inputs/style.png", "inputs/other.png"]}
    configure(warm, parts=dealt, rest=[{"where": "not segment-3-of-3", "style": "inputs/style.png"}])
    made = warm.renders()
    # One cut of the photograph serves both artworks.
    assert {job for job in made if job.startswith("partition")} == {"partition key=content-in-3"}
    assert {"report", "stylise artwork=parts, level=64", "fetch_weights weights=sam_vit_t"} <= made
    guides = canvas.read(warm.folder / "results" / "parts" / "levels" / "64" / "guides.tif")
    assert guides.shape[2] == 3
    np.testing.assert_allclose(guides.sum(axis=2), 1, atol=3 / 65535)

    record = json.loads((warm.folder / "results" / "parts" / "provenance.json").read_text())
    (cut,) = {key.partition("/")[0] for key in record["masks"]}
    assert sorted(record["masks"]) == [f"{cut}/{number}" for number in (1, 2, 3)]
    assert {facts["image"] for facts in record["masks"].values()} == {"inputs/content.png"}
    assert {"sam_vit_t", "vgg19"} == {weights["name"] for weights in record["weights"]}
    # The tiny network finds one segment: the second region steps back, and both pages say so.
    pages = warm.folder / "results" / "report"
    warned = "mask of content.png: segment-2-of-3 is empty: sam_vit_t finds 1 segment"
    for artwork in ("parts", "rest"):
        page = (pages / f"{artwork}.html").read_text(encoding="utf-8")
        assert page.count(warned) == 1
    assert "by sam_vit_t" in (pages / "parts.html").read_text(encoding="utf-8")
    assert "of level 64 is in no region" in (pages / "rest.html").read_text(encoding="utf-8")

    assert warm.would_render() == set()
    configure(
        warm, parts={**dealt, "automatic": 2}, rest=[{"where": "everything", "style": "inputs/style.png"}]
    )
    assert "partition key=content-in-2" in warm.would_render()
