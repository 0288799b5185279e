"""The fast variant in the workflow: a network is trained once, paints, and gives others their start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pictures import noise, save
from workflows import CONFIG, Checkout, write_inputs

from pipeline import canvas

pytestmark = pytest.mark.slow

REGIONS = [
    {"where": "inputs/right.png", "style": "inputs/other.png"},
    {"where": "inputs/left.png", "style": "inputs/style.png"},
]
FAST: dict[str, Any] = {
    **CONFIG,
    "networks": {
        "both": {
            "styles": {"plain": "inputs/style.png", "dark": "inputs/other.png"},
            "photographs": ["inputs/content.png", "inputs/photographs"],
            "network": "vgg19",
            **{"size_px": 32, "style_px": 32, "batch": 1, "iterations": 2, "validate_every": 1},
        }
    },
    "artworks": {
        "painted": {
            "method": "feedforward",
            "feedforward": {"network": "both"},
            "content": "inputs/content.png",
            "regions": REGIONS,
            "quality": {"limits": {"clipping": 1}},
        },
        "started": {
            "on_demand": True,
            "start": "feedforward",
            "feedforward": {"network": "both"},
            "levels": [64],
            "content": "inputs/content.png",
            "regions": REGIONS,
        },
    },
}


def test_a_network_is_trained_once_for_all_that_it_paints(tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path, warm=True)
    write_inputs(tmp_path)
    (tmp_path / "inputs/photographs").mkdir()
    save(tmp_path / "inputs/photographs/one.png", noise(40, 50, seed=7))
    checkout.configure(FAST)
    made = checkout.renders()
    assert {job for job in made if "painted" in job or "key=both" in job} == {
        "train key=both", "plan artwork=painted", "guide artwork=painted, level=80",
        "apply artwork=painted, level=80", "assemble artwork=painted", "preview artwork=painted",
        "export_print artwork=painted, extension=tif", "record artwork=painted",
        "assess artwork=painted", "judge artwork=painted",
    }  # fmt: skip
    assert not any("started" in job for job in made)
    results = tmp_path / "results"
    (network,) = (results / "shared/networks").glob("both-*.safetensors")
    (page,) = (results / "shared/networks").glob("both-*.html")
    assert "Model card" in page.read_text(encoding="utf-8")
    painting = json.loads((results / "painted/levels/80/painted.json").read_text(encoding="utf-8"))
    assert [region["name"] for region in painting["model"]["regions"]] == ["plain", "dark"]
    provenance = json.loads((results / "painted/provenance.json").read_text(encoding="utf-8"))
    assert provenance["painting"]["model"]["sha256"] == painting["model"]["sha256"]
    assert provenance["levels"][0]["loss_last"] is None
    assert "painted in one pass by a network trained on" in (results / "report" / "painted.html").read_text(
        encoding="utf-8"
    )
    figures = json.loads((results / "painted/quality.json").read_text(encoding="utf-8"))
    assert set(figures["style"][0]["regions"]) == {"right", "left"}
    assert figures["figures"]["style_distance"] > 0
    assert (
        canvas.size_of(results / "painted/print.tif").area
        == canvas.size_of(results / "painted/levels/80/painted.tif").area
    )
    assert checkout.would_render() == set()

    made = checkout.renders("demo_feedforward")
    assert "train key=both" not in made
    assert {"apply artwork=started, level=64", "stylise artwork=started, level=64"} < made
    provenance = json.loads((results / "started/provenance.json").read_text(encoding="utf-8"))
    assert provenance["painting"]["model"]["sha256"] == painting["model"]["sha256"]
    assert provenance["levels"][0]["loss_last"] < provenance["levels"][0]["loss_first"]
    assert network.is_file()
