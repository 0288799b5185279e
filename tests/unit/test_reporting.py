"""The report: complete, asking the network nothing, escaped, reproducible."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import pyvips
import yaml

from pipeline import canvas
from pipeline.config.reading import parse
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.provenance import LevelRecord
from pipeline.rendering.record import RenderingRecord
from pipeline.reporting import (
    Artwork,
    AutomaticMask,
    Collection,
    Cover,
    Credit,
    LevelResult,
    MaskPicture,
    Mixture,
    Picture,
    Stage,
    StylePicture,
    Tiles,
    write_report,
)
from pipeline.reporting.curves import loss_curve, term_curve, term_names
from pipeline.reporting.extras import read_gamut, read_proof, read_quality, read_stages, read_tiles
from pipeline.reporting.facts import cover
from pipeline.reporting.gathering import credits_of, gather, short
from pipeline.reporting.page import page_names
from pipeline.reporting.wording import (
    duration,
    figure_rows,
    integer,
    mebibytes,
    percent,
    scientific,
    setting_rows,
    yaml_text,
)
from pipeline.weights import REGISTRY

HOSTILE = "<script>alert('x')</script> & \"co\""
VOID = {"meta", "img", "input", "br", "line", "path", "use", "rect", "link"}
CC_BY = "https://creativecommons.org/licenses/by/4.0/"


class Page(HTMLParser):
    """Every element with its attributes; fails on an element that is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = self.script = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag in ("br", "td", "th"):
            self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.script += data
        elif "style" not in self.open:
            self.text += data

    def data(self) -> Any:
        """What the page tells its script."""
        return json.loads(self.script)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def png(path: Path, grey: int = 128) -> Path:
    """A PNG of 2x2 grey pixels, written by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    rows = bytes([0, grey, grey]) * 2
    signature = b"\x89PNG\r\n\x1a\n"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(signature + body)
    return path


def make_level(folder: Path, level_px: int, losses: list[float], **changes: Any) -> LevelResult:
    trace = list(enumerate(losses, start=1))
    arguments: dict[str, Any] = {
        "level_px": level_px,
        "size": Size(level_px // 2, level_px * 2),
        "picture": Picture(png(folder / f"level{level_px}.png"), f"Result at {level_px}"),
        "iterations": 31,
        "passes": len(losses),
        "seconds": 12.4,
        "trace": trace,
        "terms": {
            "content": [(e, loss / 4) for e, loss in trace],
            "style": [(e, loss / 2) for e, loss in trace],
        },
    }
    return LevelResult(**arguments | changes)


def make_artwork(folder: Path, **changes: Any) -> Artwork:
    arguments: dict[str, Any] = {
        "name": "harbour",
        "width_px": 7087,
        "height_px": 4724,
        "dpi": 300,
        "content": Picture(png(folder / "content.png", 10), "A harbour"),
        "result": Picture(png(folder / "result.png", 20), "The harbour, painted"),
        "styles": [
            StylePicture(Picture(png(folder / "wave.png", 30), "The Great Wave"), "water", 0.75),
            StylePicture(Picture(png(folder / "night.png", 40), "The Starry Night"), "sky", 1.0),
        ],
        "masks": [
            MaskPicture(Picture(png(folder / "water.png", 50), "Mask of water"), "water", 0.382, "water.png"),
            MaskPicture(Picture(png(folder / "sky.png", 60), "Mask of sky"), "sky", 0.618, "the rest"),
        ],
        "levels": [
            make_level(folder, 512, [3.0e7, 2.0e6, 6.0e5]),
            make_level(folder, 1024, [9.0e5, 4.82e5]),
        ],
        "settings": {
            "harbour": {"content": "harbour.jpg", "levels": [512, 1024], "colour": {"mode": "none"}}
        },
        "provenance": {"versions": {"torch": "2.15.0"}, "seed": 7},
    }
    return Artwork(**arguments | changes)


def make_collection(folder: Path, *artworks: Artwork, **changes: Any) -> Collection:
    arguments: dict[str, Any] = {
        "title": "Harbours",
        "artworks": artworks or (make_artwork(folder),),
        "credits": [
            Credit("VGG-16 weights", "Visual Geometry Group, Oxford", "CC BY 4.0", CC_BY),
            Credit("Harbour", "Ann Other", "public domain"),
        ],
        "created": "2026-01-02 03:04 UTC",
        "version": "0.1.0",
    }
    return Collection(**arguments | changes)


def written(folder: Path, collection: Collection, viewer: Path | None = None) -> list[str]:
    """The collection's page and those of its artworks, as HTML."""
    target = folder / "site" / "report.html"
    write_report(collection, target, viewer)
    files = [target, *(target.with_suffix("") / name for name in page_names(collection.artworks))]
    return [file.read_text(encoding="utf-8") for file in files]


def sheet(folder: Path, artwork: Artwork) -> Page:
    """The page of an artwork."""
    return Page(written(folder, make_collection(folder, artwork))[1])


def test_the_pages_are_whole_and_well_formed(tmp_path: Path) -> None:
    for html in written(tmp_path, make_collection(tmp_path), png(tmp_path / "viewer.js")):
        assert html.startswith("<!DOCTYPE html>")
        Page(html)
    assert sorted(path.relative_to(tmp_path / "site").as_posix() for path in tmp_path.glob("site/**/*")) == [
        "report",
        "report.html",
        "report/artwork.js",
        "report/collection.js",
        "report/harbour.html",
        "report/openseadragon.min.js",
        "report/report.css",
        "report/theme.js",
    ]
    other = make_collection(tmp_path, make_artwork(tmp_path, name="quay"))
    written(tmp_path, other)
    assert {path.name for path in (tmp_path / "site" / "report").glob("*.html")} == {"quay.html"}
    assert not (tmp_path / "site" / "report" / "openseadragon.min.js").exists()


