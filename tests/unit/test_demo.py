"""The demo's inputs: declared sizes, pinned pictures, painted styles. No network."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline import demo
from pipeline.canvas import read_header, write_png
from pipeline.demo.brushwork import Layer, Scene, direction, paint
from pipeline.demo.scenes import paint_fields, paint_night
from pipeline.errors import InputError
from pipeline.fetching import sources
from pipeline.geometry import Size


def picture(path: Path, height: int, width: int) -> bytes:
    write_png(path, np.full((height, width, 3), 100, dtype=np.uint8))
    return path.read_bytes()


def use(monkeypatch: pytest.MonkeyPatch, entry: demo.DemoInput) -> None:
    monkeypatch.setattr(demo, "INPUTS", {entry.name: entry})


def serve(monkeypatch: pytest.MonkeyPatch, file: Path) -> sources.WheelMember:
    """Makes a local file what the wheel's member is."""
    monkeypatch.setattr(demo, "obtain", lambda *_: file)
    return sources.WheelMember(
        sources.Wheel("carrier", "1"), file.name, hashlib.sha256(file.read_bytes()).hexdigest()
    )


def test_declared_sizes_are_literal() -> None:
    assert {name: (entry.size.height, entry.size.width) for name, entry in demo.INPUTS.items()} == {
        "astronaut.png": (512, 512),
        "coffee.png": (400, 600),
        "chelsea.png": (300, 451),
        "rocket.jpg": (427, 640),
        "ihc.png": (512, 512),
        "hubble_deep_field.jpg": (872, 1000),
        "retina.jpg": (1411, 1411),
        "painted_night.png": (768, 768),
        "painted_fields.png": (768, 768),
    }


def test_pictures_are_pinned_and_credited() -> None:
    for entry in demo.INPUTS.values():
        assert entry.credit
        if isinstance(entry.origin, sources.WheelMember):
            assert len(entry.origin.sha256) == 64
            assert entry.origin.wheel.version


def test_a_picture_is_copied_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture(tmp_path / "a.png", 20, 30)
    origin = serve(monkeypatch, tmp_path / "a.png")
    use(monkeypatch, demo.DemoInput("a.png", Size(20, 30), "", origin))
    demo.make("a.png", tmp_path / "out" / "a.png")
    assert (tmp_path / "out" / "a.png").read_bytes() == data
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_picture_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png", 20, 30)
    origin = serve(monkeypatch, tmp_path / "a.png")
    use(monkeypatch, demo.DemoInput("a.png", Size(30, 20), "", origin))
    with pytest.raises(InputError, match=r"a\.png: expected 30x20 pixels.*; found 20x30\."):
        demo.make("a.png", tmp_path / "out" / "a.png")
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_painting_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = demo.DemoInput("p.png", Size(20, 30), "", lambda _: np.zeros((19, 29, 3), dtype=np.uint8))
    use(monkeypatch, small)
    with pytest.raises(InputError, match="expected 20x30 pixels"):
        demo.make("p.png", tmp_path / "p.png")
    use(monkeypatch, dataclasses.replace(small, size=Size(19, 29)))
    demo.make("p.png", tmp_path / "p.png")
    assert read_header(tmp_path / "p.png").size == Size(19, 29)


def test_an_unknown_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one of astronaut\.png, .*; found no such demo input"):
        demo.make("mona_lisa.png", tmp_path / "mona_lisa.png")


@pytest.mark.parametrize("painter", [paint_night, paint_fields])
def test_a_painting_is_the_same_for_the_same_seed_only(painter: demo.Painter) -> None:
    size = Size(96, 112)
    first, second = painter(size), painter(size)
    assert first.shape == (96, 112, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert first.std() > 30


def test_another_seed_is_another_painting() -> None:
    assert not np.array_equal(paint_night(Size(64, 64), seed=1), paint_night(Size(64, 64), seed=2))


def test_strokes_follow_the_flow() -> None:
    # Along horizontal strokes neighbours are more alike than across them.
    flat = np.full((96, 96), 0.0, dtype=np.float32)
    colour = np.full((96, 96, 3), 0.5, dtype=np.float32)
    pigments = ((0.2, 0.3, 0.6), (0.8, 0.7, 0.4))
    scene = Scene(colour, flat, flat, flat, pigments)
    painted = paint(scene, [Layer(10, 60, 6, fine=False, purity=0.8)], seed=3).astype(float)
    assert np.abs(np.diff(painted, axis=1)).mean() < 0.6 * np.abs(np.diff(painted, axis=0)).mean()
    upright = paint(
        dataclasses.replace(scene, angle=flat + np.float32(np.pi / 2)),
        [Layer(10, 60, 6, fine=False, purity=0.8)],
        seed=3,
    ).astype(float)
    assert np.abs(np.diff(upright, axis=0)).mean() < 0.6 * np.abs(np.diff(upright, axis=1)).mean()


def test_a_circular_field_turns_once_per_circumference() -> None:
    y, x = np.mgrid[-40:41, -40:41].astype(np.float32)
    angle, curvature = direction(-y, x)
    assert angle[40, 60] == pytest.approx(np.pi / 2, abs=1e-3)
    assert curvature[40, 60] == pytest.approx(1 / 20, rel=0.02)
    assert direction(y, -x)[1][40, 60] == pytest.approx(-1 / 20, rel=0.02)
