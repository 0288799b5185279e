"""Where a region is, or which part of a style image counts: masks, and what they are combined to.

The form of combinations: pipeline/combination.py. Here stand the names of masks that are found automatically,
and what pydantic needs to know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, final

from pydantic import PlainSerializer, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline.combination import EVERYTHING, Combination, Expression, ExpressionError, leaves, parse, to_plain
from pipeline.config.sections import checked_path
from pipeline.lengths import is_physical

AUTOMATIC_MASKS: Final = ("person", "background", "subject")
"""The masks that are found in an image: `background` is what `person` leaves, `subject` what it is of."""


MOST_PARTS: Final = 16
"""As many parts as an image is cut into at most."""

_PART = re.compile(r"segment-([0-9]{1,3})-of-([0-9]{1,3})")


@final
class PartName(NamedTuple):
    """A part of an image as a mask's name, `segment-2-of-5`.

    Attributes:
        number: From 1, the largest, to `parts`, which is what the others leave.
        parts: How many there are in all.
    """

    number: int
    parts: int

    @classmethod
    def parse(cls, leaf: str) -> PartName | None:
        """The part that a leaf names; None for any other leaf."""
        match = _PART.fullmatch(leaf)
        return None if match is None else cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"segment-{self.number}-of-{self.parts}"


def parts_of(expressions: Iterable[Expression]) -> tuple[PartName, ...]:
    """The parts of images that the expressions name."""
    found = (PartName.parse(leaf) for expression in expressions for leaf in leaves(expression))
    return tuple(part for part in found if part is not None)


def is_automatic(expression: Expression) -> bool:
    """Whether any mask of the expression is found in an image, where there may be nothing to find."""
    return any(leaf in AUTOMATIC_MASKS or PartName.parse(leaf) for leaf in leaves(expression))


def mask_files(expressions: Iterable[Expression]) -> tuple[Path, ...]:
    """The mask files of the user's that the expressions name, without repeats."""
    found = (leaf for expression in expressions for leaf in leaves(expression))
    return tuple(dict.fromkeys(Path(leaf) for leaf in found if is_file(leaf)))


def is_file(leaf: str) -> bool:
    """Whether a leaf is the path of a mask file."""
    return leaf != EVERYTHING and leaf not in AUTOMATIC_MASKS and PartName.parse(leaf) is None


def _check_leaf(leaf: str) -> None:
    part = PartName.parse(leaf)
    if part is not None and not (2 <= part.parts <= MOST_PARTS and 1 <= part.number <= part.parts):
        raise ValueError(
            f"must be one of segment-1-of-N to segment-N-of-N, with N from 2 to {MOST_PARTS}; found {leaf!r}"
        )
    if not is_file(leaf):
        return
    if not Path(leaf).suffix:
        raise ValueError(
            f"must be {EVERYTHING}, {', '.join(AUTOMATIC_MASKS)}, segment-I-of-N, or the path of a mask "
            f"image; found {leaf!r}"
        )
    checked_path(Path(leaf))


def _accept(_text: str) -> None:
    """Nothing is wrong with it."""


def _check_px(length: str) -> None:
    if is_physical(length):
        raise ValueError(f"must be in px, as a style image has no size in print; found {length!r}")


def _validator(
    check_leaf: Callable[[str], None] = _accept, check_length: Callable[[str], None] = _accept
) -> PlainValidator:
    def validated(raw: Any) -> str | Combination:
        try:
            return parse(raw, check_leaf, check_length)
        except ExpressionError as error:
            # Raised from within a validator, it is told at its own keys below those of the field.
            about = PydanticCustomError("value_error", "{message}", {"message": error.message})
            details = InitErrorDetails(type=about, loc=error.keys, input=raw)
            raise ValidationError.from_exception_data("mask", [details]) from None

    return PlainValidator(validated)


# Its shape is filled in by schema.py: it leads back to itself.
_AS_PLAIN = PlainSerializer(to_plain)
_SCHEMA = WithJsonSchema({"type": "string"})

ContentMask = Annotated[str | Combination, _validator(_check_leaf), _AS_PLAIN, _SCHEMA]
"""A part of a content image; lengths may be those of the print."""
ResolvedMask = Annotated[str | Combination, _validator(), _AS_PLAIN, _SCHEMA]
"""An expression in a plan, whose leaves may be keys."""
StyleMask = Annotated[str | Combination, _validator(_check_leaf, _check_px), _AS_PLAIN, _SCHEMA]
"""A part of a style image."""