def test_every_fact_is_on_the_pages(tmp_path: Path) -> None:
    levels = [
        make_level(tmp_path, 512, [3.0e7, 2.0e6, 6.0e5]),
        make_level(tmp_path, 1024, [9.0e5, 4.82e5], tile_px=384, memory_mib=1740.8),
    ]
    second = make_artwork(
        tmp_path,
        name="quay",
        warnings=["Region sky is empty at relu5_1."],
        levels=levels,
        quality={"figures": {"colour_to_style": 12.3456, "seams": None}, "style": {"relu1_1": 0.25}},
        stages=[Stage("refine 1024", 31.2, 870.0), Stage("plan", 0.8, None)],
    )
    collection = make_collection(tmp_path, make_artwork(tmp_path), second)
    whole, first, last = (Page(html) for html in written(tmp_path, collection))
    for page, facts in (
        (
            whole,
            (
                "Harbours",
                "2 artworks, rendered with Impasto 0.1.0. 2026-01-02 03:04 UTC",
                "quay 60.0 × 40.0 cm · 25 s · 1 warning",  # noqa: RUF001
                "harbour 60.0 × 40.0 cm 7087 × 4724 512, 1024 4.82 × 10⁵ – 25 s",  # noqa: RUF001
                "quay 60.0 × 40.0 cm 7087 × 4724 512, 1024 4.82 × 10⁵ 1.7 GiB 25 s",  # noqa: RUF001
                "All artworks 50 s",
                "VGG-16 weights: Visual Geometry Group, Oxford (CC BY 4.0)",
                "Harbour: Ann Other (public domain)",
            ),
        ),
        (
            last,
            (
                "60.0 × 40.0 cm at 300 dpi",  # noqa: RUF001
                "7087 × 4724 px, rendered in 25 s · 1 warning",  # noqa: RUF001
                "Region sky is empty at relu5_1.",
                "Style of water weight 0.75",
                "Style of sky weight 1",
                "38 % of the picture, water.png",
                "62 % of the picture, the rest",
                "512 1024 × 256 whole 31 3 3.00 × 10⁷ 6.00 × 10⁵ – 12 s",  # noqa: RUF001
                "1024 2048 × 512 of 384 px 31 2 9.00 × 10⁵ 4.82 × 10⁵ 1.7 GiB 12 s",  # noqa: RUF001
                "Colour to style 12.3 (of the range of colours, in CIELAB) Seams no tile borders to measure",
                "style.relu1_1 0.25",
                "refine 1024 31 s 870 MiB plan 0.80 s –",  # noqa: RUF001
                "harbour: content: harbour.jpg levels: [512, 1024] colour: {mode: none}",
                "versions.torch 2.15.0",
            ),
        ),
    ):
        text = " ".join(page.text.split())
        for fact in facts:
            assert fact in text, fact
    assert "Quality" not in first.text
    assert "Time and memory" not in first.text
    links = [attributes["href"] for attributes in whole.all("a")]
    assert links == ["#artworks", *["report/harbour.html", "report/quay.html"] * 2, CC_BY]
    links = [attributes["href"] for attributes in last.all("a")]
    assert links == ["../report.html", "harbour.html", "#warnings", "harbour.html"]
    targets = {attributes["id"] for _, attributes in last.elements if "id" in attributes}
    assert "warnings" in targets


def test_an_artwork_can_be_found_by_what_it_is_made_from(tmp_path: Path) -> None:
    styles = [StylePicture(Picture(png(tmp_path / "s.png"), "s"), "sky", 1.0, name="wave.jpg")]
    artwork = make_artwork(tmp_path, styles=styles)
    page = Page(written(tmp_path, make_collection(tmp_path, artwork, artwork))[0])
    (first, second) = [item for item in page.all("li") if "data-name" in item]
    assert first["data-words"] == "harbour A harbour wave.jpg sky"
    assert json.loads(second["data-styles"]) == ["wave.jpg"]
    assert "s wave.jpg" in [option["value"] for option in page.all("option")]


def test_pages_have_names_that_any_disk_can_hold(tmp_path: Path) -> None:
    names = ["quay", "Quay", "a b/../c", "quay.2", "é"]
    artworks = [make_artwork(tmp_path, name=name) for name in names]
    assert page_names(artworks) == ["quay.html", "Quay.2.html", "a-b-c.html", "quay-2.html", "-.html"]


def test_every_picture_is_where_the_page_says_and_has_words(tmp_path: Path) -> None:
    small = Picture(png(tmp_path / "a small one.png"), "The harbour, painted")
    collection = make_collection(tmp_path, make_artwork(tmp_path, thumbnail=small))
    whole, page = (Page(html) for html in written(tmp_path, collection))
    (picture,) = whole.all("img")
    assert picture["src"] == "../a%20small%20one.png"
    assert (picture["alt"], picture["width"], picture["height"]) == ("The harbour, painted", "2", "2")
    pictures = page.all("img")
    assert [picture["alt"] for picture in pictures] == [
        "The harbour, painted",
        "A harbour",
        "The Great Wave",
        "The Starry Night",
        *("A harbour", "Mask of water", "A harbour", "Mask of sky"),
    ]
    data = page.data()
    named = [
        *(each["src"] for each in pictures),
        *(each["source"] for each in data["pictures"] + data["masks"]),
    ]
    for address in named:
        assert (tmp_path / "site" / "report" / address).is_file(), address
    assert [each["name"] for each in data["pictures"]] == ["Result", "Content", "Level 512", "Level 1024"]
    assert [each["name"] for each in data["masks"]] == ["water", "sky"]
    assert (data["width"], data["height"]) == (2, 2)
    assert not any("tiles" in each for each in data["pictures"])


