"""Records that commands leave beside what they make, read back: one way to fail for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.config.sections import Model
from pipeline.errors import InputError

_Record = TypeVar("_Record", bound=Model)


def read(path: Path, kind: type[_Record], *verbs: str) -> _Record:
    """The record of this kind in the file at `path`, as one of the commands `verbs` leaves it.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        makers = " or ".join(f"`impasto {verb}`" for verb in verbs)
        found = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "something else"
        raise InputError(path, expected=f"a record made by {makers}", found=found) from None
