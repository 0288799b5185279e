from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import broken_pictures, gradient, save
from running import Impasto
from tiny_artwork import HIGHEST, Artwork

from pipeline import canvas
from pipeline.config.reading import parse
from pipeline.config.sections import Masks
from pipeline.crop_record import CropRecord
from pipeline.geometry import Box, Size
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.shared_plans import CropPlan, MaskPlan

OUTPUT = ["--output", "print.tif"]
RECORD = ["--output", "provenance.json"]


def given(words: dict[str, list[Any]]) -> list[Any]:
    return [word for option, values in words.items() for word in (option, *values)]


def test_a_print_has_its_resolution_profile_and_record(impasto: Impasto, words: dict[str, list[Any]]) -> None:
    levels = (np.arange(89 * 72 * 3).reshape(89, 72, 3) % 300 - 20) / 255
    canvas.write(impasto.folder / "assembled.tif", levels)
    imported, done = impasto.imports("export-print", "assembled.tif", *given(words), *OUTPUT)
    assert done.said == ["print.tif: 89x72 px (height x width), 8 bits, 200 dpi"]
    assert not imported & {"torch", "torchvision"}

    # The canvas's own tests look at tags and formats; here it matters that the plan's settings arrive.
    tiff = pyvips.Image.tiffload(str(impasto.folder / "print.tif"))
    assert (tiff.height, tiff.width) == HIGHEST
    assert tiff.bands == 3
    assert tiff.format == "uchar"
    assert tiff.xres == pytest.approx(200 / 25.4)
    assert tiff.get_typeof("icc-profile-data") != 0
    assert (tiff.numpy() == np.rint(np.clip(levels, 0, 1) * 255)).all()

    imported, done = impasto.imports("record", "print.tif", *given(words), *RECORD)
    assert done.said == ["provenance.json: halves, print.tif"]
    assert not imported & {"torch", "torchvision"}
    record = json.loads((impasto.folder / "provenance.json").read_text())
    assert record["artwork"] == "halves"
    assert [level["px"] for level in record["settings"]["levels"]] == [64, 80]
    assert [level["level_px"] for level in record["levels"]] == [64, 80]
    assert [weights["name"] for weights in record["weights"]] == ["vgg19"]
    assert record["versions"]["torch"]
    hashes = {entry["path"]: entry["sha256"] for entry in (*record["inputs"], *record["outputs"])}
    assert {"content.png", "style.png", "print.tif"} <= hashes.keys()
    for name, digest in hashes.items():
        assert hashlib.sha256((impasto.folder / name).read_bytes()).hexdigest() == digest

    # Inside the file stands the same, but for the file's own hash.
    inside = json.loads(tiff.get("image-description"))
    assert {**inside, "outputs": record["outputs"]} == record
    # A record names no machine and no person.
    assert str(impasto.folder) not in json.dumps(record)


MASK = {
    "method": "person",
    "models": [{"name": "person", "sha256": "0" * 64}],
    "coverage": 0.25,
    "confidence": 0.5,
    "people": [{"box_px": [1, 2, 3, 4], "score": 0.9}],
    "warnings": ["sam_vit_b disagrees with person."],
}


@pytest.fixture
def masked(impasto: Impasto, artwork: Artwork, words: dict[str, list[Any]]) -> Plan:
    """The artwork as if an automatic mask and a mixture took part, with their records; its plan."""
    mixed = {"content": "content.png", "style": {"image": "style.png", "fine": "content.png"}, "levels": [64]}
    other = resolve(parse({"artworks": {"a": mixed}}), "a", lambda _: Size(90, 90))
    known = {name: {**getattr(artwork.plan, name), **getattr(other, name)} for name in ("sources", "images")}
    masks = {"content-0": MaskPlan(prepared=artwork.plan.content, settings=Masks())}
    plan = artwork.plan.model_copy(update={**known, "mixes": other.mixes, "masks": masks})
    (impasto.folder / "masked.json").write_text(plan.model_dump_json())
    (impasto.folder / "content-0.json").write_text(json.dumps(MASK))
    (mixture,) = other.mixes
    record = json.loads(words["--records"][0].read_text())
    record |= {"ending": "converged", "warnings": ["Layer relu9_9 is empty."]}
    (impasto.folder / f"{mixture}.json").write_text(json.dumps(record))
    words["--plan"] = ["masked.json"]
    words["--masks"] = ["content-0.json"]
    words["--mixtures"] = [f"{mixture}.json"]
    return plan


def test_what_is_known_of_masks_and_mixtures_is_recorded(
    impasto: Impasto, words: dict[str, list[Any]], masked: Plan
) -> None:
    save(impasto.folder / "good.png", gradient(*HIGHEST))
    impasto.works("record", "good.png", *given(words), *RECORD)
    record = json.loads((impasto.folder / "provenance.json").read_text())
    assert record["masks"] == {"content-0": {"image": "content.png", "record": MASK}}
    ((key, mixture),) = record["mixtures"].items()
    assert key in masked.mixes
    assert mixture["images"] == ["style.png", "content.png"]
    assert (mixture["ending"], mixture["warnings"]) == ("converged", ["Layer relu9_9 is empty."])
    assert mixture["level"] == record["levels"][0]
    assert record["deviations"] == ["Layer relu9_9 is empty."]


@pytest.fixture
def cropped(impasto: Impasto, artwork: Artwork, words: dict[str, list[Any]]) -> CropRecord:
    """The artwork as if its print showed a part of its content; the part's record."""
    crop = CropPlan(prepared=artwork.plan.content, height=60, width=80, focus="smart")
    plan = artwork.plan.model_copy(update={"content": "part-0", "crops": {"part-0": crop}})
    (impasto.folder / "cropped.json").write_text(plan.model_dump_json())
    record = CropRecord(size=Size(100, 80), box=Box(40, 0, 100, 80), focus=(0.5, 0.75))
    (impasto.folder / "part-0.json").write_text(record.model_dump_json())
    words["--plan"] = ["cropped.json"]
    words["--crop"] = ["part-0.json"]
    return record


