"""What L-BFGS and Adam share: counts of work, reasons to end, and the refusal of numbers that are not finite.

A state (`LbfgsState`, `AdamState`) is all that a method must remember between two iterations. Its `tensors()`
names every tensor without copying, numbers too (int64 and float64 tensors on the CPU): a flat dictionary of
contiguous tensors, which is what safetensors asks for. `restored` is the exact inverse; tensors keep their
device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.objective import Objective, Trial

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

    def tensors(self) -> dict[str, Tensor]:
        """The counts and the seconds."""
        return {
            "work.counts": torch.tensor([self.iteration, self.forward_passes, self.gradient_passes]),
            "work.seconds": torch.tensor([self.seconds], dtype=torch.float64),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Work:
        """The inverse of `tensors`."""
        iteration, forward_passes, gradient_passes = tensors["work.counts"].tolist()
        return cls(iteration, forward_passes, gradient_passes, tensors["work.seconds"].item())


def evaluated(objective: Objective, image: Float[Tensor, "3 height width"], work: Work) -> Trial:
    """The image's trial.

    Raises:
        PipelineError: Its loss is not finite.
    """
    trial = objective.forward(image)
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
