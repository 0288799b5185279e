"""What is recorded of the part of an image that is rendered, for all that is aligned with the image."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import ValidationError

from pipeline.config.sections import Model
from pipeline.errors import InputError
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


def read_crop_record(path: Path) -> CropRecord:
    """The record in the file at `path`.

    Raises:
        InputError: There is none, or it is no such record, or its part lies outside of its image.
    """
    expected = "a record made by `impasto crop`"
    try:
        record = CropRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        found = (getattr(error, "strerror", None) or "bytes that are no text").lower()
        raise InputError(path, expected=expected, found=found) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            path, expected=expected, found=f"{first['msg'].lower()} at {key or 'its start'}"
        ) from None
    if not record.box.lies_within(record.size):
        raise InputError(path, expected=expected, found=f"{record.box} outside of {record.size} px")
    return record
