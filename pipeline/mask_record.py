"""What is known of an automatic mask: what made it, how far it can be trusted, what a user should know.

`impasto segment` and `impasto partition` write it beside the mask; provenance and report show it. No torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from pipeline import record_files
from pipeline.config.sections import Model


@final
class ModelFile(Model):
    """A model file that took part: its name in the registry and the hash of its tensors."""

    name: str
    sha256: str


@final
class PersonRecord(Model):
    """Somebody who was found.

    Attributes:
        box_px: (top, left, bottom, right) in the image's pixels.
        score: The detector's, in [0, 1].
    """

    box_px: tuple[int, int, int, int]
    score: float


@final
class MaskRecord(Model):
    """The facts of one mask.

    Attributes:
        method: What made it: `person`, `person + sam_vit_b`, `sam_vit_b`.
        models: The model files that were asked, whether or not their answer was used.
        coverage: Its mean, in [0, 1].
        confidence: In [0, 1]: `Segmentation.confidence` or `Part.confidence`.
        people: With `person`, whom the detector found, surest first.
        warnings: A sentence each.
    """

    method: str
    models: tuple[ModelFile, ...]
    coverage: float
    confidence: float
    people: tuple[PersonRecord, ...] = ()
    warnings: tuple[str, ...] = ()


@final
class PartitionRecord(Model):
    """The facts of an image's parts, in their order."""

    parts: tuple[MaskRecord, ...]


def read_mask_record(path: Path) -> MaskRecord:
    """The record of a mask in the file at `path`.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    return record_files.read(path, MaskRecord, "segment")


def read_partition_record(path: Path) -> PartitionRecord:
    """The record of an image's parts in the file at `path`.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    return record_files.read(path, PartitionRecord, "partition")
