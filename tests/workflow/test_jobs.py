"""A job as a cluster starts it: a Snakemake of its own, told what to make and nothing else."""

from __future__ import annotations

import pytest
from workflows import CONFIG, Checkout

from pipeline.collection import open_collection
from pipeline.handover import hand_over, handover_file

pytestmark = pytest.mark.slow

JOB = ("--mode", "subprocess", "--force", "--no-hooks", "--nolock", "--cores", 1)


def test_a_job_takes_over_what_its_run_began_with(fresh: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh.folder)
    fresh.configure(CONFIG)
    collection = open_collection(CONFIG, ["config.yaml"], fresh.folder / "sizes.json")
    hand_over(collection, handover_file([], {}))
    # Meanwhile its user is about to change something.
    (fresh.folder / "config.yaml").write_text("artworks: [", encoding="utf-8")
    style = next(key for key in collection.sources if key.startswith("style"))
    jobs = (
        "--target-jobs",
        f"prepare:key={style}",
        "plan:artwork=scene",
        "--allowed-rules",
        "prepare",
        "plan",
    )
    done = fresh.snakemake(*JOB, *jobs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (fresh.folder / "results" / "shared" / "prepared" / f"{style}.tif").exists()
    plan = (fresh.folder / "results" / "scene" / "plan.json").read_text(encoding="utf-8")
    assert plan == collection.plans["scene"].model_dump_json(indent=2) + "\n"
