"""The JSON schema of config.yaml: made from the models, and taught the short form `style: IMAGE`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pipeline.combination import BY_LENGTH, OF_SEVERAL, OPERATIONS
from pipeline.config.combine import COMBINE, SHEET, Combine
from pipeline.config.controls import AutomaticRegions
from pipeline.config.models import Config
from pipeline.config.sections import NAME_PATTERN
from pipeline.lengths import LENGTH_PATTERN

_STYLE = {
    "description": "The only style: an image, or a mapping as under `styles`.",
    "anyOf": [{"type": "string", "format": "path"}, {"$ref": "#/$defs/Style"}],
}
_LEVEL = "#/$defs/LevelSettings"
_MASK = {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/Combination"}]}
_MASKS_TELL = {
    "not": "What this mask leaves.",
    "union": "What any of these masks covers.",
    "intersection": "What all of these masks cover.",
    "minus": "The first of these masks without the others.",
    "grow": "`of`, and all that is within this length of it.",
    "shrink": "What is farther than this length from all that `of` leaves.",
    "feather": "`of` with softer edges: blurred by a Gaussian whose standard deviation is this length.",
}


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
        regions = schema["$defs"][name]["properties"]["regions"]
        several = {key: regions.pop(key) for key in ("type", "items")}
        regions["anyOf"] = [several, {"$ref": "#/$defs/AutomaticRegions"}]
    schema["$defs"]["AutomaticRegions"] = _automatic_regions()
    _also_alone(schema["$defs"]["Mixing"]["properties"], "up_to_layer", "iterations")
    _also_alone(schema["$defs"]["Print"]["properties"], "format")
    region = schema["$defs"]["Region"]
    _or_style(region)
    _collections(schema)
    # pydantic lets names through that the pattern does not fit.
    schema["properties"]["networks"]["additionalProperties"] = False
    network = schema["$defs"]["TrainedNetwork"]
    network["properties"]["styles"]["additionalProperties"] = False
    network["oneOf"] = [{"required": ["photographs"]}, {"required": ["file"]}]
    _also_alone(network["properties"], "photographs")
    schema["$defs"]["Combination"] = _combination()
    for properties, name in (
        (region["properties"], "where"),
        (schema["$defs"]["Style"]["properties"], "mask"),
    ):
        properties[name] = _MASK | {"description": properties[name]["description"]}
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from the models in models.py and sections.py by tests/make_schema.py.",
    }
    return about | schema


def _collections(schema: dict[str, Any]) -> None:
    """Lets a sheet or combinations stand beside artworks, which may then change theirs."""
    artworks, keys = schema["properties"]["artworks"], schema["properties"]
    # pydantic lets names through that the pattern does not fit.
    artworks["additionalProperties"] = False
    del artworks["minProperties"]
    schema["$defs"]["Artwork"].pop("required")
    with_content = {"type": "object", "minProperties": 1, "additionalProperties": {"required": ["content"]}}
    elsewhere = [{"required": [SHEET]}, {"required": [COMBINE]}]
    schema.pop("required")
    schema["if"] = {"anyOf": elsewhere}
    schema["else"] = {"required": ["artworks"], "properties": {"artworks": with_content}}
    sheet = {"type": "string", "pattern": r"\.([cC][sS][vV]|[tT][sS][vV])$"}
    keys[SHEET] = {
        "description": "A CSV or TSV file with an artwork in each row, or several; its columns are keys of "
        "an artwork. What `artworks` says of one of its names stands above its row.",
        "anyOf": [sheet, {"type": "array", "minItems": 1, "items": sheet}],
    }
    combine = Combine.model_json_schema()
    for name, below in (("contents", "Artwork"), ("styles", "Defaults"), ("settings", "Defaults")):
        settings = {"$ref": f"#/$defs/{below}"}
        values = settings if name == "settings" else {"anyOf": [{"type": "string"}, settings]}
        by_name = {
            "type": "object",
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": values,
        }
        images = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
        combine["properties"][name] = {"description": combine["properties"][name]["description"]} | (
            by_name if name == "settings" else {"anyOf": [*images, by_name]}
        )
    _also_alone(combine["properties"], "exclude")
    schema["$defs"]["Combine"] = combine
    ref = {"$ref": "#/$defs/Combine"}
    keys[COMBINE] = {
        "description": "Contents x styles x settings: an artwork for each combination; or several of these.",
        "anyOf": [ref, {"type": "array", "minItems": 1, "items": ref}],
    }


def _automatic_regions() -> dict[str, Any]:
    schema = {key: part for key, part in AutomaticRegions.model_json_schema().items() if key != "$defs"}
    schema["properties"]["styles"]["items"] = {"anyOf": _STYLE["anyOf"]}
    _or_style(schema)
    return schema


def _or_style(schema: dict[str, Any]) -> None:
    """Lets `style` stand for `styles`."""
    schema["properties"]["style"] = _STYLE
    schema["required"].remove("styles")
    schema["oneOf"] = [{"required": ["style"]}, {"required": ["styles"]}]


def _combination() -> dict[str, Any]:
    """A mapping with one operation, whose masks may be such mappings again."""
    properties: dict[str, Any] = {"of": _MASK | {"description": "The mask that is changed by a length."}}
    for operation, told in _MASKS_TELL.items():
        if operation in BY_LENGTH:
            shape: dict[str, Any] = {"type": "string", "pattern": f"^{LENGTH_PATTERN}$"}
        elif operation in OF_SEVERAL:
            shape = {"type": "array", "minItems": 1, "items": _MASK}
        else:
            shape = _MASK
        properties[operation] = shape | {"description": told}
    return {
        "description": "Masks combined into one.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "oneOf": [
            {"required": [operation, "of"] if operation in BY_LENGTH else [operation]}
            | {"maxProperties": 2 if operation in BY_LENGTH else 1}
            for operation in OPERATIONS
        ],
    }


def _also_alone(properties: dict[str, Any], *names: str) -> None:
    """Lets one entry stand for a list of one."""
    for name in names:
        several = {
            key: properties[name].pop(key) for key in ("type", "items", "minItems") if key in properties[name]
        }
        properties[name]["anyOf"] = [several["items"], several]
