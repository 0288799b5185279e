"""How far a collection is, read from the files that its jobs leave, during a run or after it. Torch-free.

What was made is seen by its file, what failed by the end of its log, how far a level is by its log and its
checkpoint. Whether something would be made again because its inputs have changed, only Snakemake knows.
"""

from __future__ import annotations

import contextlib
import json
import re
import textwrap
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from pipeline.files import is_held
from pipeline.job_files import JobFiles
from pipeline.plan import Plan

State = Literal["done", "running", "failed", "stopped", "to do"]
IN_USE = ".in-use"
STATES: tuple[State, ...] = ("done", "running", "failed", "stopped", "to do")
_PAUSE_TO_LOOK = 50  # so that looking takes at most two per cent of a core
# A traceback of Python's deepest recursion, or of an error that quotes much; logs are shorter.
_LOG_END_BYTES = 2**20
_MISTAKE = re.compile(r"impasto [a-z-]+: .+")
_PROGRESS = re.compile(r": (\d+)/(\d+)\b.*")
_STEP = re.compile(r".+: \d+/\d+(, about .+ left)?\..*")
_REASON_LENGTH = 400
_TRACEBACK = "Traceback (most recent call last):"
# torch has each process of a group tell its tracebacks behind this.
_RANK = re.compile(r"^\[rank\d+\]: ?", re.MULTILINE)
_SILENT = "ended without a word: killed, or out of memory or time"


