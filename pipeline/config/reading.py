"""config.yaml read, completed with its defaults, and checked; every mistake told in one line."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, final

import yaml
from pydantic import ValidationError

from pipeline.config.controls import as_list
from pipeline.config.mistakes import as_error, shown
from pipeline.config.models import Config, Defaults
from pipeline.config.presets import presets
from pipeline.errors import ConfigError, InputError


def parse(raw: Any, where: str = "config.yaml") -> Config:
    """The configuration that `raw` (parsed YAML or JSON) describes.

    Raises:
        ConfigError: The first thing that is wrong, with the key it stands at.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(where, expected="a mapping with `artworks`", found=shown(raw))
    given = raw.get("defaults") or {}
    inherited = _with_presets(given) if isinstance(given, Mapping) else given
    try:
        Defaults.model_validate(inherited)
    except ValidationError as error:
        raise as_error(error, inherited, where, ("defaults",)) from None
    complete = _with_defaults(raw, inherited, where)
    try:
        return Config.model_validate(complete)
    except ValidationError as error:
        raise as_error(error, complete, where) from None


def load(path: Path) -> Config:
    """The configuration in the YAML (or JSON) file at `path`.

    Raises:
        InputError: There is no such file, or it is no YAML.
        ConfigError: It says something that cannot be.
    """
    return parse(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """The plain values in the YAML (or JSON) file at `path`, in which no mapping says a key twice.

    Raises:
        InputError: There is no such file, or it is no YAML.
        ConfigError: A key stands twice in one mapping; YAML would drop the first without a word.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are no text"
        raise InputError(path, expected="a configuration file", found=reason.lower()) from None
    return read_yaml_text(text, str(path))


def read_yaml_text(text: str, where: str) -> Any:
    """As `read_yaml`, of a text that `where` names in errors."""
    try:
        return yaml.load(text, _UniqueKeys)
    except yaml.YAMLError as error:
        raise InputError(where, expected="valid YAML", found=" ".join(str(error).split())) from None
    except _SaidTwiceError as error:
        raise ConfigError(
            f"{where}: line {error.line}", expected="each key once", found=f"{error.key!r} again"
        ) from None


def for_artwork(config: Config, name: str) -> dict[str, Any]:
    """The part of the configuration that artwork `name` depends on, as plain JSON values."""
    plain = config.model_dump(mode="json", exclude={"defaults", "artworks", "title"})
    return {**plain, "artworks": {name: config.artworks[name].model_dump(mode="json")}}


def _with_defaults(raw: Mapping[str, Any], inherited: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The configuration with `defaults` and presets written out in every artwork."""
    artworks = raw.get("artworks")
    if not isinstance(artworks, Mapping):
        return raw
    complete = {}
    for name, own in artworks.items():
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ConfigError(
                f"{where}: artworks", expected="names", found=shown(name), fix="Put the name in quotes"
            )
        complete[str(name)] = _merged(inherited, _with_presets(own)) if isinstance(own, Mapping) else own
    return {**raw, "artworks": complete}


def _with_presets(own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings over those of the presets they name; an unknown name is left to the check."""
    names = as_list(own.get("preset"))
    settings: Mapping[str, Any] = {}
    for name in names if isinstance(names, list | tuple) else ():
        preset = presets().get(name) if isinstance(name, str) else None
        settings = _overlaid(settings, preset.settings) if preset is not None else settings
    return _merged(settings, own)


def _merged(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An artwork's own settings over those it inherits.

    Mappings are merged key by key, lists replaced whole. Where two keys say one thing in two ways (a style or
    regions; levels, a width or a height), what the artwork says displaces the inherited other way.
    """
    below = dict(inherited)
    if _given(own, "style", "regions"):
        below = _without(below, "style", "regions")
    own_print = own.get("print")
    gives_side = isinstance(own_print, Mapping) and _given(own_print, "width", "height")
    if gives_side:
        below = _without(below, "levels")
    # `auto` asks for the levels that a print size implies, an inherited one as well.
    gives_levels = _given(own, "levels") and own["levels"] != "auto"
    if (gives_side or gives_levels) and isinstance(below.get("print"), Mapping):
        below["print"] = _without(below["print"], "width", "height")
    return _overlaid(below, own)


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _overlaid(old, value)  # noqa: PLW2901 - the value that counts
        merged[key] = value
    return merged


def _given(mapping: Mapping[str, Any], *keys: str) -> bool:
    return any(mapping.get(key) is not None for key in keys)


def _without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


@final
class _SaidTwiceError(Exception):
    """A mapping has this key twice, the second time in this line (counted from 1)."""

    def __init__(self, key: Hashable, line: int) -> None:
        super().__init__(key, line)
        self.key = key
        self.line = line


@final
class _UniqueKeys(yaml.SafeLoader):
    """YAML without the freedom to say a key twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node)
                if key in seen:
                    raise _SaidTwiceError(key, key_node.start_mark.line + 1)
                seen.add(key)
        return super().construct_mapping(node, deep=deep)
