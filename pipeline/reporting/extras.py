"""What an artwork's folder may hold beside what the report needs.

What is not there is not shown, nor what an earlier plan left there and this one does not make.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pipeline.geometry import Size
from pipeline.plan import Plan
from pipeline.plan_jobs import own_jobs, shared_jobs
from pipeline.reporting.model import Picture, Stage, Tiles

_LEAST_MIB = 16
"""What no job of ours can do with: less was measured before it had begun."""
# What keys end in: a reader knows the image by its name.
_HASH = re.compile(r"-[0-9a-f]{12}$")
_DEEP_ZOOM = "{http://schemas.microsoft.com/deepzoom/2008}"


def read_tiles(folder: Path, plan: Plan) -> Tiles | None:
    """The Deep Zoom tiles in `deepzoom/`, `image.dzi` and `image_files`, if they are there."""
    if plan.settings.deepzoom.format != "dzi":
        return None
    try:
        image = ElementTree.parse(folder / "deepzoom" / "image.dzi").getroot()
        size = image.find(f"{_DEEP_ZOOM}Size")
        if size is None:
            return None
        tiles = Tiles(
            folder / "deepzoom" / "image_files",
            Size(int(size.attrib["Height"]), int(size.attrib["Width"])),
            int(image.attrib["TileSize"]),
            int(image.attrib["Overlap"]),
            image.attrib["Format"],
        )
    except (OSError, ElementTree.ParseError, KeyError, ValueError):
        return None
    return tiles if tiles.folder.is_dir() else None


def read_quality(folder: Path, plan: Plan) -> dict[str, Any]:
    """What `quality.json` says, and `proof.json` under `proof`; nothing where there is none."""
    found = _read_json(folder / "quality.json")
    proof = _read_json(folder / "proof.json") if _is_proofed(plan) else {}
    return found | ({"proof": proof} if proof else {})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_proofed(plan: Plan) -> bool:
    return plan.settings.print.profile is not None


def read_proof(folder: Path, plan: Plan) -> Picture | None:
    """The soft proof, if there is one."""
    return _proof_picture(folder / "proof.png", plan, "as it will be printed")


def read_gamut(folder: Path, plan: Plan) -> Picture | None:
    """The picture of what cannot be printed, if there is one."""
    return _proof_picture(folder / "gamut.png", plan, "with what cannot be printed in magenta")


def _proof_picture(path: Path, plan: Plan, what: str) -> Picture | None:
    return Picture(path, f"{plan.artwork} {what}") if _is_proofed(plan) and path.is_file() else None


def read_stages(folder: Path, plan: Plan) -> list[Stage]:
    """What the plan's jobs took, shared ones too, as the workflow measured it, in the order they ended."""
    benchmarks = folder.parent / "benchmarks"
    own = ((benchmarks / folder.name / f"{name}.tsv", _words(name), False) for name in own_jobs(plan))
    shared = (
        (benchmarks / job.rule / f"{job.key}.tsv", f"{_words(job.rule)}: {_HASH.sub('', job.key)}", True)
        for job in shared_jobs(plan)
    )
    found = [known for known in (*own, *shared) if known[0].is_file()]
    found.sort(key=lambda known: (known[0].stat().st_mtime_ns, known[1]))
    return [stage for known in found for stage in _stages(*known)]


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _stages(path: Path, name: str, shared: bool) -> Iterator[Stage]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield Stage(name, float(row["s"]), _memory_mib(row["max_rss"]), shared)
    except (OSError, ValueError, KeyError, TypeError):
        return


def _memory_mib(text: str) -> float | None:
    """What a job held, or None where the workflow had no time to measure."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= _LEAST_MIB else None
