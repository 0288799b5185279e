"""The report in a browser, opened from a disk: every control used, nothing complained of or asked for."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from browsing import Tab
from playwright.sync_api import Page, expect

from pipeline import canvas
from pipeline.geometry import Size
from pipeline.reporting import (
    Artwork,
    Collection,
    LevelResult,
    MaskPicture,
    Picture,
    Stage,
    StylePicture,
    Tiles,
    write_report,
)

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 60, 90


def picture(folder: Path, name: str, seed: int, bands: int = 3) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, bands), np.uint8)
    if bands == 1:
        pixels[:] = 255 * (np.arange(WIDTH)[None, :, None] < WIDTH // 2)
    canvas.write_png(folder / f"{name}.png", pixels)
    return Picture(folder / f"{name}.png", f"Picture {name}")


def artworks(folder: Path) -> list[Artwork]:
    terms = ["content relu4_2", "style relu1_1 left", "style relu1_1 right", "style relu2_1 left"]
    trace = [(1, 9e6), (2, 3e5), (3, 2e5)]
    level = LevelResult(
        64,
        Size(HEIGHT, WIDTH),
        picture(folder, "level", 3),
        2,
        3,
        1.5,
        trace,
        {name: [(passes, loss / (1 + place)) for passes, loss in trace] for place, name in enumerate(terms)},
        memory_mib=800.0,
    )
    style = StylePicture(picture(folder, "style", 4), "left", 1.0, name="wave.jpg")
    mask = picture(folder, "mask", 5, bands=1)
    first = Artwork(
        "harbour",
        WIDTH,
        HEIGHT,
        300,
        picture(folder, "content", 1),
        picture(folder, "result", 2),
        [style, dataclasses.replace(style, region="right", name="night.jpg")],
        [MaskPicture(mask, "left", 0.5, "left.png"), MaskPicture(mask, "right", 0.5, "right.png")],
        [level, dataclasses.replace(level, level_px=90)],
        {"harbour": {"content": "in/harbour.jpg", "levels": [64, 90]}},
        {"seed": 7},
        ["Region left is empty at relu5_1."],
        quality={"figures": {"seams": 1.002}},
        stages=[Stage("plan", 0.5, None)],
    )
    bare: dict[str, Any] = {"masks": [], "levels": [], "warnings": [], "styles": [style], "provenance": {}}
    return [
        first,
        dataclasses.replace(first, **bare, name="quay", width_px=900),
        dataclasses.replace(first, **bare, name="anchor"),
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    collection = Collection("Harbours", artworks(folder), [], "today", "0.1.0")
    write_report(collection, folder / "report.html")
    return folder / "report.html"


def shown(page: Page) -> list[str]:
    """The names of the artworks to be seen, in their order."""
    return page.locator(".grid li:visible h2").all_text_contents()


def test_artworks_are_found_filtered_and_sorted(tab: Tab, report: Path) -> None:
    page = tab.open(report)
    assert shown(page) == ["harbour", "quay", "anchor"]
    page.fill("#search", "night HAR")
    assert shown(page) == ["harbour"]
    expect(page.locator("output")).to_have_text("1 of 3 shown")
    page.fill("#search", "nowhere")
    assert shown(page) == []
    page.click("#clear")
    assert shown(page) == ["harbour", "quay", "anchor"]
    page.select_option("#filter", "w")
    assert shown(page) == ["harbour"]
    page.select_option("#filter", "s wave.jpg")
    assert shown(page) == ["harbour", "quay", "anchor"]
    for order, expected in (
        ("name", ["anchor", "harbour", "quay"]),
        ("largest", ["quay", "harbour", "anchor"]),
        ("slowest", ["harbour", "quay", "anchor"]),
        ("warnings", ["harbour", "quay", "anchor"]),
        ("collection", ["harbour", "quay", "anchor"]),
    ):
        page.select_option("#order", order)
        assert shown(page) == expected
    page.click("summary")
    expect(page.get_by_role("cell", name="900 × 60")).to_be_visible()  # noqa: RUF001
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.inaccessible() == []
    page.click(".grid a >> nth=0")
    expect(page.locator("h1")).to_have_text("harbour")


def test_colours_are_the_systems_until_the_user_says_so(desktop: Tab, report: Path) -> None:
    page = desktop.open(report)

    def wall() -> Any:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = wall()
    page.click("button.theme")
    assert wall() == light
    page.click("button.theme")
    dark = wall()
    assert dark != light
    desktop.open(report.with_suffix("") / "harbour.html")
    assert wall() == dark
    assert desktop.inaccessible() == []
    page.click("button.theme")
    expect(page.locator("button.theme")).to_have_text("Colours: system")
    assert wall() == light


def scales(page: Page) -> list[float]:
    """How far each picture in the frame is zoomed."""
    transforms = page.locator(".frame .layer").evaluate_all("all => all.map(each => each.style.transform)")
    return [float(transform.split("scale(")[1].rstrip(")")) for transform in transforms]


def test_pictures_are_zoomed_moved_and_compared(tab: Tab, report: Path) -> None:
    page = tab.open(report.with_suffix("") / "harbour.html")
    frame = page.locator(".frame")
    assert scales(page) == [1]
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom out").click()
    assert scales(page) == [1.6]
    page.get_by_role("button", name="Fit").click()
    frame.focus()
    page.keyboard.press("+")
    before = page.locator(".layer").get_attribute("style")
    page.keyboard.press("ArrowRight")
    after = page.locator(".layer").get_attribute("style")
    assert before != after
    page.mouse.wheel(0, 0)
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + box["height"] / 2, steps=2)
    page.mouse.up()
    assert page.locator(".layer").get_attribute("style") != after
    page.keyboard.press("0")
    assert scales(page) == [1]
    page.select_option("#right", label="Level 64")
    assert "level.png" in str(page.locator(".layer").get_attribute("src"))
    page.get_by_label("Swipe").check(force=True)
    page.select_option("#left", label="Result")
    names = page.locator(".pane .name")
    expect(names).to_have_text(["Result", "Level 64"])
    page.locator("#swipe").fill("20")
    assert "80%" in str(page.locator(".clip").get_attribute("style"))
    expect(page.locator("#swipe")).to_have_attribute("aria-valuetext", "20 % Result")
    page.select_option("#mask", label="right")
    expect(page.locator(".layer.mask")).to_have_count(1)
    page.get_by_label("Side by side").check(force=True)
    expect(page.locator(".pane")).to_have_count(2)
    page.get_by_role("button", name="Zoom in").click()
    assert scales(page) == [1.6] * 4
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.inaccessible() == []
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement !== null")


def test_two_fingers_zoom(chromium: Any, report: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto((report.with_suffix("") / "harbour.html").as_uri())
    box = page.locator(".frame").bounding_box()
    session = context.new_cdp_session(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", None)):
        points = [] if apart is None else [{"x": middle[0] + s * apart, "y": middle[1]} for s in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert scales(page)[0] > 2
    context.close()


def test_curves_settings_and_records(tab: Tab, report: Path) -> None:
    page = tab.open(report.with_suffix("") / "harbour.html")
    lines = page.locator(".terms g[id*='-level-']")
    expect(lines).to_have_count(8)
    for control, hidden in (("style relu1_1", 4), ("left", 6), ("content relu4_2", 8)):
        page.get_by_role("checkbox", name=control).uncheck()
        expect(page.locator(".terms g.off")).to_have_count(hidden)
    page.get_by_role("checkbox", name="left").check()
    expect(page.locator(".terms g.off")).to_have_count(6)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "harbour:\n  content: in/harbour.jpg\n  levels: [64, 90]"
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.get_by_role("row", name="seed 7")).to_be_visible()
    expect(page.get_by_role("row", name="figures.seams 1.002")).to_be_visible()
    page.locator(".flag").first.click()
    expect(page.get_by_text("Region left is empty at relu5_1.")).to_be_visible()
    page.get_by_role("link", name="quay").click()
    page.get_by_role("link", name="Previous").click()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("h1")).to_have_text("quay")
    expect(page.locator("#mask")).to_be_hidden()
    page.get_by_role("link", name="Harbours").click()
    expect(page.locator("h1")).to_have_text("Harbours")


def test_the_full_image_is_shown_from_tiles(desktop: Tab, openseadragon: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    pyvips.Image.new_from_array(pixels).dzsave(str(tmp_path / "deepzoom"), tile_size=256, overlap=1)
    tiles = Tiles(tmp_path / "deepzoom_files", Size(600, 900), 256, 1, "jpeg")
    artwork = dataclasses.replace(artworks(tmp_path)[0], tiles=tiles)
    write_report(Collection("H", [artwork], [], "", ""), tmp_path / "report.html", openseadragon)
    read: set[str] = set()
    desktop.page.on("request", lambda request: read.add(request.url.rpartition("deepzoom_files/")[2]))
    page = desktop.open(tmp_path / "report" / "harbour.html")
    page.wait_for_selector(".frame[data-opened=yes]")
    page.locator(".frame").focus()
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(500)
    for _ in range(40):
        if any(name.startswith("10/") for name in read):
            break
        page.wait_for_timeout(250)
    assert any(name.startswith("10/") for name in read), read
    page.get_by_role("button", name="Zoom out").click()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Fit").click()
    page.select_option("#mask", label="left")
    expect(page.locator(".frame img.mask")).to_be_visible()
    page.select_option("#right", label="Content")
    page.wait_for_selector(".frame[data-opened=yes]")
    assert desktop.inaccessible() == []


def test_two_hundred_artworks_open_fast(desktop: Tab, tmp_path: Path) -> None:
    bare = artworks(tmp_path)[1]
    many = [dataclasses.replace(bare, name=f"artwork-{number}") for number in range(200)]
    write_report(Collection("Many", many, [], "", ""), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 400_000
    started = time.monotonic()
    page = desktop.open(tmp_path / "report.html")
    assert len(shown(page)) == 200
    page.fill("#search", "artwork-199")
    assert shown(page) == ["artwork-199"]
    # A second or so on a machine that has nothing else to do.
    assert time.monotonic() - started < 20
