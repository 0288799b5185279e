"""Masks combined into one, as users write it: the form, not the pixels, which canvas/combining.py makes.

An expression is a leaf, which is text (the name of a mask, or its file), or a mapping with one operation:

    {not: X}                        what X leaves
    {union: [X, Y, ...]}            what any of them covers
    {intersection: [X, Y, ...]}     what all of them cover
    {minus: [X, Y, ...]}            X without the others
    {grow: 12 px, of: X}            X and all that is within 12 px of it
    {shrink: 12 px, of: X}          what is farther than 12 px from all that X leaves
    {feather: 12 px, of: X}         X with softer edges

where X and Y are expressions again. `not X` is short for `{not: X}`; a file whose own name begins with "not "
is written `./not so.png`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath
from typing import Any, Final, Literal, TypeAlias, final, get_args

from pipeline.lengths import in_px

Operation = Literal["not", "union", "intersection", "minus", "grow", "shrink", "feather"]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
OF_SEVERAL: Final = ("union", "intersection", "minus")
BY_LENGTH: Final = ("grow", "shrink", "feather")
EVERYTHING: Final = "everything"
"""The leaf that covers all of the image."""

_NOT = "not "
_DEEPEST = 16
_MOST_MASKS = 256
_PAST = {"grow": "grown", "shrink": "shrunk", "feather": "feathered"}
_LONGEST_LABEL = 80

Expression: TypeAlias = "str | Combination"
Key: TypeAlias = str | int


@final
@dataclass(frozen=True, slots=True)
class Combination:
    """An operation on masks.

    Attributes:
        operation: Which one.
        of: What it is applied to, in order.
        by: For grow, shrink and feather: the length, with its unit.
    """

    operation: Operation
    of: tuple[Expression, ...]
    by: str | None = None


@final
class ExpressionError(ValueError):
    """Something is wrong in an expression.

    Attributes:
        keys: Where, from the top of the expression.
        message: What, as the rest of a sentence that begins with the place: "must be ...; found ...".
    """

    def __init__(self, keys: tuple[Key, ...], message: str) -> None:
        super().__init__(message)
        self.keys = keys
        self.message = message


def parse(
    raw: Any, check_leaf: Callable[[str], None], check_length: Callable[[str], None] = lambda _: None
) -> Expression:
    """The expression that plain values describe.

    Args:
        raw: Text or a mapping, as above; an expression is given back as it is.
        check_leaf: Raises a ValueError, "must be ...; found ...", for a leaf that cannot be.
        check_length: The same for a length, which is one with a unit already.

    Raises:
        ExpressionError: The first thing that is wrong.
    """
    return _Parser(check_leaf, check_length).parsed(raw, ())


@final
class _Parser:
    def __init__(self, check_leaf: Callable[[str], None], check_length: Callable[[str], None]) -> None:
        self._check_leaf = check_leaf
        self._check_length = check_length
        self._masks = 0

    def parsed(self, raw: Any, keys: tuple[Key, ...], depth: int = 0) -> Expression:
        # Aliases of YAML make a short text that says a great deal.
        if depth > _DEEPEST:
            raise ExpressionError(keys, f"must be at most {_DEEPEST} operations deep; found more")
        if isinstance(raw, Combination):
            return raw
        if isinstance(raw, str):
            if raw.startswith(_NOT):
                return Combination("not", (self.parsed(raw.removeprefix(_NOT).strip(), keys, depth + 1),))
            return self._leaf(raw, keys)
        if isinstance(raw, Mapping):
            return self._combination(raw, keys, depth)
        raise ExpressionError(
            keys, f"must be a mask, or a mapping such as {{not: person}}; found {_shown(raw)}"
        )

    def _leaf(self, raw: str, keys: tuple[Key, ...]) -> str:
        self._masks += 1
        if self._masks > _MOST_MASKS:
            raise ExpressionError((), f"must be made of at most {_MOST_MASKS} masks; found more")
        _checked(self._check_leaf, raw, keys)
        return raw

    def _combination(self, raw: Mapping[Any, Any], keys: tuple[Key, ...], depth: int) -> Combination:
        found = [key for key in raw if key != "of"]
        for key in found:
            if key not in OPERATIONS:
                raise ExpressionError(
                    keys, f"must have one operation among {', '.join(OPERATIONS)}; found the key {key!r}"
                )
        if len(found) != 1:
            raise ExpressionError(
                keys, f"must have one operation; found {' and '.join(found) if found else 'none'}"
            )
        operation: Operation = found[0]
        value = raw[operation]
        if operation in BY_LENGTH:
            if "of" not in raw:
                raise ExpressionError(keys, f"must have `of` beside {operation}, a mask; found none")
            length = self._length(value, (*keys, operation))
            return Combination(operation, (self.parsed(raw["of"], (*keys, "of"), depth + 1),), length)
        if "of" in raw:
            raise ExpressionError(keys, f"must not have `of` beside {operation}; found it")
        if operation == "not":
            return Combination("not", (self.parsed(value, (*keys, "not"), depth + 1),))
        keys = (*keys, operation)
        if not isinstance(value, list | tuple) or not value:
            raise ExpressionError(
                keys, f"must be a list of masks, such as [a.png, b.png]; found {_shown(value)}"
            )
        each = (self.parsed(item, (*keys, index), depth + 1) for index, item in enumerate(value))
        return Combination(operation, tuple(each))

    def _length(self, value: Any, keys: tuple[Key, ...]) -> str:
        length = " ".join(str(value).split())
        _checked(lambda text: in_px(text, dpi=1), length, keys)
        _checked(self._check_length, length, keys)
        return length


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _checked(check: Callable[[str], Any], text: str, keys: tuple[Key, ...]) -> None:
    try:
        check(text)
    except ValueError as error:
        raise ExpressionError(keys, str(error)) from None


def to_plain(expression: Expression) -> str | dict[str, Any]:
    """The expression as `parse` takes it, in strings, lists and mappings."""
    if isinstance(expression, str):
        return expression
    several = [to_plain(each) for each in expression.of]
    if expression.operation in OF_SEVERAL:
        return {expression.operation: several}
    if expression.by is None:
        return {expression.operation: several[0]}
    return {expression.operation: expression.by, "of": several[0]}


def as_leaf(file: PurePath) -> str:
    """The leaf that means a mask file, whatever it is called."""
    path = file.as_posix()
    return f"./{path}" if path.startswith(_NOT) else path


def leaves(expression: Expression) -> Iterator[str]:
    """The leaves from left to right, with repeats."""
    if isinstance(expression, str):
        yield expression
    else:
        for each in expression.of:
            yield from leaves(each)


def lengths(expression: Expression) -> Iterator[str]:
    """The lengths by which something is grown, shrunk or feathered."""
    if isinstance(expression, Combination):
        if expression.by is not None:
            yield expression.by
        for each in expression.of:
            yield from lengths(each)


def mapped(
    expression: Expression, leaf: Callable[[str], Expression], length: Callable[[str], str]
) -> Expression:
    """The expression with other leaves and lengths."""
    if isinstance(expression, str):
        return leaf(expression)
    return replace(
        expression,
        of=tuple(mapped(each, leaf, length) for each in expression.of),
        by=None if expression.by is None else length(expression.by),
    )


def without_not(expression: Expression) -> tuple[Expression, bool]:
    """The expression below every `not` at its top, and whether it is inverted by them."""
    inverted = False
    while isinstance(expression, Combination) and expression.operation == "not":
        (expression,) = expression.of
        inverted = not inverted
    return expression, inverted


def words(expression: Expression) -> str:
    """The expression to be read by people: `(person minus hat.png) grown by 3 mm`."""
    if isinstance(expression, str):
        return expression if expression == EVERYTHING else PurePath(expression).name
    each = [words(one) if isinstance(one, str) else f"({words(one)})" for one in expression.of]
    if expression.operation in OF_SEVERAL:
        return f" {expression.operation} ".join(each)
    if expression.by is None:
        return f"not {each[0]}"
    return f"{each[0]} {_PAST[expression.operation]} by {expression.by}"


def label(expression: Expression) -> str:
    """A name made from the expression, for file names and options.

    Of ASCII letters, digits, underscores, and hyphens, though not at its start or end.
    """
    name = _label(expression)
    return name if isinstance(expression, str) else name[:_LONGEST_LABEL].rstrip("-")


@cache
def _label(expression: Expression) -> str:
    if isinstance(expression, str):
        return re.sub(r"[^A-Za-z0-9_-]+", "-", PurePath(expression).stem).strip("-") or "mask"
    each = [_label(one) for one in expression.of]
    if expression.operation in OF_SEVERAL:
        return f"-{expression.operation}-".join(each)
    if expression.by is None:
        return f"not-{each[0]}"
    return f"{each[0]}-{_PAST[expression.operation]}"
