from __future__ import annotations

import numpy as np
import pytest
import pyvips
from pictures import broken_pictures, left_half, save
from running import Impasto

from pipeline import canvas


def test_there_is_a_channel_for_each_region(impasto: Impasto) -> None:
    save(impasto.folder / "left.png", left_half(80, 60))
    words = ["--region", "sky=left.png", "--region", "ground=not:left.png", "--size", "40x30"]
    imported, done = impasto.imports("guide", *words, "--output", "guides.tif")
    assert done.said == ["region sky: 50.0% of the image", "region ground: 50.0% of the image"]
    assert not imported & {"torch", "torchvision"}
    guides = canvas.read(impasto.folder / "guides.tif")
    assert guides.shape == (40, 30, 2)
    assert (guides[:, :14, 0] == 1).all()
    assert (guides[:, 16:, 0] == 0).all()
    assert guides.sum(axis=2) == pytest.approx(1, abs=2 / 65535)


def test_a_mask_may_have_colours_and_any_size(impasto: Impasto) -> None:
    save(impasto.folder / "green.png", np.full((7, 90, 3), (0, 255, 0), np.uint8))
    impasto.works("guide", "--region", "all=green.png", "--size", "33x44", "--output", "guides.tif")
    guides = canvas.read(impasto.folder / "guides.tif")
    assert guides.shape == (33, 44, 1)
    assert guides == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize("kind", ["missing", "truncated", "text"])
def test_what_is_no_mask_is_told_in_one_line(impasto: Impasto, kind: str) -> None:
    path = broken_pictures(impasto.folder)[kind]
    line = impasto.refuses("guide", "--region", f"sky={path}", "--size", "40x30", "--output", "guides.tif")
    assert line.startswith(f"{path}: expected ")


@pytest.mark.parametrize("bands", [5, 6])
def test_a_mask_with_bands_besides_its_colours_and_alpha_is_refused(impasto: Impasto, bands: int) -> None:
    pixels = np.full((40, 30, bands), 255, np.uint8)
    pyvips.Image.new_from_array(pixels, interpretation="srgb").tiffsave(str(impasto.folder / "many.tif"))
    line = impasto.refuses("guide", "--region", "sky=many.tif", "--size", "40x30", "--output", "guides.tif")
    assert line == (
        f"many.tif: expected at most one band besides the colours (alpha); found {bands} bands. "
        "Export it as RGB without further channels."
    )


def test_the_second_mask_is_the_one_that_is_blamed(impasto: Impasto) -> None:
    save(impasto.folder / "left.png", left_half(80, 60))
    broken = broken_pictures(impasto.folder)["truncated"]
    words = ["--region", "sky=left.png", "--region", f"ground={broken}", "--size", "40x30"]
    assert impasto.refuses("guide", *words, "--output", "guides.tif").startswith(f"{broken}: expected ")


def test_a_region_that_covers_nothing_is_refused_and_earlier_guides_stay(impasto: Impasto) -> None:
    save(impasto.folder / "left.png", left_half(80, 60))
    save(impasto.folder / "nothing.png", np.zeros((80, 60, 1), np.uint8))
    impasto.works("guide", "--region", "sky=left.png", "--size", "40x30", "--output", "guides.tif")
    words = ["--region", "sky=nothing.png", "--size", "40x30", "--output", "guides.tif"]
    line = impasto.refuses("guide", *words)
    assert line.startswith("region sky: expected a mask that covers some of the image; found nothing in noth")


@pytest.mark.parametrize(
    ("region", "size", "said"),
    [
        ("left.png", "40x30", "--region: expected NAME=MASK; found 'left.png'."),
        ("sky=", "40x30", "--region: expected NAME=MASK; found 'sky='."),
        ("sky=not:", "40x30", "--region: expected NAME=MASK; found 'sky=not:'."),
        (
            "sky=left.png",
            "40",
            "argument --size: expected HEIGHTxWIDTH in pixels, such as 384x512; found '40'.",
        ),
        ("sky=left.png", "0x30", "argument --size: expected HEIGHTxWIDTH in pixels"),
        ("sky=left.png", "40x-30", "argument --size: expected HEIGHTxWIDTH in pixels"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(impasto: Impasto, region: str, size: str, said: str) -> None:
    save(impasto.folder / "left.png", left_half(80, 60))
    line = impasto.refuses("guide", "--region", region, "--size", size, "--output", "guides.tif")
    assert said in line


def test_a_region_may_be_empty_where_nobody_may_be(impasto: Impasto) -> None:
    save(impasto.folder / "nobody.png", np.zeros((40, 30, 1), np.uint8))
    words = ["--region", "person=nobody.png", "--region", "rest=not:nobody.png", "--size", "40x30"]
    line = impasto.refuses("guide", *words, "--output", "guides.tif")
    assert line.startswith("region person: expected a mask that covers some of the image; found nothing")
    impasto.works("guide", *words, "--may-be-empty", "person", "--output", "guides.tif")
    guides = canvas.read(impasto.folder / "guides.tif")
    assert (guides[..., 0].max(), guides[..., 1].min()) == (0, 1)
