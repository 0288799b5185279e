from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
from pictures import save_guides

from pipeline import canvas
from pipeline.canvas import Clipped
from pipeline.config.quality import Limits
from pipeline.geometry import Box, Size
from pipeline.quality.colours import distribution_distance, mean_over
from pipeline.quality.judgement import _colours, _cores
from pipeline.quality.limits import missed
from pipeline.quality.task import LevelTask, RegionTask, StyleTask, Task


def test_clouds_of_colours_are_as_far_apart_as_they_are_moved() -> None:
    cloud = np.random.default_rng(0).normal(size=(2000, 3)) * (20, 10, 5)
    even = np.ones(2000)
    assert distribution_distance(cloud, cloud[::-1], even, even) == pytest.approx(0, abs=1e-9)
    assert distribution_distance(cloud, cloud + np.array([6, 0, 8]), even, even) == pytest.approx(
        10, rel=0.03
    )
    # Weights select: half of the colours stand for none of them.
    both = np.concatenate([cloud, cloud + 500])
    first = np.repeat([1.0, 0.0], 2000)
    assert distribution_distance(both, cloud, first, even) == pytest.approx(0, abs=0.05)
    assert distribution_distance(cloud, cloud, even, 0 * even) is None


def test_a_mean_over_a_region() -> None:
    values, share = np.array([[1.0, 3.0], [5.0, 100.0]]), np.array([[1.0, 0.5], [0.5, 0.0]])
    assert mean_over(values, share) == 2.5
    assert mean_over(values, 0 * share) is None


def test_differences_are_ciede2000() -> None:
    # Pairs 1, 4 and 17 of Sharma, Wu and Dalal's test data.
    left = [(50, 2.6772, -79.7751), (50, -1.3802, -84.2814), (50, 2.5, 0)]
    right = [(50, 0, -82.7485), (50, 0, -82.7485), (73, 25, -18)]
    found = canvas.colour_differences(*(np.array([pairs], dtype=np.float32) for pairs in (left, right)))
    assert found[0, :2] == pytest.approx([2.0425, 1.0], abs=1e-3)
    # libvips is off by 0.2 % where hues are far apart.
    assert found[0, 2] == pytest.approx(27.1492, rel=3e-3)


def test_lab_shares_and_clipping_of_files(tmp_path: Path) -> None:
    pixels = np.full((20, 40, 3), 0.5, dtype=np.float32)
    pixels[:, :20] = 1.2
    pixels[:5, 20:, 1] = -0.1
    canvas.write(tmp_path / "a.tif", pixels)
    assert canvas.clipped_shares(tmp_path / "a.tif") == Clipped(dark=5 / 40, light=0.5, either=25 / 40)
    lab = canvas.read_lab(tmp_path / "a.tif", Size(20, 40)).lab
    assert lab[10, 3] == pytest.approx([100, 0, 0], abs=0.1)
    assert lab[10, 30] == pytest.approx([53.39, 0, 0], abs=0.1)
    save_guides(tmp_path / "g.tif", np.stack([pixels[..., 0] > 1, pixels[..., 0] < 1], axis=-1) * 1.0)
    shares = canvas.read_shares(tmp_path / "g.tif", Size(10, 20))
    assert shares[:, :9, 0] == pytest.approx(1)
    assert shares.sum(axis=2) == pytest.approx(1, abs=1e-4)


def test_colours_from_afar_are_those_of_the_print(tmp_path: Path) -> None:
    """Stripes of 2 and 0 print as white and black: a mid grey, not white."""
    pixels = np.zeros((64, 64, 3), dtype=np.float32)
    pixels[:, ::2] = 2
    canvas.write(tmp_path / "a.tif", pixels)
    seen = canvas.read_lab(tmp_path / "a.tif", Size(4, 4))
    assert seen.lab[1, 1] == pytest.approx([53.39, 0, 0], abs=1)
    assert seen.opacity == pytest.approx(1)


def test_what_is_not_seen_has_no_part_in_colours(tmp_path: Path) -> None:
    """Half of each pixel of the small copy is a grey; the other half is a red without opacity."""
    pixels = np.full((64, 64, 4), 0.5, dtype=np.float32)
    pixels[..., 3] = 1
    pixels[:, ::2] = (1, 0, 0, 0)
    pixels[32:] = (1, 0, 0, 0)
    canvas.write(tmp_path / "a.tif", pixels)
    seen = canvas.read_lab(tmp_path / "a.tif", Size(4, 4))
    assert seen.lab[0, 1] == pytest.approx([53.39, 0, 0], abs=0.1)
    assert seen.opacity[0, 1] == pytest.approx(0.5, abs=0.02)
    assert seen.opacity[3] == pytest.approx(0)
    assert np.isfinite(seen.lab).all()


