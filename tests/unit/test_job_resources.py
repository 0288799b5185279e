"""What jobs ask of a scheduler."""

from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("device", "cuda", "local", "gpus"),
    [
        ("auto", False, True, 0),
        ("auto", True, True, 1),
        ("auto", False, False, 1),
        ("cuda", False, False, 1),
        ("cpu", True, True, 0),
        ("cpu", True, False, 0),
    ],
)
def test_small_jobs_hold_a_device_only_where_one_may_be(
    monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool, local: bool, gpus: int
) -> None:
    monkeypatch.setattr("pipeline.job_resources.has_cuda_device", lambda: cuda)
    assert resources(device=device).target_gpus(local=local) == gpus
