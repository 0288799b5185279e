"""Renderings in tests: runs that nobody watches, and their pixels as one array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.optimiser import Step
from pipeline.rendering.optimisation import Rendered, Run, Stopped


def quiet(report: Callable[[Step], None] | None = None, state: Path | None = None) -> Run:
    """A run that is not stopped, and keeps its state in a folder only where one is given."""
    return Run(state, "key", report or (lambda _: None), lambda: False)


def pixels(rendered: Rendered | Stopped) -> np.ndarray:
    """All rows of a rendering: (height, width, 3)."""
    assert isinstance(rendered, Rendered)
    return np.concatenate(list(rendered.rows()))
