"""Contents x styles x settings: names, order, what stands above what, and mistakes."""

# ruff: noqa: E501 - errors stand as their reader sees them

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.models import Config
from pipeline.config.naming import plain_name
from pipeline.config.reading import parse, parse_whole
from pipeline.errors import ConfigError, InputError

KINDS = ".avif, .jpeg, .jpg, .png, .tif, .tiff, .webp"


def combined(combine: Any, **more: Any) -> Config:
    return parse({"combine": combine, **more})


def test_every_combination_in_order() -> None:
    found = combined(
        {
            "contents": {"sea": "a.png", "pier": {"content": "b.png", "seed": 4, "content_weight": 9}},
            "styles": ["in/night.png", "in/two suns.png"],
            "settings": {"soft": {"content_weight": 10}, "hard": {"print": {"dpi": 90}}},
            "exclude": "pier-night-hard",
        },
        defaults={"levels": [64]},
        artworks={"sea-night-hard": {"seed": 8}, "other": {"content": "o.png", "style": "s.png"}},
    )
    assert list(found.artworks) == [
        *("sea-night-soft", "sea-night-hard", "sea-two-suns-soft", "sea-two-suns-hard"),
        *("pier-night-soft", "pier-two-suns-soft", "pier-two-suns-hard", "other"),
    ]
    pier, hard = found.artworks["pier-two-suns-soft"], found.artworks["sea-night-hard"]
    assert (pier.content, pier.regions[0].styles[0].image) == (Path("b.png"), Path("in/two suns.png"))
    assert (pier.seed, pier.content_weight, hard.seed, hard.print.dpi) == (4, 10, 8, 90)


def test_a_style_by_region_displaces_an_inherited_one() -> None:
    both = {"regions": [{"where": "person", "style": "n.png"}]}
    found = combined({"contents": "a.png", "styles": {"both": both}}, defaults={"style": "s.png"})
    assert list(found.artworks) == ["a-both"]
    assert found.artworks["a-both"].regions[0].where == "person"
    assert list(combined({"contents": "a.png"}, defaults={"style": "s.png"}).artworks) == ["a"]


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    contents, styles = {"a" * 120: "a.png"}, {"b" * 80: "b.png"}
    with pytest.raises(
        ConfigError, match="artworks must have names of at most 200 characters; found 201 in a"
    ):
        combined({"contents": contents, "styles": styles})


def test_folders_and_patterns_in_the_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p/c.JPG", "p/a.png", "p/notes.txt", "p/.hidden.png", "p/deep/b.png", "q/[1].png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    style = {"style": "s.png"}
    assert list(combined({"contents": "p"}, defaults=style).artworks) == ["a", "c"]
    assert list(combined({"contents": "p/**/*"}, defaults=style).artworks) == ["a", "c", "b"]
    assert list(combined({"contents": ["p/c.*", "q/[1].png"]}, defaults=style).artworks) == ["c", "1"]
    for pattern, line in [
        (
            "p/*.tif",
            f"combine.contents: expected a pattern that images have ({KINDS}); found none for p/*.tif.",
        ),
        ("p/deep/..", None),
    ]:
        if line is None:
            assert len(combined({"contents": pattern}, defaults=style).artworks) == 2
            continue
        with pytest.raises(ConfigError) as caught:
            combined({"contents": pattern}, defaults=style)
        assert str(caught.value).endswith(line)
    Path("empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        combined({"contents": "empty"}, defaults=style)
    assert f"expected a folder of images ({KINDS}); found none in empty." in str(caught.value)


def test_images_of_other_kinds_are_counted_in_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A raw file beside its JPEG is not missed; nor is what is no image, hidden, or in a folder not looked into.
    for name in (
        "p/a.jpg",
        "p/a.CR2",
        "p/b.HEIC",
        "p/c.nef",
        "p/._b.HEIC",
        "p/b.txt",
        "p/deep/d.gif",
        "s/s.png",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("p/e.gif").mkdir()

    def warned(contents: Any) -> tuple[str, ...]:
        raw = {"combine": {"contents": contents, "styles": "s"}}
        return parse_whole(raw, "mine.yaml").warnings

    said = f"mine.yaml: combine: folders and patterns give {KINDS}; images of other kinds are left out: "
    assert warned("p") == warned(["p", "p/*"]) == (f"{said}2, the first p/b.HEIC",)
    assert warned(["p/**/*", "s"]) == (f"{said}3, the first p/b.HEIC",)
    assert warned("p/*.jpg") == warned({"b": "p/b.HEIC"}) == ()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems take no such name")
def test_a_file_name_that_is_no_text_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p").mkdir()
    for name in (b"p/b.png", b"p/caf\xe9.png"):
        Path(os.fsdecode(name)).touch()
    for contents in ("p", "p/*"):
        with pytest.raises(InputError) as caught:
            combined({"contents": contents, "styles": "s.png"})
        assert str(caught.value) == (
            r"config.yaml: combine.contents: expected file names in UTF-8; found 'p/caf\udce9.png'. Rename it."
        )


def test_a_folder_that_cannot_be_looked_at_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as caught:
        combined({"contents": "a.png", "styles": ["s.png", "x" * 300]})
    assert str(caught.value) == (
        "config.yaml: combine.styles: expected images and folders that can be looked at; found "
        f"{'x' * 300}: file name too long."
    )

    def denied(folder: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    # Nothing is denied to root, whom tests may run as.
    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(InputError, match=r"combine\.contents: expected .*: permission denied\.$"):
        combined({"contents": str(tmp_path), "styles": "s.png"})


@pytest.mark.parametrize(
    ("combine", "line"),
    [
        ("a.png", "combine: expected keys and values below it; found 'a.png'."),
        ([{"styles": "s.png"}], "combine.0.contents: expected a value; found nothing."),
        ({"contents": "a.png", "style": "s"}, "combine.style: expected a known key; found an unknown key with "
         "value 's'. Perhaps styles was meant."),
        ({"contents": {"a b": "a.png"}}, "combine.contents: expected a name of letters, digits, _ and -, with a "
         "letter or digit first; found 'a b'. a-b would do."),
        ({"contents": {"a": 5}}, "combine.contents.a: expected an image or settings; found 5."),
        ({"contents": ["x/a.png", "y/a.png"]}, "combine.contents: expected files whose names differ without their "
         "folders and endings; found x/a.png and y/a.png, both 'a'. Write `NAME: file` for each."),
        ({"contents": "a.png", "styles": "s.png", "exclude": ["b"]},
         "combine.exclude: expected names of combinations; found 'b'."),
        ({"contents": {"a-b": "a.png", "a": "a.png"}, "styles": {"c": "c.png", "b-c": "c.png"}},
         "combine: a-b-c: expected a name of its own for each artwork; found 'a-b-c' again, the name of "
         "config.yaml: combine: a-b-c. Give a name."),
        ({"contents": "a.png", "styles": "s.png", "settings": {"x": {"colour": {"mode": 5}}}},
         "combine: a-s-x.colour.mode: expected 'none', 'style_to_content', 'content_to_style'"),
        ({"contents": "a.png"}, "combine: a must have"),
    ],
)  # fmt: skip
def test_mistakes_name_the_combination(combine: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        combined(combine)
    assert str(caught.value).startswith(f"config.yaml: {line}")


def test_names_are_made_of_letters_digits_and_hyphens() -> None:
    words = {
        "Öl am See": "Ol-am-See",
        "a/../b": "a-b",
        "_x.y_": "x-y",
        "画": "",
        "ﬁne": "fine",
        "a" * 3: "aaa",
    }
    assert {text: plain_name(text) for text in words} == words
