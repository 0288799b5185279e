"""The authors' settings by name: what `preset` stands for. The settings themselves: presets.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, final

import yaml
from pydantic import AfterValidator, Field


@final
@dataclass(frozen=True, slots=True)
class Preset:
    """A named part of an artwork's settings.

    Attributes:
        description: One sentence.
        settings: As they would stand in config.yaml.
    """

    description: str
    settings: Mapping[str, Any]


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name, in the order of the file."""
    text = (files("pipeline.config") / "presets.yaml").read_text(encoding="utf-8")
    return {name: Preset(**preset) for name, preset in yaml.safe_load(text).items()}


def _known(name: str) -> str:
    if name not in presets():
        raise ValueError(f"must be one of the presets {', '.join(presets())}; found {name!r}")
    return name


def _list_names(schema: dict[str, Any]) -> None:
    schema["enum"] = list(presets())


PresetName = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_list_names)]