def test_a_regions_colours_are_compared_where_they_are_seen(tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), 0.5, dtype=np.float32)
    canvas.write(tmp_path / "grey.tif", grey)
    cut = np.concatenate([grey, np.ones((64, 64, 1), dtype=np.float32)], axis=2)
    cut[:, :32] = (1, 0, 0, 0)
    canvas.write(tmp_path / "cut.tif", cut)
    guides = np.zeros((64, 64, 2))
    guides[..., 0], guides[:, :32, 1] = 1, 1
    save_guides(tmp_path / "guides.tif", guides)
    style = StyleTask(image=tmp_path / "grey.tif", mask=None, weight=1)
    grey_file = tmp_path / "grey.tif"
    level = LevelTask(
        level_px=64,
        content=grey_file,
        result=grey_file,
        record=tmp_path / "none.json",
        guides=tmp_path / "guides.tif",
        regions=tuple(RegionTask(label=label, styles=(style,)) for label in ("all", "hidden")),
    )
    found = _colours(Task(artwork="a", content=grey_file, levels=(level,)), tmp_path / "cut.tif")
    assert found["all"] == {
        "to_content": pytest.approx(0, abs=0.1),
        "to_style": pytest.approx(0, abs=0.1),
    }
    assert found["hidden"] == {"to_content": None, "to_style": None}


def test_a_pixel_that_is_clipped_at_both_ends_counts_once(tmp_path: Path) -> None:
    pixels = np.full((4, 10, 3), 0.5, dtype=np.float32)
    pixels[:2] = (1, 0, 0)
    pixels[2, :5] = (0.5, 1, 0.5)
    canvas.write(tmp_path / "red.tif", pixels)
    assert canvas.clipped_shares(tmp_path / "red.tif") == Clipped(dark=0.5, light=25 / 40, either=25 / 40)
    # What is printed alone counts: half of the row below.
    opacity = np.zeros((4, 10, 1), dtype=np.float32)
    opacity[2] = 0.25
    canvas.write(tmp_path / "cut.tif", np.concatenate([pixels, opacity], axis=2))
    assert canvas.clipped_shares(tmp_path / "cut.tif") == Clipped(dark=0, light=0.5, either=0.5)
    canvas.write(tmp_path / "none.tif", np.concatenate([pixels, 0 * opacity], axis=2))
    assert canvas.clipped_shares(tmp_path / "none.tif") == Clipped(dark=0, light=0, either=0)


def test_limits_are_at_most_but_for_likeness() -> None:
    figures = {"style_distance": 0.3, "content_similarity": 0.5, "seams": None}
    assert missed(figures, Limits(style_distance=0.3, content_similarity=0.5, seams=0, clipping=0)) == []
    assert missed(figures, Limits(style_distance=0.2, content_similarity=0.6)) == [
        "style_distance of at most 0.2; found 0.3",
        "content_similarity of at least 0.6; found 0.5",
    ]


def test_large_images_are_sampled_where_each_region_is(tmp_path: Path) -> None:
    """A face of 60 px in an image of 320 squares, which none of its squares is much of."""
    size = Size(4000, 5000)
    assert _cores(Size(512, 640), None, 1) is None
    plain = _cores(size, None, 1)
    assert plain is not None
    assert (len(plain), plain) == (6, _cores(size, None, 1))
    spot = Box(1300, 2700, 1360, 2760)
    face = pyvips.Image.black(size.width, size.height)
    face = face.draw_rect(255, spot.left, spot.top, spot.size.width, spot.size.height, fill=True)
    face.bandjoin(255 - face).tiffsave(str(tmp_path / "guides.tif"), tile=True)
    found = _cores(size, tmp_path / "guides.tif", 2)
    assert found is not None
    assert Box(1280, 2560, 1536, 2816) in found
    # The only square of the face, and a third of six squares twice over of what is not the face.
    assert len(found) == 1 + 3
    assert all(edge % 16 == 0 for box in found for edge in (box.top, box.left, box.bottom, box.right))
    assert len(_cores(size, tmp_path / "guides.tif", 1) or ()) == 1


def test_where_no_region_is_squares_are_taken_all_the_same(tmp_path: Path) -> None:
    size = Size(600, 600)
    pyvips.Image.black(600, 600).tiffsave(str(tmp_path / "guides.tif"), tile=True)
    assert _cores(size, tmp_path / "guides.tif", 1) == _cores(size, None, 1)


def test_shares_of_squares_are_means(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((20, 41, 2))
    save_guides(tmp_path / "g.tif", values)
    found = canvas.read_square_shares(tmp_path / "g.tif", 16)
    assert found.shape == (2, 3, 2)
    assert found[0, 1] == pytest.approx(values[:16, 16:32].mean(axis=(0, 1)), abs=1e-5)
    assert found[1, 2] == pytest.approx(values[16:, 32:].sum(axis=(0, 1)) / 256, abs=1e-5)
