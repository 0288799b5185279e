"""The loss of a level from its plan: the authors' weights, and which terms each setting gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from pipeline.config.reading import parse
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.guidance import Guidance, Propagation, normalise
from pipeline.layers import STYLE_LAYERS, VGG16
from pipeline.level_plans import LevelPlan
from pipeline.losses import ContentTerm, GramTerm, Loss, MeansTerm, TotalVariationTerm
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.rasters import TensorRaster
from pipeline.rendering.terms import absent_styles, level_loss
from pipeline.targets import StyleStatistics
from pipeline.tiles import Tile

TWO: list[dict[str, Any]] = [
    {"where": "left.png", "style": "s.png"},
    {"where": "right.png", "style": "t.png", "weight": 3},
]
CHANNELS = {layer.name: layer.channels for layer in VGG16}
SIZE = Size(64, 64)


def plan(**own: Any) -> Plan:
    raw = {"artworks": {"a": {"content": "c.png", "levels": [64], "style": "s.png", **own}}}
    if "regions" in own:
        del raw["artworks"]["a"]["style"]
    return resolve(parse(raw), "a", lambda _: SIZE)


def statistics(name: str, value: float) -> StyleStatistics:
    channels = CHANNELS[name]
    return StyleStatistics(
        gram=torch.full((channels, channels), value),
        mean=torch.full((channels,), 10 * value),
        sum=torch.full((channels,), 100 * value),
    )


def loss(found: Plan, guidance: Guidance | None = None, without: Mapping[str, str] | None = None) -> Loss:
    """The loss of the only level; style i of the level has statistics of value i + 1."""
    (level,) = found.levels
    targets = {}
    for index, key in enumerate(level.targets):
        names = [name for name in level.network.style_layers if (without or {}).get(key) != name]
        targets[key] = {name: statistics(name, index + 1.0) for name in names}
    return level_loss(level, found.settings.guidance, targets, guidance)


def halves(found: Plan) -> Guidance:
    """A left third and a right rest of the level."""
    level: LevelPlan = found.levels[0]
    channels = torch.zeros(2, 64, 64, dtype=torch.float64)
    channels[0, :, :16], channels[1, :, 16:] = 1, 1
    layers = [VGG16.layer(name) for name in level.network.style_layers]
    return normalise(TensorRaster(channels), layers, [Tile.whole(SIZE)], ["left", "right"])


def weights(found: Loss) -> dict[str, float]:
    return {
        term.name: term.weight for term in found.terms if isinstance(term, ContentTerm | GramTerm | MeansTerm)
    }


def test_the_plain_transfer_has_the_authors_weights() -> None:
    found = weights(loss(plan()))
    assert found == {
        "content relu4_2": 1,
        "style relu1_1": 1e3 / 64**2,
        "style relu2_1": 1e3 / 128**2,
        "style relu3_1": 1e3 / 256**2,
        "style relu4_1": 1e3 / 512**2,
        "style relu5_1": 1e3 / 512**2,
    }


def test_the_normalised_network_has_the_authors_weights() -> None:
    found = weights(loss(plan(preset="normalised", levels=[64])))
    assert found == {"content relu4_2": 1e6, **{f"style {name}": 1e9 / 5 for name in STYLE_LAYERS}}
    scale = weights(loss(plan(preset="scale_mixing_normalised", levels=[64])))
    assert scale["content relu4_2"] == 1e5


def test_regions_share_the_style_weight() -> None:
    found = plan(regions=TWO)
    terms = weights(loss(found, halves(found)))
    assert terms["style relu1_1 left"] == 1e3 / 64**2 / 2
    assert terms["style relu4_1 right"] == 3 * 1e3 / 512**2 / 2
    assert not [name for name in terms if name.endswith("everywhere")]


def test_a_region_is_compared_with_its_own_style() -> None:
    found = plan(regions=TWO)
    targets = {
        term.name: term.target for term in loss(found, halves(found)).terms if isinstance(term, GramTerm)
    }
    assert float(targets["style relu1_1 left"][0, 0]) == 1
    assert float(targets["style relu1_1 right"][0, 0]) == 2


def test_several_styles_are_their_weighted_mean() -> None:
    styles = [{"image": "s.png", "weight": 3}, {"image": "t.png", "weight": 1}]
    terms = loss(plan(regions=[{"where": "everything", "styles": styles}])).terms
    (gram,) = [term.target for term in terms if isinstance(term, GramTerm) and term.layer.name == "relu1_1"]
    assert torch.equal(gram, torch.full((64, 64), (3 * 1 + 1 * 2) / 4))


def test_the_whole_images_gram_beside_the_regions() -> None:
    found = plan(regions=TWO, guidance={"global_weight": 0.25})
    terms = loss(found, halves(found))
    assert weights(terms)["style relu1_1 everywhere"] == 0.25 * 1e3 / 64**2
    (gram,) = [
        t.target for t in terms.terms if isinstance(t, GramTerm) and t.name == "style relu1_1 everywhere"
    ]
    # Of the two styles, the second has three times the first one's share.
    assert torch.equal(gram, torch.full((64, 64), (1 + 3 * 2) / 4))


@pytest.mark.parametrize(
    ("preset", "means", "gram"),
    [
        ("one_style_means", 1e9, 1e3),
        ("many_styles_means", 1e8 / 2, 1e3 / 2),
        ("one_style_means_only", 1e9, None),
        ("many_styles_means_only", 1e8, None),
    ],
)
def test_means_have_the_authors_weights(preset: str, means: float, gram: float | None) -> None:
    found = plan(preset=preset, regions=[{**TWO[0]}, {**TWO[1], "weight": 1}], levels=[64])
    built = loss(found, halves(found))
    terms = weights(built)
    assert terms["means relu1_1 left"] == pytest.approx(means / 64**2 / 2)
    assert terms.get("style relu1_1 everywhere") == (None if gram is None else pytest.approx(gram / 64**2))
    for term in built.terms:
        if isinstance(term, MeansTerm):
            assert (term.gain, float(term.target[0])) == (1, 100 if term.region == 0 else 200)


def test_means_free_of_area_are_divided_by_the_guides_mean() -> None:
    found = plan(regions=TWO, guidance={"form": "means", "means_weight": 7})
    terms = {term.name: term for term in loss(found, halves(found)).terms if isinstance(term, MeansTerm)}
    left, right = terms["means relu1_1 left"], terms["means relu1_1 right"]
    assert (left.weight, right.weight) == (7 / 64**2 / 2, 3 * 7 / 64**2 / 2)
    # T is 1 / sqrt(share) inside: its mean is sqrt(share), a quarter and three quarters of the area.
    assert left.gain == pytest.approx(1 / 0.25**0.5)
    assert right.gain == pytest.approx(1 / 0.75**0.5)
    assert (float(left.target[0]), float(right.target[0])) == (10, 20)


def test_means_of_one_style_everywhere_stand_beside_its_gram() -> None:
    terms = loss(plan(guidance={"form": "means", "means_weight": 7})).terms
    kinds = {term.name: term for term in terms}
    means = kinds["means relu1_1"]
    assert isinstance(means, MeansTerm)
    assert (means.gain, means.region, float(means.target[0])) == (1, None, 10)
    assert weights(Loss(terms))["style relu1_1"] == 1e3 / 64**2


def test_stacked_channels_are_means_with_two_over_n_beside_the_gram() -> None:
    found = plan(regions=[{**TWO[0]}, {**TWO[1], "weight": 1}], guidance={"form": "stacked"})
    terms = weights(loss(found, halves(found)))
    assert terms["style relu1_1 everywhere"] == 1e3 / 64**2
    assert terms["means relu1_1 left"] == pytest.approx(1e3 / 64**2 * 2 / 64)
    assert weights(loss(plan(guidance={"form": "stacked"}))) == weights(loss(plan()))


def test_a_layer_weighs_what_it_is_given() -> None:
    network = {"layer_weights": {"relu1_1": 0.5, "relu2_1": 0, "relu4_2": 3}}
    found = weights(loss(plan(network=network)))
    assert found["content relu4_2"] == 3
    assert found["style relu1_1"] == 0.5 * 1e3 / 64**2
    assert "style relu2_1" not in found
    assert found["style relu3_1"] == 1e3 / 256**2


def test_content_layers_and_weights() -> None:
    network = {"content_layers": ["relu2_2", "relu4_2"]}
    found = loss(plan(network=network, content_weight=5))
    assert [(t.layer.name, t.weight) for t in found.terms if isinstance(t, ContentTerm)] == [
        ("relu2_2", 5),
        ("relu4_2", 5),
    ]
    assert not [t for t in loss(plan(content_weight=0)).terms if isinstance(t, ContentTerm)]


def test_a_region_may_have_a_content_weight_of_its_own() -> None:
    regions = [{**TWO[0], "content_weight": 9}, TWO[1]]
    found = plan(regions=regions, content_weight=2)
    (content,) = [t for t in loss(found, halves(found)).terms if isinstance(t, ContentTerm)]
    assert (content.weight, content.region_weights) == (2, (9, 2))
    found = plan(regions=regions, content_weight=0)
    (content,) = [t for t in loss(found, halves(found)).terms if isinstance(t, ContentTerm)]
    assert (content.weight, content.region_weights) == (0, (9, 0))
    whole = plan(regions=[{"where": "everything", "style": "s.png", "content_weight": 9}])
    assert weights(loss(whole))["content relu4_2"] == 9


def test_total_variation() -> None:
    (term,) = [t for t in loss(plan(tv_weight=4)).terms if isinstance(t, TotalVariationTerm)]
    assert term.weight == 4
    assert not [t for t in loss(plan()).terms if isinstance(t, TotalVariationTerm)]


def test_a_region_that_is_nowhere_is_refused() -> None:
    found = plan(regions=TWO)
    layers = [VGG16.layer(name) for name in STYLE_LAYERS]
    channels = torch.zeros(2, 64, 64, dtype=torch.float64)
    channels[1] = 1
    empty = normalise(TensorRaster(channels), layers, [Tile.whole(SIZE)], ["left", "right"])
    with pytest.raises(
        InputError,
        match=re.escape("region left: expected a mask that covers at least one unit of relu1_1 at level 64"),
    ):
        loss(found, empty)


def test_an_automatic_region_that_is_nowhere_leaves_the_image_to_the_others() -> None:
    found = plan(regions=[{**TWO[0], "where": "person"}, {**TWO[1], "where": "background"}])
    layers = [VGG16.layer(name) for name in STYLE_LAYERS]
    channels = torch.zeros(2, 64, 64, dtype=torch.float64)
    channels[1] = 1
    nobody = normalise(TensorRaster(channels), layers, [Tile.whole(SIZE)], ["person", "background"])
    terms = weights(loss(found, nobody))
    assert [name for name in terms if name.endswith("person")] == []
    assert len([name for name in terms if name.endswith("background")]) == 5
    # Alone, it has the whole of the style weight.
    assert terms["style relu1_1 background"] == 3 * 1e3 / 64**2


def test_the_style_of_an_automatic_region_that_is_nowhere_is_not_in_the_whole_image_either() -> None:
    two = [{**TWO[0], "where": "person"}, {**TWO[1], "where": "background"}]
    found = plan(regions=two, guidance={"global_weight": 0.5})
    layers = [VGG16.layer(name) for name in STYLE_LAYERS]
    channels = torch.zeros(2, 64, 64, dtype=torch.float64)
    channels[1] = 1
    nobody = normalise(TensorRaster(channels), layers, [Tile.whole(SIZE)], ["person", "background"])
    target = {t.name: t.target for t in loss(found, nobody).terms if isinstance(t, GramTerm)}
    background = found.levels[0].targets.index(found.levels[0].regions[1].whole[0].target)
    assert float(target["style relu1_1 everywhere"][0, 0]) == background + 1


def test_a_style_without_statistics_at_a_layer_is_left_out_there() -> None:
    styles = [{"image": "s.png"}, {"image": "t.png", "mask": "m.png"}]
    found = plan(regions=[{"where": "everything", "styles": styles}])
    masked = found.levels[0].targets[1]
    terms = {t.name: t for t in loss(found, without={masked: "relu5_1"}).terms if isinstance(t, GramTerm)}
    assert float(terms["style relu4_1"].target[0, 0]) == 1.5
    assert float(terms["style relu5_1"].target[0, 0]) == 1


def test_a_style_without_statistics_at_a_layer_is_told() -> None:
    styles = [{"image": "s.png"}, {"image": "t.png", "mask": "m.png"}]
    found = plan(regions=[{"where": "everything", "styles": styles}], guidance={"propagation": "inside"})
    level = found.levels[0]
    plain, masked = level.targets
    known = {
        plain: {name: statistics(name, 1) for name in STYLE_LAYERS},
        masked: {name: statistics(name, 1) for name in STYLE_LAYERS[:-1]},
    }
    assert list(absent_styles(level, known, Propagation("inside"))) == [
        f"region everything takes nothing of {masked} at relu5_1: the mask on the style covers less than one "
        "unit there (147x147 px would do: a larger mask or level, or propagation `simple`)"
    ]


def test_nothing_to_optimise_is_refused() -> None:
    network = {"layer_weights": dict.fromkeys(STYLE_LAYERS, 0.0)}
    with pytest.raises(InputError, match="level 64: expected something to optimise"):
        loss(plan(content_weight=0, network=network))


def test_a_person_who_is_nowhere_is_told_where_nothing_else_is_to_be_done() -> None:
    regions = [{"where": "person", "style": "s.png"}]
    found = plan(regions=regions, content_weight=0)
    nobody = TensorRaster(torch.zeros(1, 64, 64, dtype=torch.float64))
    layers = [VGG16.layer(name) for name in found.levels[0].network.style_layers]
    guidance = normalise(nobody, layers, [Tile.whole(SIZE)], ["person"])
    with pytest.raises(InputError, match="found a content weight of 0 and no region that is anywhere"):
        loss(found, guidance)
