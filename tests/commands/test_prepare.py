from __future__ import annotations

import numpy as np
import pytest
from pictures import broken_pictures, gradient, noise, save, truncate
from running import Impasto, snapshot

from pipeline import canvas


def test_the_pixels_are_kept_to_the_bit(impasto: Impasto) -> None:
    pixels = gradient(70, 50)
    save(impasto.folder / "photo.png", pixels)
    imported, done = impasto.imports("prepare", "photo.png", "--output", "shared/photo.tif")
    assert done.said == ["shared/photo.tif: 70x50 px (height x width), 8 bits"]
    assert done.printed == ""
    assert "pyvips" in imported
    assert not imported & {"torch", "torchvision"}
    found = canvas.read(impasto.folder / "shared" / "photo.tif")
    assert (np.rint(found * 255) == pixels).all()
    assert sorted(snapshot(impasto.folder)) == ["photo.png", "shared", "shared/photo.tif"]


def test_alpha_is_kept_aside(impasto: Impasto) -> None:
    pixels = np.dstack([gradient(40, 50), np.full((40, 50), 51, np.uint8)])
    save(impasto.folder / "cutout.png", pixels)
    done = impasto.works("prepare", "cutout.png", "--output", "cutout.tif")
    assert done.said == ["cutout.tif: 40x50 px (height x width), 8 bits, alpha kept"]
    found = canvas.read(impasto.folder / "cutout.tif")
    assert found.shape == (40, 50, 4)
    assert found[..., 3] == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "missing.png: expected an image file; found no such file."),
        ("truncated", "truncated.png: expected a complete image; found damaged or truncated data ("),
        ("text", "notes.jpg: expected an image (JPEG, PNG, TIFF, WebP, GIF or HEIF/AVIF); found a file"),
        ("empty", "empty.png: expected an image file; found an empty file."),
        ("folder", ": expected an image file; found a folder."),
    ],
)
def test_what_is_no_picture_is_told_in_one_line(impasto: Impasto, kind: str, said: str) -> None:
    line = impasto.refuses("prepare", broken_pictures(impasto.folder)[kind], "--output", "out.tif")
    assert said in line


@pytest.mark.parametrize(("height", "width"), [(1, 300), (300, 1), (1, 1)])
def test_a_strip_of_colours_is_taken(impasto: Impasto, height: int, width: int) -> None:
    pixels = noise(height, width, seed=0)
    save(impasto.folder / "strip.png", pixels)
    done = impasto.works("prepare", "strip.png", "--output", "out.tif")
    assert done.said == [f"out.tif: {height}x{width} px (height x width), 8 bits"]
    assert (np.rint(canvas.read(impasto.folder / "out.tif") * 255) == pixels).all()


def test_what_is_clipped_is_said(impasto: Impasto) -> None:
    pixels = np.full((20, 20, 3), 0.5)
    pixels[:5] = 1.25
    canvas.write(impasto.folder / "bright.tif", pixels)
    assert impasto.works("prepare", "bright.tif", "--output", "out.tif").said == [
        "out.tif: 20x20 px (height x width), 16 bits",
        "bright.tif: 25.00% of its numbers lay outside 0 to 1 and were clipped",
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_told_in_one_line(impasto: Impasto, value: float) -> None:
    pixels = np.full((20, 20, 3), 0.5)
    pixels[3, 4, 1] = value
    canvas.write(impasto.folder / "bad.tif", pixels)
    line = impasto.refuses("prepare", "bad.tif", "--output", "out.tif")
    assert line == (
        "bad.tif: expected finite numbers; found NaN or infinite ones. Export it again, or as 16 bits."
    )


def test_a_failure_leaves_the_earlier_result_alone(impasto: Impasto) -> None:
    photo = save(impasto.folder / "photo.png", noise(60, 60, seed=1))
    impasto.works("prepare", "photo.png", "--output", "photo.tif")
    truncate(photo)
    impasto.refuses("prepare", "photo.png", "--output", "photo.tif")
    assert canvas.size_of(impasto.folder / "photo.tif").area == 3600


def test_an_output_that_cannot_be_written_is_told_in_one_line(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(40, 40))
    (impasto.folder / "taken").write_text("a file, where a folder is wanted")
    assert impasto.refuses("prepare", "photo.png", "--output", "taken/photo.tif") == "taken: file exists."


def test_an_output_that_is_a_folder_is_told_in_one_line(impasto: Impasto) -> None:
    save(impasto.folder / "photo.png", gradient(40, 40))
    (impasto.folder / "photo.tif").mkdir()
    line = impasto.refuses("prepare", "photo.png", "--output", "photo.tif")
    assert line == "photo.tif: is a directory."
