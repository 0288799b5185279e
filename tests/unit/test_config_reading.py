"""Reading a configuration: what it inherits, and every mistake as the one line its writer sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import plain
from pipeline.config.models import Artwork, Config, LevelSettings
from pipeline.config.reading import for_artwork, load, parse, read_yaml_text
from pipeline.errors import ConfigError, InputError

A = "artworks: {a: {content: c.png, style: s.png"
"""The start of a valid configuration: one artwork, two braces open."""

MISTAKES = Path(__file__).with_name("config_mistakes.txt").read_text(encoding="utf-8").split("\n\n")


@pytest.mark.parametrize("block", [block for block in MISTAKES if not block.startswith("#")])
def test_every_mistake_is_one_line_for_its_writer(block: str) -> None:
    text, answer = block.strip().split("\n=> ")
    with pytest.raises(ConfigError) as caught:
        parse(yaml.safe_load(text))
    assert str(caught.value) == answer


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ConfigError, match=r"found 'x{76}\.\.\.\.$"):
        parse(yaml.safe_load(A + f", seed: {'x' * 200}}}}}"))


# -- what an artwork inherits ------------------------------------------------------------------------


def merged(defaults: dict[str, Any], own: dict[str, Any]) -> Artwork:
    return parse({"defaults": defaults, "artworks": {"a": {"content": "c.png", **own}}}).artworks["a"]


def test_what_an_artwork_does_not_say_it_inherits() -> None:
    found = merged({"style": "s.png", "seed": 3, "content_weight": 5}, {"seed": 4})
    assert (found.seed, found.content_weight) == (4, 5)
    assert str(found.regions[0].styles[0].image) == "s.png"


def test_sections_are_merged_key_by_key() -> None:
    found = merged(
        {"style": "s.png", "print": {"dpi": 150, "bits": 16}, "colour": {"mode": "luminance"}},
        {"print": {"bits": 8}, "colour": {"luma_match": "mean"}},
    )
    assert (found.print.dpi, found.print.bits) == (150, 8)
    assert (found.colour.mode, found.colour.luma_match) == ("luminance", "mean")


def test_lists_are_replaced_whole() -> None:
    assert merged({"style": "s.png", "iterations": [1, 2, 3]}, {"iterations": [9]}).iterations == (9,)


@pytest.mark.parametrize("own", [{"style": "t.png"}, {"regions": [{"where": "person", "style": "t.png"}]}])
@pytest.mark.parametrize(
    "inherited", [{"style": "s.png"}, {"regions": [{"where": "m.png", "style": "s.png"}]}]
)
def test_an_artworks_style_displaces_the_inherited_one(
    inherited: dict[str, Any], own: dict[str, Any]
) -> None:
    (region,) = merged(inherited, own).regions
    assert [str(style.image) for style in region.styles] == ["t.png"]


def test_levels_displace_an_inherited_print_size_and_keep_the_rest() -> None:
    found = merged({"style": "s.png", "print": {"width": "20 cm", "dpi": 150}}, {"levels": [256]})
    assert (found.levels, found.print.width, found.print.dpi) == ((LevelSettings(px=256),), None, 150)


def test_a_print_size_displaces_inherited_levels() -> None:
    found = merged({"style": "s.png", "levels": [256]}, {"print": {"height": "20 cm"}})
    assert (found.levels, found.print.height) == (None, "20 cm")


def test_levels_that_follow_from_the_print_size_keep_an_inherited_one() -> None:
    found = merged({"style": "s.png", "print": {"width": "20 cm"}}, {"levels": "auto"})
    assert (found.levels, found.print.width) == (None, "20 cm")
    found = merged({"style": "s.png", "levels": [256]}, {"levels": "auto"})
    assert (found.levels, found.print.width) == (None, None)


def test_a_width_displaces_an_inherited_height() -> None:
    found = merged(
        {"style": "s.png", "print": {"height": "30 cm", "bits": 16}}, {"print": {"width": "20 cm"}}
    )
    assert (found.print.width, found.print.height, found.print.bits) == ("20 cm", None, 16)


def test_an_empty_key_takes_an_inherited_value_back() -> None:
    found = merged({"style": "s.png", "seed": 3, "print": {"width": "20 cm"}}, {"seed": None, "print": None})
    assert (found.seed, found.print.width) == (0, None)
    assert merged({"style": "s.png", "levels": [256]}, {"print": {"width": None}}).levels == (
        LevelSettings(px=256),
    )
    assert merged({"style": "s.png", "print": {"width": "2 cm"}}, {"levels": None}).print.width == "2 cm"


def test_sections_whose_lines_are_all_commented_out_are_empty() -> None:
    config = parse(read_yaml_text(A + "}}\ncompute:\ndefaults:\nweights:\ntitle:\n", "c"))
    assert config == parse(yaml.safe_load(A + "}}"))


def test_numbers_are_names_of_artworks_too() -> None:
    assert list(parse(yaml.safe_load("artworks: {2024: {content: c.png, style: s.png}}")).artworks) == [
        "2024"
    ]


def test_a_number_in_scientific_notation_is_one() -> None:
    # YAML reads 1e3 as text.
    assert parse(yaml.safe_load(A + ", style_weight: 1e3}}")).artworks["a"].style_weight == 1000.0


# -- files -------------------------------------------------------------------------------------------


def test_a_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(A + ", seed: x}}")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: artworks.a.seed: expected a whole number; found 'x'."


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "expected a configuration file; found no such file or directory."),
        (b"\xff\xfe\xff", "expected a configuration file; found bytes that are no text."),
        (b"a: [", "expected valid YAML; found while parsing a flow node"),
        (b"\x00", "expected valid YAML; found unacceptable character #x0000: special characters are not"),
        (b"[" * 100_000, "expected valid YAML; found more than 100 values inside others."),
        (b"- " * 100_000, "expected valid YAML; found more than 100 values inside others."),
        (b"a: &x [1, {b: *x}]", "expected valid YAML; found a value inside itself, *x."),
        (b"a: 1\nb: 2024-13-45", "expected valid YAML; found what is no timestamp in"),
        (b"a: !!bool x", "expected valid YAML; found what is no bool in"),
        (b"a: !!timestamp x", "expected valid YAML; found what is no timestamp in"),
        (b"a: " + b"1" * 5000, "expected valid YAML; found what is no int in"),
        (b"a: b: c", "expected valid YAML; found mapping values are not allowed here"),
        (b"a: !!python/object:x {}", "expected valid YAML; found could not determine a constructor"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, content: bytes | None, line: str) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "artworks:\n  a: {}\n  b: {}\n  a: {}\n",
            "c.yaml: line 4: expected each key once; found 'a' again.",
        ),
        ("seed: 1\nseed: 1\n", "c.yaml: line 2: expected each key once; found 'seed' again."),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_a_key_said_twice_is_not_dropped_without_a_word(
    text: str, line: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        # As where PyYAML was built without libyaml.
        monkeypatch.setattr(plain, "_UniqueKeysFast", plain._UniqueKeys)
    with pytest.raises(ConfigError) as caught:
        read_yaml_text(text, "c.yaml")
    assert str(caught.value) == line


def test_anchors_and_merge_keys_are_no_repetition() -> None:
    text = "x: &x {seed: 1, levels: [2]}\na: {<<: *x, seed: 3}\nb: {seed: 4}\n"
    assert read_yaml_text(text, "c")["a"] == {"seed": 3, "levels": [2]}


def test_an_artworks_part_says_the_same_as_the_whole() -> None:
    whole: Config = parse(
        yaml.safe_load(
            "artworks: {a: {content: c.png, style: s.png}, b: {content: d.png, style: {image: t.png}, "
            "print: {width: 20 cm}}}\ndefaults: {levels: [256], colour: {mode: luminance}}\ntitle: x\n"
            "weights: {vgg19: {path: v.pth}}"
        )
    )
    part = parse(for_artwork(whole, "b"))
    assert part.artworks == {"b": whole.artworks["b"]}
    assert (part.compute, part.weights, part.results_dir) == (whole.compute, whole.weights, whole.results_dir)
    assert "title" not in for_artwork(whole, "b")