def test_where_a_crop_fell_is_recorded(
    impasto: Impasto, words: dict[str, list[Any]], cropped: CropRecord
) -> None:
    save(impasto.folder / "good.png", gradient(*HIGHEST))
    impasto.works("record", "good.png", *given(words), *RECORD)
    assert json.loads((impasto.folder / "provenance.json").read_text())["crop"] == {
        "image": "content.png",
        "chosen": "smart",
        "record": cropped.model_dump(mode="json"),
    }


def test_another_crop_is_told_in_one_line(
    impasto: Impasto, words: dict[str, list[Any]], cropped: CropRecord
) -> None:
    other = cropped.model_copy(update={"box": Box(41, 0, 100, 80)})
    (impasto.folder / "part-0.json").write_text(other.model_dump_json())
    line = impasto.refuses("export-print", "good.png", *given(words), *OUTPUT)
    assert "part-0.json: expected a part of 60x80 px; found 59x80 px." in line
    words["--crop"] = []
    line = impasto.refuses("export-print", "good.png", *given(words), *OUTPUT)
    assert "--crop: expected what crop recorded; found none." in line


@pytest.mark.parametrize(
    ("given_instead", "said"),
    [
        (("--masks", []), "--masks and --partitions: expected the records of content-0; found none."),
        (("--masks", ["{mixture}"]), "expected a record made by `impasto segment`; found something else."),
        (
            ("--masks", ["no.json"]),
            "no.json: expected a record made by `impasto segment`; found no such file",
        ),
        (("--mixtures", []), "--mixtures: expected the records of style-64x64-with-content-"),
        (
            ("--mixtures", ["content-0.json"]),
            "content-0.json: expected a record made by `impasto stylise` or ",
        ),
    ],
)
def test_records_of_other_masks_and_mixtures_are_told_in_one_line(
    impasto: Impasto,
    words: dict[str, list[Any]],
    masked: Plan,
    given_instead: tuple[str, list[str]],
    said: str,
) -> None:
    option, values = given_instead
    save(impasto.folder / "good.png", gradient(*HIGHEST))
    (mixture,) = masked.mixes
    words[option] = [value.format(mixture=f"{mixture}.json") for value in values]
    assert said in impasto.refuses("export-print", "good.png", *given(words), *OUTPUT)


def test_alpha_is_printed(impasto: Impasto, words: dict[str, list[Any]]) -> None:
    canvas.write(impasto.folder / "assembled.tif", np.full((89, 72, 4), 0.2))
    impasto.works("export-print", "assembled.tif", *given(words), *OUTPUT)
    tiff = pyvips.Image.tiffload(str(impasto.folder / "print.tif"))
    assert tiff.bands == 4
    assert tiff.hasalpha()
    assert (tiff.numpy() == 51).all()


@pytest.mark.parametrize(
    ("option", "values", "said"),
    [
        (
            "--plan",
            ["absent.json"],
            "absent.json: expected a plan made by `impasto plan`; found no such file",
        ),
        ("--plan", ["text.json"], "text.json: expected a plan made by this version of `impasto plan`; found"),
        (
            "--records",
            ["absent.json"],
            "absent.json: expected a record made by `impasto stylise` or `impasto",
        ),
        (
            "--records",
            ["text.json"],
            "text.json: expected a record made by `impasto stylise` or `impasto ref",
        ),
        ("--records", ["{first}"], "--records: expected one for each level 64, 80, lowest first; found 64."),
        (
            "--records",
            ["{second}", "{first}"],
            "expected one for each level 64, 80, lowest first; found 80, 64.",
        ),
        ("--weights", ["absent.safetensors"], "absent.safetensors: expected a weights file; found none."),
        ("--weights", ["{weights}", "{weights}"], "--weights: expected vgg19; found vgg19, vgg19."),
        ("--weights", ["text.json"], "text.json: expected a safetensors file; found "),
        ("image", ["missing.png"], "missing.png: expected an image file; found no such file."),
        ("image", ["truncated.png"], "truncated.png: expected a complete image; found damaged or truncated"),
        ("image", ["small.png"], "small.png: expected 89x72 px as planned; found 20x20 px."),
        ("image", ["grey.png"], "grey.png: expected 3 bands, or 4 with alpha; found 1."),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, words: dict[str, list[Any]], option: str, values: list[str], said: str
) -> None:
    (impasto.folder / "text.json").write_text("These are not numbers.")
    broken_pictures(impasto.folder, size=HIGHEST)
    image = save(impasto.folder / "good.png", gradient(*HIGHEST))
    save(impasto.folder / "small.png", gradient(20, 20))
    save(impasto.folder / "grey.png", gradient(*HIGHEST)[..., :1])
    first, second = words["--records"]
    found = [value.format(first=first, second=second, weights=words["--weights"][0]) for value in values]
    if option == "image":
        image = impasto.folder / found[0]
    else:
        words[option] = list(found)
    assert said in impasto.refuses("export-print", image, *given(words), *OUTPUT)


def test_an_input_that_has_gone_is_told_in_one_line(impasto: Impasto, words: dict[str, list[Any]]) -> None:
    save(impasto.folder / "good.png", gradient(*HIGHEST))
    (impasto.folder / "style.png").unlink()
    line = impasto.refuses("export-print", "good.png", *given(words), *OUTPUT)
    assert line == "style.png: expected a file; found nothing of that name."
