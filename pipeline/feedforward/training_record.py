"""What a training leaves behind beside its network: losses, cost, device. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, final

from pipeline import record_files
from pipeline.config.sections import Model

Ending = Literal["iterations", "early", "stopped"]


@final
class LossPoint(Model):
    """The loss at an iteration, and its terms: of one batch, or of the validation crops."""

    iteration: int
    loss: float
    terms: dict[str, float]

    @property
    def picture(self) -> str:
        """What the picture of a validation here is called."""
        return f"{self.iteration:06}.png"


@final
class TrainingRecord(Model):
    """How a network came about.

    Attributes:
        ending: Why it ended.
        figures: Those of the network's card, and the time.
        precision: `bfloat16` or `float32`.
        device: What computed it.
        peak_memory_mib: Of the first of its processes.
        trace: The loss of some batches.
        validations: The loss at every validation.
    """

    ending: Ending
    figures: dict[str, float]
    precision: str
    device: dict[str, Any]
    peak_memory_mib: float
    trace: tuple[LossPoint, ...]
    validations: tuple[LossPoint, ...]


def read_training(path: Path) -> TrainingRecord:
    """The record in the file at `path`.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    return record_files.read(path, TrainingRecord, "train")
