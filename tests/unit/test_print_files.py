"""Print files read back by other software: Pillow, tifffile, and littlecms by way of Pillow."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from pictures import save_mask
from PIL import Image, ImageCms
from pydantic import ValidationError

from pipeline import canvas
from pipeline.canvas._dither import to_8_bits
from pipeline.canvas._vips import from_array
from pipeline.config.printing import Print
from pipeline.errors import ConfigError, InputError
from pipeline.formats import EXTENSIONS, FORMATS, Caption, Encoding
from pipeline.geometry import Box, Size
from pipeline.inspection import check_prints

Image.MAX_IMAGE_PIXELS = None
CAPTION = Caption("A <harbour> & boats", "Ateliér 7", "© 2026 Ateliér", '{"seed": 1}')


def bundled(name: str) -> bytes:
    """A profile that libvips carries."""
    return bytes(pyvips.Operation.call("profile_load", name))


@pytest.fixture
def cmyk(tmp_path: Path) -> Path:
    path = tmp_path / "press.icc"
    path.write_bytes(bundled("cmyk"))
    return path


def _tiff_xmp(path: Path) -> Any:
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages.first.tags[700].value


def gradient(height: int = 300, width: int = 520) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    values = np.stack([x / (width - 1), y / (height - 1), 0.5 + 0 * x], axis=-1)
    return np.asarray(values, dtype=np.float32)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_other_software_finds_size_resolution_profile_and_caption(tmp_path: Path, extension: str) -> None:
    canvas.write(tmp_path / "a.tif", gradient())
    target = tmp_path / f"print.{extension}"
    canvas.export_print(tmp_path / "a.tif", target, 200, caption=CAPTION)
    with Image.open(target) as image:
        assert (image.size, image.mode) == ((520, 300), "RGB")
        assert image.info["icc_profile"] == bundled("srgb")
        if extension == "tif":
            dpi, xmp = image.info["dpi"][0], _tiff_xmp(target)
        else:
            exif = image.getexif()
            assert (exif[0x8298], exif[0x013B]) == ("(C) 2026 Atelier", "Atelier 7")
            dpi, xmp = exif[282], image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert float(dpi) == pytest.approx(200, abs=0.01)
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    assert np.abs(pixels - gradient()).max() < (0.008 if extension in {"tif", "png"} else 0.06)
    root = ET.fromstring(re.sub(rb"<\?xpacket[^>]*\?>", b"", xmp))
    found = {element.tag.rpartition("}")[2]: "".join(element.itertext()).strip() for element in root.iter()}
    assert found["title"] == "A <harbour> & boats"
    assert found["creator"] == "Ateliér 7"
    assert found["rights"] == "© 2026 Ateliér"
    assert found["provenance"] == '{"seed": 1}'


@pytest.mark.parametrize(
    ("compression", "code"), [("none", 1), ("deflate", 8), ("lzw", 5), ("jpeg", 7), ("webp", 50001)]
)
def test_a_tiff_is_tiled_and_has_smaller_copies(tmp_path: Path, compression: Any, code: int) -> None:
    canvas.write(tmp_path / "a.tif", gradient())
    encoding = Encoding(compression=compression)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.tif", 300, encoding=encoding, caption=CAPTION)
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        (page,) = tiff.pages
        assert isinstance(page, tifffile.TiffPage)
        assert (page.shape, page.compression, page.tilewidth, page.tilelength) == (
            (300, 520, 3),
            code,
            256,
            256,
        )
        assert page.resolution == (300, 300)
        assert page.resolutionunit == 2
        assert page.description == '{"seed": 1}'
        assert page.iccprofile == bundled("srgb")
        assert page.pages is not None
        assert [copy.shape for copy in page.pages] == [(150, 260, 3), (75, 130, 3)]
    canvas.export_print(
        tmp_path / "a.tif", tmp_path / "f.tif", 300, encoding=Encoding(pyramid=False, compression=compression)
    )
    with tifffile.TiffFile(tmp_path / "f.tif") as tiff:
        assert not tiff.pages[0].pages


@pytest.mark.parametrize("extension", ["tif", "png"])
def test_sixteen_bits_have_no_steps_of_eight(tmp_path: Path, extension: str) -> None:
    ramp = np.repeat(np.linspace(0.2, 0.3, 4096, dtype=np.float32)[None, :, None], 3, axis=2)
    canvas.write(tmp_path / "a.tif", np.repeat(ramp, 16, axis=0))
    target = tmp_path / f"p.{extension}"
    canvas.export_print(tmp_path / "a.tif", target, 300, encoding=Encoding(bits=16))
    if extension == "tif":
        got = tifffile.imread(target)[3, :, 0]
    else:
        got = np.asarray(pyvips.Image.pngload(str(target)).numpy())[3, :, 0]
    assert got.dtype == np.uint16
    assert (np.diff(got.astype(int)) > 0).all()
    assert len(np.unique(got)) == 4096


def test_dithered_eight_bits_follow_the_sixteen(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0.2, 0.22, 512, dtype=np.float32)[None, :, None], 3, axis=2)
    canvas.write(tmp_path / "a.tif", np.repeat(ramp, 256, axis=0))
    found = {}
    for dither in (True, False):
        canvas.export_print(tmp_path / "a.tif", tmp_path / "p.tif", 300, encoding=Encoding(dither=dither))
        found[dither] = tifffile.imread(tmp_path / "p.tif").astype(np.float64) / 255
    wanted = ramp.astype(np.float64)[0].reshape(16, 32, 3).mean(axis=1)

    def error(values: np.ndarray) -> float:
        means = values.mean(axis=0).reshape(16, 32, 3).mean(axis=1)
        return float(np.abs(means - wanted).max() * 255)

    # Of a level: rounding alone is off by up to a half, and dither by what chance leaves.
    assert error(found[True]) < 0.03
    assert error(found[False]) > 0.3
    assert len(np.unique(found[False])) == 6


def test_dither_leaves_levels_alone_and_is_always_the_same() -> None:
    levels = (np.arange(256, dtype=np.float32) / 255)[None, :, None]
    image = from_array(np.repeat(np.repeat(levels, 130, axis=0), 3, axis=2))
    assert (to_8_bits(image).numpy() == np.arange(256)[None, :, None]).all()
    grey = from_array(np.full((256, 256, 4), 0.5, dtype=np.float32))
    first, second = to_8_bits(grey).numpy(), to_8_bits(grey).numpy()
    assert (first == second).all()
    # Half-way between 127 and 128: exactly half of the samples, each band its own.
    assert (first.astype(float).mean(axis=(0, 1)) == 127.5).all()
    assert np.abs(np.corrcoef(first.reshape(-1, 4).T) - np.eye(4)).max() < 0.1
    # The noise is fine: what is left after averaging 8x8 px is far below that of white noise (1/16).
    assert first.astype(float)[..., 0].reshape(32, 8, 32, 8).mean(axis=(1, 3)).std() < 0.03


def test_a_part_is_cut_from_the_whole(tmp_path: Path) -> None:
    canvas.write(tmp_path / "a.tif", gradient())
    canvas.export_print(tmp_path / "a.tif", tmp_path / "whole.png", 300)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "part.png", 300, box=Box(33, 77, 233, 311))
    with Image.open(tmp_path / "whole.png") as whole, Image.open(tmp_path / "part.png") as part:
        assert (np.asarray(part) == np.asarray(whole)[33:233, 77:311]).all()


@pytest.mark.parametrize("intent", ["perceptual", "relative", "saturation"])
@pytest.mark.parametrize("extension", ["tif", "jpg"])
def test_cmyk_is_what_littlecms_makes_by_another_route(
    tmp_path: Path, cmyk: Path, extension: str, intent: Any
) -> None:
    steps = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3, indexing="ij"), axis=-1).reshape(27, 27, 3)
    colours = np.rint(steps * 255) / 255
    canvas.write(tmp_path / "a.tif", np.repeat(np.repeat(colours, 8, axis=0), 8, axis=1))
    target = tmp_path / f"p.{extension}"
    encoding = Encoding(profile=cmyk, intent=intent, dither=False, quality=100)
    canvas.export_print(tmp_path / "a.tif", target, 300, encoding=encoding)
    press = ImageCms.ImageCmsProfile(io.BytesIO(bundled("cmyk")))
    srgb = ImageCms.ImageCmsProfile(io.BytesIO(bundled("srgb")))
    with Image.open(target) as image:
        assert image.mode == "CMYK"
        assert image.info["icc_profile"] == bundled("cmyk")
        printed = image.copy()
    number = {"perceptual": 0, "relative": 1, "saturation": 2}[intent]
    given = Image.fromarray(np.rint(np.repeat(np.repeat(colours, 8, 0), 8, 1) * 255).astype(np.uint8))
    theirs = ImageCms.profileToProfile(
        given,
        srgb,
        press,
        renderingIntent=ImageCms.Intent(number),
        outputMode="CMYK",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC,
    )
    assert theirs is not None
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(press, lab, "CMYK", "LAB", renderingIntent=ImageCms.Intent(1))
    ours_lab, theirs_lab = (_lab(ImageCms.applyTransform(each, to_lab)) for each in (printed, theirs))
    apart = np.sqrt(((ours_lab - theirs_lab) ** 2).sum(axis=-1))[4::8, 4::8]
    assert apart.mean() < (0.5 if extension == "tif" else 0.7)
    if extension == "tif":
        assert np.quantile(apart, 0.99) < 1.5


def _lab(image: Any) -> np.ndarray:
    values = np.asarray(image).astype(np.int16)
    a_b = np.where(values[..., 1:] > 127, values[..., 1:] - 256, values[..., 1:])
    return np.concatenate([values[..., :1] * (100 / 255), a_b], axis=-1)


def test_rgb_profiles_and_sixteen_bits_of_cmyk(tmp_path: Path, cmyk: Path) -> None:
    canvas.write(tmp_path / "a.tif", gradient(64, 64))
    wide = tmp_path / "p3.icm"
    wide.write_bytes(bundled("p3"))
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.png", 300, encoding=Encoding(profile=wide, bits=16))
    got = np.asarray(pyvips.Image.pngload(str(tmp_path / "p.png")).numpy()) / 65535
    # A pure sRGB green lies inside Display P3 and needs some of its red.
    assert got[-1, 0] == pytest.approx([0.46, 0.98, 0.52], abs=0.06)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.tif", 300, encoding=Encoding(profile=cmyk, bits=16))
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        page = tiff.pages.first
        assert (page.shape, page.photometric) == ((64, 64, 4), 5)
        assert page.dtype == np.uint16
        assert page.iccprofile == bundled("cmyk")


def test_alpha_stays_where_it_can_and_else_lies_on_white(tmp_path: Path, cmyk: Path) -> None:
    canvas.write(tmp_path / "a.tif", np.full((64, 64, 3), 0.2, dtype=np.float32))
    save_mask(tmp_path / "m.tif", np.full((64, 64), 0.6))
    for name, mode in (("p.tif", "RGBA"), ("p.png", "RGBA"), ("p.webp", "RGBA"), ("p.avif", "RGBA")):
        encoding = Encoding(quality=100)
        canvas.export_print(
            tmp_path / "a.tif", tmp_path / name, 300, encoding=encoding, alpha=tmp_path / "m.tif"
        )
        with Image.open(tmp_path / name) as image:
            assert image.mode == mode
            assert np.abs(np.asarray(image)[5, 5].astype(int) - [51, 51, 51, 153]).max() <= 2
    for name, settings in (("p.jpg", {}), ("q.tif", {"compression": "jpeg"})):
        encoding = Encoding(**settings)  # type: ignore[arg-type]
        canvas.export_print(
            tmp_path / "a.tif", tmp_path / name, 300, encoding=encoding, alpha=tmp_path / "m.tif"
        )
        with Image.open(tmp_path / name) as image:
            # 0.6 of 51 and 0.4 of white.
            assert np.abs(np.asarray(image.convert("RGB"))[5, 5].astype(int) - 133).max() <= 2
    canvas.export_print(
        tmp_path / "a.tif", tmp_path / "r.tif", 300, encoding=Encoding(profile=cmyk), alpha=tmp_path / "m.tif"
    )
    with Image.open(tmp_path / "r.tif") as image:
        assert image.mode == "CMYK"


def test_a_jpeg_leaves_out_a_record_that_it_has_no_room_for(tmp_path: Path) -> None:
    canvas.write(tmp_path / "a.tif", gradient(20, 20))
    long = Caption(title="Long", provenance="x" * 70_000)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.jpg", 300, caption=long)
    canvas.export_print(tmp_path / "a.tif", tmp_path / "p.webp", 300, caption=long)
    with Image.open(tmp_path / "p.jpg") as jpeg, Image.open(tmp_path / "p.webp") as webp:
        assert b"Long" in jpeg.info["xmp"]
        assert b"provenance>" not in jpeg.info["xmp"]
        assert b"x" * 70_000 in webp.info["xmp"]


# --- what is refused before any work ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "size", "said"),
    [
        (
            {"format": "jpeg"},
            (10, 65_501),
            "print.format: expected sides of at most 65500 px, the longest that",
        ),
        (
            {"format": ["tiff", "webp"]},
            (16_384, 10),
            "at most 16383 px, the longest that webp holds; found",
        ),
        (
            {"format": "avif"},
            (10, 16_385),
            "16384 px, the longest that avif holds; found 10x16385 px",
        ),
    ],
)
def test_a_format_that_cannot_hold_the_size(settings: Any, size: tuple[int, int], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_prints(Print(**settings), Size(*size), "config.yaml: artworks.a.print")
    check_prints(Print(**settings), Size(*(side - 1 if side > 10 else side for side in size)), "x")


@pytest.mark.parametrize("name", FORMATS)
def test_cmyk_in_formats_without_it(cmyk: Path, name: str) -> None:
    settings = Print.model_validate({"format": name, "profile": cmyk})
    if FORMATS[name].cmyk:  # type: ignore[index]
        check_prints(settings, Size(64, 64), "c.print")
        return
    with pytest.raises(ConfigError, match=rf"c.print.profile: expected an RGB profile: {name} holds no CMYK"):
        check_prints(settings, Size(64, 64), "c.print")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format": "jpeg", "bits": 16}, "must have bits 8, all that jpeg holds; found 16"),
        ({"format": ["tiff", "avif"], "bits": 16}, "must have bits 8, all that avif holds"),
        ({"bits": 16, "compression": "webp"}, "must have bits 8, all that tiff with webp compression holds"),
        ({"format": ["png", "png"]}, "must name each format once"),
        ({"format": []}, "at least 1 item"),
        ({"title": "two\nlines"}, "must be one line of printable characters"),
    ],
)
def test_settings_that_contradict_each_other(settings: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Print(**settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "expected an ICC profile of a display, printer or press, RGB or CMYK; found no such file"),
        ((12, b"scnr"), "found the profile of an input device"),
        ((12, b"link"), "found a device link"),
        ((12, b"abst"), "found an abstract profile"),
        ((16, b"GRAY"), "found one of the colour space 'GRAY'"),
        ((36, b"none"), "found a file of another kind"),
        ((0, b"\x00\x10\x00\x00"), "expected a profile of 1048576 bytes, as it says itself; found 480"),
        ((128, b"\x00\x00\x00\x00"), "found one that only takes colours in, without a way out"),
    ],
)
def test_profiles_that_nothing_can_be_sent_to(
    tmp_path: Path, change: tuple[int, bytes] | None, said: str
) -> None:
    path = tmp_path / "a.icc"
    if change is not None:
        data = bytearray(bundled("srgb"))
        data[change[0] : change[0] + len(change[1])] = change[1]
        path.write_bytes(data)
    with pytest.raises(InputError, match=re.escape(said)):
        canvas.read_profile(path)
    with pytest.raises(InputError, match=r"^c\.print\.profile: .*a\.icc: expected "):
        check_prints(Print(profile=path), Size(64, 64), "c.print")


def test_a_damaged_profile_is_found_by_trying_it(tmp_path: Path, cmyk: Path) -> None:
    data = bytearray(cmyk.read_bytes())
    count = int.from_bytes(data[128:132], "big")
    for tag in range(count):
        start = 132 + 12 * tag
        data[start + 4 : start + 8] = b"\x7f\xff\xff\x00"
    (tmp_path / "bad.icc").write_bytes(data)
    with pytest.raises(InputError, match="found a damaged one"):
        canvas.read_profile(tmp_path / "bad.icc")
    with pytest.raises(InputError, match="found"):
        canvas.read_profile(tmp_path)


def test_profiles_say_what_they_are_for(tmp_path: Path, cmyk: Path) -> None:
    (tmp_path / "s.icc").write_bytes(bundled("srgb"))
    assert canvas.read_profile(cmyk) == canvas.Profile("CMYK", "printer")
    assert canvas.read_profile(tmp_path / "s.icc") == canvas.Profile("RGB", "display")