def test_tiles_are_named_in_the_page_which_may_not_ask_for_them(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "deepzoom_files"
    folder.mkdir(parents=True)
    tiles = Tiles(folder, Size(4724, 7087), 512, 1, "jpg")
    data = sheet(tmp_path, make_artwork(tmp_path, tiles=tiles)).data()
    assert data["pictures"][0]["tiles"]["Image"] == {
        "xmlns": "http://schemas.microsoft.com/deepzoom/2008",
        "Url": "../../results/deepzoom_files/",
        "Format": "jpg",
        "Overlap": "1",
        "TileSize": "512",
        "Size": {"Width": "7087", "Height": "4724"},
    }


def test_a_page_without_the_viewer_says_how_to_add_it(tmp_path: Path) -> None:
    without = Page(written(tmp_path, make_collection(tmp_path))[1])
    assert "put OpenSeadragon in its place: set report.viewer" in without.text
    assert [script.get("src") for script in without.all("script")] == [None, "theme.js", "artwork.js"]
    having = Page(written(tmp_path, make_collection(tmp_path), png(tmp_path / "viewer.js"))[1])
    assert "OpenSeadragon" not in having.text
    assert [script.get("src") for script in having.all("script")][2] == "openseadragon.min.js"


def test_a_mixture_is_beside_what_it_was_made_from(tmp_path: Path) -> None:
    mixture = Mixture(
        Picture(png(tmp_path / "coarse.png", 70), "The Great Wave"),
        Picture(png(tmp_path / "fine.png", 80), "The Starry Night"),
        "relu4_1",
        40,
        "converged",
    )
    mixed = Picture(png(tmp_path / "mixed.png", 90), "The wave in the night's strokes")
    styles = [StylePicture(mixed, "water", 0.5, mixture)]
    page = sheet(tmp_path, make_artwork(tmp_path, styles=styles))
    (group,) = [each for each in page.all("div") if each.get("class") == "mixture"]
    assert group["aria-label"] == "Style of water, mixed"
    assert [picture["alt"] for picture in page.all("img")][2:5] == [
        "The Great Wave",
        "The Starry Night",
        "The wave in the night's strokes",
    ]
    for words in (
        "Coarse",
        "Fine",
        "its structure up to relu4_1; 40 iterations, converged",
        "Style of water",
        "mixed, weight 0.5",
    ):
        assert words in page.text, words


def level_facts(size: Size) -> LevelRecord:
    return LevelRecord(64, size.height, size.width, None, 40, 81, 2.0, 1.0, 0.1, 9.0)


def write_results(folder: Path, artwork: dict[str, Any], provenance: dict[str, Any]) -> Plan:
    """What the stages write of an artwork whose images all have 90x90 px, but for its pictures."""
    plan = resolve(parse({"artworks": {"a": artwork}}), "a", lambda _: Size(90, 90))
    (folder / "plan.json").write_text(plan.model_dump_json())
    for key in plan.mixes:
        provenance.setdefault("mixtures", {})[key] = {
            "images": ["in/wave.png", "in/night.png"],
            "level": dataclasses.asdict(level_facts(plan.mixes[key].size)),
            "ending": "converged",
            "warnings": ["Layer relu9_9 is empty."],
        }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    for level, name in zip(plan.levels, ("stylised", "refined"), strict=False):
        record = RenderingRecord(
            level=level_facts(level.size),
            precision="float32",
            device={},
            versions={},
            ending="iterations",
            warnings=(),
            trace=(),
            row_borders=(),
            column_borders=(),
        )
        (folder / "levels" / str(level.level_px)).mkdir(parents=True)
        (folder / "levels" / str(level.level_px) / f"{name}.json").write_text(record.model_dump_json())
    return plan


def test_pictures_of_a_mixture_are_found_in_an_artworks_folder(tmp_path: Path) -> None:
    style = {"image": "in/wave.png", "fine": "in/night.png"}
    artwork = {"content": "in/c.png", "style": style, "levels": [64, 96]}
    plan = write_results(tmp_path, artwork, {})
    found_artwork = gather([tmp_path], "T", "today", tmp_path / "scratch").artworks[0]
    assert "mixture of wave.png and night.png: Layer relu9_9 is empty." in found_artwork.warnings
    assert found_artwork.cover is None
    (style_picture,) = found_artwork.styles
    mixture = style_picture.mixture
    assert mixture is not None
    low, high = sorted(plan.mixes, key=lambda key: plan.mixes[key].height)
    found = [style_picture.picture, mixture.coarse, mixture.fine]
    keys = [high, plan.mixes[low].start, plan.mixes[high].fine]
    assert [picture.path for picture in found] == [tmp_path / "pictures" / f"style-{key}.jpg" for key in keys]
    assert [picture.alt for picture in found] == [
        "The style image wave.png with the fine structure of night.png",
        "The coarse image wave.png",
        "The fine image night.png",
    ]
    assert (mixture.up_to_layer, mixture.iterations, mixture.ending) == ("relu4_1", 40, "converged")
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"provenance\.json: expected the facts of .* under mixtures; found no"
    ):
        gather([tmp_path], "T", "today", tmp_path / "scratch")


FOUND = {
    "method": "person + sam_vit_b",
    "models": [{"name": "person", "sha256": "0" * 64}],
    "coverage": 0.382,
    "confidence": 0.873,
    "people": [{"box_px": [1, 2, 3, 4], "score": 0.91}, {"box_px": [5, 6, 7, 8], "score": 0.6}],
    "warnings": ["sam_vit_b disagrees with person"],
}


