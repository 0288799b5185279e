"""The authors' settings by name: each is what they used, and a valid configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.models import Artwork
from pipeline.config.presets import presets
from pipeline.config.reading import parse

PAPER = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def artwork(defaults: dict[str, Any] | None = None, **own: Any) -> Artwork:
    raw = {"defaults": defaults or {}, "artworks": {"a": {"content": "c.png", "style": "s.png", **own}}}
    return parse(raw).artworks["a"]


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_one_line_and_says_what_it_is(name: str) -> None:
    assert artwork(preset=name).preset == (name,)
    assert presets()[name].description.endswith(".")


@pytest.mark.parametrize("name", [name for name in presets() if not name.startswith("colour")])
def test_sizes_and_iterations_are_the_authors(name: str) -> None:
    found = artwork(preset=name)
    levels = [found.at_level(index, level.px) for index, level in enumerate(found.levels or ())]
    assert [(level.px, level.iterations) for level in levels] == [(512, 500), (1024, 200)]
    assert {level.style_layers for level in levels} == {PAPER}
    assert {level.content_layers for level in levels} == {("relu4_2",)}
    # 0.1 stands for 1e5 in the normalised network.
    assert found.content_weight == (0.1 if name == "scale_mixing_normalised" else 1)
    assert found.style_weight == 1000


@pytest.mark.parametrize(
    ("name", "form", "propagation", "grow", "means_weight", "whole_share"),
    [
        ("figure_2", "gram", "simple", 0, None, 0),
        ("many_styles_gram", "gram", "simple", 0, None, 0),
        ("one_style_gram", "gram", "inside", 3, None, 0),
        ("one_style_means", "means", "inside", 0, 1e9, 1),
        ("many_styles_means", "means", "simple", 0, 1e8 / 2, 0.5),
        ("one_style_means_only", "means", "inside", 3, 1e9, 0),
        ("many_styles_means_only", "means", "simple", 0, 1e8, 0),
        ("stacked", "stacked", "simple", 0, None, 1),
    ],
)
def test_spatial_presets(
    name: str, form: str, propagation: str, grow: int, *, means_weight: float | None, whole_share: float
) -> None:
    found = artwork(preset=name).guidance
    assert (found.form, found.propagation, found.grow_units) == (form, propagation, grow)
    assert found.whole_share == whole_share
    if means_weight is not None:
        assert (found.means_weight, found.normalisation) == (means_weight, "sum")


def test_networks() -> None:
    assert artwork(preset="original").network.normalised is False
    assert artwork(preset="normalised").network.normalised is True
    mixed = artwork(preset="scale_mixing_normalised")
    assert (mixed.network.normalised, mixed.content_weight) == (True, 0.1)
    assert (mixed.mixing.up_to_layer, mixed.mixing.iterations) == (("relu2_1", "relu4_1"), (500, 200))


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("colour_matching", {"mode": "style_to_content", "transform": "pca"}),
        ("colour_luminance", {"mode": "luminance", "luma_match": "mean"}),
        ("colour_luminance_text", {"mode": "luminance", "luma_match": "deviation"}),
        ("colour_map", {"mode": "content_to_style", "transform": "pca"}),
    ],
)
def test_colour_presets_leave_the_rest_alone(name: str, colour: dict[str, str]) -> None:
    found = artwork(preset=name)
    assert found.colour.model_dump(include=set(colour)) == colour
    assert found == artwork(colour=colour, preset=name)


def test_presets_combine_later_above_earlier() -> None:
    found = artwork(preset=["one_style_gram", "normalised", "colour_luminance"])
    assert found.guidance.propagation == "inside"
    assert (found.network.normalised, found.colour.mode) == (True, "luminance")


@pytest.mark.parametrize("name", [name for name in presets() if not name.startswith("colour")])
def test_every_preset_can_be_had_on_the_normalised_network_in_any_order(name: str) -> None:
    assert artwork(preset=[name, "normalised"]).network.normalised
    assert artwork(preset=["normalised", name]).network.normalised


def test_what_the_artwork_says_stands_above_its_preset_and_that_above_the_defaults() -> None:
    defaults = {"content_weight": 5, "levels": [128], "seed": 7, "guidance": {"form": "means"}}
    found = artwork(defaults, preset="one_style_gram", iterations=3)
    assert (found.content_weight, found.seed, found.iterations) == (1, 7, (3,))
    assert (found.guidance.form, found.guidance.grow_units) == ("gram", 3)
    assert [level.px for level in found.levels or ()] == [512, 1024]


def test_a_preset_among_the_defaults_lies_below_them() -> None:
    found = artwork({"preset": "one_style_means", "content_weight": 4}, guidance={"means_weight": 7})
    assert (found.content_weight, found.guidance.means_weight, found.guidance.form) == (4, 7, "means")


def test_a_print_size_displaces_a_presets_levels() -> None:
    found = artwork(preset="original", print={"width": "20 cm"})
    assert (found.levels, found.iterations) == (None, (500, 200))


INHERITED: dict[str, Any] = {"print": {"width": "60 cm", "dpi": 150}}


@pytest.mark.parametrize("name", presets())
def test_an_inherited_print_size_displaces_a_presets_levels(name: str) -> None:
    found = artwork(INHERITED, preset=name)
    assert (found.levels, found.print.width, found.print.dpi) == (None, "60 cm", 150)


@pytest.mark.parametrize(
    ("own", "levels", "width"),
    [
        ({"levels": [256]}, (256,), None),
        ({"levels": "auto"}, (), "60 cm"),
        ({"print": {"width": "20 cm"}}, (), "20 cm"),
        ({"print": None}, (512, 1024), None),
        ({"print": {"width": None}}, (512, 1024), None),
    ],
)
def test_what_the_artwork_itself_says_displaces_an_inherited_print_size(
    own: dict[str, Any], levels: tuple[int, ...], width: str | None
) -> None:
    found = artwork(INHERITED, preset="original", **own)
    assert (tuple(level.px for level in found.levels or ()), found.print.width) == (levels, width)


def test_artworks_of_sheets_and_combinations_keep_an_inherited_print_size_too(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("name,content,preset\nrow,c.png,original\n")
    combine = {"contents": {"c": "c.png"}, "settings": {"paper": {"preset": "original"}}}
    raw = {"defaults": {"style": "s.png", **INHERITED}, "sheet": str(sheet), "combine": combine}
    found = parse(raw).artworks
    assert {name: each.print.width for name, each in found.items()} == {"row": "60 cm", "c-paper": "60 cm"}
