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