def artwork_with_masks(folder: Path, *, cut_px: int, **provenance: Any) -> None:
    """Results of an artwork whose two regions' masks leave `cut_px` of 90 columns, and share 9 others."""
    regions = [
        {"where": {"minus": ["person", "in/hat.png"]}, "style": {"image": "in/s.png", "mask": "not person"}},
        {"where": "in/rest.png", "style": "in/s.png"},
    ]
    plan = write_results(folder, {"content": "in/c.png", "regions": regions, "levels": [64]}, {})
    images = {key: path.name for key, path in plan.automatic_masks.items()}
    masks = {key: {"image": f"in/{name}", "record": FOUND} for key, name in images.items()}
    (folder / "provenance.json").write_text(json.dumps({"masks": masks} | provenance))
    (folder / "pictures").mkdir()
    for region, columns in zip(plan.levels[0].regions, ((0, 45), (36, 90 - cut_px)), strict=True):
        mask = np.zeros((60, 90), np.uint8)
        mask[:, slice(*columns)] = 255
        canvas.write_png(folder / "pictures" / f"mask-{region.label}.png", mask)


def test_masks_come_with_what_found_them_and_how_far_to_trust_it(tmp_path: Path) -> None:
    artwork_with_masks(tmp_path, cut_px=18)
    artwork = gather([tmp_path], "T", "today", tmp_path / "scratch").artworks[0]
    first, second = artwork.masks
    assert (first.method, second.method) == ("person minus hat.png", "rest.png")
    assert [mask.coverage for mask in artwork.masks] == pytest.approx([45 / 90, 36 / 90])
    (found,) = first.found
    assert (found.method, found.image, found.scores) == ("person + sam_vit_b", "c.png", [0.91, 0.6])
    assert second.found == []
    ours, other = artwork.styles
    assert ours.mask == "not person"
    assert [mask.image for mask in ours.found] == ["s.png"]
    assert (other.mask, other.found) == ("", [])
    assert artwork.warnings[-2:] == [
        "mask of c.png: sam_vit_b disagrees with person",
        "mask of s.png: sam_vit_b disagrees with person",
    ]


def test_what_no_region_covers_is_shown_from_a_thousandth_on(tmp_path: Path) -> None:
    for cut_px in (0, 18):
        folder = tmp_path / str(cut_px)
        folder.mkdir()
        artwork_with_masks(folder, cut_px=cut_px)
        covered = gather([folder], "T", "today", folder / "scratch").artworks[0].cover
        assert covered is not None
        assert (covered.uncovered, covered.overlapping) == pytest.approx((cut_px / 90, 9 / 90))
        if cut_px == 0:
            assert covered.picture is None
        else:
            assert covered.picture is not None
            shown = canvas.read(covered.picture.path)[..., 0]
            assert (shown[:, : 90 - cut_px] == 0).all()
            assert (shown[:, 90 - cut_px :] == 1).all()


def test_rounding_of_masks_is_not_taken_for_a_gap(tmp_path: Path) -> None:
    soft = np.random.default_rng(0).dirichlet([1, 1, 1], (40, 50))
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for index, path in enumerate(paths):
        canvas.write_png(path, (soft[..., index] * 255).round().astype(np.uint8))
    found = cover(paths, tmp_path / "uncovered.png")
    assert (found.uncovered, found.overlapping, found.picture) == (0, 0, None)


@pytest.mark.parametrize("masks", [{}, {"masks": {}}, {"masks": 3}])
def test_facts_of_masks_that_are_missing_are_told(tmp_path: Path, masks: dict[str, Any]) -> None:
    artwork_with_masks(tmp_path, cut_px=0)
    (tmp_path / "provenance.json").write_text(json.dumps(masks))
    with pytest.raises(InputError, match=r"expected the facts of c-\w+ under masks; found nothing\. Run"):
        gather([tmp_path], "T", "today", tmp_path / "scratch")


def test_facts_of_masks_that_are_something_else_are_told(tmp_path: Path) -> None:
    artwork_with_masks(tmp_path, cut_px=0)
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    next(iter(provenance["masks"].values()))["record"] = {"coverage": "much"}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(InputError, match=r"under masks; found something else\."):
        gather([tmp_path], "T", "today", tmp_path / "scratch")


CROPPED = {
    "image": "in/c.png",
    "chosen": "smart",
    "record": {
        "size": {"height": 90, "width": 90},
        "box": {"top": 12, "left": 0, "bottom": 57, "right": 90},
        "focus": [0.5, 0.375],
    },
}


def test_where_a_crop_fell_is_beside_the_content(tmp_path: Path) -> None:
    printed = {"width": "100 px", "height": "50 px", "dpi": 25.4, "focus": "smart"}
    artwork = {"content": "in/c.png", "style": "in/s.png", "levels": "auto", "print": printed}
    write_results(tmp_path, artwork, {"crop": CROPPED})
    found = gather([tmp_path], "T", "today", tmp_path / "scratch").artworks[0].crop
    assert found is not None
    text = " ".join(sheet(tmp_path, make_artwork(tmp_path, crop=found)).text.split())
    words = "Content 90 × 45 of its 90 × 90 px, around 50 % from the left and 38 % from the top"  # noqa: RUF001
    assert f"{words}, found automatically" in text.replace("\u202f", " ")
    asked = dataclasses.replace(found, found=False)
    assert "from the top, as asked for" in sheet(tmp_path, make_artwork(tmp_path, crop=asked)).text
    for provenance, said in (
        ({}, "nothing"),
        ({"crop": None}, "something else"),
        ({"crop": CROPPED | {"record": 3}}, "something else"),
    ):
        (tmp_path / "provenance.json").write_text(json.dumps(provenance))
        with pytest.raises(InputError, match=f"is shown, under crop; found {said}"):
            gather([tmp_path], "T", "today", tmp_path / "scratch")


