"""What the workflow's rules ask: paths, inputs and options, all from settings and headers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import pyvips
from two_artworks import RAW, resolved

from pipeline import cli
from pipeline.collection import resolve_collection
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.job_files import JobFiles
from pipeline.job_resources import JobResources
from pipeline.plan import Plan


def collection(**changes: Any) -> JobFiles:
    return JobFiles(resolved(**changes))


def test_paths() -> None:
    found = collection()
    assert (found.collection.results, found.collection.resources) == ("out/r", "res")
    assert found.level_dir("two", "128") == "out/r/two/levels/128"


def test_levels_lead_from_stylised_to_refined() -> None:
    found = collection()
    stylised, refined = "out/r/two/levels/128/stylised.tif", "out/r/two/levels/256/refined.tif"
    assert found.level_results("two") == [stylised, refined]
    assert found.top_result("two") == refined
    assert found.result_below("two", "256") == stylised
    assert found.level_records("two") == [stylised[:-3] + "json", refined[:-3] + "json"]
    with pytest.raises(KeyError, match="two has no level below 128"):
        found.result_below("two", 128)


def test_a_higher_level_starts_from_two_contents_unless_told_otherwise() -> None:
    found = collection()
    contents = found.upsample_contents("one", "256")
    levels = found.collection.plans["one"].levels
    assert contents == [found.shared.image_file(level.content) for level in levels]
    options = shlex.split(found.upsample_options("one", "256", contents))
    assert options == ["--size", "209x314", "--contents", *contents]
    plain = collection(defaults={**RAW["defaults"], "detail": "none"})
    assert plain.upsample_contents("one", "256") == []
    assert shlex.split(plain.upsample_options("one", "256", [])) == ["--size", "209x314"]


def test_inputs_of_an_artwork() -> None:
    found = collection()
    names = ("vgg16", "person", "person_detector")
    assert found.artwork_weights("two") == [f"res/weights/{name}.safetensors" for name in names]
    assert found.artwork_sources("two") == ["in/c d.png", "s.png", "t.png", "in/it's.png", "n.png"]
    assert found.guides("two", 128) == ["out/r/two/levels/128/guides.tif"]
    assert found.guides("one", 128) == []
    (mask,) = found.collection.masks
    assert found.mask_records("two") == [f"out/r/shared/masks/{mask}.json"]
    assert found.mask_records("one") == []
    assert found.guide_masks("two") == [f"out/r/shared/masks/{mask}.tif", "in/it's.png"]
    assert found.guide_masks("one") == []
    assert len(found.level_targets("two", 128)) == 2
    assert len(found.top_styles("two")) == 2


def test_options_survive_the_shell() -> None:
    found = collection()
    (mask,) = found.collection.masks
    assert shlex.split(found.guide_options("two", "128")) == [
        "--region",
        f"person=out/r/shared/masks/{mask}.tif",
        "--may-be-empty",
        "person",
        "--region",
        f"background=not:out/r/shared/masks/{mask}.tif",
        "--may-be-empty",
        "background",
        "--region",
        "sky=in/it's.png",
        "--size",
        "105x157",
    ]


def test_a_region_has_a_name_that_is_no_option_whatever_its_file_is_called() -> None:
    regions = [{"where": where, "style": "s.png"} for where in ("маска.png", "not маска.png", "(été).png")]
    found = collection(artworks={"a": {"content": "c.png", "regions": regions}})
    words = ["guide", *shlex.split(found.guide_options("a", 128)), "--output", "g.tif"]
    regions_told = ["mask=маска.png", "not-mask=not:маска.png", "t=(été).png"]
    assert cli._parse(words, "guide").region == regions_told


def test_recolouring_and_assembly_by_region() -> None:
    found = collection(artworks={"a": {**RAW["artworks"]["two"], "colour": {"mode": "style_to_content"}}})
    (mask,) = found.collection.masks
    file = f"out/r/shared/masks/{mask}.tif"
    images = [
        found.collection.targets[t.target].image for t in found.collection.level("a", 256).regions[1].targets
    ]
    (first,), (second,) = [json.loads(found.shared.recolour_maps(image)) for image in images]
    assert (first["mask"], first["reference_mask"]) == (None, f"not:{file}")
    assert (second["mask"], second["everywhere"]) == ("n.png", True)
    assert found.shared.recolour_inputs(images[1])["masks"] == ["n.png", file]
    assert (found.assemble_options("a"), found.assemble_masks("a")) == ("", [])
    regions = [{**region} for region in RAW["artworks"]["two"]["regions"]]
    regions[1]["colour"] = {"mode": "luminance"}
    found = collection(artworks={"a": {"content": "in/c d.png", "regions": regions}})
    assert found.assemble_options("a") == f"--colour luminance --luminance-mask not:{file}"
    assert found.assemble_masks("a") == [file]
    found = collection(artworks={"a": {**RAW["artworks"]["one"], "colour": {"mode": "luminance"}}})
    assert found.assemble_options("a") == "--colour luminance"


def test_mixtures() -> None:
    style = {"image": "s.png", "fine": "t.png"}
    network = {"normalised": True, "channel_means": str(Path(__file__))}
    found = collection(artworks={"a": {"content": "c.png", "style": style, "network": network}})
    low, high = sorted(found.collection.mixes, key=lambda key: found.collection.mixes[key].height)
    assert found.shared.image_file(low) == f"out/r/shared/mixed/{low}.tif"
    assert sorted(found.mixture_records("a")) == sorted(
        f"out/r/shared/mixed/{key}.json" for key in (low, high)
    )
    assert found.shared.mix_inputs(high) == {
        "start": found.shared.image_file(low),
        "fine": found.shared.image_file(found.collection.mixes[high].fine),
        "weights": "res/weights/vgg16.safetensors",
        "means": str(Path(__file__)),
    }
    assert json.loads(found.shared.mix_plan(high)) == found.collection.mixes[high].without_costs().model_dump(
        mode="json"
    )
    (target,) = [key for key, plan in found.collection.targets.items() if plan.image == high]
    assert found.shared.target_options(target).endswith(f" --normalised --channel-means {Path(__file__)}")
    # The report shows the mixture and what it was made from: the coarse image is the lowest level's alone.
    made_from = [found.collection.mixes[low].start, found.collection.mixes[high].fine]
    assert found.collection.plans["a"].mixed_from(high) == tuple(made_from)
    assert found.top_styles("a") == [found.shared.image_file(key) for key in (high, *made_from)]
    assert found.channel_means("a") == [str(Path(__file__))]
    assert collection().channel_means("two") == []


def test_combined_masks() -> None:
    hat = {"minus": ["person", {"grow": "2 px", "of": "in/it's.png"}]}
    regions = [
        {"where": hat, "style": {"image": "s.png", "mask": {"union": ["n.png", "everything"]}}},
        {"where": {"not": hat}, "style": "s.png", "name": "rest", "colour": {"mode": "luminance"}},
    ]
    found = collection(artworks={"a": {"content": "in/c d.png", "regions": regions}})
    (person,) = found.collection.masks
    style, content = sorted(found.collection.combinations, key=lambda key: "union" not in key)
    file = f"out/r/shared/masks/combined/{content}.tif"
    assert found.shared.masks.file(person) == f"out/r/shared/masks/{person}.tif"
    assert found.shared.masks.file(content) == file
    assert found.shared.masks.combine_inputs(content) == [f"out/r/shared/masks/{person}.tif", "in/it's.png"]
    assert found.shared.masks.combine_inputs(style) == ["n.png"]
    option, expression, *size = shlex.split(found.shared.masks.combine_options(content))
    assert (option, size) == ("--expression", ["--size", "200x300"])
    assert json.loads(expression) == {
        "minus": [f"out/r/shared/masks/{person}.tif", {"grow": "2 px", "of": "in/it's.png"}]
    }
    # Both regions are made from one file.
    assert found.guide_masks("a") == [file]
    assert shlex.split(found.guide_options("a", 128))[:8] == [
        "--region",
        f"person-minus-it-s-grown={file}",
        "--may-be-empty",
        "person-minus-it-s-grown",
        "--region",
        f"rest=not:{file}",
        "--may-be-empty",
        "rest",
    ]
    assert found.assemble_options("a") == f"--colour luminance --luminance-mask not:{file}"
    masked = next(key for key, target in found.collection.targets.items() if target.mask)
    assert found.shared.target_inputs(masked)["mask"] == found.shared.masks.file(style)
    assert f"--mask {found.shared.masks.file(style)} " in found.shared.target_options(masked)
    assert found.artwork_sources("a") == ["in/c d.png", "s.png", "in/it's.png", "n.png"]
    regions = [{"where": {"union": ["n.png", "not in/it's.png"]}, "style": "s.png"}]
    found = collection(artworks={"a": {"content": "in/c d.png", "regions": regions}})
    assert "--may-be-empty" not in found.guide_options("a", 128)


def test_parts_of_an_image() -> None:
    weights = {"sam_vit_b": {"url": "https://example.org/b.pth", "sha256": "0" * 64}}
    shared = {"content": "c.png", "masks": {"sam": "vit_b"}, "levels": [64]}
    colour = {"mode": "style_to_content"}
    found = collection(
        weights=weights,
        artworks={
            "a": {**shared, "regions": {"automatic": 3, "style": "s.png"}, "colour": colour},
            "b": {**shared, "regions": [{"where": {"minus": ["segment-2-of-3", "n.png"]}, "style": "s.png"}]},
            "c": {
                **shared,
                "regions": [{"where": "n.png", "style": {"image": "s.png", "mask": "not segment-1-of-2"}}],
            },
        },
    )
    mine, other = sorted(found.collection.partitions, key=lambda key: -found.collection.partitions[key].parts)
    folder = f"out/r/shared/masks/parts/{mine}"
    assert found.shared.masks.partition_folder(mine) == folder
    assert found.shared.partition_inputs(mine) == {
        "image": found.shared.prepared_file(found.collection.plans["a"].content),
        "weights": "res/weights/sam_vit_b.safetensors",
    }
    assert JobResources(found.collection).partition(mine).mib == 5632 + 3 * 64
    assert found.shared.masks.file(f"{mine}/2") == f"{folder}/2.tif"
    # Inputs are folders, what commands are told are files.
    assert found.guide_masks("a") == [folder]
    words = [f"segment-{number}-of-3={folder}/{number}.tif" for number in (1, 2, 3)]
    options = shlex.split(found.guide_options("a", 64))
    assert [word for word in options if word in words] == words
    assert options.count("--may-be-empty") == 3
    assert (found.partition_records("a"), found.mask_records("a")) == ([f"{folder}.json"], [])
    recoloured = [key for key, image in found.collection.images.items() if image.recolourings]
    assert {tuple(found.shared.recolour_inputs(key)["masks"]) for key in recoloured} == {(folder,)}
    ((combined, _),) = found.collection.combinations.items()
    assert found.shared.masks.combine_inputs(combined) == [folder, "n.png"]
    assert f'{{"minus": ["{folder}/2.tif", "n.png"]}}' in shlex.split(
        found.shared.masks.combine_options(combined)
    )
    masked = [key for key, target in found.collection.targets.items() if target.mask is not None]
    for key in masked:
        assert found.shared.target_inputs(key)["mask"] == found.shared.masks.partition_folder(other)
        assert f"not:{found.shared.masks.partition_folder(other)}/1.tif" in shlex.split(
            found.shared.target_options(key)
        )
    assert masked != []


def test_a_budget_that_cuts_the_same_tiles_re_runs_no_level() -> None:
    artworks = {"a": {"content": "c.png", "style": "s.png", "levels": [2048]}}
    before, after, far = (
        collection(artworks=artworks, compute={"memory_budget_mib": mib}) for mib in (4096, 4097, 6000)
    )
    assert (
        before.collection.level("a", 2048).tile_core_px
        == after.collection.level("a", 2048).tile_core_px
        is not None
    )
    (level,) = json.loads(before.level_plan("a", 2048))["levels"]
    costs = ("device_mib", "memory_mib", "disk_mib", "runtime_min")
    assert [level[cost] for cost in costs] == [0, 0, 0, 0]
    assert min(getattr(before.collection.level("a", 2048), cost) for cost in costs) > 0
    assert before.level_plan("a", 2048) == after.level_plan("a", 2048)
    assert before.level_plan("a", 2048) != far.level_plan("a", 2048)


def test_a_change_of_one_artwork_leaves_the_others_settings() -> None:
    changed = {**RAW["artworks"], "one": {**RAW["artworks"]["one"], "seed": 5}}
    before, after = collection(), collection(artworks=changed, title="Another")
    assert before.plan_settings("two") == after.plan_settings("two")
    assert before.level_plan("two", 128) == after.level_plan("two", 128)
    assert "\n" not in before.plan_settings("two")
    assert list(json.loads(before.plan_settings("two"))["artworks"]) == ["two"]


def test_what_only_other_artworks_need_leaves_the_settings() -> None:
    weights = {"sam_vit_b": {"url": "https://a.example/b", "sha256": "ab" * 32}}
    before, after = (
        collection(),
        collection(weights=weights, compute={**RAW["compute"], "disk_budget_gib": 9}),
    )
    assert before.plan_settings("two") == after.plan_settings("two")
    own = collection(weights={"vgg16": weights["sam_vit_b"]})
    assert list(json.loads(own.plan_settings("two"))["weights"]) == ["vgg16"]
    # One that does not fit is planned again with another budget.
    artworks = {**RAW["artworks"], "big": {**RAW["artworks"]["one"], "levels": [128, 2048]}}
    small, smaller = (collection(artworks=artworks, compute={"disk_budget_gib": gib}) for gib in (0.05, 0.04))
    assert list(small.collection.refused) == ["big"]
    assert small.plan_settings("big") != smaller.plan_settings("big")


def test_what_is_delivered(tmp_path: Path) -> None:
    profile = tmp_path / "press.icc"
    profile.write_bytes(pyvips.Image.profile_load("cmyk"))
    artwork = {"content": "c.png", "style": "s.png"}
    printed = {"format": ["tiff", "jpeg"], "profile": str(profile), "panels": {"columns": 2}}
    found = collection(
        artworks={
            "large": {**artwork, "print": printed},
            "plain": {**artwork, "deepzoom": "none"},
            "aside": {**artwork, "on_demand": True},
        }
    )
    large = "print.tif print.jpg quality.json panels deepzoom preview.png provenance.json pictures proof.png"
    plain = "print.tif quality.json preview.png provenance.json pictures"
    assert found.delivered() == [
        *(f"large/{name}" for name in (*large.split(), "gamut.png", "proof.json")),
        *(f"plain/{name}" for name in plain.split()),
        "report.html",
        "report",
    ]


def test_the_plan_of_a_level_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, excerpt = collection(), Plan.excerpt
    made: list[tuple[str, int]] = []

    def counted(plan: Plan, level_px: int) -> Plan:
        made.append((plan.artwork, level_px))
        return excerpt(plan, level_px)

    monkeypatch.setattr(Plan, "excerpt", counted)
    asked: list[tuple[str, str | int]] = [
        ("one", 128),
        ("one", "256"),
        ("two", 256),
        ("one", 256),
        ("one", "128"),
    ]
    told = [found.level_plan(artwork, level) for artwork, level in asked]
    assert made == [("one", 128), ("one", 256), ("two", 256)]
    assert told[1] == told[3] == excerpt(found.collection.plans["one"], 256).model_dump_json()
    assert told[0] == told[4] != told[1] != told[2]


def test_what_is_asked_for_is_what_makes_an_artwork_done(tmp_path: Path) -> None:
    profile = tmp_path / "press.icc"
    profile.write_bytes(pyvips.Image.profile_load("cmyk"))
    artwork = {"content": "c.png", "style": "s.png", "on_demand": True}
    printed = {"format": ["tiff", "jpeg"], "profile": str(profile), "panels": {"columns": 2}}
    limits = {"limits": {"clipping": 0.1}}
    artworks = {"large": {**artwork, "print": printed, "quality": limits}, "plain": artwork}
    found = collection(artworks=artworks)
    plain = ["plan.json", "provenance.json", "preview.png", "print.tif", "deepzoom", "quality.json"]
    large = [*plain, "print.jpg", "panels", "quality.passed", "proof.json"]
    assert sorted(found.finished("large")) == sorted(f"out/r/large/{name}" for name in large)
    assert sorted(found.finished("plain")) == sorted(f"out/r/plain/{name}" for name in plain)
    both = [*found.finished("large"), *found.finished("plain")]
    # Without an artwork there is nothing to ask for, a page neither.
    assert found.asked(on_demand=False) == found.delivered() == []
    assert found.asked(on_demand=True) == [*both, "out/r/on_demand.html"]


def test_of_an_artwork_that_cannot_be_made_its_plan_is_asked_for() -> None:
    def size_of(path: Path) -> Size:
        if path.name == "gone.png":
            raise InputError(path, expected="an image file", found="none")
        return Size(200, 300)

    def artwork(content: str, *, on_demand: bool) -> dict[str, Any]:
        return {"content": content, "style": "s.png", "on_demand": on_demand}

    artworks = {"lost": artwork("gone.png", on_demand=False), "later": artwork("gone.png", on_demand=True)}
    raw = {**RAW, "artworks": {**artworks, "there": artwork("c.png", on_demand=True)}}
    found = JobFiles(resolve_collection(raw, size_of))
    assert found.asked(on_demand=False) == ["out/r/lost/plan.json"]
    there = found.finished("there")
    assert found.asked(on_demand=True) == [*there, "out/r/later/plan.json", "out/r/on_demand.html"]


def test_a_print_of_a_part_of_its_content_is_recorded_with_it() -> None:
    artwork = {"content": "c.png", "style": "s.png", "levels": "auto"}
    printed = {"width": "20 cm", "height": "20 cm", "dpi": 100, "focus": "smart"}
    found = collection(artworks={"part": {**artwork, "print": printed}, "whole": artwork})
    content = found.collection.plans["part"].content
    assert found.recorded("part")["crop"] == [f"out/r/shared/cropped/{content}.json"]
    assert found.recorded("whole")["crop"] == []
