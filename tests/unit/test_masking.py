"""From expressions to masks: what stays a file, what becomes a combination, and how long its lengths are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipeline.combination import to_plain
from pipeline.config.reading import parse
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.mask_files import MaskFiles
from pipeline.masking import content_dpi
from pipeline.plan import Plan, read_plan
from pipeline.planning import resolve
from pipeline.shared_plans import Area

SIZES = {name: Size(400, 600) for name in ("c.png", "m.png", "n.png", "not so.png")}
SIZES["s.png"] = Size(512, 512)
HAT = {"minus": ["person", "m.png"]}


def size_of(path: Path) -> Size:
    if path.name not in SIZES:
        raise InputError(path, expected="an image file", found="no such file")
    return SIZES[path.name]


def plan(*wheres: Any, mask: Any = None, **settings: Any) -> Plan:
    style = {"image": "s.png", "mask": mask}
    regions = [{"where": where, "style": style, "name": f"r{index}"} for index, where in enumerate(wheres)]
    artwork = {"content": "c.png", "levels": [256, 512], "regions": regions, **settings}
    return resolve(parse({"artworks": {"a": artwork}}), "a", size_of)


@pytest.mark.parametrize(
    ("where", "inverted"),
    [("m.png", False), ("not m.png", True), ({"not": "m.png"}, True), ("not not m.png", False)],
)
def test_a_mask_file_and_what_it_leaves_are_used_as_they_are(where: Any, inverted: bool) -> None:
    found = plan(where)
    assert found.areas == {"r0": Area(file=Path("m.png"), inverted=inverted)}
    assert (found.masks, found.combinations, found.inputs[-1]) == ({}, {}, Path("m.png"))


@pytest.mark.parametrize(
    ("where", "inverted"),
    [("person", False), ("background", True), ("not person", True), ("not background", False)],
)
def test_an_automatic_mask_and_what_it_leaves_are_one_file(where: str, inverted: bool) -> None:
    found = plan(where)
    ((key, mask),) = found.masks.items()
    assert mask.prepared == found.content
    assert found.areas == {"r0": Area(mask=key, inverted=inverted)}
    assert found.combinations == {}
    assert {"person", "person_detector"} <= set(found.weights)


def test_everything_needs_no_mask_and_nothing_is_made_to_be_seen_empty() -> None:
    found = plan("everything", mask="everything")
    assert (found.areas, found.masks, found.combinations) == ({}, {}, {})
    assert [target.mask for target in found.targets.values()] == [None] * len(found.targets)
    found = plan("not everything")
    ((key, mask),) = found.combinations.items()
    assert (mask.expression, found.areas["r0"]) == ("everything", Area(mask=key, inverted=True))


def test_the_subject_may_stand_beside_the_person() -> None:
    found = plan({"minus": ["subject", "person"]}, masks={"sam": None})
    assert sorted(mask.settings.method for mask in found.masks.values()) == ["person", "subject"]
    assert {"person", "person_detector", "subject"} <= set(found.weights)


def test_a_combination_is_made_of_files_and_keys_at_the_contents_size() -> None:
    found = plan({"union": ["background", {"grow": "2.50 px", "of": "not x/../n.png"}, "everything"]})
    ((person, _),) = found.masks.items()
    ((key, mask),) = found.combinations.items()
    assert (mask.height, mask.width) == (400, 600)
    assert to_plain(mask.expression) == {
        "union": [{"not": person}, {"grow": "2.5 px", "of": {"not": "x/../n.png"}}, "everything"]
    }
    assert mask.leaves == (person, "x/../n.png", "everything")
    assert key.startswith("c-background-union-not-n-grown-union-everything-")
    assert found.areas == {"r0": Area(mask=key)}
    assert found.inputs == (Path("c.png"), Path("s.png"), Path("x/../n.png"))


def test_a_file_that_is_called_not_so_stays_that_file() -> None:
    where = {"grow": "12 px", "of": "./not so.png"}
    found = plan(where)
    ((key, mask),) = found.combinations.items()
    assert to_plain(mask.expression) == where
    assert Plan.model_validate_json(found.model_dump_json()).combinations[key] == mask
    files = MaskFiles("masks", {}, {}, found.combinations, {})
    assert json.loads(shlex.split(files.combine_options(key))[1]) == where
    assert files.combine_inputs(key) == ["not so.png"]


def test_what_a_combination_leaves_is_the_same_file() -> None:
    found = plan(HAT, {"not": HAT})
    ((key, _),) = found.combinations.items()
    assert found.areas == {"r0": Area(mask=key), "r1": Area(mask=key, inverted=True)}


def test_a_file_that_is_combined_as_well_is_brought_to_size_as_the_combination_is() -> None:
    parts = ["m.png", {"minus": ["n.png", "m.png"]}, {"not": {"union": ["m.png", "n.png"]}}]
    found = plan(*parts)
    expressions = [to_plain(found.combinations[area.mask or ""].expression) for area in found.areas.values()]
    assert expressions == ["m.png", parts[1], {"union": ["m.png", "n.png"]}]
    found = plan("m.png", {"minus": ["n.png", "person"]}, mask={"not": {"union": ["m.png"]}})
    assert found.areas["r0"] == Area(file=Path("m.png"))


def test_a_key_changes_with_what_the_combination_depends_on() -> None:
    def key(where: Any, **settings: Any) -> str:
        (found,) = plan(where, **settings).combinations
        return found.rpartition("-")[2]

    same = key(HAT)
    assert same == key(HAT, seed=3, levels=[300], content_weight=3)
    grown = {"grow": "3 mm", "of": "m.png"}
    others = [
        key({"minus": ["person", "n.png"]}),
        key({"minus": ["m.png", "person"]}),
        key(HAT, masks={"method": "subject"}),
        key(grown),
        key(grown, print={"dpi": 100}),
        key(grown, levels=[256, 600]),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_millimetres_are_those_of_the_print() -> None:
    # The content has 600 px where the print has 20 cm, whatever the print's resolution: 3 px a millimetre.
    for dpi in (100, 300):
        found = plan(
            {"grow": "4 mm", "of": {"feather": "1 cm", "of": {"shrink": "1 in", "of": "m.png"}}},
            levels=None,
            print={"width": "20 cm", "dpi": dpi},
        )
        ((_, mask),) = found.combinations.items()
        lengths = [12.0, 30.0, 76.2]
        plain: Any = to_plain(mask.expression)
        for operation, length in zip(("grow", "feather", "shrink"), lengths, strict=True):
            number, unit = plain[operation].split()
            assert float(number) == pytest.approx(length, rel=2e-3)
            assert unit == "px"
            plain = plain["of"]
    # Without a print size, the top level is printed at the print's resolution.
    assert content_dpi(Size(400, 600), Size(800, 1200), 300) == pytest.approx(150)


def test_style_masks_are_of_the_style_image() -> None:
    found = plan("person", mask={"intersection": ["person", {"grow": "5 px", "of": "m.png"}]})
    ((key, mask),) = found.combinations.items()
    assert (mask.height, mask.width) == (512, 512)
    prepared = {plan.prepared: key for key, plan in found.masks.items()}
    style = next(key for key, path in found.sources.items() if path == Path("s.png"))
    assert set(prepared) == {found.content, style}
    assert to_plain(mask.expression) == {"intersection": [prepared[style], {"grow": "5 px", "of": "m.png"}]}
    assert {target.mask for target in found.targets.values()} == {Area(mask=key)}
    found = plan("everything", mask="not m.png", colour={"mode": "style_to_content"})
    assert {target.mask for target in found.targets.values()} == {Area(file=Path("m.png"), inverted=True)}
    recoloured = [how for image in found.images.values() for how in image.recolourings]
    assert (
        [how.area for how in recoloured] == [Area(file=Path("m.png"), inverted=True)] * len(recoloured) != []
    )


def test_a_plan_with_combinations_is_written_as_it_is_read(tmp_path: Path) -> None:
    found = plan(HAT, {"feather": "2 mm", "of": {"not": HAT}}, mask={"union": ["m.png", "not n.png"]})
    (tmp_path / "plan.json").write_text(found.model_dump_json(), encoding="utf-8")
    assert read_plan(tmp_path / "plan.json") == found
    excerpt = found.excerpt(256)
    assert (excerpt.combinations, excerpt.areas) == ({}, {})
    assert excerpt.levels[0].regions[0].where == found.settings.regions[0].where


WEIGHTS = {"sam_vit_b": {"url": "https://example.org/b.pth", "sha256": "0" * 64}}


def in_parts(regions: Any, **settings: Any) -> Plan:
    artwork = {"content": "c.png", "levels": [256], "regions": regions, "masks": {"sam": "vit_b"}, **settings}
    return resolve(parse({"artworks": {"a": artwork}, "weights": WEIGHTS}), "a", size_of)


def test_automatic_regions_are_parts_of_one_partition() -> None:
    found = in_parts({"automatic": 3, "styles": ["s.png", {"image": "s.png", "scale": 2}]})
    ((key, cut),) = found.partitions.items()
    assert (cut.prepared, cut.parts, cut.sam) == (found.content, 3, "vit_b")
    assert key.startswith("c-in-3-")
    assert found.areas == {f"segment-{number}-of-3": Area(mask=key, part=number) for number in (1, 2, 3)}
    assert [area.key for area in found.areas.values()] == [f"{key}/{number}" for number in (1, 2, 3)]
    assert found.automatic_masks == {f"{key}/{number}": Path("c.png") for number in (1, 2, 3)}
    assert [style.scale for region in found.settings.regions for style in region.styles] == [1, 2, 1]
    assert (found.masks, found.combinations) == ({}, {})
    # The network is needed, those for people are not.
    assert set(found.weights) == {"vgg16", "sam_vit_b"}


def test_segments_are_combined_as_other_masks_are() -> None:
    hat = {"union": ["segment-2-of-3", "m.png"]}
    regions = [
        {"where": "not segment-1-of-3", "style": "s.png"},
        {"where": hat, "style": "s.png", "name": "h"},
    ]
    found = in_parts(regions)
    (key,) = found.partitions
    ((combined, mask),) = found.combinations.items()
    assert found.areas == {
        "not-segment-1-of-3": Area(mask=key, part=1, inverted=True),
        "h": Area(mask=combined),
    }
    assert to_plain(mask.expression) == {"union": [f"{key}/2", "m.png"]}
    # Of a style image, too.
    styles = in_parts([{"where": "m.png", "style": {"image": "s.png", "mask": "segment-1-of-2"}}])
    ((key, cut),) = styles.partitions.items()
    assert {target.mask for target in styles.targets.values()} == {Area(mask=key, part=1)}
    assert styles.sources[cut.prepared] == Path("s.png")


def test_artworks_share_a_partition_whatever_else_they_ask_for() -> None:
    same = in_parts({"automatic": 3, "style": "s.png"})
    others = [
        in_parts({"automatic": 3, "styles": ["m.png", "s.png"]}, masks={"sam": "vit_b", "method": "subject"}),
        in_parts([{"where": "segment-3-of-3", "style": "s.png"}]),
    ]
    assert [plan.partitions for plan in others] == [same.partitions] * 2
    more = in_parts({"automatic": 4, "style": "s.png"})
    assert more.partitions.keys().isdisjoint(same.partitions)


def test_a_plan_with_parts_is_written_as_it_is_read(tmp_path: Path) -> None:
    found = in_parts({"automatic": 2, "style": "s.png"})
    (tmp_path / "plan.json").write_text(found.model_dump_json(), encoding="utf-8")
    assert read_plan(tmp_path / "plan.json") == found
    assert found.excerpt(256).partitions == {}


def test_segments_need_a_network_that_finds_them() -> None:
    said = (
        "config.yaml: artworks.a.masks.sam: expected the segment-anything network that finds segment-1-of-2, "
        "such as vit_b; found none."
    )
    for regions in (
        {"automatic": 2, "style": "s.png"},
        [{"where": "m.png", "style": {"image": "s.png", "mask": {"not": "segment-1-of-2"}}}],
    ):
        with pytest.raises(ConfigError) as caught:
            in_parts(regions, masks={})
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("where", "mask", "said"),
    [
        (
            {"union": ["m.png", "x.png"]},
            None,
            "regions.0.where: x.png: expected an image file; found no such file.",
        ),
        (
            "m.png",
            "not x.png",
            "regions.0.style.mask: x.png: expected an image file; found no such file.",
        ),
        (
            {"grow": "601 px", "of": "m.png"},
            None,
            "regions.0.where: expected lengths of at most 600 px, the longer side of its "
            "content image; found 601 px (601 px).",
        ),
        (
            {"not": {"feather": "2.5 in", "of": "m.png"}},
            None,
            "regions.0.where: expected lengths of at most 600 px, the longer side of its "
            "content image; found 2.5 in (718 px).",
        ),
        (
            "m.png",
            {"shrink": "513 px", "of": "m.png"},
            "regions.0.style.mask: expected lengths of at most 512 px, the longer side of "
            "its style image; found 513 px (513 px).",
        ),
    ],
)
def test_what_cannot_be_is_told_before_the_work(where: Any, mask: Any, said: str) -> None:
    with pytest.raises((ConfigError, InputError)) as caught:
        plan(where, mask=mask)
    assert str(caught.value).startswith(f"config.yaml: artworks.a.{said}")


def test_a_length_is_held_against_the_part_of_the_content_that_is_used() -> None:
    # The content is 400x600 px; the print is square.
    square = {"width": "20 cm", "height": "20 cm", "dpi": 100}
    plan({"feather": "400 px", "of": "m.png"}, levels=None, print=square)
    with pytest.raises(ConfigError, match=r"at most 400 px, the longer side of its cropped content image"):
        plan({"feather": "500 px", "of": "m.png"}, levels=None, print=square)


def test_a_mask_of_another_shape_is_told_wherever_it_stands() -> None:
    SIZES["tall.png"] = Size(600, 400)
    found = plan({"union": ["m.png", {"not": "tall.png"}]})
    assert found.warnings == (
        "tall.png (600x400 px) has another shape than its content image (400x600 px) and is stretched",
    )


def test_of_a_cropped_content_masks_are_those_of_its_part() -> None:
    # The content is 400x600 px; the print is square.
    square = {"width": "20 cm", "height": "20 cm", "dpi": 100, "focus": [0.25, 0.5]}
    found = plan("m.png", "not n.png", HAT, levels=None, print=square)
    ((content, crop),) = found.crops.items()
    assert found.content == content
    assert (str(crop.size), crop.focus) == ("400x400", (0.25, 0.5))
    assert found.sources[crop.prepared] == found.source_of(content) == Path("c.png")
    files = {str(mask.file): key for key, mask in found.mask_crops.items()}
    assert set(files) == {"m.png", "n.png"}
    assert {(mask.crop, mask.height, mask.width) for mask in found.mask_crops.values()} == {
        (content, 400, 400)
    }
    ((hat, combination),) = found.combinations.items()
    ((person, mask),) = found.masks.items()
    assert found.areas == {
        "r0": Area(mask=files["m.png"]),
        "r1": Area(mask=files["n.png"], inverted=True),
        "r2": Area(mask=hat),
    }
    # People are looked for in the part, and masks of the part are as large as it.
    assert mask.prepared == content
    assert (combination.height, combination.width) == (400, 400)
    assert to_plain(combination.expression) == {"minus": [person, files["m.png"]]}
    assert set(found.inputs) == {Path(name) for name in ("c.png", "s.png", "m.png", "n.png")}
    # The style's own mask, and another artwork's whole content, keep what they have.
    style_mask = plan("everything", mask="m.png", levels=None, print=square)
    assert next(target.mask for target in style_mask.targets.values()) == Area(file=Path("m.png"))
    assert not plan("m.png", levels=None, print={"width": "20 cm"}).crops


def test_another_focus_is_another_part() -> None:
    def key(**settings: Any) -> str:
        shape = {"width": "20 cm", "height": "20 cm", "dpi": 100}
        return plan("m.png", levels=None, print=shape | settings).content

    same = {key(), key(focus=[0.5, 0.5]), key(bits=16), key(dpi=200, width="10 cm", height="10 cm")}
    assert len(same) == 1
    assert len({*same, key(focus="smart"), key(focus=[0.5, 0.6]), key(height="19 cm")}) == 4