def test_masks_facts_are_on_the_page(tmp_path: Path) -> None:
    found = AutomaticMask("person + sam_vit_b", "c.png", 0.382, 0.873, [0.91, 0.6], [HOSTILE])
    alone = AutomaticMask("subject", "s.png", 0.5, 0.7)
    mask = MaskPicture(Picture(png(tmp_path / "m.png"), "The mask"), "her", 0.382, "person", [found])
    style = StylePicture(
        Picture(png(tmp_path / "s.png"), "The style"), "her", 1.0, mask="not person", found=[alone]
    )
    gap = Picture(png(tmp_path / "gap.png"), "The gap", inside=True)
    artwork = make_artwork(tmp_path, masks=[mask], styles=[style], cover=Cover(0.031, 0.12, gap))
    page = sheet(tmp_path, artwork)
    text = " ".join(page.text.split())
    for fact in (
        "38 % of the picture, person found in c.png by person + sam_vit_b: 38 % of it, confidence 0.87, "
        f"2 people (0.91, 0.60) {HOSTILE}",
        "weight 1, of its part not person found in s.png by subject: 50 % of it, confidence 0.70",
        "Uncovered 3.1 % of the picture, in no region",
        "In no region: 3.1 % of the picture. In more than one: 12 %.",
    ):
        assert fact in text, fact
    (shown,) = [picture for picture in page.all("img") if picture["alt"] == "The gap"]
    assert shown["src"].startswith("data:image/png;base64,iVBOR")
    assert page.data()["masks"][-1] == {"name": "uncovered", "source": shown["src"]}
    whole = dataclasses.replace(artwork, cover=Cover(0.0, 0.0))
    assert "Uncovered" not in sheet(tmp_path, whole).text


def test_the_pages_ask_the_network_nothing(tmp_path: Path) -> None:
    for html in written(tmp_path, make_collection(tmp_path), png(tmp_path / "viewer.js")):
        page = Page(html)
        for tag, attributes in page.elements:
            for key in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                value = attributes.get(key, "#")
                assert ":" not in value or value == "data:," or (tag == "a" and value == CC_BY), value
        assert not page.all("iframe")
        addresses = re.findall(r"url\(\s*[\"']?([^)\"'$]*)", html)
        assert all(address == "" or address.startswith("#") for address in addresses)
        assert [each for each in re.findall(r"https?://[^\"'\s<]*", html) if each != CC_BY] == []
        policy = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
        assert policy[0].startswith("default-src 'none'")
        assert "connect-src" not in policy[0]
    style = (tmp_path / "site" / "report" / "report.css").read_text()
    assert "@import" not in style
    assert "url(" not in style


def test_the_pages_name_no_folder(tmp_path: Path) -> None:
    for html in written(tmp_path, make_collection(tmp_path)):
        assert str(tmp_path) not in html


def test_everything_is_escaped(tmp_path: Path) -> None:
    picture = Picture(png(tmp_path / "p.png"), HOSTILE)
    artwork = make_artwork(
        tmp_path,
        name=HOSTILE,
        content=picture,
        result=picture,
        styles=[StylePicture(picture, HOSTILE, 1.0)],
        masks=[MaskPicture(picture, HOSTILE, 0.5, HOSTILE)],
        levels=[make_level(tmp_path, 512, [2.0, 1.0], picture=picture, terms={HOSTILE: [(1, 1.0)]})],
        settings={HOSTILE: {HOSTILE: HOSTILE}},
        provenance={HOSTILE: [{HOSTILE: HOSTILE}]},
        warnings=[HOSTILE],
    )
    credit = Credit(HOSTILE, HOSTILE, HOSTILE, 'https://a/"onclick=')
    whole, page = written(
        tmp_path,
        make_collection(tmp_path, artwork, title=HOSTILE, credits=[credit], created=HOSTILE, version=HOSTILE),
    )
    assert len(Page(whole).all("script")) == 2
    assert len(Page(page).all("script")) == 3
    for html, times in ((whole, 12), (page, 14)):
        assert "<script>alert" not in html
        assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= times
        assert not any("onclick" in attributes for _, attributes in Page(html).elements)
    assert Page(page).data()["masks"][0]["name"] == HOSTILE


def test_every_control_has_a_label(tmp_path: Path) -> None:
    artwork = make_artwork(tmp_path)
    for html in written(tmp_path, make_collection(tmp_path, artwork, artwork)):
        page = Page(html)
        labelled = {label["for"] for label in page.all("label") if "for" in label}
        for control in [*page.all("input"), *page.all("select")]:
            # Or the label is around it.
            assert control.get("id") in labelled or re.search(
                rf"<label[^>]*>(?:(?!</label>).)*{re.escape(control.get('id') or control['name'])}",
                html,
                re.S,
            )
        assert page.all("html")[0]["lang"] == "en"


def test_ids_are_unique(tmp_path: Path) -> None:
    artwork = make_artwork(tmp_path, warnings=["one"])
    for html in written(tmp_path, make_collection(tmp_path, artwork, artwork)):
        page = Page(html)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        references = [attributes["href"][1:] for attributes in page.all("use")]
        references += [
            attributes["aria-labelledby"]
            for _, attributes in page.elements
            if "aria-labelledby" in attributes
        ]
        assert set(references) <= set(ids)


def test_light_and_dark(tmp_path: Path) -> None:
    for html in written(tmp_path, make_collection(tmp_path)):
        assert '<meta name="color-scheme" content="light dark">' in html
    style = (tmp_path / "site" / "report" / "report.css").read_text()
    # The same colours whether the system asks for dark or the user does.
    asked, system = re.findall(r"theme=(?:dark|light)\]\)? \{\s*(--wall.*?)color-scheme", style, re.DOTALL)
    assert asked.split() == system.split()


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    collection = make_collection(tmp_path)
    first = written(tmp_path, collection)
    assert written(tmp_path, collection) == first
    later = written(tmp_path, dataclasses.replace(collection, created="2027-01-02 03:04 UTC"))
    assert [html.replace("2027", "2026") for html in later] == first


