"""Runs the installed commands as a user does, and sees what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
        imported: The top-level packages that it had imported by its end.
    """

    printed: str
    said: list[str]
    imported: frozenset[str]


@final
@dataclass(frozen=True)
class Impasto:
    """`impasto` in a folder.

    Attributes:
        folder: Where it runs.
        env: More environment variables.
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs `impasto WORDS`, whatever comes of it."""
        return run(["impasto", *map(str, words)], self.folder, self.env, stdin=stdin)

    def works(self, *words: object, stdin: str = "") -> Done:
        """What `impasto WORDS` says and imports; it must succeed."""
        timed = Impasto(self.folder, {**self.env, "PYTHONPROFILEIMPORTTIME": "1"})
        done = timed.run(*words, stdin=stdin)
        assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-20:])
        lines = done.stderr.splitlines()
        imports = [line.split("|")[-1].strip() for line in lines if line.startswith("import time:")]
        return Done(
            printed=done.stdout,
            said=[line for line in lines if not line.startswith("import time:")],
            imported=frozenset(name.partition(".")[0] for name in imports),
        )

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
