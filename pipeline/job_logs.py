"""What the logs of a collection's jobs say: which were begun, how far each is, why one failed. Torch-free."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from pipeline.job_files import JobFiles
from pipeline.plan import Plan
from pipeline.plan_jobs import SHARED_RULES, SharedJob, own_jobs, shared_jobs

JobState = Literal["done", "running", "failed", "stopped", "to do"]
# A traceback of Python's deepest recursion, or of an error that quotes much; logs are shorter.
_LOG_END_BYTES = 2**20
_MISTAKE = re.compile(r"impasto [a-z-]+: .+")
_STEP = re.compile(r".+?: (\d+)/(\d+)(?:, about .+ left)?\.(?: (\d+) %,)?.*")
_STOPPED = re.compile(r"stopped (after \d+ of \d+|before it went on).+")
_REASON_LENGTH = 400
_TRACEBACK = "Traceback (most recent call last):"
# torch has each process of a group tell its tracebacks behind this.
_RANK = re.compile(r"^\[rank\d+\]: ?", re.MULTILINE)
_SILENT = "ended without a word: killed, or out of memory or time"
# Of a job that never opened its log Snakemake makes an empty one.
_NOT_BEGUN = "said nothing: refused, not started, killed, or out of memory or time"


@final
@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name, its log, and the benchmark that Snakemake writes when it is done."""

    name: str
    log: Path
    benchmark: Path


@final
class JobLogs:
    """What the logs of a collection say, each read once.

    Args:
        files: The collection's jobs.
        at_work: Whether a run is on.
        since: When the run that is on, or has just ended, began, in seconds; 0 for none. What failed before
            it is history.
    """

    def __init__(self, files: JobFiles, *, at_work: bool, since: float) -> None:
        results = Path(files.collection.results)
        self._logs, self._benchmarks = results / "logs", results / "benchmarks"
        self.at_work = at_work
        self._since = since
        self._seen: dict[Path, tuple[JobState, str]] = {}
        self._shared = {
            SharedJob(rule, name): self._job(f"{rule} {name}", rule, name)
            for rule in SHARED_RULES
            for name in _named(self._logs / rule)
        }

    def jobs(self, plan: Plan) -> list[Job]:
        """The jobs that were begun for an artwork or for what it shares, in the order of their last words."""
        known = {*own_jobs(plan)}
        found = [self._shared[job] for job in shared_jobs(plan) if job in self._shared]
        begun = _named(self._logs / plan.artwork)
        found += [self._job(name, plan.artwork, name) for name in begun if name in known]
        return sorted(found, key=lambda job: _modified(job.log))

    @property
    def others(self) -> list[Job]:
        """The jobs that were begun for no artwork: the reports', and what they need."""
        return [self._job(name, "", name) for name in sorted(_named(self._logs))]

    def level(self, artwork: str, result: Path, level_px: int) -> Path | None:
        """The log of the job that is at work on a level, if one is."""
        name = f"{'stylise' if result.stem == 'stylised' else 'refine'}-{level_px}"
        job = self._job(name, artwork, name)
        return job.log if job.log.exists() and self.state(job)[0] == "running" else None

    def state(self, job: Job) -> tuple[JobState, str]:
        """The state of a job; and why it failed, or what it said when it was stopped."""
        if job.log not in self._seen:
            self._seen[job.log] = self._state(job)
        return self._seen[job.log]

    def _state(self, job: Job) -> tuple[JobState, str]:
        said = _modified(job.log)
        if _modified(job.benchmark) >= said:
            return "done", ""
        if said < self._since:
            return "to do", ""
        end = _end_of(job.log)
        reason = _failure(end)
        if reason is not None:
            return "failed", reason
        if self.at_work:
            return "running", ""
        stopped = (line for line in reversed(end) if _STOPPED.fullmatch(line))
        return "stopped", next(stopped, _SILENT if end else _NOT_BEGUN)

    def _job(self, name: str, folder: str, stem: str) -> Job:
        return Job(name, self._logs / folder / f"{stem}.log", self._benchmarks / folder / f"{stem}.tsv")


def _end_of(log: Path) -> list[str]:
    """The last lines of a log that are not empty."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LOG_END_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in _RANK.sub("", text).splitlines() if line.strip()]


@final
@dataclass(frozen=True, slots=True)
class Steps:
    """How many steps are done, of how many, and the share of the whole work; None is not told."""

    done: int | None
    of: int | None
    share: float | None = None


def steps(log: Path) -> Iterator[Steps]:
    """The steps that the end of a log tells, in its order."""
    for match in filter(None, map(_STEP.fullmatch, _end_of(log))):
        yield Steps(int(match[1]), int(match[2]), int(match[3]) / 100 if match[3] else None)


def _named(folder: Path) -> set[str]:
    """The names of the logs in a folder."""
    with contextlib.suppress(OSError):
        return {log.stem for log in folder.iterdir() if log.suffix == ".log"}
    return set()


def _modified(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _failure(end: list[str]) -> str | None:
    """Why a job failed, as the end of its log says; None where it does not.

    What comes before a step was no end of the job: a thread's traceback, or another's that was only told.
    """
    told = [number for number, line in enumerate(end) if _STEP.fullmatch(line)]
    last = end[told[-1] + 1 :] if told else end
    mistakes = [line for line in last if _MISTAKE.fullmatch(line)]
    if mistakes:
        return mistakes[-1]
    tracebacks = [number for number, line in enumerate(last) if _TRACEBACK in line]
    if not tracebacks:
        return None
    # Frames are indented, the error is not; its message may have more lines.
    said = (line for line in last[tracebacks[-1] + 1 :] if not line[0].isspace())
    return textwrap.shorten(next(said, last[-1]), _REASON_LENGTH, placeholder=" ...")
