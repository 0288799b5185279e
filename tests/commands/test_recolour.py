from __future__ import annotations

import json

import numpy as np
import pytest
from pictures import broken_pictures, gradient, left_half, noise, save
from running import Impasto

from pipeline import canvas

LUMA = np.array([0.299, 0.587, 0.114])


def test_the_size_is_the_one_that_was_asked_for(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(80, 60))
    imported, done = impasto.imports("recolour", "photo.png", "--size", "40x30", "--output", "small.tif")
    assert done.said == ["small.tif: 40x30 px (height x width), keep"]
    assert not imported & {"torch", "torchvision"}
    small = canvas.read(impasto.folder / "small.tif")
    assert small.shape == (40, 30, 3)
    # Inside, the mean of two neighbours of a ramp is the ramp at their middle.
    ramp = (2 * np.arange(40) + 0.5) / 79
    assert small[4:-4, 15, 0] == pytest.approx(ramp[4:-4], abs=0.004)
    assert small[..., 2] == pytest.approx(128 / 255, abs=1e-3)


def test_linear_gives_the_references_mean_and_covariance(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    save(impasto.folder / "photo.png", gradient(70, 90) // 2 + noise(70, 90, seed=1) // 4)
    words = ["--size", "80x60", "--mode", "linear", "--reference", "photo.png", "--output", "out.tif"]
    impasto.works("recolour", "style.png", *words, "--transform", "chol")
    found = canvas.moments(impasto.folder / "out.tif")
    wanted = canvas.moments(impasto.folder / "photo.png")
    assert found.mean == pytest.approx(wanted.mean, abs=1e-3)
    assert found.covariance == pytest.approx(wanted.covariance, abs=1e-3)


def test_luma_gives_three_equal_channels(impasto: Impasto) -> None:
    pixels = gradient(64, 48)
    save(impasto.folder / "photo.png", pixels)
    impasto.works("recolour", "photo.png", "--size", "64x48", "--mode", "luma", "--output", "luma.tif")
    luma = canvas.read(impasto.folder / "luma.tif")
    assert luma == pytest.approx(np.repeat((pixels / 255 @ LUMA)[..., None], 3, axis=2), abs=1e-5)


def test_luma_can_take_the_references_mean(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(64, 48, seed=0) // 2)
    save(impasto.folder / "photo.png", np.full((40, 40, 3), 204, np.uint8))
    words = ["--size", "64x48", "--mode", "luma", "--reference", "photo.png", "--luma-match", "mean"]
    impasto.works("recolour", "style.png", *words, "--output", "luma.tif")
    assert canvas.read(impasto.folder / "luma.tif").mean() == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "mode"), [("missing", "keep"), ("truncated", "keep"), ("truncated", "linear")]
)
def test_what_is_no_picture_is_told_in_one_line(impasto: Impasto, kind: str, mode: str) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    path = broken_pictures(impasto.folder)[kind]
    images = [path] if mode == "keep" else ["style.png", "--reference", path]
    line = impasto.refuses("recolour", *images, "--mode", mode, "--size", "40x30", "--output", "out.tif")
    assert line.startswith(f"{path}: expected ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "linear", "--size", "4x4"], "options: mode linear needs a reference."),
        (["--reference", "a.png", "--size", "4x4"], "options: mode keep takes no reference."),
        (["--mode", "luma", "--transform", "sym", "--size", "4x4"], "options: mode luma takes no transform."),
        (["--luma-match", "mean", "--size", "4x4"], "options: mode keep takes no luma match."),
        (["--reference-mask", "m.png", "--size", "4x4"], "options: a mask of the reference needs a"),
        (
            ["--maps", "-", "--mode", "keep", "--size", "4x4"],
            "--maps: expected every map in its list; found --",
        ),
        (["--maps", "none.json", "--size", "4x4"], "none.json: no such file or directory."),
        (["--mode", "sepia", "--size", "4x4"], "argument --mode: invalid choice: 'sepia'"),
        (
            ["--size", "4by4"],
            "argument --size: expected HEIGHTxWIDTH in pixels, such as 384x512; found '4by4'",
        ),
        (
            ["--size", "4x4", "--mode", "linear", "--reference", "grey.png"],
            "grey.png: expected an image of 3",
        ),
    ],
)
def test_a_wrong_option_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    save(impasto.folder / "style.png", noise(40, 40, seed=0))
    save(impasto.folder / "grey.png", noise(40, 40, seed=0)[..., :1])
    assert said in impasto.refuses("recolour", "style.png", *words, "--output", "out.tif")


