"""What the workflow's rules ask about what artworks share: paths, inputs and options of its jobs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from two_artworks import resolved

from pipeline.shared_files import SharedFiles


def shared(**changes: Any) -> SharedFiles:
    return SharedFiles(resolved(**changes))


def key_of(found: SharedFiles, path: str) -> str:
    return next(key for key, source in found.collection.sources.items() if source == Path(path))


def test_paths() -> None:
    found = shared()
    assert found.prepared_file("k") == "out/r/shared/prepared/k.tif"
    assert found.image_file("k") == "out/r/shared/images/k.tif"
    assert found.masks.file("k") == "out/r/shared/masks/k.tif"
    assert found.target_file("k") == "out/r/shared/targets/k.safetensors"
    assert found.weights_file("vgg16") == "res/weights/vgg16.safetensors"


def test_the_users_files_are_told_by_their_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sky.png").write_bytes(b"12345")
    found = shared()
    made = [found.masks.file("k"), found.weights_file("vgg16"), "res/demo/coffee.png"]
    assert found.seen([*made, "sky.png", "gone.png"]) == '{"sky.png": 5, "gone.png": null}'
    assert found.seen(made) == "{}"


def test_recolouring_of_a_level() -> None:
    found = shared()
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


def test_style_statistics() -> None:
    found = shared()
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
    found = shared()
    (key,) = found.collection.masks
    assert found.segment_inputs(key) == {
        "image": f"out/r/shared/prepared/{key_of(found, 'in/c d.png')}.tif",
        "weights": ["res/weights/person.safetensors", "res/weights/person_detector.safetensors"],
    }


def test_model_files(tmp_path: Path) -> None:
    own = tmp_path / "my v.pth"
    own.touch()
    sha256 = "0" * 64
    found = shared(
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
    assert (shared().weights_inputs("vgg16"), shared().weights_options("vgg16")) == ([], "")


def test_a_crop_is_told_its_size_and_focus_and_masks_are_told_the_crop() -> None:
    square = {"width": "20 cm", "height": "20 cm", "dpi": 100}
    regions = [{"where": "m.png", "style": "s.png"}, {"where": {"not": "person"}, "style": "s.png"}]
    artwork = {"content": "c.png", "levels": "auto", "regions": regions}
    found = shared(
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
    assert found.masks.inputs([found.collection.plans["given"].areas["m"]]) == [
        f"out/r/shared/masks/cropped/{mask}.tif"
    ]
