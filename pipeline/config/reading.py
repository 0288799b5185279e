"""config.yaml read, completed with its defaults, and checked; every mistake told in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import yaml
from pydantic import ValidationError

from pipeline.config.collections import Place, with_collections
from pipeline.config.controls import as_list
from pipeline.config.inheritance import gives_print_size, merged, overlaid
from pipeline.config.mistakes import as_error, shown
from pipeline.config.models import Config, Defaults
from pipeline.config.plain import SaidTwiceError, plain_values
from pipeline.config.presets import presets
from pipeline.errors import ConfigError, InputError


@final
@dataclass(frozen=True, slots=True)
class Parsed:
    """A configuration, and what was seen while it was written out.

    Attributes:
        config: The configuration.
        places: Where those artworks were written that a sheet or a combination made.
        warnings: What its writer should know, a line each.
    """

    config: Config
    places: Mapping[str, Place]
    warnings: tuple[str, ...]


def parse(raw: Any, where: str = "config.yaml") -> Config:
    """The configuration that `raw` (parsed YAML or JSON) describes, with every artwork written out.

    Raises:
        InputError: A sheet that it names cannot be read.
        ConfigError: The first thing that is wrong, with the key it stands at, or the sheet's row and column.
    """
    return parse_whole(raw, where).config


def parse_whole(raw: Any, where: str) -> Parsed:
    """As `parse`, with what is known beside the configuration."""
    if not isinstance(raw, Mapping):
        raise ConfigError(where, expected="a mapping with `artworks`", found=shown(raw))
    given = raw.get("defaults") or {}
    inherited = _completed({}, given) if isinstance(given, Mapping) else given
    try:
        Defaults.model_validate(inherited)
    except ValidationError as error:
        raise as_error(error, inherited, where, ("defaults",)) from None
    raw, places, warnings = with_collections(raw, where)
    complete = _with_defaults(raw, inherited, where)
    try:
        return Parsed(Config.model_validate(complete), places, warnings)
    except ValidationError as error:
        raise as_error(error, complete, where, places=places) from None


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
        return plain_values(text)
    except yaml.YAMLError as error:
        raise InputError(where, expected="valid YAML", found=" ".join(str(error).split())) from None
    except SaidTwiceError as error:
        raise ConfigError(
            f"{where}: line {error.line}", expected="each key once", found=f"{error.key!r} again"
        ) from None


def for_artwork(config: Config, name: str) -> dict[str, Any]:
    """The part of the configuration that artwork `name` depends on, as plain JSON values."""
    # What is shown while rendering, what the report looks like and where results go changes no artwork.
    aside = {"title", "preview", "report", "deliver_to"}
    plain = config.model_dump(mode="json", exclude={"defaults", "artworks", "networks", *aside})
    artwork = config.artworks[name]
    used = artwork.feedforward.network if artwork.paints else None
    networks = {
        key: network.model_dump(mode="json") for key, network in config.networks.items() if key == used
    }
    return {**plain, "networks": networks, "artworks": {name: artwork.model_dump(mode="json")}}


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
        complete[str(name)] = _completed(inherited, own) if isinstance(own, Mapping) else own
    return {**raw, "artworks": complete}


def _completed(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings over those of the presets they name, and these over what is inherited.

    An unknown preset is left to the check.
    """
    names = as_list(own.get("preset"))
    settings: dict[str, Any] = {}
    for name in names if isinstance(names, list | tuple) else ():
        preset = presets().get(name) if isinstance(name, str) else None
        settings = overlaid(settings, preset.settings) if preset is not None else settings
    # Only levels that the settings themselves give displace an inherited print size.
    if gives_print_size(merged(inherited, own)):
        settings.pop("levels", None)
    return merged(inherited, merged(settings, own))
