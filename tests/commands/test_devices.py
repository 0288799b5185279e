"""One level on several devices: on a CPU, two processes that the command starts by itself."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Impasto, environment, is_running, within
from tiny_artwork import Artwork

from pipeline import canvas

pytestmark = pytest.mark.slow

ITERATIONS = 12


def plan_of(artwork: Artwork, **changes: Any) -> str:
    """The plan with these changes to its lowest level, and few layers, as text."""
    level = artwork.plan.levels[0]
    few = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",)}
    network = level.network.model_copy(update=few)
    own = {"network": network, "processes": 2, "iterations": ITERATIONS, "store": "files"}
    level = level.model_copy(update={**own, **changes})
    return artwork.plan.model_copy(update={"levels": (level,)}).model_dump_json()


def words_of(artwork: Artwork, vgg19: Path, name: str = "out") -> list[str]:
    """The words that render it, with the plan on standard input, as rules have it."""
    words = [str(word) for word in artwork.level_words(artwork.plan.levels[0], vgg19)]
    words[words.index("--plan") + 1] = "-"
    return [*words, "--output", f"{name}.tif", "--record", f"{name}.json"]


def losses(record: Path) -> list[float]:
    return [point["loss"] for point in json.loads(record.read_text())["trace"]]


def stopped(impasto: Impasto, words: list[str], plan: str) -> int:
    """Asks a shared run to stop when it has begun; how many iterations it has completed by then."""
    (impasto.folder / "plan.json").write_text(plan)
    with (impasto.folder / "plan.json").open() as stdin:
        process = subprocess.Popen(
            ["impasto", "stylise", *words],
            cwd=impasto.folder,
            env=environment(),
            stdin=stdin,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begun() -> bool:
        states = [
            json.loads(path.read_text()) for path in impasto.folder.glob(".out-*.state/checkpoint.json")
        ]
        return process.poll() is not None or any(each["numbers"]["work"]["iteration"] > 1 for each in states)

    assert within(200, begun)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    # A scheduler tells all of them.
    for number in (process.pid, *map(int, children)):
        subprocess.run(["kill", "-TERM", str(number)], check=False)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert not any(is_running(int(child)) for child in children)
    last = said.splitlines()[-1]
    assert f"of {ITERATIONS} iterations; the same command goes on from there" in last, said
    (impasto.folder / "plan.json").unlink()
    return int(last.split()[2])


def test_a_level_is_shared_as_planned_stops_when_asked_and_ends_with_the_same_bits(
    impasto: Impasto, artwork: Artwork, vgg19: Path
) -> None:
    words, plan = words_of(artwork, vgg19), plan_of(artwork)
    assert 2 <= stopped(impasto, words, plan) < ITERATIONS
    done = impasto.run("stylise", *words, stdin=plan)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.startswith("halves 64: 0/")
    assert done.stderr.count(f"halves 64: {ITERATIONS}/{ITERATIONS}. loss ") == 1
    ours = ("halves 64: ", "out.tif: ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []
    # The plan, the state and whatever torchrun needs are gone.
    assert sorted(path.name for path in impasto.folder.iterdir()) == ["out.json", "out.tif"]
    facts = json.loads((impasto.folder / "out.json").read_text())
    assert facts["device"]["processes"] == 2
    # Where the second process begins; neither has tiles.
    assert (facts["row_borders"], facts["column_borders"]) == ([32], [])
    assert [point["iteration"] for point in facts["trace"]] == list(range(ITERATIONS + 1))

    impasto.works("stylise", *words_of(artwork, vgg19, "again"), stdin=plan)
    image = canvas.read(impasto.folder / "out.tif")
    assert np.array_equal(image, canvas.read(impasto.folder / "again.tif"))
    assert losses(impasto.folder / "out.json") == losses(impasto.folder / "again.json")

    impasto.works("stylise", *words_of(artwork, vgg19, "one"), stdin=plan_of(artwork, processes=1))
    # Twelve steps carry roundings on; what is compared in full precision stands in test_distributed.py.
    assert losses(impasto.folder / "out.json")[:4] == pytest.approx(
        losses(impasto.folder / "one.json")[:4], rel=1e-4
    )
    assert np.abs(image - canvas.read(impasto.folder / "one.tif")).mean() < 0.01


def test_a_mistake_that_all_meet_is_told_once(impasto: Impasto, artwork: Artwork, vgg19: Path) -> None:
    plan = plan_of(artwork, network=artwork.plan.levels[0].network)
    line = impasto.refuses("stylise", *words_of(artwork, vgg19), stdin=plan)
    assert line == "level of 80x64 px: expected at most 1 processes; found 2. Start fewer."
