from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import CPU, METHODS, SIZE, Bowl, BowlTrial, facts, noise, run

from pipeline.checkpoint import MANIFEST, Checkpoint
from pipeline.config.sections import Optimiser
from pipeline.costs import state_file_bytes_per_px
from pipeline.errors import CheckpointError, ResourceError
from pipeline.geometry import Box, Size
from pipeline.groups import StoppedError
from pipeline.optimiser import Adam, Lbfgs, Result, minimise
from pipeline.rasters import Raster
from pipeline.stores import FileStore, TensorStore
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

KINDS, NAMES = ["files", "memory"], sorted(METHODS)


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, dict[str, Any]]:
    return {name: facts(minimise(Bowl(), noise(SIZE, 3), METHODS[name])) for name in NAMES}


def test_the_run_of_these_tests_has_rejected_trials(uninterrupted: dict[str, dict[str, Any]]) -> None:
    _, forward_passes, gradient_passes, _, _ = uninterrupted["lbfgs"]["steps"][-1]
    assert forward_passes > gradient_passes + 1


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What interruption.py tells of each kind and method."""
    program = Path(__file__).parents[1] / "interruption.py"
    command = [sys.executable, str(program), str(tmp_path_factory.mktemp("interrupted"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_it_ends_with_the_same_bits(
    interrupted: dict[str, Any], kind: str, method: str
) -> None:
    told = interrupted[f"{kind} {method}"]
    assert told["killed"] >= 20
    assert told["found"] == told["expected"]


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_in_files_and_in_memory_give_the_same_bits(
    kind: str, method: str, tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]
) -> None:
    assert facts(run(tmp_path, kind, method)) == uninterrupted[method]


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_again_and_again_it_ends_with_the_same_bits(
    kind: str, method: str, tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]
) -> None:
    stops = 0
    while True:
        # Often enough to get to the end of an iteration, and seldom enough to be stopped within one.
        # Each vector that was saved is asked about as well.
        allowed = 9 + stops % 5 + len(list(tmp_path.glob("*.blocks")))
        answers = itertools.chain([False] * allowed, itertools.repeat(True))
        result = run(tmp_path, kind, method, should_stop=answers.__next__)
        if result.ending != "stopped":
            break
        stops += 1
    assert stops >= 5
    assert facts(result) == uninterrupted[method]


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up_loses_nothing_that_was_saved(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: dict[str, dict[str, Any]],
) -> None:
    pwrite, written = os.pwrite, itertools.count()
    for room in (1, 10, 20, 30):
        first = next(written)

        def full(*arguments: Any, last: int = first + room) -> int:
            if next(written) > last:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return pwrite(*arguments)

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(ResourceError, match="found a full disk"):
            run(tmp_path, kind, "lbfgs")
    monkeypatch.setattr(os, "pwrite", pwrite)
    steps: list[int] = []
    result = run(tmp_path, kind, "lbfgs", on_progress=lambda step: steps.append(step.iteration))
    assert steps[0] > 0
    assert facts(result) == uninterrupted["lbfgs"]


@dataclass
class Floored(Bowl):
    """A bowl whose loss is nowhere below a floor: no trial along a line is accepted there."""

    floor: float = 0.0

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> BowlTrial:
        trial = super().forward(image, gradient_follows=gradient_follows)
        return replace(trial, loss=max(trial.loss, self.floor))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "floor", "ending"),
    [
        (METHODS["lbfgs"], 0.0, "iterations"),
        (METHODS["adam"], 0.0, "iterations"),
        (Lbfgs(40, tolerance=0.3, first_step_grey_levels=2550.0), 0.0, "converged"),
        (Lbfgs(9, max_backtracks=2), 2000.0, "line search failed"),
        (Lbfgs(9, max_backtracks=2), 1e9, "line search failed"),
    ],
    ids=lambda value: str(value) if isinstance(value, str | float) else type(value).__name__,
)
def test_a_finished_run_is_not_run_again(
    kind: str, settings: Lbfgs | Adam, floor: float, ending: str, tmp_path: Path
) -> None:
    def finished(objective: Bowl) -> Result:
        files = FolderWorkspace(tmp_path, CPU)
        workspace = files if kind == "files" else MemoryWorkspace(CPU)
        checkpoint = Checkpoint(files, "key", every_s=0.0)
        return minimise(objective, noise(SIZE, 3), settings, workspace=workspace, checkpoint=checkpoint)

    first = finished(Floored(floor=floor))
    # With the floor above all losses nothing is accepted, and the image is the start.
    assert (first.ending, first.trace[-1].iteration > 0) == (ending, floor < 1e9)
    # The run ended while its result was being written: that is what the next one finds.
    again = finished(Bowl(on_tile=pytest.fail))
    assert facts(again) == facts(first)
    assert [step.terms for step in again.trace] == [step.terms for step in first.trace]
    assert again.work == first.work


def test_a_line_search_that_fails_takes_no_more_of_the_disk_than_was_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, new = [0], FolderWorkspace.new

    def weighed(self: FolderWorkspace, *arguments: Any) -> FileStore:
        made = new(self, *arguments)
        most.append(max(most[-1], sum(path.stat().st_size for path in tmp_path.glob("*.blocks"))))
        return made

    monkeypatch.setattr(FolderWorkspace, "new", weighed)
    files = FolderWorkspace(tmp_path, CPU)
    result = minimise(
        Floored(floor=2000.0),
        noise(SIZE, 3),
        Lbfgs(9, history=1, max_backtracks=2),
        workspace=files,
        checkpoint=Checkpoint(files, "key"),
    )
    # Along the direction with a history nothing was accepted, nor along the gradient.
    assert (result.ending, result.work.iteration > 2) == ("line search failed", True)
    assert most[-1] == state_file_bytes_per_px(Optimiser(history=1), 9) * SIZE.area


def test_a_state_in_memory_is_saved_when_it_is_time_and_when_it_is_stopped(tmp_path: Path) -> None:
    checkpoint = Checkpoint(FolderWorkspace(tmp_path, CPU), "key", every_s=3600.0)
    minimise(Bowl(), noise(SIZE, 3), METHODS["lbfgs"], checkpoint=checkpoint)
    assert checkpoint.load() is None
    answers = itertools.chain([False] * 60, itertools.repeat(True))
    result = minimise(
        Bowl(), noise(SIZE, 3), METHODS["lbfgs"], checkpoint=checkpoint, should_stop=answers.__next__
    )
    saved = checkpoint.load()
    assert saved is not None
    assert saved.vectors["image"].read(Box.whole(SIZE)).equal(result.image)


def test_where_saving_is_slow_it_is_done_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, save = [0.0], FileStore.save

    def slow(store: FileStore) -> None:
        now[0] += 30.0
        save(store)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(FileStore, "save", slow)
    checkpoint = Checkpoint(FolderWorkspace(tmp_path, CPU), "key", every_s=60.0)
    vectors = {"image": TensorStore.of(noise(SIZE, 1))}
    now[0] += 60.0
    assert checkpoint.due(vectors)
    checkpoint.save({}, vectors)
    now[0] += 569.0
    assert not checkpoint.due(vectors)
    now[0] += 1.0
    assert checkpoint.due(vectors)


@pytest.mark.parametrize(("number", "saved"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_waited_for_is_not(
    number: int, saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    checkpoint = Checkpoint(FolderWorkspace(tmp_path, CPU), "key")
    with contextlib.nullcontext() if saved else pytest.raises(ResourceError, match="input/output error"):
        checkpoint.save({}, {"image": TensorStore.of(noise(SIZE, 1))})
    assert (checkpoint.load() is not None) == saved


def test_vectors_in_memory_that_have_not_changed_are_not_copied_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(FolderWorkspace(tmp_path, CPU), "key")
    fixed, changing = TensorStore.of(noise(SIZE, 1)), TensorStore.of(noise(SIZE, 2))
    names: list[dict[str, str]] = []
    for _ in range(2):
        checkpoint.save({}, {"fixed": fixed, "changing": changing})
        saved = checkpoint.load()
        assert saved is not None
        names.append({name: store.path.name for name, store in saved.vectors.items()})
        changing.write(Box.whole(SIZE), noise(SIZE, 3))
    assert saved is not None
    assert names[0]["fixed"] == names[1]["fixed"]
    assert names[0]["changing"] != names[1]["changing"]
    assert saved.vectors["changing"].read(Box.whole(SIZE)).equal(noise(SIZE, 3))


def test_the_folder_holds_what_was_saved_and_nothing_else(tmp_path: Path) -> None:
    files = FolderWorkspace(tmp_path, CPU)
    files.new("leftover", 3, SIZE, torch.float32)
    checkpoint = Checkpoint(files, "key")
    assert checkpoint.load() is None
    assert list(tmp_path.iterdir()) == []
    checkpoint.save({"loss": 1.0}, {"image": TensorStore.of(noise(SIZE, 1))})
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.discard()
    assert list(tmp_path.iterdir()) == []


def test_numbers_come_back_with_every_bit(tmp_path: Path) -> None:
    checkpoint = Checkpoint(FolderWorkspace(tmp_path, CPU), "key")
    numbers = {"loss": float("inf"), "third": 1 / 3, "tiny": 5e-324, "list": [[1.0, -0.0]], "none": None}
    checkpoint.save(numbers, {})
    saved = checkpoint.load()
    assert saved is not None
    assert json.dumps(saved.numbers) == json.dumps(numbers)


def test_the_tiles_of_a_run_are_those_it_was_begun_with(tmp_path: Path) -> None:
    files = FolderWorkspace(tmp_path, CPU)
    first = Checkpoint(files, "key", tile_px=512, store="files")
    first.tile_px = 256
    first.save({}, {})
    manifest = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    assert (manifest["tile_px"], manifest["store"]) == (256, "files")
    assert Checkpoint(files, "key", tile_px=512).tile_px == 256


def saved_run(folder: Path) -> FolderWorkspace:
    run(folder, "files", "lbfgs", should_stop=itertools.chain([False] * 60, itertools.repeat(True)).__next__)
    return FolderWorkspace(folder, CPU)


def edited(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | changes), encoding="utf-8")


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    files = saved_run(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(files, "another key")
    assert str(caught.value) == (
        f"{tmp_path / MANIFEST}: expected a checkpoint of these settings; found one of other settings. "
        "Delete its folder to start from the beginning."
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "something else"),
        ("[1]", "something else"),
        ('{"sha256": 1}', "a damaged one"),
        ("\0", "something"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"expected a checkpoint.*; found {found}"):
        Checkpoint(FolderWorkspace(tmp_path, CPU), "key")


def test_a_manifest_that_was_changed_is_refused(tmp_path: Path) -> None:
    files = saved_run(tmp_path)
    edited(tmp_path, tile_px=7)
    with pytest.raises(CheckpointError, match="found a damaged one"):
        Checkpoint(files, "files lbfgs")


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = saved_run(tmp_path)
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.raises(
        CheckpointError, match=r"by impasto \S+ and torch 9\.9; found one by impasto \S+ and torch"
    ):
        Checkpoint(files, "files lbfgs")


def test_files_that_are_gone_or_cut_are_told(tmp_path: Path) -> None:
    files = saved_run(tmp_path)
    (image,) = tmp_path.glob("image-*.blocks")
    os.truncate(image, 100)
    with pytest.raises(CheckpointError, match=rf"its file {image.name} of 36864 bytes; found one of 100\."):
        Checkpoint(files, "files lbfgs").load()
    image.unlink()
    with pytest.raises(CheckpointError, match=rf"its file {image.name} of 36864 bytes; found none\."):
        Checkpoint(files, "files lbfgs").load()


@pytest.mark.parametrize("name", ["image", "gradient", "step", "change"])
def test_a_vector_that_was_changed_is_refused(name: str, tmp_path: Path) -> None:
    files = saved_run(tmp_path)
    path = sorted(tmp_path.glob(f"{name}-*.blocks"))[-1]
    with path.open("r+b") as file:
        file.seek(16 * 16 * 3 * 2)
        file.write(b"\0" * 512)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(files, "files lbfgs").load()
    assert str(caught.value) == (
        f"{tmp_path / MANIFEST}: expected its file {path.name} as it was written; found a damaged one. "
        "Delete its folder to start from the beginning."
    )


def test_a_run_that_is_asked_to_stop_while_its_files_are_checked_stops(tmp_path: Path) -> None:
    files = saved_run(tmp_path)
    with pytest.raises(StoppedError):
        run(tmp_path, "files", "lbfgs", should_stop=lambda: True)
    assert Checkpoint(files, "files lbfgs").load() is not None


def test_each_byte_of_a_vector_is_read_and_written_as_often_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FileStore] = []
    new = FolderWorkspace.new

    def recorded(self: FolderWorkspace, *arguments: Any) -> FileStore:
        made.append(new(self, *arguments))
        return made[-1]

    monkeypatch.setattr(FolderWorkspace, "new", recorded)
    files, length, iterations = FolderWorkspace(tmp_path, CPU), 2, 9
    # One tile, hence no halo, and steps that are accepted at once.
    objective = Bowl(Size(16, 64))
    settings = Lbfgs(iterations, history=length)
    result = minimise(objective, noise(objective.size, 3), settings, workspace=files)
    assert result.trace[-1].forward_passes == iterations + 1

    def traffic(name: str) -> list[tuple[float, float]]:
        """Of the vectors of this name, how often each of their bytes was read and written."""
        return [
            (store.bytes_read / store.file_bytes, store.bytes_written / store.file_bytes)
            for store in made
            if store.path.name.startswith(name)
        ]

    # An image: loss, gradient, and the step from it. The start is read where it is; the last is judged only.
    assert traffic("image") == [(3, 1)] * (iterations - 1) + [(1, 1)]
    # A gradient: added to what is there, both sweeps of its iteration, the difference to the next one.
    assert traffic("gradient") == [(4, 1)] * (iterations - 1) + [(3, 1)]
    # A pair: both sweeps of each iteration that it is in the history; the first of them makes y.
    steps, changes = traffic("step"), traffic("change")
    assert steps[:-length] == [(2 * length, 1)] * (len(steps) - length)
    assert changes[:-length] == [(2 * length - 1, 1)] * (len(changes) - length)
    assert (len(steps), len(changes)) == (iterations - 1, iterations - 1)
