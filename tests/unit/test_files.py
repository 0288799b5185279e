from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import InputError, ResourceError
from pipeline.files import atomic_folder, atomic_path, hold, is_held, scratch_path, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "new" / "a.tif"
    with atomic_path(final) as partial:
        partial.write_text("x")
        assert not final.exists()
        assert partial.name == ".a.partial.tif"
    assert final.read_text() == "x"
    assert list(final.parent.iterdir()) == [final]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")

    def break_off() -> None:
        with atomic_path(final) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".a.partial.txt").write_text("left by a killed run, longer than the new text")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_in_the_place_of_the_file_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError), atomic_path(tmp_path / "a.txt"):
        pytest.fail("the block ran")


def test_a_folder_appears_when_it_is_whole_in_the_place_of_its_like(tmp_path: Path) -> None:
    target = tmp_path / "tiles"
    for name in ("first", "second"):
        with atomic_folder(target, "image.dzi", "info.json") as folder:
            (folder / "info.json").touch()
            (folder / name).touch()
        assert {path.name for path in target.iterdir()} == {"info.json", name}
    assert {path.name for path in target.iterdir()} == {"info.json", "second"}
    assert [path.name for path in tmp_path.iterdir()] == ["tiles"]


def test_a_folder_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "cat"
    (target / "info.json").mkdir(parents=True)
    line = (
        f"{target}: expected no folder there, or one to be replaced, with image.dzi or info.json in it; "
        "found one with info.json in it. Give the output another name."
    )
    with pytest.raises(InputError) as caught, atomic_folder(target, "image.dzi", "info.json"):
        pytest.fail("the work began")
    assert str(caught.value) == line
    (target / "info.json").rmdir()
    (target / ".DS_Store").touch()
    with atomic_folder(target, "image.dzi"):
        pass
    assert not list(target.iterdir())
    (target / ".git").mkdir()
    with pytest.raises(InputError, match=r"found one with \.git in it"), atomic_folder(target, "image.dzi"):
        pytest.fail("the work began")


def test_json_is_indented_and_keeps_every_letter(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "é": [\n    1,\n    null\n  ]\n}\n'
    assert json.loads(text) == {"é": [1, None]}


def test_scratch_files_of_one_output_differ_and_vanish(tmp_path: Path) -> None:
    final = tmp_path / "new" / "a.tif"
    with scratch_path(final, "chroma") as one, scratch_path(final, "colour") as other:
        assert (one.name, other.name) == (".a.chroma.tif", ".a.colour.tif")
        one.write_text("x")
    assert list(final.parent.iterdir()) == []


def test_what_one_process_holds_is_refused_to_another_until_it_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "results" / ".in-use"
    program = (
        "import sys, time; from pathlib import Path; from pipeline.files import hold; "
        "hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, lock], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ResourceError) as caught:
            hold(lock)
        other.kill()
    found = f"found one at work (process {other.pid}). Wait until it has ended, or end it."
    assert str(caught.value) == f"{tmp_path}/results: expected no other run that writes there; {found}"
    assert hold(lock)


def test_where_the_file_system_knows_no_locks_nothing_is_held_but_the_run_is_dated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / ".in-use"
    lock.touch()
    os.utime(lock, (1, 1))

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not hold(lock)
    assert lock.stat().st_mtime > 1
    assert not is_held(lock)


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ResourceError) as caught:
        hold(tmp_path / "results" / ".in-use")
    assert (
        str(caught.value)
        == f"{tmp_path}/results: expected a folder that can be written to; found file exists."
    )


def test_the_umask_says_who_else_may_hold_it(tmp_path: Path) -> None:
    for umask, mode in ((0o002, 0o664), (0o022, 0o644)):
        lock, before = tmp_path / oct(umask), os.umask(umask)
        try:
            assert hold(lock)
        finally:
            os.umask(before)
        assert lock.stat().st_mode & 0o777 == mode


def test_a_lock_of_another_users_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / ".in-use"
    lock.touch()

    def denied(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    # Nothing is denied to root, whom tests may run as.
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(ResourceError) as caught:
        hold(lock)
    assert str(caught.value) == (
        f"{lock}: expected a file that can be written to; found permission denied. "
        "Delete it, if no run of its owner's is at work."
    )


def test_a_full_disk_is_told_with_the_file_that_was_being_written(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.json"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "a.json")
