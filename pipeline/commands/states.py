"""What commands that can be interrupted share: where their state lies, whose it is, and how they end."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from pipeline.console import say
from pipeline.errors import ResourceError
from pipeline.files import hold
from pipeline.fingerprint import fingerprint
from pipeline.machine import Machine

_SUFFIX = ".state"
_IN_USE = ".in-use"
_EXIT_STOPPED = 143
"""128 and the number of SIGTERM, as a shell says it."""


def state_key(verb: str, depends_on: str, machine: Machine, files: Iterable[Path | None]) -> str:
    """Twelve hexadecimal digits for a run: settings, files by name, length and time, code, kind of machine.

    Device and precision are those that `auto` means here: a state made with others is another run's.
    """
    digest = hashlib.sha256(depends_on.encode())
    digest.update(f"{machine.device.type} {machine.precision}".encode())
    digest.update(f"{fingerprint(verb)} {metadata.version('torch')}".encode())
    for file in files:
        # A file that is missing is told of where it is read.
        if file is not None and file.is_file():
            found = file.stat()
            digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def state_folder(output: Path, key: str) -> Path:
    """Where the state of the run of this key lies: beside what it makes."""
    return output.with_name(f".{output.stem}-{key}{_SUFFIX}")


def take(state: Path) -> None:
    """Makes a state's folder this process's own until it has ended.

    Raises:
        ResourceError: Another process is at work in it.
    """
    hold(state / _IN_USE)


def remove_others(output: Path) -> None:
    """Removes what interrupted runs of other settings left of this output, unless they are at work."""
    for folder in _states(output):
        with contextlib.suppress(ResourceError):
            take(folder)
            shutil.rmtree(folder, ignore_errors=True)


def say_others(output: Path, state: Path) -> None:
    """Tells of what interrupted runs of other settings left of this output, which is not gone on from."""
    for folder in _states(output):
        files = [] if folder == state else [file for file in folder.rglob("*") if file.is_file()]
        held = sum(file.stat().st_size for file in files)
        if held > 0:
            say(
                f"{folder}: the state of other settings, code or inputs ({held / 2**20:,.0f} MiB), which "
                f"this run cannot go on from; it is deleted when {output.name} is made"
            )


def _states(output: Path) -> list[Path]:
    """The folders of all states of this output."""
    named = re.compile(re.escape(f".{output.stem}-") + f"[0-9a-f]{{12}}{re.escape(_SUFFIX)}")
    return sorted(folder for folder in output.parent.iterdir() if named.fullmatch(folder.name))


def say_stopped(done: int | None, wanted: int) -> None:
    """Says how far an interrupted run has come; None is one that had not gone on yet from where it was."""
    reached = "before it went on" if done is None else f"after {done} of {wanted} iterations"
    say(f"stopped {reached}; the same command goes on from there")


def exit_stopped() -> NoReturn:
    """Ends the process as one that was asked to."""
    sys.exit(_EXIT_STOPPED)
