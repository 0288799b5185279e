"""Runs the installed commands as a user does, and sees what they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import final

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""The commands beside the Python that runs the tests come first."""

REPOSITORY = Path(__file__).resolve().parent.parent


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
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs `impasto WORDS`, whatever comes of it."""
        texts = [str(word) for word in words]
        if self.env or not sys.platform.startswith("linux"):
            return run(["impasto", *texts], self.folder, self.env, stdin=stdin)
        return _warm_starts().run(texts, self.folder, stdin)

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
    """The process of warm_start.py, which ends with this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm_start.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def run(self, words: Sequence[str], folder: Path, stdin: str) -> subprocess.CompletedProcess[str]:
        """Runs `impasto WORDS` in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as streams:
            paths = {name: Path(streams, name) for name in ("stdin", "stdout", "stderr")}
            paths["stdin"].write_text(stdin, encoding="utf-8")
            for name in ("stdout", "stderr"):
                paths[name].touch()
            request = {
                "words": words,
                "folder": str(folder),
                "environment": environment(),
                **{name: str(path) for name, path in paths.items()},
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            printed, said = (paths[name].read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(["impasto", *words], code, printed, said)


@cache
def _warm_starts() -> _WarmStarts:
    return _WarmStarts()


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
