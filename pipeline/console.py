"""What a command says while it works: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO, final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0
_SHARE_BETWEEN_LINES = 0.02


def say(text: str) -> None:
    """One line for the user, on standard error; standard output is for results that are asked for."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@final
class Reporter:
    """Shows how far a piece of work is and how long the rest will take.

    Args:
        title: What is being done.
        total: Steps in all.
        stream: Where to show it; a terminal gets a bar, anything else a line now and then: every ten
            seconds at first, and in a run of hours every few minutes.
    """

    def __init__(self, title: str, total: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._title = title
        self._total = total
        self._last_line = -_SECONDS_BETWEEN_LINES
        self._started = time.monotonic()
        self._first = 0.0
        self._bar: Progress | None = None
        if self._stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[done]}/{task.total:.0f}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task(title, total=total, done=0, note="")

    def __enter__(self) -> Reporter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def go_on(self, done: int, share: float | None = None) -> None:
        """Begins where an earlier run had come to, which says nothing of this one's pace.

        Args:
            done: The steps that are finished.
            share: As in `update`.
        """
        self._started = time.monotonic()
        self._last_line = -_SECONDS_BETWEEN_LINES
        self._first = self._share(done, share)
        if self._bar is not None:
            self._bar.reset(self._task)
            self._bar.update(self._task, completed=self._first * self._total)

    def update(self, done: int, note: str = "", share: float | None = None) -> None:
        """Says how far it is.

        Args:
            done: The steps that are finished.
            note: The figure to watch.
            share: Of the whole work, from 0 to 1, where a step may take long; by default that of the steps.
        """
        now = self._share(done, share)
        if self._bar is not None:
            self._bar.update(self._task, completed=now * self._total, done=done, note=note)
            return
        elapsed = time.monotonic() - self._started
        # A run of minutes says something every ten seconds, one of a day every half hour at its end.
        pause = max(_SECONDS_BETWEEN_LINES, _SHARE_BETWEEN_LINES * elapsed)
        if done < self._total and elapsed - self._last_line < pause:
            return
        self._last_line = elapsed
        fresh = now - self._first
        left = (
            f", about {_duration(elapsed / fresh * (1 - now))} left"
            if fresh > 0 and done < self._total
            else ""
        )
        self._stream.write(f"{self._title}: {done}/{self._total}{left}. {note}\n")
        self._stream.flush()

    def _share(self, done: int, share: float | None) -> float:
        return done / max(1, self._total) if share is None else share


def _duration(seconds: float) -> str:
    """`70 s`, `25 min`, `3 h 05 min`."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
