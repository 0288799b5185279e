"""The JSON schema of config.yaml: made from the models, and taught the short form `style: IMAGE`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pipeline.config.models import Config

_STYLE = {
    "description": "The only style: an image, or a mapping as under `styles`.",
    "anyOf": [{"type": "string", "format": "path"}, {"$ref": "#/$defs/Style"}],
}
_LEVEL = "#/$defs/LevelSettings"


def schema_text() -> str:
    """The text of schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


@cache
def json_schema() -> dict[str, Any]:
    """The schema as plain values; every property has a description."""
    schema = Config.model_json_schema()
    for name in ("Artwork", "Defaults"):
        schema["$defs"][name]["properties"]["style"] = _STYLE
        schema["$defs"][name]["not"] = {"required": ["style", "regions"]}
    for name in ("Artwork", "Defaults"):
        _also_alone(schema["$defs"][name]["properties"], "preset", "iterations")
        levels = schema["$defs"][name]["properties"]["levels"]
        level = {"anyOf": [schema["$defs"]["LevelSettings"]["properties"]["px"], {"$ref": _LEVEL}]}
        levels["anyOf"] = [{"const": "auto"}, {"type": "array", "minItems": 1, "items": level}]
    _also_alone(schema["$defs"]["Mixing"]["properties"], "up_to_layer", "iterations")
    region = schema["$defs"]["Region"]
    region["properties"]["style"] = _STYLE
    region["required"].remove("styles")
    region["oneOf"] = [{"required": ["style"]}, {"required": ["styles"]}]
    # pydantic lets names through that the pattern does not fit.
    schema["properties"]["artworks"]["additionalProperties"] = False
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from the models in models.py and sections.py by tests/make_schema.py.",
    }
    return about | schema


def _also_alone(properties: dict[str, Any], *names: str) -> None:
    """Lets one entry stand for a list of one."""
    for name in names:
        several = {
            key: properties[name].pop(key) for key in ("type", "items", "minItems") if key in properties[name]
        }
        properties[name]["anyOf"] = [several["items"], several]
