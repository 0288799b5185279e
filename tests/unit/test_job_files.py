"""What the workflow's rules ask: paths, inputs and options, all from settings and headers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipeline.collection import resolve_collection
from pipeline.geometry import Size
from pipeline.job_files import JobFiles
from pipeline.job_resources import JobResources

RAW: dict[str, Any] = {
    "title": "T",
    "results_dir": "out/r",
    "resources_dir": "res",
    "compute": {"threads": 3, "memory_budget_mib": 2048, "device": "cpu"},
    "defaults": {"levels": [128, 256], "iterations": [9, 5]},
    "artworks": {
        "two": {
            "content": "in/c d.png",
            "regions": [
                {"where": "person", "style": "s.png"},
                {"where": "background", "styles": [{"image": "s.png"}, {"image": "t.png", "mask": "n.png"}]},
                {"where": "in/it's.png", "style": "s.png", "name": "sky"},
            ],
        },
        "one": {"content": "in/c d.png", "style": "s.png", "colour": {"mode": "style_to_content"}},
    },
}


def collection(**changes: Any) -> JobFiles:
    return JobFiles(resolve_collection({**RAW, **changes}, lambda _: Size(200, 300)))


def key_of(found: JobFiles, path: str) -> str:
    return next(key for key, source in found.collection.sources.items() if source == Path(path))


def test_paths() -> None:
    found = collection()
    assert (found.collection.results, found.collection.resources) == ("out/r", "res")
    assert found.prepared_file("k") == "out/r/shared/prepared/k.tif"
    assert found.image_file("k") == "out/r/shared/images/k.tif"
    assert found.mask_files.file("k") == "out/r/shared/masks/k.tif"
    assert found.target_file("k") == "out/r/shared/targets/k.safetensors"
    assert found.weights_file("vgg16") == "res/weights/vgg16.safetensors"
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
    assert contents == [found.image_file(level.content) for level in levels]
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


def test_recolouring_of_a_level() -> None:
    found = collection()
    plain = found.collection.level("two", 128).content
    content = f"out/r/shared/prepared/{key_of(found, 'in/c d.png')}.tif"
    assert found.recolour_inputs(plain) == {"image": content, "references": [], "masks": []}
    assert found.recolour_options(plain) == "--size 105x157"
    assert found.recolour_maps(plain) == "[]"
    style = found.collection.targets[found.collection.level("one", 256).regions[0].targets[0].target].image
    prepared = f"out/r/shared/prepared/{key_of(found, 's.png')}.tif"
    assert found.recolour_inputs(style) == {"image": prepared, "references": [content], "masks": []}
    assert json.loads(found.recolour_maps(style)) == [
        {
            "mode": "linear",
            "transform": "pca",
            "reference": content,
            "luma_match": None,
            "mask": None,
            "reference_mask": None,
            "everywhere": False,
            "measured_everywhere": False,
            "may_be_empty": False,
        }
    ]


def test_recolouring_and_assembly_by_region() -> None:
    found = collection(artworks={"a": {**RAW["artworks"]["two"], "colour": {"mode": "style_to_content"}}})
    (mask,) = found.collection.masks
    file = f"out/r/shared/masks/{mask}.tif"
    images = [
        found.collection.targets[t.target].image for t in found.collection.level("a", 256).regions[1].targets
    ]
    (first,), (second,) = [json.loads(found.recolour_maps(image)) for image in images]
    assert (first["mask"], first["reference_mask"]) == (None, f"not:{file}")
    assert (second["mask"], second["everywhere"]) == ("n.png", True)
    assert found.recolour_inputs(images[1])["masks"] == ["n.png", file]
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
    assert found.image_file(low) == f"out/r/shared/mixed/{low}.tif"
    assert sorted(found.mixture_records("a")) == sorted(
        f"out/r/shared/mixed/{key}.json" for key in (low, high)
    )
    assert found.mix_inputs(high) == {
        "start": found.image_file(low),
        "fine": found.image_file(found.collection.mixes[high].fine),
        "weights": "res/weights/vgg16.safetensors",
        "means": str(Path(__file__)),
    }
    assert json.loads(found.mix_plan(high)) == found.collection.mixes[high].without_costs().model_dump(
        mode="json"
    )
    (target,) = [key for key, plan in found.collection.targets.items() if plan.image == high]
    assert found.target_options(target).endswith(f" --normalised --channel-means {Path(__file__)}")
    # The report shows the mixture and what it was made from: the coarse image is the lowest level's alone.
    made_from = [found.collection.mixes[low].start, found.collection.mixes[high].fine]
    assert found.collection.plans["a"].mixed_from(high) == tuple(made_from)
    assert found.top_styles("a") == [found.image_file(key) for key in (high, *made_from)]
    assert found.channel_means("a") == [str(Path(__file__))]
    assert collection().channel_means("two") == []


def test_style_statistics() -> None:
    found = collection()
    (key,) = [
        key for key, target in found.collection.targets.items() if target.mask and "128" not in target.image
    ][:1]
    assert found.target_inputs(key) == {
        "image": found.image_file(found.collection.targets[key].image),
        "weights": "res/weights/vgg16.safetensors",
        "mask": "n.png",
    }
    assert found.target_options(key) == (
        "--network vgg16 --pooling max --layers relu1_1 relu2_1 relu3_1 relu4_1 relu5_1 --precision auto "
        "--device cpu --threads 1 --mask n.png --propagation simple --grow-units 0"
    )


def test_masks() -> None:
    found = collection()
    (key,) = found.collection.masks
    assert found.segment_inputs(key) == {
        "image": f"out/r/shared/prepared/{key_of(found, 'in/c d.png')}.tif",
        "weights": ["res/weights/person.safetensors", "res/weights/person_detector.safetensors"],
    }


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
    assert found.mask_files.file(person) == f"out/r/shared/masks/{person}.tif"
    assert found.mask_files.file(content) == file
    assert found.mask_files.combine_inputs(content) == [f"out/r/shared/masks/{person}.tif", "in/it's.png"]
    assert found.mask_files.combine_inputs(style) == ["n.png"]
    option, expression, *size = shlex.split(found.mask_files.combine_options(content))
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
    assert found.target_inputs(masked)["mask"] == found.mask_files.file(style)
    assert f"--mask {found.mask_files.file(style)} " in found.target_options(masked)
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
    assert found.mask_files.partition_folder(mine) == folder
    assert found.partition_inputs(mine) == {
        "image": found.prepared_file(found.collection.plans["a"].content),
        "weights": "res/weights/sam_vit_b.safetensors",
    }
    assert JobResources(found.collection).partition(mine).mib == 5632 + 3 * 64
    assert found.mask_files.file(f"{mine}/2") == f"{folder}/2.tif"
    # Inputs are folders, what commands are told are files.
    assert found.guide_masks("a") == [folder]
    words = [f"segment-{number}-of-3={folder}/{number}.tif" for number in (1, 2, 3)]
    options = shlex.split(found.guide_options("a", 64))
    assert [word for word in options if word in words] == words
    assert options.count("--may-be-empty") == 3
    assert (found.partition_records("a"), found.mask_records("a")) == ([f"{folder}.json"], [])
    recoloured = [key for key, image in found.collection.images.items() if image.recolourings]
    assert {tuple(found.recolour_inputs(key)["masks"]) for key in recoloured} == {(folder,)}
    ((combined, _),) = found.collection.combinations.items()
    assert found.mask_files.combine_inputs(combined) == [folder, "n.png"]
    assert f'{{"minus": ["{folder}/2.tif", "n.png"]}}' in shlex.split(
        found.mask_files.combine_options(combined)
    )
    masked = [key for key, target in found.collection.targets.items() if target.mask is not None]
    for key in masked:
        assert found.target_inputs(key)["mask"] == found.mask_files.partition_folder(other)
        assert f"not:{found.mask_files.partition_folder(other)}/1.tif" in shlex.split(
            found.target_options(key)
        )
    assert masked != []


def test_model_files(tmp_path: Path) -> None:
    own = tmp_path / "my v.pth"
    own.touch()
    sha256 = "0" * 64
    found = collection(
        weights={"vgg16": {"path": str(own)}, "person": {"url": "https://x/y?a=1&b=2", "sha256": sha256}}
    )
    assert (found.weights_inputs("vgg16"), found.weights_inputs("person")) == ([str(own)], [])
    assert shlex.split(found.weights_options("vgg16")) == ["--path", str(own)]
    assert shlex.split(found.weights_options("person")) == [
        "--url",
        "https://x/y?a=1&b=2",
        "--sha256",
        sha256,
    ]
    assert (collection().weights_inputs("vgg16"), collection().weights_options("vgg16")) == ([], "")


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


def test_a_crop_is_told_its_size_and_focus_and_masks_are_told_the_crop() -> None:
    square = {"width": "20 cm", "height": "20 cm", "dpi": 100}
    regions = [{"where": "m.png", "style": "s.png"}, {"where": {"not": "person"}, "style": "s.png"}]
    artwork = {"content": "c.png", "levels": "auto", "regions": regions}
    found = collection(
        artworks={
            "found": {**artwork, "print": {**square, "focus": "smart"}},
            "given": {**artwork, "print": {**square, "focus": [0.25, 1]}},
        }
    )
    contents = {name: plan.content for name, plan in found.collection.plans.items()}
    assert found.crop_options(contents["found"]) == "--size 200x200 --focus smart"
    assert found.crop_options(contents["given"]) == "--size 200x200 --focus 0.25,1.0"
    assert found.prepared_file(contents["given"]) == f"out/r/shared/cropped/{contents['given']}.tif"
    mask = found.collection.plans["given"].areas["m"].key
    assert mask is not None
    record = f"out/r/shared/cropped/{contents['given']}.json"
    assert found.crop_mask_inputs(mask) == {"mask": "m.png", "crop": record}
    assert found.guide_masks("given")[0] == f"out/r/shared/masks/cropped/{mask}.tif"
