from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import broken_pictures, gradient, noise, save
from running import Impasto
from tiny_artwork import Artwork

from pipeline import canvas

OUTPUTS = ["--output", "preview.png", "--pictures", "pictures"]


@pytest.fixture
def words(impasto: Impasto, artwork: Artwork) -> dict[str, list[Any]]:
    """The options of a preview, by name."""
    save(impasto.folder / "content.png", gradient(100, 80))
    save(impasto.folder / "lower.png", noise(72, 57, seed=0))
    save(impasto.folder / "upper.png", noise(89, 72, seed=1))
    level = artwork.plan.levels[1]
    style = artwork.plan.targets[level.regions[0].targets[0].target].image
    return {
        "--plan": [artwork.folder / "plan.json"],
        "--content": ["content.png"],
        "--styles": [artwork.image(style)],
        "--levels": ["lower.png", "upper.png"],
        "--guides": [artwork.guides(level)],
    }


def given(words: dict[str, list[Any]]) -> list[Any]:
    return [word for option, values in words.items() for word in (option, *values)]


def test_a_preview_and_the_reports_pictures(impasto: Impasto, words: dict[str, list[Any]]) -> None:
    flat = np.full((890, 720, 3), 0.6)
    canvas.write(impasto.folder / "assembled.tif", flat)
    imported, done = impasto.imports(
        "preview", "assembled.tif", *given(words), "--longer-side-px", 178, *OUTPUTS
    )
    assert done.said == ["preview.png: 178x144 px (height x width)"]
    assert not imported & {"torch", "torchvision"}
    preview = canvas.read(impasto.folder / "preview.png")
    assert preview.shape == (178, 144, 3)
    assert (np.rint(preview * 255) == 153).all()
    style = Path(words["--styles"][0]).stem
    sizes = {
        path.name: (canvas.size_of(path).height, canvas.size_of(path).width)
        for path in (impasto.folder / "pictures").iterdir()
    }
    assert sizes == {
        "result.jpg": (890, 720),
        "thumbnail.jpg": (800, 647),
        "content.jpg": (100, 80),
        f"style-{style}.jpg": (80, 80),
        "level-64.jpg": (72, 57),
        "level-80.jpg": (89, 72),
        "mask-left.png": (89, 72),
        "mask-right.png": (89, 72),
    }
    left = canvas.read(impasto.folder / "pictures" / "mask-left.png")
    assert (left[:, :34] == 1).all()
    assert (left[:, 38:] == 0).all()


def test_a_smaller_result_is_not_enlarged_and_old_pictures_go(
    impasto: Impasto, words: dict[str, list[Any]]
) -> None:
    (impasto.folder / "pictures").mkdir()
    (impasto.folder / "pictures" / "mask-of-yesterday.png").touch()
    (impasto.folder / "pictures" / "result.jpg").touch()
    impasto.works("preview", "upper.png", *given(words), *OUTPUTS)
    assert (np.rint(canvas.read(impasto.folder / "preview.png") * 255) == noise(89, 72, seed=1)).all()
    assert not (impasto.folder / "pictures" / "mask-of-yesterday.png").exists()


@pytest.mark.parametrize(
    ("option", "values", "said"),
    [
        (
            "--plan",
            ["absent.json"],
            "absent.json: expected a plan made by `impasto plan`; found no such file",
        ),
        ("--levels", ["lower.png"], "--levels: expected 2 images, one per level; found 1."),
        (
            "--levels",
            ["lower.png", "truncated.png"],
            "truncated.png: expected a complete image; found damaged",
        ),
        ("--guides", ["lower.png"], "lower.png: expected 2 guidance channels; found 3."),
        (
            "--content",
            ["notes.jpg"],
            "notes.jpg: expected an image (JPEG, PNG, TIFF, WebP, GIF or",
        ),
        ("--styles", ["missing.png"], "missing.png: expected an image file; found no such file."),
        ("image", ["truncated.png"], "truncated.png: expected a complete image; found damaged or truncated"),
        (
            "--longer-side-px",
            ["-5"],
            "argument --longer-side-px: expected a whole number of at least 1; found",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_earlier_pictures_stay(
    impasto: Impasto, words: dict[str, list[Any]], option: str, values: list[str], said: str
) -> None:
    broken_pictures(impasto.folder)
    (impasto.folder / "pictures").mkdir()
    (impasto.folder / "pictures" / "result.jpg").write_text("of yesterday")
    image = "upper.png"
    if option == "image":
        image = values[0]
    else:
        words[option] = list(values)
    assert said in impasto.refuses("preview", image, *given(words), *OUTPUTS)
