"""The smallest artwork that has everything a level needs: two regions with masks, two levels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import yaml
from pictures import gradient, left_half, noise, save
from running import Done

from pipeline.level_plans import LevelPlan
from pipeline.plan import Plan

LOWEST = (72, 57)
HIGHEST = (89, 72)
"""Sizes that follow from a content image of 100x80 px and the levels 64 and 80."""

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


@final
@dataclass(frozen=True)
class Artwork:
    """The files of one tiny artwork, up to what `stylise` needs; for reading only.

    Attributes:
        folder: Where they lie.
        plan: Its plan.
    """

    folder: Path
    plan: Plan

    def image(self, key: str) -> Path:
        """A content or style image at its level's size."""
        return self.folder / f"{key}.tif"

    def guides(self, level: LevelPlan) -> Path:
        """A level's guidance channels."""
        return self.folder / f"guides-{level.level_px}.tif"

    def targets(self, level: LevelPlan) -> Path:
        """A level's only file of style statistics."""
        (key,) = {target.target for region in level.regions for target in region.targets}
        return self.folder / f"{key}.safetensors"

    def level_words(self, level: LevelPlan, weights: Path) -> list[object]:
        """The options that name what a level is rendered from."""
        inputs = ["--plan", self.folder / "plan.json", "--level", level.level_px, "--weights", weights]
        inputs += ["--content", self.image(level.content), "--targets", self.targets(level)]
        return [*inputs, "--guides", self.guides(level)]


@final
@dataclass(frozen=True)
class Rendered:
    """A level's result: its image and record, what the command said, and what it imported if one looked."""

    image: Path
    record: Path
    done: Done
    imported: frozenset[str] = frozenset()

    def facts(self) -> dict[str, Any]:
        """The record's contents."""
        facts: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        return facts


def write_inputs(folder: Path, config: dict[str, Any] = CONFIG) -> None:
    """Writes the images that `CONFIG` names, and config.yaml."""
    save(folder / "content.png", gradient(100, 80))
    save(folder / "style.png", noise(90, 90, seed=2))
    save(folder / "left.png", left_half(50, 40))
    save(folder / "right.png", 255 - left_half(50, 40))
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
