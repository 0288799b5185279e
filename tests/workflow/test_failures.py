"""What a run that fails or is killed leaves behind, and how the next one goes on."""

from __future__ import annotations

import copy
import fcntl
import os
import re
import signal
import sys

import pytest
from pictures import noise, save, truncate
from running import snapshot, within
from workflows import CONFIG, Checkout, jobs

from pipeline import canvas
from pipeline.geometry import Size
from pipeline.provenance import file_sha256

pytestmark = pytest.mark.slow


def test_a_damaged_or_missing_picture_fails_in_one_line_and_once_mended_the_run_goes_on(
    warm: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = warm.folder / "inputs" / "content.png"
    whole = photo.read_bytes()
    truncate(save(photo, noise(100, 80, seed=1)))
    config = copy.deepcopy(CONFIG)
    config["artworks"]["gone"] = {"content": "inputs/gone.png", "style": "inputs/style.png"}
    config["artworks"]["later"] = {**config["artworks"]["gone"], "on_demand": True}
    config["artworks"]["silent"] = config["artworks"]["scene"]
    # Of a combination without artworks: what its pattern leaves out is told.
    (warm.folder / "inputs/other-1.heic").touch()
    config["combine"] = {"contents": "inputs/other*", "exclude": "other"}
    warm.configure(config)
    # A job that ends before it has opened its log, as on a node that cannot start it.
    node = warm.folder / "node.sh"
    node.write_text("[[ $BASH_EXECUTION_STRING != *results/silent/plan.json* ]] || exit 1\n")
    monkeypatch.setenv("BASH_ENV", str(node))
    done = warm.snakemake("--cores", 1, "--until", "prepare", "plan")
    monkeypatch.delenv("BASH_ENV")
    assert done.returncode == 1
    told = done.stdout + done.stderr
    gone = "config.yaml: artworks.gone.content: inputs/gone.png: expected an image file; found no such file."
    assert told.startswith(f"{gone} The other artworks go on.", told.index(gone))
    later = gone.replace("artworks.gone", "artworks.later")
    assert f"{later} later is made on demand alone: nothing else waits for it." in told
    # Once, and not by each job's process.
    assert told.count("images of other kinds are left out: 1, the first inputs/other-1.heic\n") == 1
    assert not (warm.folder / "results/logs/later").exists()
    assert f"impasto plan: {gone}" in (warm.folder / "results/logs/gone/plan.log").read_text()
    assert {path.parent.name for path in warm.folder.glob("results/*/plan.json")} == {"halves", "scene"}
    line = "impasto prepare: inputs/content.png: expected a complete image; found damaged or truncated data"
    assert line in told
    assert "Traceback" not in told
    summary = told.rpartition("artworks done")[2]
    assert re.findall("^  (.+?): ", summary, re.MULTILINE) == ["halves", "gone", "silent"]
    assert f"  halves: {line}" in summary
    assert "  silent: said nothing: refused, not started, killed, or out of memory or time (" in summary
    made = {path.name.partition("-")[0] for path in (warm.folder / "results/shared/prepared").iterdir()}
    assert made == {"scene", "style", "other"}
    photo.write_bytes(whole)
    warm.configure(CONFIG)
    assert warm.renders("--until", "prepare") == {"prepare key=content"}


def test_one_core_and_two_give_the_same_files(warm: Checkout) -> None:
    config = copy.deepcopy(CONFIG)
    del config["artworks"]["halves"]
    config["compute"]["threads"] = 2
    warm.configure(config)
    target = "results/scene/levels/64/stylised.tif"
    made = []
    for cores in (1, 2):
        # Two threads are computed with, though Snakemake grants one.
        again = ["--forcerun", "recolour", "targets"]
        done = warm.snakemake(target, "--cores", cores, *again)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"recolour key=style-64x64", "targets key=style-64x64"} <= jobs(done)
        folder = warm.folder / "results"
        files = [folder / "scene/levels/64/stylised.tif", *sorted((folder / "shared").rglob("*.*"))]
        made.append({file.relative_to(folder): file_sha256(file) for file in files if file.is_file()})
    assert len(made[0]) >= 6
    assert made[0] == made[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a process with its parent")
def test_snakemake_killed_leaves_no_orphan_and_no_lock_and_a_plain_run_goes_on(fresh: Checkout) -> None:
    config = copy.deepcopy(CONFIG)
    del config["artworks"]["halves"]
    config["defaults"]["iterations"] = [30, 2]
    fresh.configure(config)
    target = "results/scene/levels/64/stylised.tif"
    log = fresh.folder / "results" / "logs" / "scene" / "stylise-64.log"
    with fresh.running("--cores", 2, target) as snakemake:
        assert within(120, lambda: log.exists() and "scene 64: " in log.read_text())
        (job,) = fresh.processes()
        os.kill(job, signal.SIGSTOP)
        second = fresh.snakemake("--cores", 1, target)
        assert second.returncode == 1
        refused = "results: expected no other run that writes there; found one at work (process "
        assert f"{refused}{snakemake.pid})" in second.stdout + second.stderr
        assert fresh.would_render(target) == {"stylise artwork=scene, level=64"}

        os.kill(job, signal.SIGCONT)
        snakemake.kill()
        snakemake.wait()
        assert within(3, lambda: not fresh.processes())
        before = snapshot(fresh.folder)
        assert not within(2, lambda: snapshot(fresh.folder) != before)
    assert not (fresh.folder / target).exists()
    assert fresh.renders(target) == {"stylise artwork=scene, level=64"}
    assert canvas.size_of(fresh.folder / target) == Size(56, 73)
    assert [path.name for path in (fresh.folder / "results").rglob(".*")] == [".in-use"]


def test_a_model_file_is_fetched_by_one_run_where_two_share_resources(fresh: Checkout) -> None:
    fresh.configure({**CONFIG, "results_dir": "others"})
    lock = fresh.folder / "resources" / "weights" / ".vgg19.safetensors.in-use"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        second = fresh.snakemake("--cores", 1, "resources/weights/vgg19.safetensors")
        refused = "resources/weights: expected no other run that writes there; found one at work"
        assert (second.returncode, refused in second.stdout + second.stderr) == (1, True)
    assert fresh.renders("resources/weights/vgg19.safetensors") == {"fetch_weights weights=vgg19"}
