"""config.yaml read, completed with its defaults, and checked; every mistake told in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.config import Config, Defaults
from pipeline.errors import ConfigError, InputError


def parse(raw: Any, where: str = "config.yaml") -> Config:
    """The configuration that `raw` (parsed YAML or JSON) describes.

    Raises:
        ConfigError: The first thing that is wrong, with the key it stands at.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(where, expected="a mapping with `artworks`", found=_shown(raw))
    try:
        Defaults.model_validate(raw.get("defaults") or {})
    except ValidationError as error:
        raise _one_line(error.errors()[0], where, ("defaults",)) from None
    try:
        return Config.model_validate(_with_defaults(raw))
    except ValidationError as error:
        raise _one_line(error.errors()[0], where) from None


def load(path: Path) -> Config:
    """The configuration in the YAML (or JSON) file at `path`.

    Raises:
        InputError: There is no such file, or it is no YAML.
        ConfigError: It says something that cannot be.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are no text"
        raise InputError(path, expected="a configuration file", found=reason.lower()) from None
    except yaml.YAMLError as error:
        raise InputError(path, expected="valid YAML", found=" ".join(str(error).split())) from None
    return parse(raw, str(path))


def for_artwork(config: Config, name: str) -> dict[str, Any]:
    """The part of the configuration that artwork `name` depends on, as plain JSON values."""
    plain = config.model_dump(mode="json", exclude={"defaults", "artworks", "title"})
    return {**plain, "artworks": {name: config.artworks[name].model_dump(mode="json")}}


def schema() -> str:
    """The JSON schema of config.yaml, as the text of pipeline/config.schema.json."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def _with_defaults(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with `defaults` written out in every artwork."""
    inherited, artworks = raw.get("defaults") or {}, raw.get("artworks")
    if not isinstance(artworks, Mapping):
        return raw
    complete = {
        str(name): _merged(inherited, own) if isinstance(own, Mapping) else own
        for name, own in artworks.items()
    }
    return {**raw, "artworks": complete}


def _merged(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `inherited`, mapping by mapping; lists are replaced whole, styles never mixed."""
    merged = dict(inherited)
    if "style" in own or "regions" in own:
        merged.pop("style", None)
        merged.pop("regions", None)
    if "levels" in own:
        sides = {"width": None, "height": None}
        merged["print"] = {**(inherited.get("print") or {}), **sides}
    if isinstance(own.get("print"), Mapping) and {"width", "height"} & set(own["print"]):
        merged.pop("levels", None)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = (
            _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _one_line(error: ErrorDetails, where: str, prefix: tuple[str, ...] = ()) -> ConfigError:
    key = ".".join(str(part) for part in (*prefix, *error["loc"]) if part != "[key]") or "the file"
    found = _shown(error["input"])
    match error["type"]:
        case "extra_forbidden":
            return ConfigError(
                f"{where}: {key}",
                expected="a known key",
                found=f"unknown key with value {found}",
                fix="The schema in pipeline/config.schema.json lists every key",
            )
        case "missing":
            return ConfigError(f"{where}: {key}", expected="a value", found="nothing")
        case "value_error":
            return ConfigError.stating(f"{where}: {key} {error['msg'].removeprefix('Value error, ')}")
        case _:
            message = error["msg"][0].lower() + error["msg"][1:]
            return ConfigError(
                f"{where}: {key}", expected=message.removeprefix("input should be "), found=found
            )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
