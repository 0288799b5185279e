"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipeline.errors import InputError, ResourceError

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a full disk, of a user's full share of one, and of a file that may grow no more."""


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A temporary path beside `final`, renamed to it when the block ends without an error.

    The temporary name keeps the suffix (libraries choose the format by it) and is always the same for the
    same `final`: what a killed run left behind is overwritten by the next one, and removed on an error.

    Args:
        final: Where the finished file will be; its folder is made when it is missing.

    Raises:
        OSError: Nothing can be written there; a folder in the file's place is found before the block begins.
    """
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.partial{final.suffix}")
    try:
        yield partial
        os.replace(partial, final)  # noqa: PTH105 - Path.replace is the same call with less said
    except OSError as error:
        # A failed write, unlike a failed open, does not say which file it was.
        if error.errno == errno.ENOSPC and error.filename is None:
            error.filename = str(final)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(final: Path, *signs: str) -> Iterator[Path]:
    """An empty folder beside `final` that takes its place when the block ends without an error.

    A folder of that name goes when the new one is whole; what a killed run left behind, at the next.

    Args:
        final: The folder.
        signs: Files one of which every folder of its kind has: another's is not replaced.

    Raises:
        InputError: A folder of that name holds something and none of these, found before the block begins.
        OSError: Nothing can be written there; a file in the folder's place is found before the block begins.
    """
    if final.exists() and not final.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))
    found = [] if not final.exists() else [entry for entry in final.iterdir() if not _is_hidden_file(entry)]
    if found and not any((final / sign).is_file() for sign in signs):
        raise InputError(
            final,
            expected=f"no folder there, or one to be replaced, with {' or '.join(signs)} in it",
            found=f"one with {min(found).name} in it",
            fix="Give the output another name",
        )
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_hidden_file(entry: Path) -> bool:
    """Whether it is a file such as file browsers and Snakemake leave in folders."""
    return entry.name.startswith(".") and not entry.is_dir()


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def settle(*paths: Path) -> None:
    """Returns when the disk holds these files and their names: what they were made from may go then.

    Raises:
        ResourceError: It cannot.
    """
    for path in paths:
        _sync(path, "a file that is safe on the disk")
    for folder in dict.fromkeys(path.parent for path in paths):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Returns when the disk holds the folder's names, where the file system can be asked for that.

    Raises:
        ResourceError: It cannot.
    """
    _sync(folder, "a folder whose files are safe on the disk")


def _sync(path: Path, expected: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such thing.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise ResourceError(
                path,
                expected=expected,
                found=str(error.strerror).lower(),
                fix="Start again when it can be written to: what was saved before is kept",
            ) from None
    finally:
        os.close(descriptor)


@contextmanager
def scratch_path(final: Path, purpose: str = "scratch") -> Iterator[Path]:
    """A path beside `final` for an intermediate file of its making; removed when the block ends.

    Args:
        final: The file that is being made; its folder is made when it is missing.
        purpose: Tells several scratch files of one output apart.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_name(f".{final.stem}.{purpose}{final.suffix}")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def hold(path: Path) -> bool:
    """Keeps every other run away from what the file at `path` stands for, until this process has ended.

    The kernel holds the lock, so a process that was killed has let go of it; processes started by this one do
    not have it.

    Returns:
        Whether it is held: some network file systems know no locks. The file is touched all the same, which
        dates the run.

    Raises:
        ResourceError: Another process holds it, or it or its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never closed: closing would let go.
        # The umask says whether the others of a group may hold it after this run.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if isinstance(error, PermissionError) and os.access(path, os.F_OK):
            raise ResourceError(
                path,
                expected="a file that can be written to",
                found=str(error.strerror).lower(),
                fix="Delete it, if no run of its owner's is at work",
            ) from None
        raise ResourceError(
            path.parent, expected="a folder that can be written to", found=str(error.strerror).lower()
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "of unknown number"
        raise ResourceError(
            path.parent,
            expected="no other run that writes there",
            found=f"one at work (process {holder})",
            fix="Wait until it has ended, or end it",
        ) from None
    except OSError:
        held = False
    else:
        held = True
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
    return held


def is_held(path: Path) -> bool:
    """Whether another process holds what the file at `path` stands for; it is not kept from doing so."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
