"""How far a level is within its iterations, of which one may take an hour: counted by tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from pipeline.objective import Pass
from pipeline.optimiser import Step

_GRADIENT = 3.0
"""What a gradient costs in losses: its tiles go forward and backward, which costs twice as much again."""


@final
@dataclass(slots=True)
class Pace:
    """Turns steps and tiles into a share of the work: each gradient has a loss before it.

    Trials that the line search rejects are not foreseen: the share then falls back by one loss.

    Attributes:
        iterations: How many there will be.
        checked: Whether the last image's loss is evaluated.
        on_share: Called after each tile with the share of the whole work, from 0 to 1, and what was done.
    """

    iterations: int
    checked: bool
    on_share: Callable[[float, str], None]
    _gradients: int = 0

    def step(self, step: Step) -> None:
        """Takes note of a step, of an earlier run as well."""
        self._gradients = max(self._gradients, step.gradient_passes)

    def tile(self, of: Pass, done: int, count: int) -> None:
        """Tells that so many of a pass's tiles are done."""
        share = done / count
        begun = share if of == "loss" else 1.0 + _GRADIENT * share
        spent = self._gradients * (1.0 + _GRADIENT) + begun
        whole = self.iterations * (1.0 + _GRADIENT) + (self.checked or self.iterations == 0)
        reached = min(1.0, spent / whole)
        self.on_share(reached, f"{100 * reached:.0f} %, {of}: tile {done} of {count}")
        if of == "gradient" and done == count:
            self._gradients += 1
