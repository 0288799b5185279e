"""config.yaml, its schema and the models say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from make_schema import SCHEMA

from pipeline.config.models import WeightsName
from pipeline.config.reading import parse
from pipeline.config.schema import schema_text
from pipeline.errors import ConfigError
from pipeline.weights import REGISTRY

CONFIG = SCHEMA.parents[2] / "config.yaml"
MINIMAL = {"content": "c.png", "style": "s.png"}


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_file_is_that_of_the_models() -> None:
    fresh = SCHEMA.read_text(encoding="utf-8") == schema_text()
    assert fresh, "The models have changed: run python tests/make_schema.py"


def test_config_yaml_is_valid_against_schema_and_models() -> None:
    raw = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    validator().validate(raw)
    assert list(parse(raw).artworks) == list(raw["artworks"])


def test_every_key_has_a_description() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    models = {"Config": schema, **schema["$defs"]}
    bare = [
        f"{model}.{key}"
        for model, definition in models.items()
        for key, value in definition["properties"].items()
        if not value.get("description")
    ]
    assert bare == []


def test_config_yaml_points_editors_at_the_schema() -> None:
    first = CONFIG.read_text(encoding="utf-8").splitlines()[:6]
    assert f"# yaml-language-server: $schema={SCHEMA.relative_to(CONFIG.parent)}" in first


def artworks(**settings: Any) -> dict[str, Any]:
    return {"artworks": {"a": {"content": "c.png", **settings}}}


VALID = [
    artworks(style="s.png"),
    artworks(style={"image": "s.png", "scale": 2}),
    artworks(regions=[{"where": "person", "style": "s.png"}]),
    artworks(regions=[{"where": "m.png", "styles": [{"image": "s.png", "weight": 2}], "name": "sky"}]),
    artworks(
        regions=[{"where": {"grow": "3 mm", "of": {"minus": ["person", "not m.png"]}}, "style": "s.png"}]
    ),
    artworks(
        style={"image": "s.png", "mask": {"not": {"union": ["m.png", {"feather": "2 px", "of": "n.png"}]}}}
    ),
    artworks(style="s.png", levels=[256, 512], iterations=[3]),
    artworks(style="s.png", print={"width": "20 cm", "bits": 16}),
    {**artworks(style="s.png"), "weights": {"vgg19_oxford": {"path": "v.pth"}}},
    {**artworks(), "defaults": {"style": "s.png"}},
    {"combine": {"contents": "c.png", "styles": ["s.png"], "settings": {"x": {"seed": 3}}, "exclude": []}},
    {
        "combine": [
            {"contents": {"c": "c.png", "d": {"content": "d.png"}}, "styles": {"s": {"style": "s.png"}}}
        ],
        "artworks": {"c-s": {"seed": 4}},
    },
]
INVALID: list[dict[str, Any]] = [
    {},
    {"artworks": {}},
    {"artworks": {"a b": MINIMAL}},
    {"artworks": {"a": {"style": "s.png"}}},
    {"sheet": 5},
    {"combine": "c.png"},
    {"combine": {"styles": "s.png"}},
    {"combine": {"contents": {"a b": "c.png"}, "styles": "s.png"}},
    artworks(style=5),
    artworks(style=["s.png"]),
    artworks(style="s.png", regions=[{"where": "person", "style": "s.png"}]),
    artworks(regions=[{"where": "person"}]),
    artworks(regions=[{"where": "person", "style": "s.png", "styles": [{"image": "s.png"}]}]),
    artworks(style="s.png", itertions=[3]),
    artworks(style="s.png", levels=[32]),
    artworks(style="s.png", levels=[]),
    artworks(style="s.png", print={"width": "20"}),
    artworks(style="s.png", network={"name": "alexnet"}),
    {**artworks(style="s.png"), "weights": {"alexnet": {"path": "v.pth"}}},
]
NO_MASKS: list[Any] = [
    {"unoin": ["m.png"]},
    {"union": []},
    {"union": "m.png"},
    {"union": ["m.png"], "minus": ["m.png"]},
    {"not": "m.png", "of": "m.png"},
    {"grow": "3 mm"},
    {"grow": "-3 mm", "of": "m.png"},
    {"not": {"grow": 3, "of": "m.png"}},
    {"of": "m.png"},
    {},
    5,
]
INVALID += [artworks(regions=[{"where": where, "style": "s.png"}]) for where in NO_MASKS]


@pytest.mark.parametrize("raw", VALID)
def test_schema_and_models_accept(raw: Mapping[str, Any]) -> None:
    validator().validate(raw)
    parse(raw)


@pytest.mark.parametrize("raw", INVALID)
def test_schema_and_models_refuse(raw: Mapping[str, Any]) -> None:
    assert list(validator().iter_errors(raw))
    with pytest.raises(ConfigError):
        parse(raw)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert {f"#/$defs/{name}" for name in schema["$defs"]} == set(references(schema))


def test_the_configuration_knows_the_registrys_model_files() -> None:
    assert set(get_args(WeightsName)) == set(REGISTRY)


def test_the_schema_lies_beside_the_models() -> None:
    assert SCHEMA.name == "schema.json"
    assert Path(SCHEMA.parent, "models.py").is_file()
