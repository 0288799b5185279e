from __future__ import annotations

import numpy as np
import pytest
from pictures import broken_pictures, gradient, left_half, noise, save
from running import Impasto

from pipeline import canvas
from pipeline.colour import rgb_to_yiq


def test_without_a_colour_mode_the_pixels_stay(impasto: Impasto) -> None:
    result = np.random.default_rng(0).uniform(-0.1, 1.1, (60, 40, 3)).astype(np.float32)
    canvas.write(impasto.folder / "result.tif", result)
    save(impasto.folder / "content.png", gradient(30, 20))
    imported, done = impasto.imports(
        "assemble", "result.tif", "--content", "content.png", "--output", "assembled.tif"
    )
    assert done.said == ["assembled.tif: 60x40 px (height x width)"]
    assert not imported & {"torch", "torchvision"}
    assert (canvas.read(impasto.folder / "assembled.tif") == result).all()


def test_luminance_takes_luma_from_the_result_and_chroma_from_the_content(impasto: Impasto) -> None:
    grey = noise(60, 40, seed=0)[..., :1].repeat(3, axis=2)
    save(impasto.folder / "result.png", grey)
    save(impasto.folder / "content.png", gradient(60, 40))
    words = ["--content", "content.png", "--colour", "luminance", "--output", "assembled.tif"]
    impasto.works("assemble", "result.png", *words)
    found = canvas.read(impasto.folder / "assembled.tif") @ rgb_to_yiq().T
    content = gradient(60, 40) / 255 @ rgb_to_yiq().T
    assert found[..., 0] == pytest.approx(grey[..., 0] / 255, abs=1e-5)
    assert found[..., 1:] == pytest.approx(content[..., 1:], abs=1e-5)
    assert not list(impasto.folder.glob(".*"))


def test_alpha_comes_back_at_the_results_size(impasto: Impasto) -> None:
    canvas.write(impasto.folder / "result.tif", np.full((60, 40, 3), 0.5))
    opacity = np.full((30, 20), 255, np.uint8)
    opacity[:15] = 0
    save(impasto.folder / "content.png", np.dstack([gradient(30, 20), opacity]))
    done = impasto.works("assemble", "result.tif", "--content", "content.png", "--output", "assembled.tif")
    assert done.said == ["assembled.tif: 60x40 px (height x width), alpha"]
    found = canvas.read(impasto.folder / "assembled.tif")
    assert found.shape == (60, 40, 4)
    assert (found[..., :3] == 0.5).all()
    assert (found[:28, :, 3] == 0).all()
    assert (found[32:, :, 3] == 1).all()


def test_a_strip_that_is_printed_much_larger_may_be_of_few_pixels(impasto: Impasto) -> None:
    canvas.write(impasto.folder / "result.tif", np.full((20, 200, 3), 0.5))
    save(impasto.folder / "content.png", gradient(5, 50))
    impasto.works("assemble", "result.tif", "--content", "content.png", "--output", "assembled.tif")


@pytest.mark.parametrize("kind", ["missing", "truncated"])
@pytest.mark.parametrize("place", ["image", "content"])
def test_what_is_no_picture_is_told_in_one_line(impasto: Impasto, kind: str, place: str) -> None:
    save(impasto.folder / "good.png", np.dstack([gradient(30, 20), np.full((30, 20), 9, np.uint8)]))
    path = broken_pictures(impasto.folder)[kind]
    image, content = (path, "good.png") if place == "image" else ("good.png", path)
    words = ["--content", content, "--colour", "luminance", "--output", "assembled.tif"]
    line = impasto.refuses("assemble", image, *words)
    assert line.startswith(f"{path}: expected ")


def test_an_unknown_colour_mode_is_told_in_one_line(impasto: Impasto) -> None:
    save(impasto.folder / "good.png", gradient(30, 20))
    words = ["--content", "good.png", "--colour", "sepia", "--output", "assembled.tif"]
    assert "argument --colour: invalid choice: 'sepia'" in impasto.refuses("assemble", "good.png", *words)


def test_chroma_comes_back_only_where_the_masks_say(impasto: Impasto) -> None:
    grey = noise(60, 40, seed=0)[..., :1].repeat(3, axis=2)
    save(impasto.folder / "result.png", grey)
    save(impasto.folder / "content.png", gradient(60, 40))
    save(impasto.folder / "left.png", left_half(60, 40))
    top = np.zeros((60, 40, 1), np.uint8)
    top[:30] = 255
    save(impasto.folder / "top.png", top)
    words = ["result.png", "--content", "content.png", "--colour", "luminance", "--output", "assembled.tif"]
    impasto.works("assemble", *words, "--luminance-mask", "left.png", "--luminance-mask", "not:top.png")
    found = canvas.read(impasto.folder / "assembled.tif")
    assert found[:30, 20:] == pytest.approx(grey[:30, 20:] / 255, abs=1e-6)
    chroma, content = found @ rgb_to_yiq().T, gradient(60, 40) / 255 @ rgb_to_yiq().T
    for part in (np.s_[:, :20, 1:], np.s_[30:, :, 1:]):
        assert chroma[part] == pytest.approx(content[part], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--colour", "luminance", "--luminance-mask", "none.png"],
            "none.png: expected an image file; found no",
        ),
        (
            ["--luminance-mask", "good.png"],
            "--luminance-mask: expected --colour luminance beside it; found none.",
        ),
    ],
)
def test_a_wrong_luminance_mask_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    save(impasto.folder / "good.png", gradient(30, 20))
    line = impasto.refuses("assemble", "good.png", "--content", "good.png", *words, "--output", "out.tif")
    assert line.startswith(said)
