from __future__ import annotations

import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import save_guides, save_mask

from pipeline import canvas
from pipeline.canvas import _vips, inputs
from pipeline.errors import ConfigError, InputError, ResourceError
from pipeline.formats import Caption, Encoding
from pipeline.geometry import Box, Size

RNG_SEED = 7
ICC_SIGNATURE = b"acsp"
"""Every colour profile has it in its header; without it a profile is none."""


def _image(array: np.ndarray, interpretation: str = "srgb") -> Any:
    height, width, bands = array.shape
    kind = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[array.dtype.name]
    image = pyvips.Image.new_from_memory(array.tobytes(), width, height, bands, kind)
    return image.copy(interpretation=interpretation)


def _noise(height: int, width: int, bands: int = 3, dtype: type = np.uint8) -> np.ndarray:
    top = int(np.iinfo(dtype).max) + 1
    return np.random.default_rng(RNG_SEED).integers(0, top, size=(height, width, bands)).astype(dtype)


def _flat(colour: list[int], dtype: type = np.uint8, side: int = 32) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=dtype), (side, side, len(colour))).copy()


def _with_profile(image: Any, name: str) -> Any:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Operation.call("profile_load", name))
    return image


def _raw(path: Path) -> np.ndarray:
    pixels = pyvips.Image.tiffload(str(path)).numpy()
    return np.asarray(pixels.reshape(*pixels.shape[:2], -1))


# --- formats ---------------------------------------------------------------------------------------------


def test_the_formats_that_the_message_names_are_the_ones_that_can_be_read(tmp_path: Path) -> None:
    endings = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "WebP": "webp", "GIF": "gif", "HEIF": "avif"}
    named = _vips.FORMATS.replace(" or ", ", ").replace("/AVIF", "").split(", ")
    assert named == list(endings)
    for ending in endings.values():
        _image(_noise(40, 30)).write_to_file(str(tmp_path / f"a.{ending}"))
        assert canvas.read_header(tmp_path / f"a.{ending}").size == Size(40, 30)


