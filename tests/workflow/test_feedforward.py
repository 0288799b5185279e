"""The fast variant in the workflow: a network is trained once, paints, and gives others their start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pictures import noise, save
from running import run_warm
from workflows import CONFIG, Checkout, write_inputs

from pipeline import canvas
from pipeline.feedforward.models import load_network

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
            "licence": "CC0-1.0",
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


def paints_nothing(checkout: Checkout) -> None:
    """What is said of a network, and how its page looks, is not worth another training."""
    handed_on = {"export_network key=both", "report"}
    with checkout.edited("pipeline/reporting/training.html", "<p>", old="<main>"):
        assert checkout.would_render() == handed_on
    with checkout.edited("config.yaml", "licence: CC BY 4.0", old="licence: CC0-1.0"):
        assert handed_on < checkout.would_render()
        assert not {"train key=both", "apply artwork=painted, level=80"} & checkout.would_render()


def test_a_network_is_trained_once_for_all_that_it_paints(tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path, warm=True)
    write_inputs(tmp_path)
    (tmp_path / "inputs/photographs").mkdir()
    save(tmp_path / "inputs/photographs/one.png", noise(40, 50, seed=7))
    checkout.configure(FAST)
    made = checkout.renders()
    assert {job for job in made if "painted" in job or "key=both" in job} == {
        "train key=both", "export_network key=both",
        "plan artwork=painted", "guide artwork=painted, level=80",
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
    # Trainings know of no licence; what is recorded and handed on does.
    assert painting["model"]["licence"] == "not stated"
    assert provenance["painting"]["model"]["licence"] == load_network(network).card.licence == "CC0-1.0"
    assert provenance["painting"]["network"]["name"] == "both"
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
    paints_nothing(checkout)
    words = ["impasto", "verify", "--verbose", "results/painted"]
    verified = run_warm(words, checkout.folder, checkout.env)
    assert verified.returncode == 0, verified
    assert "network both" in verified.stdout
    (tmp_path / "inputs/photographs/Thumbs.db").touch()
    assert checkout.would_render() == set()
    (tmp_path / "inputs/photographs/below").mkdir()
    two = save(tmp_path / "inputs/photographs/below/two.png", noise(40, 50, seed=8))
    assert {"train key=both", "apply artwork=painted, level=80"} < checkout.would_render()
    two.unlink()

    made = checkout.renders("demo_feedforward")
    assert "train key=both" not in made
    assert {"apply artwork=started, level=64", "stylise artwork=started, level=64"} < made
    provenance = json.loads((results / "started/provenance.json").read_text(encoding="utf-8"))
    assert provenance["painting"]["model"]["sha256"] == painting["model"]["sha256"]
    assert provenance["levels"][0]["loss_last"] < provenance["levels"][0]["loss_first"]
    assert network.is_file()