def test_a_reference_of_one_colour_is_no_division_by_zero(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", np.full((40, 40, 3), 51, np.uint8))
    save(impasto.folder / "photo.png", np.full((40, 40, 3), 204, np.uint8))
    words = ["--size", "40x40", "--mode", "linear", "--reference", "photo.png", "--output", "out.tif"]
    impasto.works("recolour", "style.png", *words)
    assert canvas.read(impasto.folder / "out.tif") == pytest.approx(0.8, abs=1e-4)


def test_histogram_gives_the_references_quantiles(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    photo = (40 + gradient(70, 90) // 2).astype(np.uint8)
    save(impasto.folder / "photo.png", photo)
    words = ["--size", "80x60", "--mode", "linear", "--transform", "histogram", "--reference", "photo.png"]
    impasto.works("recolour", "style.png", *words, "--output", "out.tif")
    found = canvas.read(impasto.folder / "out.tif")
    for band in range(3):
        quantiles = [np.quantile(image[..., band], [0.1, 0.5, 0.9]) for image in (found, photo / 255)]
        assert quantiles[0] == pytest.approx(quantiles[1], abs=0.01)


def test_a_mask_says_what_counts_and_what_changes(impasto: Impasto) -> None:
    style = noise(40, 60, seed=0)
    style[:, :30] //= 4
    save(impasto.folder / "style.png", style)
    photo = np.full((40, 60, 3), [255, 255, 0], np.uint8)
    photo[:, :30] = [51, 102, 153]
    save(impasto.folder / "photo.png", photo)
    save(impasto.folder / "left.png", left_half(40, 60))
    words = ["--size", "40x60", "--mode", "linear", "--reference", "photo.png"]
    masks = ["--mask", "not:left.png", "--reference-mask", "left.png"]
    impasto.works("recolour", "style.png", *words, *masks, "--output", "out.tif")
    found = canvas.read(impasto.folder / "out.tif")
    assert (found[:, :30] == (style[:, :30] / 255).astype(np.float32)).all()
    assert found[:, 30:].mean(axis=(0, 1)) == pytest.approx([0.2, 0.4, 0.6], abs=1e-3)
    # The reference's left half has one colour: hardly anything is left of the noise.
    assert found[:, 30:].std(axis=(0, 1)).max() < 0.02


def test_several_maps_are_blended_by_their_masks(impasto: Impasto) -> None:
    style = noise(40, 60, seed=0)
    save(impasto.folder / "style.png", style)
    save(impasto.folder / "red.png", np.full((1, 30, 3), [255, 0, 0], np.uint8))
    save(impasto.folder / "left.png", left_half(40, 60))
    maps = [
        {
            "mode": "linear",
            "transform": "sym",
            "reference": "red.png",
            "luma_match": None,
            "mask": "left.png",
            "reference_mask": None,
            "everywhere": False,
        },
        {"mode": "luma", "mask": "not:left.png"},
    ]
    (impasto.folder / "maps.json").write_text(json.dumps(maps), encoding="utf-8")
    words = ["style.png", "--size", "40x60"]
    done = impasto.works("recolour", *words, "--maps", "maps.json", "--output", "a.tif")
    assert done.said == ["a.tif: 40x60 px (height x width), linear, luma"]
    impasto.works("recolour", *words, "--maps", "-", "--output", "b.tif", stdin=json.dumps(maps))
    found = canvas.read(impasto.folder / "a.tif")
    assert (found == canvas.read(impasto.folder / "b.tif")).all()
    assert found[:, :30].mean(axis=(0, 1)) == pytest.approx([1, 0, 0], abs=1e-3)
    luma = (style[:, 30:] / 255 @ LUMA)[..., None].repeat(3, axis=2)
    assert found[:, 30:] == pytest.approx(luma, abs=1e-5)


def test_a_map_may_be_measured_in_a_mask_and_apply_everywhere(impasto: Impasto) -> None:
    style = np.full((40, 60, 3), 102, np.uint8)
    style[:, :30] = 51
    save(impasto.folder / "style.png", style)
    save(impasto.folder / "photo.png", np.full((20, 20, 3), 153, np.uint8))
    save(impasto.folder / "left.png", left_half(40, 60))
    wanted = {"mode": "luma", "reference": "photo.png", "luma_match": "mean", "mask": "left.png"}
    words = ["recolour", "style.png", "--size", "40x60", "--maps", "-", "--output", "out.tif"]
    impasto.works(*words, stdin=json.dumps([{**wanted, "everywhere": True}]))
    found = canvas.read(impasto.folder / "out.tif")
    assert found[:, :30] == pytest.approx(0.6, abs=1e-5)
    assert found[:, 30:] == pytest.approx(0.8, abs=1e-5)


def test_no_maps_keep_the_colours(impasto: Impasto) -> None:
    style = noise(40, 60, seed=0)
    save(impasto.folder / "style.png", style)
    words = ["recolour", "style.png", "--size", "40x60", "--maps", "-", "--output", "out.tif"]
    assert impasto.works(*words, stdin="[]").said == ["out.tif: 40x60 px (height x width), keep"]
    assert (canvas.read(impasto.folder / "out.tif") == (style / 255).astype(np.float32)).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "standard input: expected a JSON list of colour maps; found no JSON."),
        ("{}", "standard input: expected a JSON list of colour maps; found nothing."),
        ("[3]", "standard input: map 1: expected a JSON object; found 3."),
        (
            '[{}, {"mode": "sepia"}]',
            "standard input: map 2, mode: expected 'keep', 'linear' or 'luma'; found",
        ),
        (
            '[{"masks": "m.png"}]',
            "standard input: map 1, masks: expected a key among mode, transform, reference, luma_match, "
            "mask, reference_mask, everywhere, measured_everywhere, may_be_empty; found an unknown one.",
        ),
        ('[{"mode": "linear"}]', "standard input: map 1: mode linear needs a reference."),
        ('[{"mask": ""}]', "standard input: map 1, mask: expected a path; found ''."),
        ('[{"mode": "luma", "mask": 4}]', "standard input: map 1, mask: expected a valid string; found 4."),
        ("[" * 100000, "standard input: expected a JSON list of colour maps; found no JSON."),
    ],
)
def test_wrong_maps_are_told_in_one_line(impasto: Impasto, text: str, said: str) -> None:
    save(impasto.folder / "style.png", noise(40, 40, seed=0))
    words = ["recolour", "style.png", "--size", "4x4", "--maps", "-", "--output", "out.tif"]
    assert impasto.refuses(*words, stdin=text).startswith(said)