# --- headers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "array", "interpretation", "expected"),
    [
        ("a.png", _noise(40, 30), "srgb", (3, 8, False, "png")),
        ("a.jpg", _noise(40, 30), "srgb", (3, 8, False, "jpeg")),
        ("a.webp", _noise(40, 30), "srgb", (3, 8, False, "webp")),
        ("a.tif", _noise(40, 30, 3, np.uint16), "rgb16", (3, 16, False, "tiff")),
        ("rgba.png", _noise(40, 30, 4), "srgb", (4, 8, True, "png")),
        ("grey.png", _noise(40, 30, 1), "b-w", (1, 8, False, "png")),
        ("greya.png", _noise(40, 30, 2), "b-w", (2, 8, True, "png")),
        ("cmyk.tif", _noise(40, 30, 4), "cmyk", (4, 8, False, "tiff")),
    ],
)
def test_header(
    tmp_path: Path, name: str, array: np.ndarray, interpretation: str, expected: tuple[int, int, bool, str]
) -> None:
    _image(array, interpretation).write_to_file(str(tmp_path / name))
    bands, bits, has_alpha, form = expected
    header = canvas.read_header(tmp_path / name)
    assert header == canvas.Header(Size(40, 30), bands, bits, has_alpha, form)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))]
)
def test_header_size_is_that_of_the_upright_picture(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    image = _image(_noise(40, 30)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.jpegsave(str(tmp_path / "a.jpg"))
    assert canvas.read_header(tmp_path / "a.jpg").size == Size(*size)


def test_header_of_an_animation_is_its_first_page(tmp_path: Path) -> None:
    first, second = _flat([255, 0, 0]), _flat([0, 0, 255])
    both = _image(np.concatenate([first, second])).copy()
    both.set_type(pyvips.GValue.gint_type, "page-height", 32)
    both.webpsave(str(tmp_path / "a.webp"), lossless=True)
    assert canvas.read_header(tmp_path / "a.webp").size == Size(32, 32)
    canvas.prepare(tmp_path / "a.webp", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif")[..., :3], first)


def _bad_file(path: Path, kind: str) -> Path:
    if kind == "missing":
        return path / "nothing.jpg"
    if kind == "folder":
        return path
    contents = {
        "text": b"this is not an image at all\n" * 20,
        "empty": b"",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"></svg>',
        "garbage": b"\xff\xd8\xff\xe0" + bytes(range(256)),
        "zero size": b"P6\n0 0\n255\n",
    }
    bad = path / ("a.ppm" if kind == "zero size" else "a.jpg")
    bad.write_bytes(contents[kind])
    return bad


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("missing", "no such file"),
        ("folder", "a folder"),
        ("text", "a file of another kind"),
        ("empty", "an empty file"),
        ("svg", "a file of another kind"),
        ("garbage", "damaged or truncated"),
        ("zero size", "a file of another kind"),
    ],
)
@pytest.mark.parametrize("verb", ["read_header", "prepare"])
def test_bad_files_are_told_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, found: str, verb: str
) -> None:
    bad = _bad_file(tmp_path, kind)
    targets = [tmp_path / "out" / "p.tif"] if verb == "prepare" else []
    with pytest.raises(InputError, match=found) as caught:
        getattr(canvas, verb)(bad, *targets)
    assert str(caught.value).startswith(f"{bad}: expected ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch(mode=0o000)
    with pytest.raises(InputError, match="Permission denied"):
        canvas.read_header(path)


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    _image(_noise(*size)).pngsave(str(tmp_path / "a.png"))
    with pytest.raises(InputError, match=f"at least 16 px; found {size[0]}x{size[1]} px"):
        canvas.read_header(tmp_path / "a.png")


def test_sides_may_be_short_where_only_the_colours_are_wanted(tmp_path: Path) -> None:
    _image(_noise(1, 300)).pngsave(str(tmp_path / "a.png"))
    assert canvas.read_header(tmp_path / "a.png", min_side_px=1).size == Size(1, 300)
    with pytest.raises(InputError, match=r"a\.png: expected sides of at least 16 px; found 1x300 px"):
        canvas.check_sides(tmp_path / "a.png", Size(1, 300))
    canvas.check_sides(tmp_path / "a.png", Size(1, 300), min_side_px=1)


def test_too_large_is_refused_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _image(_noise(100, 200)).pngsave(str(tmp_path / "a.png"))
    monkeypatch.setattr(inputs, "MAX_SIDE_PX", 199)
    with pytest.raises(InputError, match="at most 199 px a side"):
        canvas.read_header(tmp_path / "a.png")
    monkeypatch.setattr(inputs, "MAX_SIDE_PX", 200)
    monkeypatch.setattr(inputs, "MAX_AREA_PX", 19_999)
    with pytest.raises(InputError, match="found 100x200 px"):
        canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    assert not (tmp_path / "p.tif").exists()


def test_a_bomb_is_not_decompressed(tmp_path: Path) -> None:
    pyvips.Image.black(300_000, 16).tiffsave(str(tmp_path / "a.tif"), compression="deflate")
    with pytest.raises(InputError, match="found 16x300000 px"):
        canvas.read_header(tmp_path / "a.tif")


def test_more_bands_than_colours_and_alpha_are_refused(tmp_path: Path) -> None:
    _image(_noise(20, 20, 5)).tiffsave(str(tmp_path / "a.tif"))
    with pytest.raises(InputError, match="found 5 bands"):
        canvas.read_header(tmp_path / "a.tif")


def test_odd_sample_formats_are_refused(tmp_path: Path) -> None:
    pyvips.Image.black(20, 20).cast("int").tiffsave(str(tmp_path / "a.tif"))
    with pytest.raises(InputError, match="bands of int"):
        canvas.read_header(tmp_path / "a.tif")


def test_brackets_in_a_name_are_not_options(tmp_path: Path) -> None:
    path = tmp_path / "boat [page=3].png"
    _image(_noise(20, 24)).pngsave(str(path))
    assert canvas.read_header(path).size == Size(20, 24)


# --- prepare ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_truncated_files_leave_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    _image(_noise(200, 200)).write_to_file(str(whole))
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match=r"cut\.") as caught:
        canvas.prepare(cut, tmp_path / "out" / "p.tif")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.glob("out/*"))


def test_prepare_keeps_8_bits_and_their_values(tmp_path: Path) -> None:
    array = _noise(300, 270)
    _image(array).pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array)
    image = pyvips.Image.tiffload(str(tmp_path / "p.tif"))
    assert (image.get("tile-width"), image.get("tile-height"), image.format) == (256, 256, "uchar")
    assert canvas.read_header(tmp_path / "p.tif") == canvas.Header(Size(300, 270), 3, 8, False, "tiff")


def test_prepare_keeps_16_bits_and_their_values(tmp_path: Path) -> None:
    array = _noise(30, 27, 3, np.uint16)
    _image(array, "rgb16").pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array)


@pytest.mark.parametrize(("dtype", "interpretation"), [(np.uint8, "srgb"), (np.uint16, "rgb16")])
def test_prepare_keeps_alpha_as_the_fourth_band(tmp_path: Path, dtype: type, interpretation: str) -> None:
    array = _noise(30, 27, 4, dtype)
    _image(array, interpretation).pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array)
    assert canvas.read_header(tmp_path / "p.tif").has_alpha


@pytest.mark.parametrize(("dtype", "interpretation"), [(np.uint8, "b-w"), (np.uint16, "grey16")])
def test_prepare_repeats_grey(tmp_path: Path, dtype: type, interpretation: str) -> None:
    array = _noise(30, 27, 1, dtype)
    _image(array, interpretation).pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), np.repeat(array, 3, axis=2))


