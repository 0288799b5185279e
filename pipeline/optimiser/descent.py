"""What L-BFGS and Adam share: counts of work, reasons to end, and the refusal of numbers that are not finite.

A state (`LbfgsState`, `AdamState`) is all that a method must remember. Its `vectors()` names the stores, its
`numbers()` everything else as plain JSON; `restored` is the inverse of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from pipeline.errors import PipelineError
from pipeline.groups import stop_if
from pipeline.objective import Objective, Trial
from pipeline.rasters import Checked, Raster
from pipeline.stores import Store

GREY_LEVEL = 1.0 / 255.0

Ending = Literal["iterations", "converged", "line search failed", "stopped"]


@final
@dataclass(slots=True)
class Work:
    """What was done since the start image: iterations completed, passes of each kind, seconds."""

    iteration: int = 0
    forward_passes: int = 0
    gradient_passes: int = 0
    seconds: float = 0.0

    @property
    def passes(self) -> int:
        """Passes of either kind."""
        return self.forward_passes + self.gradient_passes

    def numbers(self) -> dict[str, Any]:
        """The counts and the seconds."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class Watch:
    """Whom a method tells what it does, and who may stop it.

    Attributes:
        report: Called with the trial of the state's image and the step length, after each iteration; None is
            an image whose loss was not asked for.
        keep: Called when the state is one from which the run can go on, and everything else may go.
        should_stop: Asked before each tile and after each iteration.
    """

    report: Callable[[Trial | None, float], None]
    keep: Callable[[], None]
    should_stop: Callable[[], bool]

    def check(self) -> None:
        """Raises StoppedError if the run is to stop."""
        stop_if(self.should_stop)


def evaluated(objective: Objective, image: Raster, work: Work, watch: Watch) -> Trial:
    """The image's trial.

    Raises:
        PipelineError: Its loss is not finite.
    """
    return _finite(objective.forward(Checked(image, watch.check)), work)


def differentiated(objective: Objective, image: Raster, gradient: Store, work: Work, watch: Watch) -> Trial:
    """The image's trial, once its gradient is written to a store that nothing was written to.

    Raises:
        PipelineError: Its loss is not finite.
    """
    trial = objective.forward(Checked(image, watch.check), gradient_follows=True)
    trial.write_gradient(gradient)
    return _finite(trial, work)


def _finite(trial: Trial, work: Work) -> Trial:
    if not math.isfinite(trial.loss):
        raise not_finite("loss", trial.loss, work)
    return trial


def not_finite(what: str, value: float, work: Work) -> PipelineError:
    """The error for a loss or gradient that no shorter step can mend."""
    return PipelineError(
        f"optimiser, iteration {work.iteration}",
        expected=f"a finite {what}",
        found=str(value),
        fix="Lower the loss weights or the learning rate, or compute in float32",
    )