def test_other_processes_draw_the_same_curve() -> None:
    program = (
        "from pathlib import Path\n"
        "from pipeline.geometry import Size\n"
        "from pipeline.reporting import LevelResult, Picture\n"
        "from pipeline.reporting.curves import loss_curve\n"
        "level = LevelResult(8, Size(8, 8), Picture(Path('p'), ''), 1, 2, 1.0, [(1, 9e5), (2, 3e4)])\n"
        "print(loss_curve([level], 'a'))\n"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(drawn) == 1
    assert b"<svg" in drawn.pop()


def test_sheets_without_masks_levels_terms_or_artworks(tmp_path: Path) -> None:
    bare = make_artwork(tmp_path, masks=[], levels=[], styles=[], settings={}, provenance={})
    text = sheet(tmp_path, bare).text
    assert "Masks" not in text
    assert "Levels" not in text
    silent = make_artwork(tmp_path, levels=[make_level(tmp_path, 512, [], trace=[], terms={})])
    page = sheet(tmp_path, silent)
    assert "No losses were recorded." in page.text
    assert not [each for each in page.all("input") if each["type"] == "checkbox"]
    (empty,) = written(tmp_path, Collection("Nothing", (), (), "today", "0.1.0"))
    assert "0 artworks" in Page(empty).text


def test_a_missing_picture_is_told(tmp_path: Path) -> None:
    gone = Picture(tmp_path / "gone.png", "")
    with pytest.raises(InputError, match=r"gone\.png: expected "):
        write_report(make_collection(tmp_path, make_artwork(tmp_path, result=gone)), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_picture_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    path.write_bytes(b"II*\0")
    collection = make_collection(tmp_path, make_artwork(tmp_path, content=Picture(path, "")))
    with pytest.raises(InputError, match="expected a PNG or JPEG preview"):
        written(tmp_path, collection)
    assert list((tmp_path / "site").iterdir()) == []


def test_tiles_quality_proof_and_stages_are_read_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "harbour"
    (folder / "deepzoom").mkdir(parents=True)
    profile = tmp_path / "press.icc"
    profile.write_bytes(pyvips.Operation.call("profile_load", "cmyk"))
    artwork = {"content": "c.png", "style": "s.png", "print": {"profile": str(profile)}}
    simple = {"content": "c.png", "style": "s.png", "deepzoom": {"format": "none"}}
    config = parse({"artworks": {"harbour": artwork, "less": simple}})
    plan, less = (resolve(config, name, lambda _: Size(300, 400)) for name in ("harbour", "less"))
    nothing = (read_tiles(folder, plan), read_quality(folder, plan), read_proof(folder, plan))
    assert nothing == (None, {}, None)
    for broken in (
        "<Image",
        "<Image/>",
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008"><Size/></Image>',
    ):
        (folder / "deepzoom" / "image.dzi").write_text(broken)
        assert read_tiles(folder, plan) is None
    (folder / "deepzoom" / "image.dzi").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<Image xmlns="http://schemas.microsoft.com/deepzoom/2008"\n'
        '  Format="jpg" Overlap="1" TileSize="512">\n  <Size Height="30" Width="40"/>\n</Image>'
    )
    assert read_tiles(folder, plan) is None
    (folder / "deepzoom" / "image_files").mkdir()
    assert read_tiles(folder, plan) == Tiles(folder / "deepzoom" / "image_files", Size(30, 40), 512, 1, "jpg")
    for text, found in (("{", {}), ("[1]", {}), ('{"seams": 1.01}', {"seams": 1.01})):
        (folder / "quality.json").write_text(text)
        assert read_quality(folder, plan) == found
    (folder / "proof.json").write_text('{"out_of_gamut": 0.02}')
    assert read_quality(folder, plan) == {"seams": 1.01, "proof": {"out_of_gamut": 0.02}}
    png(folder / "proof.png")
    proof = read_proof(folder, plan)
    assert proof is not None
    quality = read_quality(folder, plan)
    assert read_gamut(folder, plan) is None
    png(folder / "gamut.png")
    gamut = read_gamut(folder, plan)
    assert gamut is not None
    # What the plan asks for no more is still there, of the result that was.
    for read in (read_tiles, read_proof, read_gamut):
        assert read(folder, less) is None
    assert read_quality(folder, less) == {"seams": 1.01}
    page = sheet(tmp_path, make_artwork(tmp_path, proof=proof, gamut=gamut, quality=quality))
    text = " ".join(page.text.split())
    assert "out_of_gamut 0.02" in text
    assert "Out of gamut in magenta, what the profile cannot print" in text
    assert [shown["name"] for shown in page.data()["pictures"]][-2:] == ["Soft proof", "Out of gamut"]


def test_a_page_tells_what_an_artworks_jobs_took_those_included_that_it_shares(tmp_path: Path) -> None:
    artwork = {"content": "resources/demo/coffee.png", "style": "s.png", "levels": [256, 512]}
    config = parse({"artworks": {"harbour": artwork, "other": {**artwork, "levels": [1024]}}})
    plan, other = (resolve(config, name, lambda _: Size(300, 400)) for name in ("harbour", "other"))
    folder = tmp_path / "results" / "harbour"
    assert read_stages(folder, plan) == []
    benchmarks = tmp_path / "results" / "benchmarks"
    (style,) = (key for key, path in plan.sources.items() if path.name == "s.png")
    (target,) = (key for key in plan.targets if "222x296" in key)
    (large,) = other.targets
    took = {
        "make_demo/coffee.png": "2.5\t20",
        f"prepare/{style}": "0.5\tNA",
        f"targets/{target}": "4\t900.5",
        "harbour/refine-512": "31.5\t870.25",
        "harbour/export_print-tif": "0.9\t1.5",
        "harbour/plan": "0.1\tNA",
        "harbour/assemble": "x\ty",
        # Of another artwork, of a level that was, of another's by name.
        f"targets/{large}": "9\t900",
        "harbour/refine-1024": "99\t900",
        "other/record": "9\t90",
    }
    for time, (name, row) in enumerate(took.items()):
        file = benchmarks / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\n{row}\n")
        os.utime(file, (time, time))
    stages = read_stages(folder, plan)
    assert stages == [
        Stage("make demo: coffee.png", 2.5, 20.0, shared=True),
        Stage("prepare: s", 0.5, None, shared=True),
        Stage("targets: s-222x296", 4.0, 900.5, shared=True),
        Stage("refine 512", 31.5, 870.25),
        Stage("export print tif", 0.9, None),
        Stage("plan", 0.1, None),
    ]
    text = " ".join(sheet(tmp_path, make_artwork(tmp_path, stages=stages)).text.split())
    assert "prepare: s shared 0.50 s" in text
    assert "refine 512 32 s" in text
    assert "What is shared was done once" in text
    assert "shared" not in sheet(tmp_path, make_artwork(tmp_path, stages=stages[3:])).text


@pytest.mark.parametrize(
    "artwork",
    [
        {"content": "c.png", "style": "s.png"},
        {"content": "c.png", "style": "s.png", "levels": [64, {"px": 80, "iterations": 3}]},
        {"content": "c.png", "style": {"image": "s.png", "mask": "person"}, "iterations": 5},
        {
            "content": "c.png",
            "regions": [
                {"where": {"minus": ["person", "m.png"]}, "style": "s.png", "weight": 2},
                {"where": "background", "styles": [{"image": "s.png", "weight": 2}, {"image": "t.png"}]},
            ],
        },
    ],
)
def test_the_settings_on_the_page_can_be_written_into_a_configuration(artwork: dict[str, Any]) -> None:
    settings = parse({"artworks": {"a": artwork}}).artworks["a"]
    text = yaml_text({"a": short(settings.model_dump(mode="json", exclude_defaults=True))})
    assert text.startswith("a:\n  content: c.png\n")
    assert parse({"artworks": yaml.safe_load(text)}).artworks["a"] == settings


def test_a_licence_is_linked_by_https_only() -> None:
    with pytest.raises(ValueError, match="starts with https://"):
        Credit("a", "b", "c", "javascript:alert(1)")


def test_models_and_demo_pictures_are_credited_with_their_licence_and_where_to_read_it() -> None:
    regions = [
        {"where": "person", "style": "resources/demo/ihc.png"},
        {"where": "background", "style": "photos/coffee.png"},
    ]
    config = parse({"artworks": {"a": {"content": "resources/demo/astronaut.png", "regions": regions}}})
    found = credits_of([resolve(config, "a", lambda _: Size(512, 512))] * 2)
    vgg16, person, detector, *pictures = [
        (credit.what, credit.licence, credit.licence_url) for credit in found
    ]
    assert vgg16 == ("vgg16 weights", "CC BY 4.0", CC_BY)
    apache = ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
    assert person == ("person weights", *apache)
    assert detector == ("person_detector weights", *apache)
    # A user's coffee.png is not the demo's.
    assert pictures == [
        ("astronaut.png", "public domain", ""),
        ("ihc.png", "no known copyright restrictions", ""),
    ]
    assert "Simonyan" in found[0].who
    assert found[3].who == "NASA: the astronaut Eileen Collins"


def test_every_licence_of_a_model_can_be_read_somewhere() -> None:
    plan = resolve(
        parse({"artworks": {"a": {"content": "c.png", "style": "s.png"}}}), "a", lambda _: Size(512, 512)
    )
    everything = plan.model_copy(update={"weights": dict.fromkeys(REGISTRY)})
    assert all(credit.licence_url for credit in credits_of([everything]))


def test_print_size_and_totals(tmp_path: Path) -> None:
    artwork = make_artwork(tmp_path)
    assert artwork.width_cm == pytest.approx(60.0033, abs=1e-4)
    assert artwork.height_cm == pytest.approx(39.9965, abs=1e-4)
    assert artwork.seconds == pytest.approx(24.8)
    assert artwork.loss_last == 4.82e5
    assert make_artwork(tmp_path, levels=[]).loss_last is None
    unchecked = make_level(tmp_path, 512, [3e7, 2e6], is_last_step_checked=False)
    assert (unchecked.loss_first, unchecked.loss_last) == (3e7, None)


def test_a_finished_print_may_differ_from_the_result_in_size(tmp_path: Path) -> None:
    artwork = make_artwork(tmp_path, finished_mm=(594.0, 420.0), remarks=["3 mm bleed"])
    assert (artwork.width_cm, artwork.height_cm) == pytest.approx((59.4, 42.0))
    text = sheet(tmp_path, artwork).text
    assert "59.4 \u00d7 42.0 cm at 300 dpi" in " ".join(text.split())
    assert "rendered in 25 s · 3 mm bleed" in text


def groups(svg: str) -> dict[str, str]:
    """The path of each named line of a curve."""
    root = ElementTree.fromstring(svg)
    found = {}
    for group in root.iter("g"):
        match = re.fullmatch(r"a-((?:term-\d-)?level-\d+)", group.get("id", ""))
        path = group.find("path")
        if match and path is not None:
            found[match[1]] = path.get("style", "")
    return found


def test_a_curve_has_a_line_for_each_level(tmp_path: Path) -> None:
    levels = [make_level(tmp_path, px, [9e6, 3e5, 2e5]) for px in (256, 512, 1024)]
    lines = groups(loss_curve(levels, "a"))
    assert list(lines) == ["level-1", "level-2", "level-3"]
    assert [re.findall(r"var\(--series-\d\)", style) for style in lines.values()] == [
        ["var(--series-1)"],
        ["var(--series-2)"],
        ["var(--series-3)"],
    ]


def test_a_term_curve_has_a_line_for_each_term_and_level(tmp_path: Path) -> None:
    levels = [make_level(tmp_path, px, [9e6, 3e5, 2e5]) for px in (256, 512)]
    assert term_names(levels) == ["content", "style"]
    assert list(groups(term_curve(levels, "a"))) == [
        "term-1-level-1",
        "term-1-level-2",
        "term-2-level-1",
        "term-2-level-2",
    ]
    assert term_curve([dataclasses.replace(level, terms={}) for level in levels], "a") == ""


def test_a_curve_takes_the_colours_and_the_font_of_the_page(tmp_path: Path) -> None:
    svg = loss_curve([make_level(tmp_path, 256, [9e6, 3e5])], "a")
    assert svg.startswith("<svg viewBox=")
    assert set(re.findall(r"(?:stroke|fill): ([^;\"]+)", svg)) == {
        "none",
        "currentColor",
        "var(--rule)",
        "var(--series-1)",
    }
    assert set(re.findall(r"font-family: ([^;\"]+)", svg)) <= {"inherit"}
    assert "<style" not in svg
    texts = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    assert "10⁶" in texts
    assert "passes" in texts


@pytest.mark.parametrize(
    "losses",
    [
        [5.0],
        [2.0, 2.0],
        [1.00e5, 1.01e5],
        [0.0, -1.0, 3.0],
        [float("nan"), float("inf"), 1e-30, 1e30],
        [0.004, 0.02],
    ],
)
def test_a_curve_of_odd_losses_has_ticks(tmp_path: Path, losses: list[float]) -> None:
    svg = loss_curve([make_level(tmp_path, 256, losses)], "a")
    assert list(groups(svg)) == ["level-1"]
    assert 2 <= len(re.findall(r'id="a-ytick_', svg)) <= 10


def test_no_losses_no_curve(tmp_path: Path) -> None:
    assert loss_curve([], "a") == ""
    assert loss_curve([make_level(tmp_path, 256, [0.0, float("nan")])], "a") == ""


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    loss_curve([make_level(tmp_path, 256, [9e6, 3e5])], "a")
    assert dict(matplotlib.rcParams) == before


def test_drawing_does_not_load_pyplot() -> None:
    program = (
        "import sys, pipeline.reporting; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        (float("nan"), "\u2013"),
        (float("inf"), "∞"),
        (0.0, "0"),
        (0.0123, "0.0123"),
        (482.4, "482"),
        (4824.0, "4824"),
        (999.4, "999"),
        (999.5, "1000"),
        (-999.99, "-1000"),
        (9999.4, "9999"),
        (9999.5, "1.00 \u00d7 10⁴"),
        (0.0009996, "0.001"),
        (0.0009994, "9.99 \u00d7 10⁻⁴"),
        (482000.0, "4.82 \u00d7 10⁵"),
        (-1.5e-7, "-1.50 \u00d7 10⁻⁷"),
    ],
)
def test_scientific(value: float | None, text: str) -> None:
    assert scientific(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.42 s"),
        (8.14, "8.1 s"),
        (41.2, "41 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_mebibytes() -> None:
    assert [mebibytes(value) for value in (None, 62.4, 999.4, 1740.8)] == [
        "\u2013",
        "62 MiB",
        "999 MiB",
        "1.7 GiB",
    ]


@pytest.mark.parametrize("quality", [{}, {"figures": 3}, {"figures": {"words": "none"}}])
def test_figures_that_are_none_are_left_out(quality: dict[str, Any]) -> None:
    assert figure_rows(quality) == []


def test_integer_and_percent() -> None:
    assert [integer(value) for value in (7, 7087, 12345, 1234567)] == [
        "7",
        "7087",
        "12\u202f345",
        "1\u202f234\u202f567",
    ]
    assert [percent(value) for value in (0.0, 0.004, 0.382, 1.0)] == [
        "0\u202f%",
        "0.4\u202f%",
        "38\u202f%",
        "100\u202f%",
    ]


def test_setting_rows() -> None:
    settings = {
        "image": "a.png",
        "levels": [512, 1024],
        "regions": {"sky": {"styles": [{"weight": 0.5}, {"weight": 1.0}], "mask": None}},
        "deepzoom": False,
        "deviations": [],
        "extra": {},
    }
    assert setting_rows(settings) == [
        ("image", "a.png"),
        ("levels", "512, 1024"),
        ("regions.sky.styles[0].weight", "0.5"),
        ("regions.sky.styles[1].weight", "1"),
        ("regions.sky.mask", "none"),
        ("deepzoom", "no"),
        ("deviations", "none"),
        ("extra", "none"),
    ]
    assert setting_rows({}) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["report.css", "notes.txt"], "a folder with notes.txt in it"),
        (["report.css", "index.html", "levels/"], "a folder with levels in it"),
        ([".git/"], "a folder with .git in it"),
        (["report.css", ".thumbnails/"], None),
        (["index.html"], "a folder with index.html in it and no report.css"),
        (["report.css", "theme.js", "openseadragon.min.js", "a.html", ".snakemake_timestamp"], None),
        ([".DS_Store"], None),
        ([], None),
    ],
)
def test_pages_take_the_place_of_a_reports_alone(tmp_path: Path, names: list[str], found: str | None) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    for name in names:
        (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
    collection = make_collection(tmp_path, make_artwork(tmp_path))
    if found is None:
        write_report(collection, tmp_path / "report.html")
        assert (folder / "harbour.html").is_file()
        return
    with pytest.raises(InputError, match=f"found {re.escape(found)}. Give the page another name"):
        write_report(collection, tmp_path / "report.html")
    assert {path.name for path in folder.iterdir()} == {name.rstrip("/") for name in names}


def test_pages_do_not_take_the_place_of_a_file_or_a_link(tmp_path: Path) -> None:
    collection = make_collection(tmp_path, make_artwork(tmp_path))
    (tmp_path / "report").write_text("mine")
    with pytest.raises(InputError, match="found a file of that name"):
        write_report(collection, tmp_path / "report.html")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="found a link"):
        write_report(collection, tmp_path / "linked.html")
