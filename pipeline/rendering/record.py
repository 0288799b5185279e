"""What a rendering leaves behind beside its image: cost, losses, device, warnings. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

from pipeline import record_files
from pipeline.config.sections import Model
from pipeline.provenance import LevelRecord


@final
class TracePoint(Model):
    """The loss after an iteration, and the work units (forward and gradient passes) spent until then."""

    iteration: int
    passes: int
    loss: float
    terms: dict[str, float]


@final
class RenderingRecord(Model):
    """A level's record.

    Attributes:
        level: Sizes, tiles, iterations, losses, seconds, memory.
        precision: What was resolved: `bfloat16` or `float32`.
        device: What computed it.
        versions: Of the packages that computed it.
        ending: Why the optimiser stopped.
        warnings: What the user should know, one sentence each.
        trace: One point per iteration, from the start image on.
        row_borders: Rows at which another tile begins, from the top; none where there is one tile.
        column_borders: Columns at which another tile begins, from the left.
    """

    level: LevelRecord
    precision: str
    device: dict[str, Any]
    versions: dict[str, str]
    ending: str
    warnings: tuple[str, ...]
    trace: tuple[TracePoint, ...]
    row_borders: tuple[int, ...]
    column_borders: tuple[int, ...]


def read_record(path: Path) -> RenderingRecord:
    """The record in the file at `path`.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    return record_files.read(path, RenderingRecord, "stylise", "refine")