@final
@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name, its log, and the benchmark that Snakemake writes when it is done."""

    name: str
    log: Path
    benchmark: Path


@final
@dataclass(frozen=True, slots=True)
class ArtworkState:
    """How far an artwork is.

    Attributes:
        artwork: Its name.
        state: `done`; `running`: a job of it is at work; `failed`; `stopped`: a level was begun; or `to do`.
        share: Of its work, from 0 to 1: pixels times iterations.
        step: The job that is at work, stopped or failed.
        iteration: Of the level that is at work or stopped.
        iterations: How many there will be.
        reason: Why it failed, as the job said it.
        log: Where it said so.
        on_demand: Whether a plain `snakemake` leaves it out.
    """

    artwork: str
    state: State
    share: float = 0.0
    step: str = ""
    iteration: int | None = None
    iterations: int | None = None
    reason: str = ""
    log: str = ""
    on_demand: bool = False

    @property
    def told(self) -> str:
        """What there is to say beside its state."""
        steps = (
            f"{self.step}: {self.iteration}/{self.iterations}" if self.iteration is not None else self.step
        )
        return f"{self.reason} ({self.log})" if self.reason and self.log else self.reason or steps


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """How far all artworks of a collection are, in its order."""

    artworks: tuple[ArtworkState, ...]
    at_work: bool

    def of(self, state: State, *, on_demand: bool | None = None) -> tuple[ArtworkState, ...]:
        """The artworks in this state: all, those that a plain `snakemake` leaves out, or the others."""
        asked = (False, True) if on_demand is None else (on_demand,)
        return tuple(one for one in self.artworks if one.state == state and one.on_demand in asked)

    @property
    def line(self) -> str:
        """All that a plain `snakemake` makes in one line, and of the others those that were begun."""
        asked = [one for one in self.artworks if not one.on_demand]
        share = sum(artwork.share for artwork in asked) / max(1, len(asked))
        told = f"{self._counted(on_demand=False)} ({share:.0%} of the rendering)" if asked else ""
        # One that cannot be made was not begun: it has no step.
        begun = [one for one in self.artworks if one.on_demand and (one.step or one.state == "done")]
        if begun or not asked:
            told = "; ".join(filter(None, (told, self.on_demand_line)))
        rendering = [f"{one.artwork} {one.told}" for one in self.of("running") if one.iteration is not None]
        more = f", and {len(rendering) - 2} more" if len(rendering) > 2 else ""
        return told + (f". At work: {', '.join(rendering[:2])}{more}" if rendering else "")

    @property
    def on_demand_line(self) -> str:
        """The artworks that a plain `snakemake` leaves out, in one line; empty where there are none."""
        none = not any(one.on_demand for one in self.artworks)
        return "" if none else f"on demand: {self._counted(on_demand=True)}"

    def _counted(self, *, on_demand: bool) -> str:
        number = sum(one.on_demand == on_demand for one in self.artworks)
        found: dict[State, int] = {state: len(self.of(state, on_demand=on_demand)) for state in STATES}
        others = [f"{count} {state}" for state, count in found.items() if count and state != "done"]
        return ", ".join([f"{found['done']} of {number} artworks done", *others])


@final
class _Logs:
    """What the logs of a collection say, each read once.

    Args:
        files: The collection's jobs.
        at_work: Whether a run is on.
        since: When it began, in seconds; 0 for none.
    """

    def __init__(self, files: JobFiles, *, at_work: bool, since: float) -> None:
        results = Path(files.collection.results)
        self._logs, self._benchmarks = results / "logs", results / "benchmarks"
        self._at_work = at_work
        self._since = since
        self._seen: dict[Path, tuple[State, str]] = {}
        self._shared: dict[str, list[Job]] = {}
        for folder in _folders(self._logs):
            if folder.name not in files.collection.config.artworks:
                for job in self._jobs(folder, folder.name):
                    self._shared.setdefault(job.log.stem, []).append(job)

    def jobs(self, plan: Plan) -> list[Job]:
        """The jobs that were begun for an artwork or for what it shares, in the order of their beginning."""
        found = [job for key in plan.shared_keys for job in self._shared.get(key, ())]
        found += self._jobs(self._logs / plan.artwork)
        return sorted(found, key=lambda job: self._modified(job.log))

    def level(self, artwork: str, result: Path, level_px: int) -> Path | None:
        """The log of the job that is at work on a level, if one is."""
        name = f"{'stylise' if result.stem == 'stylised' else 'refine'}-{level_px}"
        log = self._logs / artwork / f"{name}.log"
        job = Job(name, log, self._benchmarks / artwork / f"{name}.tsv")
        return log if log.exists() and self.state(job)[0] == "running" else None

    def state(self, job: Job) -> tuple[State, str]:
        """The state of a job, and why it failed."""
        if job.log not in self._seen:
            self._seen[job.log] = self._state(job)
        return self._seen[job.log]

    def _state(self, job: Job) -> tuple[State, str]:
        begun = self._modified(job.log)
        if self._modified(job.benchmark) >= begun:
            return "done", ""
        of_this_run = begun >= self._since
        reason = _failure(_end_of(job.log))
        if reason is not None:
            # An older failure is tried again by the run that is on.
            return ("failed", reason) if of_this_run or not self._at_work else ("to do", "")
        if not of_this_run:
            return "to do", ""
        return ("running" if self._at_work else "stopped"), ""

    def _jobs(self, folder: Path, rule: str = "") -> list[Job]:
        benchmarks = self._benchmarks / folder.name
        with contextlib.suppress(OSError):
            return [
                Job(f"{rule} {log.stem}".strip(), log, benchmarks / f"{log.stem}.tsv")
                for log in folder.iterdir()
                if log.suffix == ".log"
            ]
        return []

    @staticmethod
    def _modified(path: Path) -> float:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
        return 0.0


def _folders(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir())
    return []


def survey(files: JobFiles, *, ended: bool = False) -> Survey:
    """How far the collection is now.

    Args:
        files: The collection's jobs.
        ended: Whether the run that holds the results has come to its end: what is not done has failed.
    """
    lock = Path(files.collection.results) / IN_USE
    at_work = not ended and is_held(lock)
    since = lock.stat().st_mtime if (at_work or ended) and lock.exists() else 0.0
    logs = _Logs(files, at_work=at_work, since=since)
    found = (
        replace(_artwork(files, name, logs, ended=ended), on_demand=artwork.on_demand)
        for name, artwork in files.collection.config.artworks.items()
    )
    return Survey(tuple(found), at_work)


def failures(files: JobFiles, asked: Container[str]) -> list[str]:
    """A line for each artwork that a run which has just ended could not make: why, and where its log is.

    Args:
        files: The collection's jobs.
        asked: The artworks that the run was to make something of: what the others lack is no failure of it.
    """
    failed = survey(files, ended=True).of("failed")
    return [f"{artwork.artwork}: {artwork.told}" for artwork in failed if artwork.artwork in asked]


def unreported(files: JobFiles, asked: Container[str], *, on_demand: bool) -> list[str]:
    """The folders of the finished artworks, if their report is older than one of them; else none.

    A run that fails does not come to the rule that makes the report: it needs all artworks.

    Args:
        files: The collection's jobs.
        asked: The artworks that the run was to make something of: without one of them there is none.
        on_demand: Of the artworks that a plain `snakemake` leaves out, or of the others.
    """
    results, names = Path(files.collection.results), files.collection.artworks(on_demand=on_demand)
    if not any(name in asked for name in names):
        return []
    folders = [results / artwork for artwork in names]
    needed = ("plan.json", "provenance.json", "preview.png", "pictures")
    finished = [folder for folder in folders if all((folder / file).exists() for file in needed)]
    page = Path(files.page(on_demand=on_demand))
    made = page.stat().st_mtime if page.exists() else 0.0
    newer = any((folder / file).stat().st_mtime > made for folder in finished for file in needed)
    return [folder.as_posix() for folder in finished] if newer else []


def follow(files: JobFiles, tell: Callable[[str], object], every_s: float = 30.0) -> None:
    """Tells the collection's line whenever it has changed, from a thread that ends with this process.

    Args:
        files: The collection's jobs; this process holds its results.
        tell: Takes a line.
        every_s: The least time between two looks; large collections are looked at less often.
    """

    def look() -> None:
        last, pause_s = "", every_s
        while True:
            time.sleep(pause_s)
            begun = time.monotonic()
            line = survey(files).line
            pause_s = max(every_s, _PAUSE_TO_LOOK * (time.monotonic() - begun))
            if line != last:
                tell(line)
            last = line

    threading.Thread(target=look, daemon=True, name="progress").start()


def _artwork(files: JobFiles, name: str, logs: _Logs, *, ended: bool) -> ArtworkState:
    refused = files.collection.refused.get(name)
    if refused is not None:
        return ArtworkState(name, "failed", reason=refused)
    # A print that fails its limits of quality is not done.
    if all(Path(file).exists() for file in files.finished(name)):
        return ArtworkState(name, "done", share=1.0)
    share, iteration = _rendered(files, name, logs)
    at: dict[State, tuple[Job, str]] = {}
    for job in logs.jobs(files.collection.plans[name]):
        state, reason = logs.state(job)
        at[state] = (job, reason)
        if state == "failed":
            break
    if "failed" in at:
        job, reason = at["failed"]
        return ArtworkState(name, "failed", share, job.name, reason=reason, log=job.log.as_posix())
    if ended and "stopped" in at:
        job, _ = at["stopped"]
        return ArtworkState(name, "failed", share, job.name, reason=_SILENT, log=job.log.as_posix())
    for state in ("running", "stopped"):
        if state in at:
            job, _ = at[state]
            level = iteration if job.name.startswith(("stylise", "refine")) else (None, None)
            return ArtworkState(name, state, share, job.name, *level)
    return ArtworkState(name, "to do", share)


def _rendered(files: JobFiles, name: str, logs: _Logs) -> tuple[float, tuple[int | None, int | None]]:
    """The share of the artwork's rendering that is done, and how far the level is that is next."""
    levels = files.collection.plans[name].levels
    # A level that a network paints has no iterations, and is painted at once.
    work = [level.size.area * max(1, level.iterations) for level in levels]
    done = 0.0
    for level, cost in zip(levels, work, strict=True):
        result = Path(files.result_file(name, level.level_px))
        if not result.exists():
            iteration = _iteration(result, logs.level(name, result, level.level_px))
            share = iteration / max(1, level.iterations)
            return (done + cost * share) / sum(work), (iteration, level.iterations)
        done += cost
    return 1.0, (None, None)


