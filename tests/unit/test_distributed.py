"""Two processes on one image: the sums of one process, the same bits every time, and one end for both."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from failing_ranks import CONTENT, IMAGE, LOSS, SIZE
from networks import make_encoder
from running import TESTS, run, run_ranks, run_warm

from pipeline.distributed import Ranks, joined
from pipeline.errors import ResourceError
from pipeline.groups import Alone
from pipeline.objective import WholeObjective

PROGRAM = str(TESTS / "ranks.py")


def alone(folder: Path, *options: str) -> int:
    """Runs the optimisation in one process; its exit code."""
    return run_warm([PROGRAM, str(folder), *options], folder).returncode


def two(folder: Path, *options: str, program: str = PROGRAM) -> int:
    """Runs it in two, as torchrun would; the exit code of the first."""
    return run_ranks([program, str(folder), *options], folder, 2)[0].returncode


def by_torchrun(folder: Path, *options: str) -> int:
    """Runs it in two; the exit code."""
    command = ["torchrun", "--nproc-per-node", "2", "--standalone", PROGRAM, str(folder), *options]
    return run(command, folder).returncode


def told(folder: Path, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"rank-{rank}.json").read_text(encoding="utf-8"))
    return found


def made(folder: Path, *options: str, by: Any = two) -> Path:
    folder.mkdir()
    assert by(folder, *options) == 0
    return folder


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("two") / "run", by=by_torchrun)


def same_to_rounding(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-11)
    assert found["steps"] == expected["steps"]
    assert found["image"] == pytest.approx(expected["image"], abs=1e-6)


@pytest.mark.slow
def test_two_processes_are_one_to_rounding(by_two: Path, tmp_path: Path) -> None:
    expected, found = told(made(tmp_path / "one", by=alone)), told(by_two)
    same_to_rounding(found, expected)
    assert [told(by_two, rank)["rows"] for rank in (0, 1)] == [[0, 80], [80, 160]]
    # What all know is the same to the bit.
    assert found["losses"] == told(by_two, 1)["losses"]
    assert expected["losses"][-1] < 0.02 * expected["losses"][0]


@pytest.mark.slow
def test_adam_is_the_same_too(tmp_path: Path) -> None:
    expected = told(made(tmp_path / "one", "method=adam", by=alone))
    same_to_rounding(told(made(tmp_path / "two", "method=adam", "store=files")), expected)


@pytest.mark.slow
def test_a_group_that_was_broken_off_goes_on_to_the_same_bits(by_two: Path, tmp_path: Path) -> None:
    assert two(tmp_path, "store=files", "dies=1") == 2
    assert not list(tmp_path.glob("*.json"))
    assert (tmp_path / "rank-0.txt").read_text() == (
        "process 0 of 2: expected all processes to go on; found one that has ended or does not answer. "
        "Start them again: they go on from the last completed iteration."
    )
    # One alone was asked to stop: both do.
    assert two(tmp_path, "store=files", "stops=1") == 0
    for rank in (0, 1):
        assert (told(tmp_path, rank)["ending"], told(tmp_path, rank)["steps"][-1][0]) == ("stopped", 4)
    assert alone(tmp_path, "store=files") == 2
    assert (
        "expected a checkpoint of 1 processes; found one of 2. Start 2, or delete its folder"
        in (tmp_path / "rank-0.txt").read_text()
    )
    assert two(tmp_path, "store=files") == 0
    for rank in (0, 1):
        assert told(tmp_path, rank) == told(by_two, rank)


def test_what_one_fails_in_ends_or_goes_on_for_both(tmp_path: Path) -> None:
    assert two(tmp_path, program=str(TESTS / "failing_ranks.py")) == 0
    leader, other = (
        json.loads((tmp_path / f"failing-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
    )
    # After each failure both are where they were: they find each other.
    short, refused, both = "OutOfMemoryError: ", "disk: expected room; found none.", [0, 1]
    for name in ("halos", "sums"):
        assert other[name] == [f"{short}CUDA out of memory", both]
        assert leader[name] == [f"{short}process 1: CUDA out of memory", both]
    for name, (failed, waiting, rank) in {
        "rows": (other, leader, 1),
        "leader's rows": (leader, other, 0),
        "cleared": (other, leader, 1),
    }.items():
        assert failed[name] == [f"ResourceError: {refused}", both]
        assert waiting[name] == [f"PipelineError: process {rank} of 2: {refused}", both]
    # Tiles of 64 px were halved once where the loss is judged, and once after the second pass.
    assert leader["shrunk"] == other["shrunk"] == [32, 16]
    # Strips as a whole, which differ in height, are halved to the same.
    assert leader["shrunk whole"] == other["shrunk whole"] == [64]
    whole = WholeObjective(make_encoder(), LOSS, SIZE, content=CONTENT).forward(IMAGE)
    assert leader["loss"] == other["loss"] == pytest.approx(whole.loss, rel=1e-12)
    gradient = torch.cat([torch.tensor(each["gradient"], dtype=torch.float64) for each in (leader, other)], 1)
    torch.testing.assert_close(gradient, whole.gradient(), rtol=1e-9, atol=1e-12)


def test_without_torchrun_a_process_is_alone() -> None:
    # Operators set what torchrun sets as well, for processes that are not one another's.
    with joined({}) as group, joined({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "x"}) as other:
        assert isinstance(group, Alone)
        assert isinstance(other, Alone)
        assert (group.rank, group.count, group.leads) == (0, 1, True)
        assert group.gathered(7) == [7]


def test_processes_that_share_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, gpus = Ranks(0, 2), ["a", "b"]
    monkeypatch.setattr(ranks, "gathered", lambda own: [own, gpus[1]])
    monkeypatch.setattr(ranks, "sum", lambda values: values)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=gpus[0]))
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    ranks.meet(torch.device("cuda", 0))
    gpus[1] = "a"
    ranks.meet(torch.device("cpu"))
    with pytest.raises(ResourceError) as caught:
        ranks.meet(torch.device("cuda", 0))
    assert str(caught.value) == (
        "2 processes: expected a GPU for each of them; found 1. Start as many as there are GPUs."
    )