def test_prepare_grey_with_alpha(tmp_path: Path) -> None:
    array = _noise(30, 27, 2)
    _image(array, "b-w").pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array[..., [0, 0, 0, 1]])


def test_prepare_expands_a_palette(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 128, 255], [10, 20, 30]], dtype=np.uint8)
    array = colours[np.arange(40 * 30).reshape(40, 30) % 3]
    _image(array).pngsave(str(tmp_path / "a.png"), palette=True, Q=100, dither=0)
    assert (tmp_path / "a.png").read_bytes()[25] == 3  # the header's colour type: indexed
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif")[..., :3], array)


def test_prepare_applies_orientation_6(tmp_path: Path) -> None:
    array = _noise(20, 30)
    image = _image(array).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.tiffsave(str(tmp_path / "a.tif"))
    canvas.prepare(tmp_path / "a.tif", tmp_path / "p.tif")
    # Orientation 6: turn the stored rows clockwise by a quarter.
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), np.rot90(array, k=-1))
    assert canvas.read_header(tmp_path / "p.tif").size == Size(30, 20)


def _p3_to_srgb(colour: np.ndarray) -> np.ndarray:
    """Display P3 to sRGB by the published primaries; both share one curve and one white."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786361, 1.0982735]]
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("colour", [[200, 100, 50], [255, 255, 255], [0, 0, 0], [255, 0, 0], [90, 140, 120]])
@pytest.mark.parametrize("bits", [8, 16])
def test_prepare_converts_display_p3(tmp_path: Path, colour: list[int], bits: int) -> None:
    scale, dtype = (1, np.uint8) if bits == 8 else (257, np.uint16)
    array = _flat([value * scale for value in colour], dtype)
    image = _with_profile(_image(array, "srgb" if bits == 8 else "rgb16"), "p3")
    image.pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    expected = _p3_to_srgb(np.array(colour) / 255) * 255 * scale
    got = _raw(tmp_path / "p.tif")
    np.testing.assert_allclose(got[0, 0], expected, atol=1.5 * scale)
    assert got.dtype == dtype


def test_prepare_p3_to_srgb_as_literals(tmp_path: Path) -> None:
    _with_profile(_image(_flat([200, 100, 50])), "p3").pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_allclose(_raw(tmp_path / "p.tif")[0, 0], [215, 93, 32], atol=1)


def test_prepare_converts_colours_beside_alpha_and_leaves_alpha(tmp_path: Path) -> None:
    _with_profile(_image(_flat([200, 100, 50, 77])), "p3").pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    got = _raw(tmp_path / "p.tif")[0, 0]
    np.testing.assert_allclose(got[:3], [215, 93, 32], atol=1)
    assert got[3] == 77


def test_prepare_leaves_srgb_by_profile_untouched(tmp_path: Path) -> None:
    array = _noise(64, 64)
    _with_profile(_image(array), "srgb").pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array)


@pytest.mark.parametrize("fault", ["damaged", "of another kind"])
@pytest.mark.parametrize(("bands", "interpretation"), [(1, "b-w"), (3, "srgb")])
def test_prepare_ignores_a_profile_that_cannot_be_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: str, bands: int, interpretation: str
) -> None:
    array, path = _noise(64, 64, bands), tmp_path / "a.tif"
    profile = "p3" if fault == "damaged" else "cmyk"
    _with_profile(_image(array, interpretation), profile).tiffsave(str(path))
    if fault == "damaged":
        path.write_bytes(path.read_bytes().replace(ICC_SIGNATURE, bytes(len(ICC_SIGNATURE))))
    canvas.prepare(path, tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), np.broadcast_to(array, (64, 64, 3)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("tagged", [False, True])
def test_prepare_converts_cmyk(tmp_path: Path, tagged: bool) -> None:
    ink = np.concatenate([_flat([0, 0, 0, 0]), _flat([0, 255, 255, 0]), _flat([0, 0, 0, 255])])
    image = _image(ink, "cmyk")
    image = _with_profile(image, "cmyk") if tagged else image
    image.tiffsave(str(tmp_path / "a.tif"))
    canvas.prepare(tmp_path / "a.tif", tmp_path / "p.tif")
    paper, red, black = _raw(tmp_path / "p.tif")[[10, 42, 74], 10].astype(int)
    assert paper.tolist() == [255, 255, 255]
    assert red[0] > 180
    assert red[1:].max() < 90
    assert black.max() < 60


def test_prepare_takes_floats_as_srgb_in_16_bits(tmp_path: Path) -> None:
    array = np.zeros((20, 20, 3), dtype=np.float32) + np.array([-0.5, 0.5, 1.5], dtype=np.float32)
    canvas.write(tmp_path / "a.tif", array)
    canvas.prepare(tmp_path / "a.tif", tmp_path / "p.tif")
    assert _raw(tmp_path / "p.tif")[0, 0].tolist() == [0, 32768, 65535]


def test_prepare_says_how_much_was_clipped(tmp_path: Path) -> None:
    array = np.full((20, 20, 3), 0.5, dtype=np.float32)
    array[:5, :10, 1] = 1.5
    array[10, :, 0] = -1e-3
    # Less than half a step of 16 bits outside: rounding, not clipping.
    array[11, :, 0] = -1e-6
    canvas.write(tmp_path / "a.tif", array)
    assert canvas.prepare(tmp_path / "a.tif", tmp_path / "p.tif") == pytest.approx(70 / 1200, abs=1e-9)
    canvas.write(tmp_path / "b.tif", array.clip(0, 1))
    assert canvas.prepare(tmp_path / "b.tif", tmp_path / "p.tif") == 0
    _image(_noise(20, 20)).pngsave(str(tmp_path / "c.png"))
    assert canvas.prepare(tmp_path / "c.png", tmp_path / "p.tif") == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_prepare_refuses_numbers_that_are_none(tmp_path: Path, value: float, bands: int) -> None:
    array = np.full((300, 20, bands), 0.5, dtype=np.float32)
    array[299, 3, bands - 1] = value
    _image(array, "b-w" if bands == 1 else "srgb").tiffsave(str(tmp_path / "a.tif"))
    with pytest.raises(InputError, match=r"a\.tif: expected finite numbers; found NaN or infinite ones"):
        canvas.prepare(tmp_path / "a.tif", tmp_path / "p.tif")
    assert not (tmp_path / "p.tif").exists()


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_prepare_takes_a_strip_of_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    array = _noise(*size)
    _image(array).pngsave(str(tmp_path / "a.png"))
    canvas.prepare(tmp_path / "a.png", tmp_path / "p.tif")
    np.testing.assert_array_equal(_raw(tmp_path / "p.tif"), array)


# --- arrays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7])
def test_floats_come_back_bit_for_bit(tmp_path: Path, bands: int) -> None:
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(300, 270, bands)) * 10.0 ** rng.integers(-8, 8, (300, 270, 1))).astype(
        np.float32
    )
    canvas.write(tmp_path / "a.tif", array)
    got = canvas.read(tmp_path / "a.tif")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, array)
    assert canvas.size_of(tmp_path / "a.tif") == Size(300, 270)


def test_a_rewritten_file_is_read_anew(tmp_path: Path) -> None:
    for value in (0.25, 0.75):
        canvas.write(tmp_path / "a.tif", np.full((20, 20, 3), value, dtype=np.float32))
        assert canvas.read(tmp_path / "a.tif").min() == value


def test_write_takes_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 40, 30)).astype(np.float32).transpose(1, 2, 0)
    canvas.write(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(canvas.read(tmp_path / "a.tif"), array)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 300, 270), Box(0, 0, 1, 1), Box(250, 200, 300, 270), Box(3, 255, 259, 257)]
)
def test_read_a_box(tmp_path: Path, box: Box) -> None:
    array = np.random.default_rng(0).normal(size=(300, 270, 3)).astype(np.float32)
    canvas.write(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(canvas.read(tmp_path / "a.tif", box), array[box.slices])


@pytest.mark.parametrize("box", [Box(0, 0, 301, 10), Box(0, 0, 10, 271), Box(-1, 0, 10, 10), Box(5, 5, 5, 9)])
def test_read_refuses_a_box_outside(tmp_path: Path, box: Box) -> None:
    canvas.write(tmp_path / "a.tif", np.zeros((300, 270, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"does not lie inside|at least 1x1"):
        canvas.read(tmp_path / "a.tif", box)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_read_scales_integers(tmp_path: Path, dtype: type, top: int) -> None:
    array: np.ndarray = np.arange(top + 1).astype(dtype).reshape(-1, 16, 1).repeat(3, axis=2)
    _image(array, "srgb" if top == 255 else "rgb16").tiffsave(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(canvas.read(tmp_path / "a.tif"), (array / top).astype(np.float32))


@pytest.mark.parametrize("ends", [(1, 130), (256,), (100, 256), (256, 257), ()], ids=str)
def test_rows_are_written_as_the_whole_is(tmp_path: Path, ends: tuple[int, ...]) -> None:
    image = np.random.default_rng(3).random((300, 70, 3)).astype(np.float32) * 3 - 1
    canvas.write(tmp_path / "whole.tif", image)
    bands = np.split(image, ends)
    canvas.write_rows(tmp_path / "rows.tif", Size(300, 70), 3, iter(bands))
    assert np.array_equal(canvas.read(tmp_path / "rows.tif"), image)
    fields = ["width", "height", "bands", "format", "interpretation", "tile-width", "tile-height"]
    by_rows, at_once = (pyvips.Image.tiffload(str(tmp_path / f"{name}.tif")) for name in ("rows", "whole"))
    assert [by_rows.get(name) for name in fields] == [at_once.get(name) for name in fields]
    for wrong, found in (([image[:1]], "got 1"), ([], "got 0"), ([image[:1], image], "got 301")):
        with pytest.raises(ValueError, match=f"300x70 px have 300 rows; {found}"):
            canvas.write_rows(tmp_path / "half.tif", Size(300, 70), 3, wrong)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.tif", "rows.tif"}


def _boxes(image: np.ndarray, width: int) -> list[tuple[Box, np.ndarray]]:
    """The image in boxes of 256 rows."""
    height, whole = image.shape[:2]
    found = [
        Box(top, left, min(top + 256, height), min(left + width, whole))
        for top in range(0, height, 256)
        for left in range(0, whole, width)
    ]
    return [(box, image[box.slices]) for box in found]


@pytest.mark.parametrize("width", [256, 512, 1024])
def test_boxes_written_one_after_the_other_are_the_image(tmp_path: Path, width: int) -> None:
    image = np.random.default_rng(3).random((300, 530, 3)).astype(np.float32) * 3 - 1
    canvas.write(tmp_path / "whole.tif", image)
    canvas.write_boxes(tmp_path / "boxes.tif", Size(300, 530), 3, iter(_boxes(image, width)))
    assert np.array_equal(canvas.read(tmp_path / "boxes.tif"), image)
    fields = ["width", "height", "bands", "format", "interpretation", "tile-width", "tile-height"]
    by_boxes, at_once = (pyvips.Image.tiffload(str(tmp_path / f"{name}.tif")) for name in ("boxes", "whole"))
    assert [by_boxes.get(name) for name in fields] == [at_once.get(name) for name in fields]


def test_boxes_that_are_not_the_images_are_refused(tmp_path: Path) -> None:
    image = np.zeros((300, 530, 3), np.float32)
    boxes = _boxes(image, 256)
    some = (Box(0, 0, 256, 100), image[:256, :100])
    for wrong, said in (
        (boxes[1:], r"rows 0 to 256 from column 0; got Box\(top=0, left=256"),
        ([boxes[0], boxes[3]], r"rows 0 to 256 from column 256; got Box\(top=256"),
        ([some], "rows 0 to 256 from column 0; got"),
        (boxes[:3], "end at row 300; the boxes end at row 256"),
    ):
        with pytest.raises(ValueError, match=said):
            canvas.write_boxes(tmp_path / "half.tif", Size(300, 530), 3, wrong)
    assert not list(tmp_path.iterdir())


def test_a_wide_image_is_written_in_the_memory_of_a_box(tmp_path: Path) -> None:
    box = np.zeros((200, 512, 3), np.float32)
    size = Size(200, 30_000)
    boxes = ((Box(0, left, 200, min(left + 512, size.width)), box) for left in range(0, size.width, 512))
    cut = ((place, values[:, : place.size.width]) for place, values in boxes)
    tracemalloc.start()
    try:
        canvas.write_boxes(tmp_path / "wide.tif", size, 3, cut)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A row of tiles of the whole width would be 88 MiB.
    assert peak < 8 * 2**20


def test_write_png(tmp_path: Path) -> None:
    array = _noise(20, 30)
    canvas.write_png(tmp_path / "a.png", array)
    canvas.write_png(tmp_path / "grey.png", array[..., 0])
    np.testing.assert_array_equal(pyvips.Image.pngload(str(tmp_path / "a.png")).numpy(), array)
    np.testing.assert_array_equal(pyvips.Image.pngload(str(tmp_path / "grey.png")).numpy(), array[..., 0])


@pytest.mark.parametrize("regions", [1, 2, 3, 4, 5, 6])
def test_guides_keep_16_bits(tmp_path: Path, regions: int) -> None:
    levels = _noise(30, 27, regions, np.uint16)
    save_guides(tmp_path / "g.tif", (levels / 65535).astype(np.float32))
    got = canvas.read(tmp_path / "g.tif")
    np.testing.assert_array_equal(got, (levels / 65535).astype(np.float32))


def test_guides_are_clipped(tmp_path: Path) -> None:
    save_guides(tmp_path / "g.tif", np.array([[[-0.1, 1.2]] * 20] * 20))
    assert canvas.read(tmp_path / "g.tif")[3, 3].tolist() == [0.0, 1.0]


def test_mask_has_8_bits_and_one_band(tmp_path: Path) -> None:
    levels = _noise(30, 27, 1)[..., 0]
    save_mask(tmp_path / "m.tif", levels / 255)
    np.testing.assert_array_equal(_raw(tmp_path / "m.tif")[..., 0], levels)
    assert canvas.read(tmp_path / "m.tif").shape == (30, 27, 1)


# --- resize ----------------------------------------------------------------------------------------------

SIZES = [
    ((80, 100), (53, 37)),
    ((80, 100), (399, 231)),
    ((61, 97), (64, 64)),
    ((64, 64), (61, 97)),
    ((479, 640), (480, 641)),
    ((480, 640), (479, 639)),
    ((480, 640), (480, 640)),
    ((3, 1000), (1, 7)),
    ((1, 1), (17, 33)),
    ((5, 5), (1, 1)),
    ((999, 17), (7, 1001)),
]
KERNELS: tuple[Any, ...] = ("lanczos3", "cubic", "linear")


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_resize_is_exact_in_size_and_keeps_constants(
    tmp_path: Path, old: tuple[int, int], new: tuple[int, int], kernel: Any
) -> None:
    canvas.write(tmp_path / "a.tif", np.full((*old, 3), 0.7, dtype=np.float32))
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(*new), kernel)
    got = canvas.read(tmp_path / "b.tif")
    assert got.shape == (*new, 3)
    np.testing.assert_allclose(got, 0.7, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("old", "new"), [pair for pair in SIZES if min(pair[0]) > 60 and pair[0] != pair[1]])
@pytest.mark.parametrize("kernel", KERNELS)
def test_resize_keeps_a_ramp_in_place(
    tmp_path: Path, old: tuple[int, int], new: tuple[int, int], kernel: Any
) -> None:
    y, x = np.mgrid[: old[0], : old[1]].astype(np.float32)
    canvas.write(tmp_path / "a.tif", np.stack([y, x, y], axis=-1))
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(*new), kernel)
    got = canvas.read(tmp_path / "b.tif")
    expected_y = (np.arange(new[0]) + 0.5) * old[0] / new[0] - 0.5
    expected_x = (np.arange(new[1]) + 0.5) * old[1] / new[1] - 0.5
    middle = slice(new[0] // 4, 3 * new[0] // 4), slice(new[1] // 4, 3 * new[1] // 4)
    shift_y = (got[..., 0] - expected_y[:, None])[middle]
    shift_x = (got[..., 1] - expected_x[None, :])[middle]
    # libvips places samples to 1/64 px, so single pixels may be off by a little and the mean hardly.
    assert np.abs([shift_y.mean(), shift_x.mean()]).max() < 0.01
    assert max(np.abs(shift_y).max(), np.abs(shift_x).max()) < 0.06


def test_resize_doubles_a_ramp_as_literals(tmp_path: Path) -> None:
    row = np.arange(6, dtype=np.float32)
    canvas.write(tmp_path / "a.tif", np.broadcast_to(row[None, :, None], (6, 6, 3)))
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(12, 12), "linear")
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5]
    np.testing.assert_allclose(canvas.read(tmp_path / "b.tif")[4, :, 1], expected, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_shrinking_does_not_alias(tmp_path: Path, kernel: Any) -> None:
    stripes = np.zeros((300, 300, 3), dtype=np.float32)
    stripes[:, ::2] = 1.0
    canvas.write(tmp_path / "a.tif", stripes)
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(97, 91), kernel)
    middle = canvas.read(tmp_path / "b.tif")[5:-5, 5:-5]
    np.testing.assert_allclose(middle, 0.5, atol=0.04)


def test_far_shrinking_is_a_mean(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((1600, 1600, 3)).astype(np.float32)
    canvas.write(tmp_path / "a.tif", array)
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(16, 16))
    blocks = array.reshape(16, 100, 16, 100, 3).mean(axis=(1, 3))
    assert np.abs(canvas.read(tmp_path / "b.tif") - blocks).max() < 0.02


def test_resize_scales_integers_drops_alpha_and_clips_on_request(tmp_path: Path) -> None:
    array = np.zeros((40, 40, 4), dtype=np.uint8)
    array[:, 20:] = 255
    _image(array).tiffsave(str(tmp_path / "a.tif"))
    canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(60, 60))
    canvas.resize(tmp_path / "a.tif", tmp_path / "c.tif", Size(60, 60), clip=True)
    free, clipped = canvas.read(tmp_path / "b.tif"), canvas.read(tmp_path / "c.tif")
    assert free.shape == clipped.shape == (60, 60, 3)
    assert free.min() < -0.01
    assert free.max() > 1.01
    np.testing.assert_array_equal(clipped, free.clip(0, 1))


def test_resize_needs_its_bands(tmp_path: Path) -> None:
    canvas.write(tmp_path / "a.tif", np.zeros((20, 20, 1), dtype=np.float32))
    with pytest.raises(InputError, match="at least 3 bands; found 1"):
        canvas.resize(tmp_path / "a.tif", tmp_path / "b.tif", Size(10, 10))
    assert not (tmp_path / "b.tif").exists()


# --- export ----------------------------------------------------------------------------------------------


def _print_source(path: Path) -> np.ndarray:
    array = np.random.default_rng(0).uniform(-0.2, 1.2, size=(300, 270, 3)).astype(np.float32)
    canvas.write(path, array)
    return array


@pytest.mark.parametrize("compression", ["deflate", "lzw", "none"])
@pytest.mark.parametrize(("bits", "top", "dtype"), [(8, 255, np.uint8), (16, 65535, np.uint16)])
def test_print(tmp_path: Path, compression: Any, bits: Any, top: int, dtype: type) -> None:
    array = _print_source(tmp_path / "a.tif")
    canvas.export_print(
        tmp_path / "a.tif",
        tmp_path / "p.tif",
        300,
        encoding=Encoding(bits=bits, dither=False, compression=compression),
        caption=Caption(provenance='{"seed": 1}'),
    )
    got = _raw(tmp_path / "p.tif")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.rint(array.astype(np.float64).clip(0, 1) * top).astype(dtype))
    image = pyvips.Image.tiffload(str(tmp_path / "p.tif"))
    assert image.xres * 25.4 == pytest.approx(300, rel=1e-7)
    assert image.yres * 25.4 == pytest.approx(300, rel=1e-7)
    assert image.get("resolution-unit") == "in"
    assert image.get("image-description") == '{"seed": 1}'
    assert image.get("icc-profile-data") == pyvips.Operation.call("profile_load", "srgb")
    assert (image.get("tile-width"), image.interpretation) == (256, "srgb" if bits == 8 else "rgb16")
    # A classic TIFF (42), which more programs open than BigTIFF (43).
    assert (tmp_path / "p.tif").read_bytes()[2] == 42


def test_bigtiff_is_taken_where_4_gb_are_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.zeros((30, 20, 3), dtype=np.float32)
    for limit, version in ((30 * 20 * 3 * 4, 42), (30 * 20 * 3 * 4 - 1, 43)):
        monkeypatch.setattr(_vips, "CLASSIC_TIFF_LIMIT_BYTES", limit)
        canvas.write(tmp_path / "a.tif", array)
        assert (tmp_path / "a.tif").read_bytes()[2] == version


def test_a_full_disk_is_not_blamed_on_the_image(tmp_path: Path) -> None:
    text = "wbuffer_write: write failed\nunix error: No space left on device\n"
    with pytest.raises(ResourceError, match="found a full disk"), _vips.reading(tmp_path / "a.tif"):
        raise pyvips.Error("unable to call tiffsave", text)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.webp"])
def test_a_place_where_nothing_can_be_written_is_not_blamed_on_the_image(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source.tif"
    canvas.write(source, np.random.default_rng(0).random((64, 64, 3)))
    told = r"none/a\.\w+: expected a place that can be written to; found no such file or directory\."
    with pytest.raises(ResourceError, match=told), _vips.reading(source):
        _vips.load(source).write_to_file(str(tmp_path / "none" / name))
    old, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        told = "source.tif: expected room on the disk for what is made from it; found a full disk"
        with pytest.raises(ResourceError, match=told), _vips.reading(source):
            _vips.load(source).write_to_file(str(tmp_path / name))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, most))


@pytest.mark.parametrize("limit", [100_000, 700_000])
def test_a_disk_that_is_full_while_rows_are_written_is_told(tmp_path: Path, limit: int) -> None:
    """A write that ends in the middle of a tile has no reason of its own."""
    size = Size(512, 256)
    old, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        with pytest.raises(ResourceError, match="room on the disk for 2 MiB; found a full disk"):
            canvas.write_rows(tmp_path / "a.tif", size, 3, iter([np.ones((512, 256, 3), np.float32)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, most))
    assert list(tmp_path.iterdir()) == []


def test_planning_with_headers_does_not_load_torch() -> None:
    check = "import sys, pipeline.canvas; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_print_through_jpeg_is_close(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :270] / 300
    array = np.stack([y, x, 1 - y], axis=-1).astype(np.float32)
    canvas.write(tmp_path / "a.tif", array)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.tif", 150, encoding=Encoding(compression="jpeg"))
    assert np.abs(canvas.read(tmp_path / "p.tif") - array).max() < 0.03


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_print_with_alpha(tmp_path: Path, bits: Any, dtype: type) -> None:
    _print_source(tmp_path / "a.tif")
    alpha = _noise(300, 270, 1)[..., 0]
    save_mask(tmp_path / "m.tif", alpha / 255)
    encoding = Encoding(bits=bits)
    canvas.export_print(
        tmp_path / "a.tif", tmp_path / "p.tif", 300, encoding=encoding, alpha=tmp_path / "m.tif"
    )
    got = _raw(tmp_path / "p.tif")
    assert got.shape == (300, 270, 4)
    np.testing.assert_array_equal(got[..., 3], alpha.astype(dtype) * (1 if bits == 8 else 257))
    assert canvas.read_header(tmp_path / "p.tif").has_alpha


def test_print_refuses_what_cannot_be(tmp_path: Path) -> None:
    _print_source(tmp_path / "a.tif")
    save_mask(tmp_path / "m.tif", np.ones((10, 10)))
    target = tmp_path / "p.tif"
    with pytest.raises(InputError, match="300x270 px as in"):
        canvas.export_print(tmp_path / "a.tif", target, 300, alpha=tmp_path / "m.tif")
    encoding = Encoding(bits=16, compression="jpeg")
    with pytest.raises(ConfigError, match=r"expected 8, all that tiff with jpeg compression holds; found 16"):
        canvas.export_print(tmp_path / "a.tif", target, 300, encoding=encoding)
    assert not target.exists()


def _raw_png(path: Path) -> np.ndarray:
    image = pyvips.Image.pngload(str(path))
    return np.asarray(image.numpy(), dtype=np.float32).reshape(image.height, image.width, image.bands)


def test_preview_fits_and_never_enlarges(tmp_path: Path) -> None:
    array = _print_source(tmp_path / "a.tif")
    canvas.export_preview(tmp_path / "a.tif", tmp_path / "small.png", 100)
    canvas.export_preview(tmp_path / "a.tif", tmp_path / "same.png", 1000)
    small = pyvips.Image.pngload(str(tmp_path / "small.png"))
    assert (small.height, small.width, small.bands, small.format) == (100, 90, 3, "uchar")
    same = pyvips.Image.pngload(str(tmp_path / "same.png"))
    np.testing.assert_array_equal(same.numpy(), np.rint(array.clip(0, 1).astype(np.float64) * 255))
    assert same.get("icc-profile-data") == pyvips.Operation.call("profile_load", "srgb")


def test_a_preview_shows_the_colours_of_the_print(tmp_path: Path) -> None:
    """Stripes of 2 and 0 print as white and black: from afar a mid grey, not white."""
    pixels = np.zeros((64, 64, 3), dtype=np.float32)
    pixels[:, ::2] = 2
    canvas.write(tmp_path / "a.tif", pixels)
    canvas.export_preview(tmp_path / "a.tif", tmp_path / "small.png", 8)
    assert np.abs(_raw_png(tmp_path / "small.png")[2:6, 2:6] - 127.5).max() < 3


@pytest.mark.parametrize("bands", [1, 3])
def test_a_preview_lies_on_white(tmp_path: Path, bands: int) -> None:
    pixels = np.zeros((20, 20, bands + 1), dtype=np.float32)
    pixels[:10, :, -1] = 0.25
    canvas.write(tmp_path / "a.tif", pixels)
    for longer_px in (20, 10):
        canvas.export_preview(tmp_path / "a.tif", tmp_path / "small.png", longer_px)
        small = _raw_png(tmp_path / "small.png")
        assert small.shape == (longer_px, longer_px, bands)
        assert (small[0] == 191).all()
        assert (small[-1] == 255).all()


# --- memory ----------------------------------------------------------------------------------------------


def test_pictures_side_by_side_have_one_height_and_white_between_them(tmp_path: Path) -> None:
    canvas.write_png(tmp_path / "tall.png", np.full((64, 32, 3), 200, np.uint8))
    canvas.write_png(tmp_path / "grey.png", np.full((16, 32, 1), 40, np.uint8))
    canvas.join_pictures([tmp_path / "tall.png", tmp_path / "grey.png"], tmp_path / "both.jpg", 32)
    both = canvas.read(tmp_path / "both.jpg") * 255
    assert both.shape == (32, 16 + 1 + 64, 3)
    assert np.abs(both[:, :12] - 200).max() < 6
    assert np.abs(both[:, 24:] - 40).max() < 6
    assert both[:, 16].min() > 120


STREAMED = """
import sys
from pathlib import Path
import pyvips
from pipeline import canvas
from pipeline.formats import Encoding
from pipeline.geometry import Size
from pipeline.provenance import peak_memory_mib

folder = Path(sys.argv[1])
xy = pyvips.Image.xyz(10000, 5000)
image = (xy[0] % 251).bandjoin([xy[1] % 241, (xy[0] + xy[1]) % 256]).cast("uchar")
image.copy(interpretation="srgb").jpegsave(str(folder / "a.jpg"))
canvas.prepare(folder / "a.jpg", folder / "p.tif")
canvas.resize(folder / "p.tif", folder / "half.tif", Size(2501, 4999))
canvas.resize(folder / "half.tif", folder / "full.tif", Size(5000, 10000))
canvas.moments(folder / "full.tif")
canvas.export_print(folder / "full.tif", folder / "print.tif", 300, encoding=Encoding(compression="lzw"))
canvas.export_print(folder / "full.tif", folder / "print.jpg", 300)
print(round(peak_memory_mib()))
"""


@pytest.mark.slow
def test_an_image_10000_px_wide_streams(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", STREAMED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    # The whole image is 570 MiB in float and 143 in 8 bits; rows and tiles of it are what may be held.
    assert int(run.stdout) < 400
    with_resolution = pyvips.Image.tiffload(str(tmp_path / "print.tif"))
    assert (with_resolution.height, with_resolution.width) == (5000, 10000)