def _iteration(result: Path, log: Path | None) -> int:
    """The iteration that a level has come to by its checkpoint, or by the log of the job at work on it."""
    said = [] if log is None else [_PROGRESS.search(line) for line in _end_of(log)]
    found = [int(match[1]) for match in said if match is not None]
    for manifest in result.parent.glob(f".{result.stem}-*.state/checkpoint.json"):
        # It may be replaced while it is read.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(int(json.loads(manifest.read_bytes())["numbers"]["work"]["iteration"]))
    return max(found, default=0)


def _end_of(log: Path) -> list[str]:
    """The last lines of a log that are not empty."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LOG_END_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in _RANK.sub("", text).splitlines() if line.strip()]


def _failure(end: list[str]) -> str | None:
    """Why a job failed, as the end of its log says; None where it does not.

    What comes before a step was no end of the job: a thread's traceback, or another's that was only told.
    """
    steps = [number for number, line in enumerate(end) if _STEP.fullmatch(line)]
    last = end[steps[-1] + 1 :] if steps else end
    mistakes = [line for line in last if _MISTAKE.fullmatch(line)]
    if mistakes:
        return mistakes[-1]
    tracebacks = [number for number, line in enumerate(last) if _TRACEBACK in line]
    if not tracebacks:
        return None
    # Frames are indented, the error is not; its message may have more lines.
    told = (line for line in last[tracebacks[-1] + 1 :] if not line[0].isspace())
    return textwrap.shorten(next(told, last[-1]), _REASON_LENGTH, placeholder=" ...")
