"""What is made again after a change: everything that depends on it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import noise, save
from running import snapshot
from workflows import (
    CONTENTS,
    EVERYTHING,
    GUIDES,
    HALVES,
    SCENE,
    STYLES,
    Checkout,
    RenderedCollection,
    config_with,
    jobs_of_levels,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("title", "Another", {"report"}),
        ("artworks.halves.iterations", [2, 3], {"plan artwork=halves", *jobs_of_levels("halves", 80)}),
        ("artworks.halves.regions.1.weight", 2, {"plan artwork=halves", *HALVES}),
        ("artworks.halves.preview_px", 512, {"plan artwork=halves", *jobs_of_levels("halves")}),
    ],
)
def test_a_setting(rendered: RenderedCollection, path: str, value: Any, expected: set[str]) -> None:
    with rendered.checkout.edited("config.yaml", config_with(path, value)):
        assert rendered.checkout.would_render() == expected


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("content.png", noise(100, 80, seed=9), {"prepare key=content", *CONTENTS, *HALVES}),
        ("style.png", noise(90, 90, seed=9), {"prepare key=style", *STYLES["style"], *HALVES, *SCENE}),
        ("other.png", noise(80, 96, seed=9) // 2, {"prepare key=other", *STYLES["other"], *HALVES}),
        ("left.png", 255 - noise(50, 40, seed=9)[..., :1], {*GUIDES, *HALVES}),
    ],
)
def test_a_picture(
    rendered: RenderedCollection, tmp_path: Path, name: str, pixels: np.ndarray, expected: set[str]
) -> None:
    other = save(tmp_path / "other.png", pixels).read_bytes()
    with rendered.checkout.edited(f"inputs/{name}", other):
        assert rendered.checkout.would_render() == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("pipeline/reporting/report.css", {"report"}),
        ("pipeline/losses.py", HALVES | SCENE),
        ("pipeline/commands/guide.py", GUIDES | HALVES),
        ("pipeline/segmentation/person.py", set()),
    ],
)
def test_a_module(rendered: RenderedCollection, module: str, expected: set[str]) -> None:
    text = (rendered.checkout.folder / module).read_text(encoding="utf-8")
    comment = "/* changed */" if module.endswith(".css") else "# changed"
    with rendered.checkout.edited(module, f"{text}\n{comment}\n"):
        assert rendered.checkout.would_render() == expected


def test_a_moved_folder(rendered: RenderedCollection, tmp_path: Path) -> None:
    home, away = rendered.checkout.folder, tmp_path / "moved away"
    home.rename(away)
    try:
        assert Checkout(away).would_render() == set()
    finally:
        away.rename(home)


def test_the_version(rendered: RenderedCollection) -> None:
    with rendered.checkout.edited("pipeline/__init__.py", '__version__ = "99.0.0"\n'):
        assert rendered.checkout.would_render() == EVERYTHING


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "titel",
            "Tiny",
            "config.yaml: titel: expected a known key; found an unknown key with value 'Tiny'.",
        ),
        ("defaults.levels", [80, 64], "config.yaml: defaults.levels must increase; found 64 after 80."),
    ],
)
def test_a_wrong_configuration_is_one_clear_message_and_no_work(
    rendered: RenderedCollection, path: str, value: Any, said: str
) -> None:
    before = snapshot(rendered.results)
    with rendered.checkout.edited("config.yaml", config_with(path, value)):
        done = rendered.checkout.snakemake("--cores", 2)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert told.count(said) == 1
    assert "Traceback" not in told
    assert "Execute" not in told
    assert snapshot(rendered.results) == before
