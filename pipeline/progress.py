"""How far a collection is, read from the files that its jobs leave, during a run or after it. Torch-free.

What was made is seen by its file, what failed by the end of its log, how far a level is by its log and its
checkpoint. Whether something would be made again because its inputs have changed, only Snakemake knows.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from pipeline.files import is_held
from pipeline.job_files import JobFiles
from pipeline.job_logs import Job, JobLogs, JobState, Steps, steps

IN_USE = ".in-use"
STATES: tuple[JobState, ...] = ("done", "running", "failed", "stopped", "to do")
_PAUSE_TO_LOOK = 50  # so that looking takes at most two per cent of a core
_MOST_NAMES = 20
_UNSAID = "not made, and no log says why: a job was refused or the run ended before it began (see above)"


@final
@dataclass(frozen=True, slots=True)
class ArtworkState:
    """How far an artwork is.

    Attributes:
        artwork: Its name.
        state: `done`; `running`: a job of it is at work; `failed`; `stopped`: a level was begun; or `to do`.
        share: Of its work, from 0 to 1: pixels times iterations.
        step: The job that is at work, stopped or failed.
        iteration: Of the level, mixture or training that is at work or stopped.
        iterations: How many there will be.
        within: The share of those that is done, from 0 to 1, where the job tells it: one may take an hour.
        reason: Why it failed, as the job said it.
        log: Where it said so.
        on_demand: Whether a plain `snakemake` leaves it out.
    """

    artwork: str
    state: JobState
    share: float = 0.0
    step: str = ""
    iteration: int | None = None
    iterations: int | None = None
    within: float | None = None
    reason: str = ""
    log: str = ""
    on_demand: bool = False

    @property
    def told(self) -> str:
        """What there is to say beside its state."""
        steps = self.step if self.iteration is None else f"{self.step}: {self.iteration}/{self.iterations}"
        within = "" if self.within is None else f", {100 * self.within:.0f} %"
        return f"{self.reason} ({self.log})" if self.reason and self.log else self.reason or steps + within


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """How far all artworks of a collection are, in its order."""

    artworks: tuple[ArtworkState, ...]
    at_work: bool

    def of(self, state: JobState, *, on_demand: bool | None = None) -> tuple[ArtworkState, ...]:
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
        found: dict[JobState, int] = {state: len(self.of(state, on_demand=on_demand)) for state in STATES}
        others = [f"{count} {state}" for state, count in found.items() if count and state != "done"]
        return ", ".join([f"{found['done']} of {number} artworks done", *others])


def survey(files: JobFiles, *, unmade: Container[str] | None = None, at_work: bool | None = None) -> Survey:
    """How far the collection is now.

    Args:
        files: The collection's jobs.
        unmade: None while a run may be on. Once one has come to its end, which makes a failure of what its
            jobs began and did not finish: the artworks of which it did not make all that it was to make.
            They are not done, whatever files an earlier run made of them.
        at_work: Whether a run is on; None asks its lock, which not every file system has.
    """
    logs = _logs(files, ended=unmade is not None, at_work=at_work)
    found = (
        replace(_artwork(files, name, logs, unmade), on_demand=artwork.on_demand)
        for name, artwork in files.collection.config.artworks.items()
    )
    return Survey(tuple(found), logs.at_work)


def _logs(files: JobFiles, *, ended: bool, at_work: bool | None = None) -> JobLogs:
    """What the logs say: of the run that is on, of the one that has just ended, or else of all there were."""
    lock = Path(files.collection.results) / IN_USE
    at_work = not ended and (is_held(lock) if at_work is None else at_work)
    since = lock.stat().st_mtime if (at_work or ended) and lock.exists() else 0.0
    return JobLogs(files, at_work=at_work, since=since)


def failures(files: JobFiles, asked: Container[str], unmade: Container[str]) -> list[str]:
    """What a run that has just ended could not make, a line each, and where the log is.

    The artworks in the words of the jobs that failed; those of which none said anything, in one line; and
    what belongs to no artwork, such as the report.

    Args:
        files: The collection's jobs.
        asked: The artworks that the run was to make something of: what the others lack is no failure of it.
        unmade: Those of which it did not make all that it was to make.
    """
    found = survey(files, unmade=unmade).artworks
    failed = {one.artwork: f"{one.artwork}: {one.told}" for one in found if one.state == "failed"}
    told = [line for artwork, line in failed.items() if artwork in asked]
    silent = [one.artwork for one in found if one.artwork in unmade and one.artwork not in failed]
    if silent:
        more = f", and {len(silent) - _MOST_NAMES} more" if len(silent) > _MOST_NAMES else ""
        told.append(f"{', '.join(silent[:_MOST_NAMES])}{more}: {_UNSAID}")
    logs = _logs(files, ended=True)
    others = ((job, *logs.state(job)) for job in logs.others)
    ended = [(job, reason) for job, state, reason in others if state in ("failed", "stopped")]
    return told + [f"{job.name}: {reason} ({job.log.as_posix()})" for job, reason in ended]


def unreported(
    files: JobFiles, asked: Container[str], *, on_demand: bool, outdated: Container[str] = ()
) -> list[str]:
    """The folders of the finished artworks, if their report is older than one of them; else none.

    A run that fails does not come to the rule that makes the report: it needs all artworks.

    Args:
        files: The collection's jobs.
        asked: The artworks that the run was to make something of: without one of them there is none.
        on_demand: Of the artworks that a plain `snakemake` leaves out, or of the others.
        outdated: Those whose files are in part of an earlier run: they cannot be shown as they are.
    """
    results, names = Path(files.collection.results), files.collection.artworks(on_demand=on_demand)
    if not any(name in asked for name in names):
        return []
    folders = [results / artwork for artwork in names if artwork not in outdated]
    needed = ("plan.json", "provenance.json", "preview.png", "pictures")
    finished = [folder for folder in folders if all((folder / file).exists() for file in needed)]
    page = Path(files.page(on_demand=on_demand))
    made = page.stat().st_mtime if page.exists() else 0.0
    newer = any((folder / file).stat().st_mtime > made for folder in finished for file in needed)
    return [folder.as_posix() for folder in finished] if newer else []


def lost_models(files: JobFiles) -> list[str]:
    """The model files that are gone though artworks are finished that were made with them."""
    collection = files.collection
    lost = [name for name in collection.weights if not Path(files.shared.weights_file(name)).exists()]
    if not lost:
        return []
    results = Path(collection.results)
    made = (plan for name, plan in collection.plans.items() if (results / name / "provenance.json").exists())
    used = {name for plan in made for name in (*plan.weights, *plan.loss_networks)}
    return [files.shared.weights_file(name) for name in lost if name in used]


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
            # A network's file system may be away for a while.
            with contextlib.suppress(OSError):
                line = survey(files, at_work=True).line
                if line != last:
                    tell(line)
                last = line
            pause_s = max(every_s, _PAUSE_TO_LOOK * (time.monotonic() - begun))

    threading.Thread(target=look, daemon=True, name="progress").start()


def _artwork(files: JobFiles, name: str, logs: JobLogs, unmade: Container[str] | None) -> ArtworkState:
    refused = files.collection.refused.get(name)
    if refused is not None:
        return ArtworkState(name, "failed", reason=refused)
    # A print that fails its limits of quality is not done.
    done = name not in (unmade or ()) and all(Path(file).exists() for file in files.finished(name))
    if done and unmade is None:
        return ArtworkState(name, "done", share=1.0)
    # The latest job in each state; but what a run leaves unfinished at its end waits for the first.
    at: dict[JobState, tuple[Job, str]] = {}
    for job in logs.jobs(files.collection.plans[name]):
        state, reason = logs.state(job)
        if unmade is None or state != "stopped" or state not in at:
            at[state] = (job, reason)
    share, level = _rendered(files, name, logs)
    failed = at.get("failed") or (at.get("stopped") if unmade is not None else None)
    if failed is not None:
        job, reason = failed
        return ArtworkState(name, "failed", share, job.name, reason=reason, log=job.log.as_posix())
    if done:
        return ArtworkState(name, "done", share=1.0)
    for state in ("running", "stopped"):
        if state in at:
            job, _ = at[state]
            own_level = job.name.startswith(("stylise", "refine"))
            told = level if own_level else next(reversed(list(steps(job.log))), Steps(None, None))
            return ArtworkState(name, state, share, job.name, told.done, told.of, told.share)
    return ArtworkState(name, "to do", share)


def _rendered(files: JobFiles, name: str, logs: JobLogs) -> tuple[float, Steps]:
    """The share of the artwork's rendering that is done, and how far the level is that is next."""
    levels = files.collection.plans[name].levels
    # A level that a network paints has no iterations, and is painted at once.
    work = [level.size.area * max(1, level.iterations) for level in levels]
    done = 0.0
    for level, cost in zip(levels, work, strict=True):
        result = Path(files.result_file(name, level.level_px))
        if not result.exists():
            log = logs.level(name, result, level.level_px)
            said = [] if log is None else list(steps(log))
            iteration = _iteration(result, said)
            within = said[-1].share if said else None
            share = max(within or 0.0, iteration / max(1, level.iterations))
            return (done + cost * share) / sum(work), Steps(iteration, level.iterations, within)
        done += cost
    return 1.0, Steps(None, None)


def _iteration(result: Path, said: Iterable[Steps]) -> int:
    """The iteration that a level has come to by its checkpoint, or by what the job at work on it said."""
    found = [steps.done for steps in said if steps.done is not None]
    for manifest in result.parent.glob(f".{result.stem}-*.state/checkpoint.json"):
        # It may be replaced while it is read.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(int(json.loads(manifest.read_bytes())["numbers"]["work"]["iteration"]))
    return max(found, default=0)
