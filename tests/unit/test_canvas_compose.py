from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import gradient, left_half, save

from pipeline import canvas
from pipeline.canvas import compose
from pipeline.canvas.transform import resampled
from pipeline.errors import InputError
from pipeline.geometry import Size


def guides(tmp_path: Path, masks: list[tuple[Path, bool]], size: Size) -> np.ndarray:
    canvas.compose_guides(masks, tmp_path / "guides.tif", size)
    return canvas.read(tmp_path / "guides.tif")


def test_a_channel_for_each_mask_and_what_it_leaves(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", left_half(20, 40))
    found = guides(tmp_path, [(mask, False), (mask, True)], Size(20, 40))
    assert found.shape == (20, 40, 2)
    assert (found[:, :20, 0] == 1).all()
    assert (found[:, 20:, 0] == 0).all()
    assert (found.sum(axis=2) == 1).all()


def test_masks_of_any_size_stay_soft_within_their_range(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", left_half(20, 40))
    found = guides(tmp_path, [(mask, False)], Size(60, 120))[:, :, 0]
    assert found.shape == (60, 120)
    assert found.min() == 0
    assert found.max() == 1
    assert found.mean() == pytest.approx(0.5, abs=1e-4)
    edge = np.unique(found[0, 55:65])
    assert len(edge) > 3
    assert (np.diff(found[0]) <= 0).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(height=st.integers(16, 70), width=st.integers(16, 70))
def test_a_region_and_the_rest_are_the_whole_at_any_size(tmp_path: Path, height: int, width: int) -> None:
    mask = save(tmp_path / "m.png", gradient(37, 53)[:, :, :1])
    found = guides(tmp_path, [(mask, False), (mask, True)], Size(height, width))
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1 / 65535 + 1e-7)


def vips(bands: list[int], interpretation: str) -> pyvips.Image:
    pixels = np.full((20, 30, len(bands)), bands, np.uint8)
    return pyvips.Image.new_from_memory(pixels, 30, 20, len(bands), "uchar").copy(
        interpretation=interpretation
    )


@pytest.mark.parametrize(
    ("bands", "interpretation", "expected"),
    [
        ([51], "b-w", 0.2),
        ([51, 255], "b-w", 0.2),
        ([51, 0], "b-w", 0),
        ([0, 51, 255], "srgb", 0.4),
        ([0, 51, 255, 51], "srgb", 0.08),
    ],
)
def test_a_masks_value_is_the_mean_of_its_colours_by_their_opacity(
    tmp_path: Path, bands: list[int], interpretation: str, expected: float
) -> None:
    vips(bands, interpretation).pngsave(str(tmp_path / "m.png"))
    canvas.compose_guides([(tmp_path / "m.png", False)], tmp_path / "g.tif", Size(20, 30))
    assert canvas.band_means(tmp_path / "g.tif") == [pytest.approx(expected, abs=1e-5)]


def test_a_mask_of_inks_in_which_light_is_little_ink_is_refused(tmp_path: Path) -> None:
    vips([0, 0, 0, 255], "cmyk").tiffsave(str(tmp_path / "m.tif"))
    with pytest.raises(InputError, match=r"m\.tif: expected a mask in grey or RGB; found CMYK\."):
        canvas.compose_guides([(tmp_path / "m.tif", False)], tmp_path / "g.tif", Size(20, 30))


def test_a_masks_orientation_is_applied(tmp_path: Path) -> None:
    image = pyvips.Image.new_from_memory(left_half(20, 40), 40, 20, 1, "uchar").copy(interpretation="b-w")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.jpegsave(str(tmp_path / "m.jpg"), Q=100)
    found = guides(tmp_path, [(tmp_path / "m.jpg", False)], Size(40, 20))[:, :, 0]
    assert found[:18].mean() > 0.98
    assert found[22:].mean() < 0.02


def test_an_unreadable_mask_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_text("no mask")
    with pytest.raises(InputError, match=r"m\.png: expected an image"):
        canvas.compose_guides([(tmp_path / "m.png", False)], tmp_path / "g.tif", Size(20, 30))
    assert not (tmp_path / "g.tif").exists()


def test_alpha_is_brought_to_the_results_size(tmp_path: Path) -> None:
    result = np.linspace(-0.1, 1.1, 40 * 60 * 3, dtype=np.float32).reshape(40, 60, 3)
    canvas.write(tmp_path / "r.tif", result)
    content = np.dstack([gradient(20, 30), left_half(20, 30)])
    pyvips.Image.new_from_array(content).copy(interpretation="srgb").tiffsave(str(tmp_path / "c.tif"))
    canvas.add_alpha(tmp_path / "r.tif", tmp_path / "c.tif", tmp_path / "a.tif")
    found = canvas.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(found[:, :, :3], result)
    assert (found[:, :28, 3] == 1).all()
    assert (found[:, 32:, 3] == 0).all()


def test_without_alpha_nothing_is_added(tmp_path: Path) -> None:
    canvas.write(tmp_path / "r.tif", np.ones((20, 30, 3), np.float32))
    save(tmp_path / "c.png", gradient(20, 30))
    canvas.add_alpha(tmp_path / "r.tif", tmp_path / "c.png", tmp_path / "a.tif")
    assert canvas.read_header(tmp_path / "a.tif").bands == 3


def test_channels_become_grey_pictures(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", left_half(20, 40))
    canvas.compose_guides([(mask, False), (mask, True)], tmp_path / "g.tif", Size(40, 80))
    targets = [tmp_path / "one.png", tmp_path / "two.png"]
    canvas.export_masks(tmp_path / "g.tif", targets, 20)
    one, two = (canvas.read(path)[:, :, 0] for path in targets)
    assert one.shape == (10, 20)
    assert (one[:, :9] == 1).all()
    assert (two[:, :9] == 0).all()
    canvas.export_masks(tmp_path / "g.tif", targets, 5000)
    assert canvas.size_of(targets[0]) == Size(40, 80)


def test_pictures_must_be_as_many_as_channels(tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", left_half(20, 40))
    canvas.compose_guides([(mask, False)], tmp_path / "g.tif", Size(20, 40))
    with pytest.raises(InputError, match=r"g\.tif: expected 2 guidance channels; found 1\.$"):
        canvas.export_masks(tmp_path / "g.tif", [tmp_path / "a.png", tmp_path / "b.png"], 20)


def test_channels_are_decoded_once_for_all_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = save(tmp_path / "m.png", left_half(20, 40))
    canvas.compose_guides([(mask, False), (mask, True)], tmp_path / "g.tif", Size(40, 80))
    seen: list[int] = []

    def noted(image: pyvips.Image, *how: Any) -> pyvips.Image:
        seen.append(image.bands)
        return resampled(image, *how)

    monkeypatch.setattr(compose, "resampled", noted)
    canvas.export_masks(tmp_path / "g.tif", [tmp_path / "one.png", tmp_path / "two.png"], 20)
    assert seen == [2]
