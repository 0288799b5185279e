"""Settings over settings: what an artwork says over what it inherits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An artwork's own settings over those it inherits.

    Mappings are merged key by key, lists replaced whole. Where two keys say one thing in two ways (a style or
    regions; levels, a width or a height), what the artwork says displaces the inherited other way.
    """
    below = dict(inherited)
    if _given(own, "style", "regions"):
        below = _without(below, "style", "regions")
    gives_side = gives_print_size(own)
    if gives_side:
        below = _without(below, "levels")
    # `auto` asks for the levels that a print size implies, an inherited one as well.
    gives_levels = _given(own, "levels") and own["levels"] != "auto"
    if (gives_side or gives_levels) and isinstance(below.get("print"), Mapping):
        below["print"] = _without(below["print"], "width", "height")
    return overlaid(below, own)


def gives_print_size(settings: Mapping[str, Any]) -> bool:
    """Whether the settings say how large the print is."""
    printed = settings.get("print")
    return isinstance(printed, Mapping) and _given(printed, "width", "height")


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, mapping by mapping; lists are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = overlaid(old, value)  # noqa: PLW2901 - the value that counts
        merged[key] = value
    return merged


def _given(mapping: Mapping[str, Any], *keys: str) -> bool:
    return any(mapping.get(key) is not None for key in keys)


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
