"""Where the state of an interrupted run lies, whose it is, and when it goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pipeline.commands.states import (
    remove_others,
    say_others,
    say_stopped,
    state_folder,
    state_key,
    take,
)
from pipeline.errors import ResourceError
from pipeline.machine import Machine

CPU = Machine(torch.device("cpu"), torch.float32, 2)


def test_a_key_stands_for_settings_files_and_machine(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_text("one", encoding="utf-8")

    def key(text: str = "settings", machine: Machine = CPU, verb: str = "train") -> str:
        return state_key(verb, text, machine, [file, None, tmp_path / "gone"])

    first = key()
    assert len(first) == 12
    assert first == key()
    assert (
        len({first, key("others"), key(machine=Machine(CPU.device, torch.bfloat16, 2)), key(verb="mix")}) == 4
    )
    facts = file.stat()
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))
    assert key() != first


@pytest.mark.parametrize(("done", "told"), [(3, "after 3 of 9 iterations"), (None, "before it went on")])
def test_a_run_that_was_stopped_says_how_far_it_came(
    done: int | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_stopped(done, 9)
    assert capsys.readouterr().err == f"stopped {told}; the same command goes on from there\n"


def test_what_other_settings_left_goes_unless_it_is_at_work(tmp_path: Path) -> None:
    output = tmp_path / "net.safetensors"
    mine, others = state_folder(output, "0" * 12), state_folder(tmp_path / "nets.safetensors", "1" * 12)
    assert mine == tmp_path / ".net-000000000000.state"
    for folder in (mine, others):
        folder.mkdir()
    remove_others(output)
    assert not mine.exists()
    assert others.exists()


def test_what_other_settings_left_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "net.safetensors"
    own, other, empty = (state_folder(output, digit * 12) for digit in "012")
    for folder in (own, other, empty):
        folder.mkdir()
    for folder in (own, other):
        (folder / "image-1.blocks").write_bytes(bytes(3 * 2**20))
    say_others(output, own)
    assert capsys.readouterr().err == (
        f"{other}: the state of other settings, code or inputs (3 MiB), which this run cannot go on from; "
        "it is deleted when net.safetensors is made\n"
    )


def test_a_state_belongs_to_one_process(tmp_path: Path) -> None:
    state = state_folder(tmp_path / "net.safetensors", "2" * 12)
    take(state)
    with pytest.raises(ResourceError, match="expected no other run that writes there"):
        take(state)
    remove_others(tmp_path / "net.safetensors")
    assert state.exists()
