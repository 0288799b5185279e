"""The configuration of two artworks that share their content, and its collection, resolved without files."""

from __future__ import annotations

from typing import Any

from pipeline.collection import Collection, resolve_collection
from pipeline.geometry import Size

RAW: dict[str, Any] = {
    "title": "T",
    "results_dir": "out/r",
    "resources_dir": "res",
    "compute": {"threads": 3, "memory_budget_mib": 2048, "device": "cpu"},
    "defaults": {"levels": [128, 256], "iterations": [9, 5]},
    "artworks": {
        "two": {
            "content": "in/c d.png",
            "regions": [
                {"where": "person", "style": "s.png"},
                {"where": "background", "styles": [{"image": "s.png"}, {"image": "t.png", "mask": "n.png"}]},
                {"where": "in/it's.png", "style": "s.png", "name": "sky"},
            ],
        },
        "one": {"content": "in/c d.png", "style": "s.png", "colour": {"mode": "style_to_content"}},
    },
}


def resolved(**changes: Any) -> Collection:
    """The collection of `RAW` with these sections changed; every image is 200x300 px."""
    return resolve_collection({**RAW, **changes}, lambda _: Size(200, 300))
