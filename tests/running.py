"""Runs the installed commands as a user does, and sees what they leave behind."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import final

import warm_client

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""The commands beside the Python that runs the tests come first."""

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
_CAN_START_WARM = sys.platform.startswith("linux")


@final
@dataclass(frozen=True)
class Done:
    """A successful command.

    Attributes:
        printed: Its standard output.
        said: The lines of its standard error.
    """

    printed: str
    said: list[str]


@final
@dataclass(frozen=True)
class Impasto:
    """`impasto` in a folder, each time a process of its own.

    Attributes:
        folder: Where it runs.
        env: More environment variables; with some, it starts from nothing.
        packages: A folder in which packages are looked for first.
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    packages: Path | None = None

    def run(self, *words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs `impasto WORDS`, whatever comes of it."""
        env = dict(self.env)
        if self.packages is not None:
            env["PYTHONPATH"] = os.pathsep.join([str(self.packages), os.environ.get("PYTHONPATH", "")])
        start = run if self.env else run_warm
        return start(["impasto", *map(str, words)], self.folder, env, stdin=stdin)

    def works(self, *words: object, stdin: str = "") -> Done:
        """What `impasto WORDS` says; it must succeed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-20:])
        return Done(done.stdout, done.stderr.splitlines())

    def imports(self, *words: object, stdin: str = "") -> tuple[frozenset[str], Done]:
        """The top-level packages that `impasto WORDS` imports from its start to its end; it must succeed."""
        timed = Impasto(self.folder, {**self.env, "PYTHONPROFILEIMPORTTIME": "1"})
        done = timed.works(*words, stdin=stdin)
        lines = [line for line in done.said if line.startswith("import time:")]
        names = frozenset(line.split("|")[-1].strip().partition(".")[0] for line in lines)
        return names, Done(done.printed, [line for line in done.said if line not in lines])

    def refuses(self, *words: object, stdin: str = "") -> str:
        """What `impasto WORDS` says in its one line, having exited with 2 and left the folder as it was."""
        before = snapshot(self.folder)
        done = self.run(*words, stdin=stdin)
        assert "Traceback" not in done.stderr, done.stderr
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert done.returncode == 2, (done.returncode, done.stderr)
        verb = str(words[0])
        assert lines[0].startswith(f"impasto {verb}: "), lines[0]
        assert lines[0].endswith("."), lines[0]
        assert done.stdout == ""
        assert snapshot(self.folder) == before
        return lines[0].removeprefix(f"impasto {verb}: ")


@final
class _WarmStarts:
    """The process of warm_start.py, which ends with this one.

    Attributes:
        address: Where it is asked.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.address = str(Path(self._folder.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            command = [sys.executable, str(TESTS / "warm_start.py")]
            self._process = subprocess.Popen(command, stdin=listener.fileno(), env=environment())

    def shim(self) -> str:
        """A folder with an `impasto` that is asked for here."""
        program = Path(self._folder.name, "bin", "impasto")
        if not program.exists():
            program.parent.mkdir()
            client = shlex.join([sys.executable, "-IS", str(TESTS / "warm_client.py")])
            program.write_text(f'#!/bin/sh\nexec {client} "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        return str(program.parent)


@cache
def _warm_starts() -> _WarmStarts:
    return _WarmStarts()


def warm_jobs() -> dict[str, str]:
    """What makes a workflow's jobs start without the seconds that importing torch takes."""
    if not _CAN_START_WARM:
        return {}
    warm = _warm_starts()
    return {"PATH": os.pathsep.join([warm.shim(), PATH]), warm_client.ADDRESS: warm.address}


def run_warm(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs `impasto`, `snakemake` or a Python file as `run` does, without the seconds that imports take."""
    if not _CAN_START_WARM:
        python = [sys.executable] if command[0].endswith(".py") else []
        return run([*python, *command], folder, env, stdin=stdin)
    with ExitStack() as files:
        given, printed, said = streams = [files.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        given.write(stdin.encode())
        given.seek(0)
        numbers = [stream.fileno() for stream in streams]
        code = warm_client.ask(_warm_starts().address, command, str(folder), environment(env), numbers)
        texts = []
        for stream in (printed, said):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)


def run_ranks(command: Sequence[str], folder: Path, count: int) -> list[subprocess.CompletedProcess[str]]:
    """Runs a command as so many processes of one group, as torchrun would; what came of each."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared["TORCHELASTIC_RUN_ID"] = "none"
    if _CAN_START_WARM:
        # Made by this thread: it ends with the one that made it.
        _warm_starts()
    with ThreadPoolExecutor(count) as threads:
        ranks = [{**shared, "RANK": str(rank)} for rank in range(count)]
        return list(threads.map(lambda env: run_warm(command, folder, env), ranks))


def run(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, with text streams."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which the installed commands are found, and `more`."""
    return {**os.environ, "PATH": PATH, "COLUMNS": "110", **(more or {})}


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below `folder`, with size and time of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        found[path.relative_to(folder).as_posix()] = (
            (facts.st_size, facts.st_mtime_ns) if path.is_file() else (0, 0)
        )
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_running(process: int) -> bool:
    """Whether the process of this number works or waits; one that has ended and was not fetched does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
