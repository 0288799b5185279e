"""The smallest artwork that has everything a level needs: two regions with masks, two levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pictures import gradient, left_half, noise, save

CONFIG: dict[str, Any] = {
    "compute": {"device": "cpu", "precision": "float32", "threads": 1},
    "defaults": {"levels": [64, 80], "iterations": [3, 2]},
    "artworks": {
        "halves": {
            "content": "content.png",
            "regions": [
                {"where": "left.png", "style": "style.png"},
                {"where": "right.png", "style": "style.png"},
            ],
            "network": {"name": "vgg19"},
            "print": {"dpi": 200},
        },
    },
}


def write_inputs(folder: Path, config: dict[str, Any] = CONFIG) -> None:
    """Writes the images that `CONFIG` names, and config.yaml."""
    save(folder / "content.png", gradient(100, 80))
    save(folder / "style.png", noise(90, 90, seed=2))
    save(folder / "left.png", left_half(50, 40))
    save(folder / "right.png", 255 - left_half(50, 40))
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
