from __future__ import annotations

import pytest
from pictures import gradient, save
from running import Impasto


def test_an_old_folder_of_tiles_is_replaced(impasto: Impasto) -> None:
    save(impasto.folder / "a.png", gradient(200, 300))
    (impasto.folder / "deepzoom").mkdir()
    (impasto.folder / "deepzoom" / "old.jpg").touch()
    (impasto.folder / "deepzoom" / "image.szi").touch()
    imported, done = impasto.imports("export-deepzoom", "a.png", "--tile-px", 128, "--output", "deepzoom")
    # Levels of 200x300 px in 2x3 tiles, 100x150 px in 1x2, and eight of one tile; and image.dzi.
    assert done.said == ["deepzoom: 200x300 px (height x width), dzi in 17 files"]
    assert not imported & {"torch", "torchvision"}
    assert {path.name for path in (impasto.folder / "deepzoom").iterdir()} == {"image.dzi", "image_files"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--format", "iiif"], "--url: expected an address beside --format iiif, and no other; found none."),
        (
            ["--url", "https://a.org/b"],
            "--url: expected an address beside --format iiif, and no other; found",
        ),
        (["--format", "iiif", "--url", "a/b"], "--url: expected an address that begins with https:// or"),
        (["--tile-px", 64], "--tile-px: expected 128 to 8192; found 64."),
        (["--quality", 101], "--quality: expected 1 to 100; found 101."),
        (["--output", "a.png"], "a.png: not a directory."),
        (
            ["--output", "."],
            ".: expected no folder there, or one to be replaced, with image.dzi or image.szi or",
        ),
    ],
)
def test_mistakes_are_told_in_a_line(impasto: Impasto, words: list[object], line: str) -> None:
    save(impasto.folder / "a.png", gradient(20, 30))
    assert line in impasto.refuses("export-deepzoom", "a.png", "--output", "d", *words)
    assert not (impasto.folder / "d").exists()
