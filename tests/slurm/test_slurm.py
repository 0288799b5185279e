"""Collections on a real Slurm of one node: GPUs are asked for, a killed job goes on, pixels are the same."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pictures import noise, save, truncate
from running import within
from workflows import CONFIG, Checkout, write_inputs

from pipeline import canvas
from slurm import cluster as clusters
from slurm.cluster import reason_against, slurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LEVEL = "results/scene/levels/64"
PRINT = "results/scene/print.tif"
# Ten seconds of a fast core: the job is cancelled after one.
ITERATIONS = 240
SNAKEMAKE = (
    sys.executable,
    "-c",
    # Each look at Slurm without news would put the next one off by ten seconds more.
    "import asyncio\n"
    "from snakemake.cli import main\n"
    "from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor\n"
    "RemoteExecutor.sleep = lambda self: asyncio.sleep(1)\n"
    "main()",
)
OPTIONS = (
    *("--workflow-profile", "profiles/slurm"),
    # This Slurm keeps no accounts, and its jobs are short.
    *("--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "5"),
)


def test_a_machine_with_a_configuration_of_slurm_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "ETC", tmp_path)
    monkeypatch.setattr(clusters, "PROGRAMS", ())
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(clusters, "_runs", lambda name: name == "slurmctld")
    (tmp_path / "plugstack.conf").touch()
    assert reason_against() == "slurmctld is running"
    # A node of a cluster may have no slurm.conf of its own.
    (tmp_path / "topology.conf").touch()
    assert reason_against() == f"this machine has {tmp_path}/topology.conf"


@pytest.fixture
def checkouts(tmp_path: Path) -> tuple[Checkout, Checkout]:
    """Twice the same collection: one artwork of one level, and devices where there are some."""
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    del config["artworks"]["halves"]
    config["compute"]["device"] = "auto"
    few = {"style_layers": ["relu1_1", "relu2_1", "relu3_1"], "content_layers": ["relu3_1"]}
    network = {"name": "vgg19", **few}
    config["defaults"].update(levels=[64], iterations=[ITERATIONS], network=network, start="noise")
    # One picture is content and style, so that few jobs have to be waited for.
    config["artworks"]["scene"] = dict.fromkeys(("content", "style"), "inputs/scene.png")
    for name in ("local", "cluster"):
        (tmp_path / name).mkdir()
    first = Checkout.make(tmp_path / "local")
    write_inputs(first.folder)
    first.configure(config)
    second = Checkout.make(tmp_path / "cluster")
    shutil.copytree(first.folder / "inputs", second.folder / "inputs")
    second.configure(config)
    return first, second


def asked(*columns: str) -> list[list[str]]:
    """These columns of all jobs that Slurm knows."""
    form = ",".join(f"{column}:90" for column in columns)
    command = ["squeue", "-t", "all", "-h", "-O", form]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return [
        [line[start : start + 90].strip() for start in range(0, len(line), 90)] for line in lines.splitlines()
    ]


def running(rule: str) -> str | None:
    """The number of the job of this rule that is running, if one is."""
    jobs = asked("jobid", "state", "comment")
    return next((job for job, state, told in jobs if state == "RUNNING" and told.startswith(rule)), None)


def test_a_killed_job_is_tried_again_and_ends_with_the_pixels_of_an_uninterrupted_run(
    checkouts: tuple[Checkout, Checkout],
) -> None:
    reason = reason_against()
    if reason is not None:
        pytest.skip(f"no Slurm is started: {reason}")
    local, cluster = checkouts
    log = cluster.folder / "results" / "logs" / "scene" / "stylise-64.log"
    with (
        slurm(),
        cluster.running(*OPTIONS, PRINT, program=SNAKEMAKE) as snakemake,
        local.running("--cores", 1, PRINT) as twin,
    ):
        assert within(300, lambda: snakemake.poll() is not None or "scene 64: " in read(log))
        job = running("rule_stylise")
        assert job is not None, read(cluster.folder / "background.log")
        # Jobs have what the run began with: that cannot be read any more.
        (cluster.folder / "config.yaml").write_text("artworks: [")
        time.sleep(1)
        subprocess.run(["scancel", job], check=True, timeout=30)
        assert within(30, lambda: "stopped after" in read(log)), read(log)
        completed = read(log).splitlines()[-1].split()[2]
        assert snakemake.wait(timeout=300) == 0, read(cluster.folder / "background.log")
        jobs = asked("jobid", "state", "comment", "tres-per-job")
        assert twin.wait(timeout=300) == 0, read(local.folder / "background.log")
    assert ["CANCELLED" in state for number, state, *_ in jobs if number == job] == [True]
    gpus = {(told.removeprefix("rule_").partition("_wildcards")[0], gpu) for _, _, told, gpu in jobs}
    assert gpus == {
        ("prepare", "N/A"),
        ("recolour", "N/A"),
        ("targets", "gres:gpu:1"),
        ("stylise", "gres:gpu:1"),
        ("finish_assemble_export_print", "N/A"),
    }
    rendering = read(cluster.folder / "background.log").partition("rule stylise:")[2]
    assert "nodes=1" in rendering.partition("resources: ")[2].splitlines()[0].split(", ")
    # The second attempt went on from where the first was ended.
    first = read(log).removeprefix("scene 64: ").partition("/")[0]
    assert int(first) == int(completed)
    record = json.loads((cluster.folder / LEVEL / "stylised.json").read_text(encoding="utf-8"))
    assert [point["iteration"] for point in record["trace"]] == list(range(ITERATIONS + 1))
    found, expected = (canvas.read(each.folder / LEVEL / "stylised.tif") for each in (cluster, local))
    assert np.array_equal(found, expected)
    found, expected = (canvas.read(each.folder / PRINT) for each in (cluster, local))
    assert np.array_equal(found, expected)


def test_a_damaged_picture_stops_no_other_artwork(checkouts: tuple[Checkout, Checkout]) -> None:
    reason = reason_against()
    if reason is not None:
        pytest.skip(f"no Slurm is started: {reason}")
    cluster = checkouts[1]
    config = yaml.safe_load((cluster.folder / "config.yaml").read_text(encoding="utf-8"))
    config["defaults"]["iterations"] = [2]
    truncate(save(cluster.folder / "inputs" / "torn.png", noise(100, 80, seed=1)))
    config["artworks"]["torn"] = {**config["artworks"]["scene"], "content": "inputs/torn.png"}
    cluster.configure(config)
    prints = [PRINT.replace("scene", name) for name in ("torn", "scene")]
    with slurm(), cluster.running(*OPTIONS, "--retries", 0, *prints, program=SNAKEMAKE) as snakemake:
        assert snakemake.wait(timeout=300) == 1
    told = read(cluster.folder / "background.log")
    assert "inputs/torn.png: expected a complete image; found damaged or truncated data" in told
    assert [(cluster.folder / made).exists() for made in prints] == [False, True], told


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
