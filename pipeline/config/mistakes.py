"""What pydantic found wrong in a configuration, as the one line that its writer needs."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.schema import json_schema
from pipeline.config.sections import NAME_PATTERN
from pipeline.errors import ConfigError

_KINDS = {
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "keys and values below it",
    "model_type": "keys and values below it",
    "model_attributes_type": "keys and values below it",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text (put it in quotes)",
    "string_too_short": "some text",
    "path_type": "a path",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "a number of at least {ge:.10g}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le:.10g}",
    "too_short": "at least one entry",
}
_PATTERNS = {
    NAME_PATTERN: "a name of letters, digits, _ and -, with a letter or digit first",
    "^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    "^https?://": "an address that begins with https:// or http://",
}
_ANY = "NAME"
"""Stands for the names that a user chooses, in the places of the schema."""


def as_error(
    error: ValidationError,
    raw: Any,
    where: str,
    prefix: tuple[str, ...] = (),
    places: Mapping[str, Callable[[Sequence[object]], str]] | None = None,
) -> ConfigError:
    """The first thing wrong, with its place and its value as the user wrote them.

    Args:
        error: What a model said.
        raw: What it was given.
        where: The configuration's name.
        prefix: Keys above `raw`.
        places: Where those artworks were written that are not in the configuration, by name.
    """
    first = _most_telling(error.errors(include_url=False))
    keys = (*prefix, *_as_written(first["loc"], raw))
    key = ".".join(str(part) for part in keys)
    place = f"{where}: {key}" if key else where
    if keys[:1] == ("artworks",) and len(keys) > 1 and keys[1] in (places or {}):
        place = (places or {})[str(keys[1])](keys[2:])
    match first["type"]:
        case "value_error":
            return ConfigError.stating(f"{place} {first['msg'].removeprefix('Value error, ')}")
        case "extra_forbidden" | "invalid_key":
            return ConfigError(
                place,
                expected="a known key",
                found=f"an unknown key with value {shown(first['input'])}",
                fix=_advice(keys),
            )
        case "missing":
            return ConfigError(place, expected="a value", found="nothing")
        case _:
            return ConfigError(place, expected=_expected(first), found=shown(first["input"]))


def shown(value: Any) -> str:
    """A value as the user wrote it, shortened: text in quotes, a mapping by its keys."""
    if isinstance(value, Mapping):
        text = f"the keys {', '.join(str(key) for key in value)}" if value else "nothing"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _most_telling(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The first error; where it is a missing key, rather the unknown key beside it that was meant for it."""
    first = errors[0]
    if first["type"] != "missing":
        return first
    beside = (error for error in errors if error["loc"][:-1] == first["loc"][:-1])
    return next((error for error in beside if error["type"] == "extra_forbidden"), first)


def _expected(error: ErrorDetails) -> str:
    limits: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return _PATTERNS[limits["pattern"]]
    message = error["msg"][0].lower() + error["msg"][1:]
    return _KINDS.get(error["type"], message).format(**limits)


def _as_written(location: tuple[int | str, ...], raw: Any) -> Iterator[int | str]:
    """The keys of a location, with `style` where the user wrote that for `regions` or `styles`."""
    parts = [part for part in location if part != "[key]"]
    while parts:
        part = parts.pop(0)
        unwritten = isinstance(raw, Mapping) and raw.get(part) is None
        if unwritten and part == "styles":
            part, parts = "style", parts[1:]
        elif unwritten and part == "regions" and "style" in raw:
            # Behind `regions` stand an index, `styles` and another index.
            part, parts = "style", parts[3:]
        yield part
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            raw = None
        if raw is not None and not isinstance(raw, Mapping | list | tuple):
            # A short form, such as a style's path: what it was written out to has no keys of the user's.
            return


def _advice(keys: tuple[int | str, ...]) -> str:
    """What to do about an unknown key: the known one that it resembles, or where it belongs."""
    *above, key = (str(part) for part in keys if not isinstance(part, int))
    known = _known_keys()
    place = tuple(above)
    if place not in known:
        place = (place[0], _ANY, *place[2:])
    similar = difflib.get_close_matches(key, known.get(place, ()), n=1, cutoff=0.75)
    if similar:
        return f"Perhaps {similar[0]} was meant"
    homes = [home for home, names in known.items() if key in names]
    if homes:
        shared = {home: _shared(home, place) for home in homes}
        nearest = max(homes, key=lambda home: (shared[home], -len(home)))
        return f"{key} belongs under {'.'.join(nearest)}" if nearest else f"{key} belongs at the top"
    return "The schema in pipeline/config/schema.json lists every key"


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many keys two places have in common from the top."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@cache
def _known_keys() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Every place of a configuration with the keys it may hold, from the JSON schema."""
    schema = json_schema()
    found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def visit(node: Mapping[str, Any], place: tuple[str, ...], within: tuple[str, ...] = ()) -> None:
        name = node.get("$ref", "").rpartition("/")[2]
        # A mask may be made of masks, to any depth.
        if name and name not in within:
            visit(schema["$defs"][name], place, (*within, name))
        for key, child in node.get("properties", {}).items():
            found[place] = (*found.get(place, ()), key)
            visit(child, (*place, key), within)
        for child in (*node.get("anyOf", ()), node.get("items")):
            if child is not None:
                visit(child, place, within)
        for child in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
            if isinstance(child, Mapping):
                visit(child, (*place, _ANY), within)

    visit(schema, ())
    return found