@pytest.mark.parametrize("option", ["--mask", "--reference-mask"])
def test_an_unsuitable_mask_is_told_in_one_line(impasto: Impasto, option: str) -> None:
    save(impasto.folder / "style.png", noise(40, 40, seed=0))
    save(impasto.folder / "black.png", np.zeros((20, 20, 1), np.uint8))
    words = ["style.png", "--mode", "linear", "--reference", "style.png", "--size", "40x40"]
    broken = broken_pictures(impasto.folder)
    for mask, expected in [
        ("black.png", "mask black.png: expected light on visible pixels of style.png; found none."),
        (f"not:{broken['truncated']}", f"{broken['truncated']}: expected a complete image; found"),
        (broken["missing"], f"{broken['missing']}: expected an image file; found no such file."),
    ]:
        line = impasto.refuses("recolour", *words, option, mask, "--output", "out.tif")
        assert line.startswith(expected)


def test_a_transparent_image_has_no_colours_to_give(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(40, 40, seed=0))
    save(impasto.folder / "clear.png", np.dstack([noise(40, 40, seed=1), np.zeros((40, 40), np.uint8)]))
    words = ["--mode", "linear", "--reference", "clear.png", "--size", "40x40", "--output", "out.tif"]
    line = impasto.refuses("recolour", "style.png", *words)
    assert line == "clear.png: expected pixels that are not wholly transparent; found none."


def test_where_nobody_is_all_of_the_reference_counts_and_no_map_applies(impasto: Impasto) -> None:
    save(impasto.folder / "style.png", noise(80, 60, seed=0))
    save(impasto.folder / "photo.png", gradient(70, 90))
    save(impasto.folder / "nobody.png", np.zeros((70, 90, 1), np.uint8))
    linear = {"mode": "linear", "reference": "photo.png"}
    maps = {
        "whole": linear,
        "masked": {**linear, "reference_mask": "nobody.png", "may_be_empty": True},
        "nowhere": {"mode": "luma", "mask": "nobody.png", "may_be_empty": True},
        "kept": {"mode": "keep"},
    }
    for name, words in maps.items():
        size = ["--size", "80x60", "--maps", "-", "--output", f"{name}.tif"]
        impasto.works("recolour", "style.png", *size, stdin=json.dumps([words]))
    read = {name: canvas.read(impasto.folder / f"{name}.tif") for name in maps}
    assert np.array_equal(read["masked"], read["whole"])
    assert np.array_equal(read["nowhere"], read["kept"])
    words = json.dumps([{**linear, "reference_mask": "nobody.png"}])
    refused = ["--size", "80x60", "--maps", "-", "--output", "out.tif"]
    assert "expected light on visible pixels" in impasto.refuses(
        "recolour", "style.png", *refused, stdin=words
    )


def test_a_map_may_be_measured_everywhere_and_apply_in_a_part(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(80, 60))
    save(impasto.folder / "source.png", noise(40, 40, seed=2))
    save(impasto.folder / "left.png", left_half(80, 60))
    linear = {"mode": "linear", "reference": "source.png"}
    for name, words in (
        ("whole", linear),
        ("part", {**linear, "mask": "left.png", "measured_everywhere": True}),
    ):
        size = ["--size", "80x60", "--maps", "-", "--output", f"{name}.tif"]
        impasto.works("recolour", "photo.png", *size, stdin=json.dumps([words]))
    impasto.works("recolour", "photo.png", "--size", "80x60", "--output", "kept.tif")
    whole, part, kept = (canvas.read(impasto.folder / f"{name}.tif") for name in ("whole", "part", "kept"))
    assert part[:, :28] == pytest.approx(whole[:, :28], abs=1e-5)
    assert part[:, 32:] == pytest.approx(kept[:, 32:], abs=1e-5)
