"""What jobs ask of a scheduler."""

from __future__ import annotations

from typing import Any

from pipeline.collection import resolve_collection
from pipeline.geometry import Size
from pipeline.job_resources import JobResources


def resources(**compute: Any) -> JobResources:
    artworks = {"a": {"content": "c.png", "style": "s.png"}}
    return JobResources(
        resolve_collection({"compute": compute, "artworks": artworks}, lambda _: Size(200, 300))
    )


def test_resources() -> None:
    found = resources(device="cpu")
    assert (found.gpus, found.image_memory_mib(), found.target_memory_mib()) == (0, 1024, 2560)
    assert resources().gpus == 1
