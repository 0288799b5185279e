"""What is recorded of the part of an image that is rendered, for all that is aligned with the image."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import model_validator

from pipeline import record_files
from pipeline.config.sections import Model
from pipeline.geometry import Box, Size


@final
class CropRecord(Model):
    """The part of an image that is rendered.

    Attributes:
        size: The whole image's.
        box: The part, in its pixels.
        focus: The point that the part was laid around, as (x, y) in shares of the image.
    """

    size: Size
    box: Box
    focus: tuple[float, float]

    @model_validator(mode="after")
    def _part_lies_inside(self) -> CropRecord:
        if not self.box.lies_within(self.size):
            raise ValueError(f"{self.box} lies outside of {self.size} px")
        return self


def read_crop_record(path: Path) -> CropRecord:
    """The record in the file at `path`.

    Raises:
        InputError: There is none, or it is no such record, or its part lies outside of its image.
    """
    return record_files.read(path, CropRecord, "crop")
