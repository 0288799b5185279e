"""Every artwork's plan, and what artworks share, from settings and headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pyvips
from noting import noting
from pictures import gradient, save
from two_artworks import resolved

from pipeline import canvas
from pipeline.collection import open_collection, resolve_collection
from pipeline.errors import ConfigError, InputError, UnfitError
from pipeline.geometry import Size


def test_equal_work_is_listed_once() -> None:
    found = resolved()
    assert sorted(map(str, found.sources.values())) == ["in/c d.png", "s.png", "t.png"]
    assert len(found.masks) == 1
    # The content and two styles at two levels, and the recoloured style of the other artwork.
    assert len(found.images) == 2 * (1 + 2) + 2
    assert len(found.targets) == 2 * 3


def test_a_collection_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("c.png"), gradient(40, 60))
    raw = {"artworks": {"a": {"content": "c.png", "style": "resources/demo/ihc.png"}}}
    Path("mine.yaml").write_text(json.dumps(raw))
    cache = Path(".snakemake/sizes.json")
    # The demo's style has its size before it is made.
    found = open_collection(raw, [str(tmp_path / "mine.yaml")], cache)
    assert str(found.level("a", 512).size) == "418x627"
    assert list(json.loads(cache.read_text())) == ["c.png"]


def test_mistakes_name_the_file_that_the_user_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path("mine.yaml")
    mine.write_text("artworks: {a: {content: c.png, style: s.png}}")
    with pytest.raises(
        InputError, match=r"^mine\.yaml: artworks\.a\.content: c\.png: expected an image file"
    ):
        open_collection({"artworks": {"a": {"content": "c.png", "style": "s.png"}}}, [mine], Path("x.json"))
    mine.write_text("title: a\ntitle: b\n")
    with pytest.raises(
        ConfigError, match=r"^mine\.yaml: line 2: expected each key once; found 'title' again"
    ):
        open_collection({}, [tmp_path / mine], Path("x.json"))
    with pytest.raises(ConfigError, match=r"^the configuration: artworks: expected a value; found nothing"):
        open_collection({}, [], Path("x.json"))
    mine.write_text("")
    artworks = {"a": {"content": "c.png", "style": "s.png"}}
    for key in ("results_dir", "resources_dir"):
        with pytest.raises(ConfigError) as caught:
            open_collection({key: "mine.yaml/new", "artworks": artworks}, [mine], Path("x.json"))
        assert str(caught.value) == (
            f"mine.yaml: {key}: expected a folder, there already or not; found a file at mine.yaml."
        )
    assert not Path("x.json").exists()


def test_a_missing_file_refuses_only_the_artworks_that_need_it(tmp_path: Path) -> None:
    def size_of(path: Path) -> Size:
        if path.name == "gone.png":
            raise InputError(path, expected="an image file", found="none")
        return Size(200, 300)

    sheet = tmp_path / "s.csv"
    sheet.write_text("name,content,style\na,a.png,s.png\nb,gone.png,s.png\nc,c.png,gone.png\n")
    raw = {"sheet": str(sheet), "artworks": {"d": {"content": "gone.png", "style": "s.png"}}}
    found = resolve_collection(raw, size_of)
    assert list(found.plans) == ["a"]
    assert found.refused == {
        "b": f"{sheet}: row 3, column content: gone.png: expected an image file; found none.",
        "c": f"{sheet}: row 4, column style: gone.png: expected an image file; found none.",
        "d": "config.yaml: artworks.d.content: gone.png: expected an image file; found none.",
    }
    with pytest.raises(InputError, match="row 3, column content"):
        found.plans["b"]
    with pytest.raises(
        InputError, match="artwork other: expected a name in the collection; found none like it"
    ):
        found.plans["other"]
    sheet.write_text("name,content,style\nb,gone.png,s.png\n")
    with pytest.raises(InputError, match="row 2, column content"):
        resolve_collection({"sheet": str(sheet)}, size_of)


def test_an_odd_image_refuses_only_its_artworks(tmp_path: Path) -> None:
    sizes = {"thin.png": Size(20, 2000), "s.png": Size(200, 300)}
    too_long = f"{'x' * 300}.png"

    def size_of(path: Path) -> Size:
        if path.name == too_long:
            raise OSError(36, "File name too long", str(path))
        return sizes.get(path.name, Size(200, 300))

    sheet = tmp_path / "s.csv"
    sheet.write_text(
        "name,content,levels,print.width,print.bleed,style\n"
        'good,c.png,"[64, 128]",,,s.png\n'
        'thin,thin.png,"[64, 128]",,,s.png\n'
        'style,c.png,"[64, 128]",,,thin.png\n'
        'largest,c.png,"[100000]",,,s.png\n'
        "print,c.png,,300 px,150 px,s.png\n"
        'memory,c.png,"[20000]",,,s.png\n'
        f'long,{too_long},"[64]",,,s.png\n'
    )
    raw = {"sheet": str(sheet), "compute": {"disk_budget_gib": 1}}
    found = resolve_collection(raw, size_of)
    assert list(found.plans) == ["good"]
    thin = "px at least on their shorter side; found 6x640 px (height x width) "
    told = {
        "thin": f"{sheet}: row 3, column levels: expected levels that are 32 {thin}at level 64 for a content "
        "image of 20x2000 px. Raise the lowest level, or crop the content image.",
        "style": f"{sheet}: row 4: regions: expected style images of 32 px at least on their shorter side; ",
        "largest": f"{sheet}: row 5, column levels: expected at most ",
        "print": f"{sheet}: row 6, column print.bleed: expected at most half of the print's shorter side",
        "memory": "config.yaml: compute.disk_budget_gib: expected ",
        "long": f"{sheet}: row 8, column content: expected an image file; found {too_long}: file name too",
    }
    assert list(found.refused) == list(told)
    for name, line in told.items():
        assert found.refused[name].startswith(line), found.refused[name]
    # Where nothing is left to be made, the first mistake ends the run as what it is.
    sheet.write_text("name,content,levels,style\nthin,thin.png,[64],s.png\nb,thin.png,[64],s.png\n")
    with pytest.raises(UnfitError, match="row 2, column levels"):
        resolve_collection(raw, size_of)
    # What no image decides is a mistake in one document, to be mended at once.
    one = {"content": "c.png", "style": "s.png"}
    wrong = {**one, "method": "feedforward", "feedforward": {"network": "n"}}
    with pytest.raises(
        ConfigError, match=r"artworks\.b\.feedforward\.network: expected the name of a network"
    ):
        resolve_collection({"artworks": {"a": one, "b": wrong}}, size_of)


def test_files_that_cannot_be_looked_at_refuse_their_artwork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * 300
    one = {"content": "c.png", "style": "s.png", "levels": [64]}
    means = {**one, "network": {"normalised": True, "channel_means": name}}
    found = resolve_collection({"artworks": {"a": one, "b": means}}, lambda _: Size(200, 300))
    line = f"expected files that can be looked at; found {name}: file name too long."
    assert found.refused == {"b": f"config.yaml: artworks.b: {line}"}
    Path("mine.yaml").touch()
    with pytest.raises(ConfigError, match=r"results_dir: expected a folder, .* file name too long\.$"):
        open_collection({"results_dir": name, "artworks": {"a": one}}, ["mine.yaml"], Path("x.json"))


def test_a_file_is_looked_at_once_for_all_artworks_and_again_by_the_next_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.icc").write_bytes(pyvips.Image.profile_load("srgb"))
    Path("vgg.safetensors").touch()
    looked: list[str] = []

    # The sizes of the network's photographs are asked for where they are no folders.
    monkeypatch.setattr(Path, "is_dir", noting(looked, "folder", Path.is_dir))
    monkeypatch.setattr(Path, "is_file", noting(looked, "file", Path.is_file))
    monkeypatch.setattr("pipeline.drafting.read_profile", noting(looked, "profile", canvas.read_profile))
    artwork = {"content": "c.png", "style": "c.png", "print": {"profile": "p.icc"}}
    painted = {**artwork, "method": "feedforward", "feedforward": {"network": "n"}}
    raw: dict[str, Any] = {
        "weights": {"vgg16": {"path": "vgg.safetensors"}},
        "networks": {"n": {"styles": {"s": "c.png"}, "photographs": ["c.png"], "size_px": 32}},
        "artworks": {"a": artwork, "b": artwork, "x": painted, "y": painted},
    }
    assert not resolve_collection(raw, noting(looked, "size", lambda _: Size(40, 60))).refused
    once = ["file vgg.safetensors", "folder c.png", "profile p.icc", "size c.png"]
    assert sorted(looked) == once
    Path("p.icc").write_bytes(b"x")
    raw["artworks"]["z"] = {"content": "c.png", "style": "c.png"}
    found = resolve_collection(raw, lambda _: Size(80, 60))
    assert (list(found.refused), {*found.sizes.values()}) == (["a", "b", "x", "y"], {Size(80, 60)})


def test_what_does_not_fit_is_told_of_its_row(tmp_path: Path) -> None:
    sheet = tmp_path / "s.csv"
    sheet.write_text("name,content,style,levels\na,a.png,s.png,[9000]\n")
    with pytest.raises(
        ConfigError, match=r"^config\.yaml: compute\.disk_budget_gib: expected .* of a; found"
    ):
        resolve_collection(
            {"sheet": str(sheet), "compute": {"disk_budget_gib": 0.1}}, lambda _: Size(200, 300)
        )


def test_results_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    artworks = {"a": {"content": "c.png", "style": "s.png"}}
    with pytest.raises(ConfigError) as caught:
        # Not even root writes there.
        open_collection(
            {"results_dir": "/proc/1/results", "artworks": artworks}, [tmp_path / "mine.yaml"], Path("x.json")
        )
    line = str(caught.value)
    assert "mine.yaml: results_dir: expected a folder that can be written to; found /proc/1: " in line
