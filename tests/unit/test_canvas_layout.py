from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from jaxtyping import Float32, Shaped, UInt8
from numpy import ndarray

from pipeline import canvas
from pipeline.config.printing import Print
from pipeline.formats import Encoding
from pipeline.geometry import Box, Size
from pipeline.print_layout import PrintLayout, lay_out
from pipeline.print_sheet import PrintSheet


def picture(path: Path, height: int, width: int, bands: int = 3) -> Float32[ndarray, "height width bands"]:
    pixels = np.random.default_rng(height).random((height, width, bands)).astype(np.float32)
    canvas.write(path, pixels)
    return pixels


def printed(path: Path) -> Shaped[ndarray, "height width bands"]:
    return np.asarray(pyvips.Image.tiffload(str(path)).numpy())


def rounded(pixels: Float32[ndarray, "height width bands"]) -> UInt8[ndarray, "height width bands"]:
    return np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)


def laid_out(content: Size, **settings: Any) -> PrintLayout:
    return lay_out(Print.model_validate(settings), content, content, "a")


PLAIN = Encoding(dither=False)


def test_a_padded_sheet_has_margins_bleed_paper_and_marks(tmp_path: Path) -> None:
    """A sheet by hand: 6x8 px finished at (4, 5), 1 px of bleed, a picture of 4x10 px over all its width."""
    pixels = picture(tmp_path / "a.tif", 4, 10)
    sheet = PrintSheet(
        size=Size(14, 18),
        trim=Box(4, 5, 10, 13),
        picture=Box(5, 4, 9, 14),
        bleed_px=1,
        pad=(10, 20, 30),
        marks=(Box(0, 4, 3, 5), Box(3, 0, 4, 4)),
    )
    canvas.export_print(tmp_path / "a.tif", tmp_path / "b.tif", 300, encoding=PLAIN, sheet=sheet)
    expected = np.full((14, 18, 3), 255, np.uint8)
    expected[3:11, 4:14] = (10, 20, 30)
    expected[5:9, 4:14] = rounded(pixels)
    expected[0:3, 4] = 0
    expected[3, 0:4] = 0
    np.testing.assert_array_equal(printed(tmp_path / "b.tif"), expected)


def test_opacity_stays_the_pictures_and_paper_is_opaque(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "a.tif", 40, 60, bands=4)
    sheet = laid_out(Size(40, 60), dpi=25.4, crop_marks=True).sheet
    source = tmp_path / "a.tif"
    canvas.export_print(source, tmp_path / "b.tif", 25.4, encoding=PLAIN, alpha=source, sheet=sheet)
    found = printed(tmp_path / "b.tif")
    # 3 mm and 5 mm are 3 px and 5 px.
    assert found.shape == (56, 76, 4)
    np.testing.assert_array_equal(found[8:48, 8:68], rounded(pixels))
    found[8:48, 8:68] = 255
    assert (found[..., 3] == 255).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_panels_put_together_are_the_whole(tmp_path: Path, bits: Literal[8, 16]) -> None:
    """Bleed, overlap, padding and dithering included: every pixel of a panel is the whole print's."""
    settings: dict[str, Any] = {"width": "300 px", "height": "200 px", "dpi": 50, "fit": "pad"}
    settings |= {"bleed": "7 px", "pad": [0, 128, 255]}
    layout = laid_out(Size(150, 200), **settings, panels={"columns": 3, "rows": 2, "overlap": "11 px"})
    source = tmp_path / "a.tif"
    picture(source, layout.picture.height, layout.picture.width)
    encoding = Encoding(bits=bits, pyramid=False)
    canvas.export_print(source, tmp_path / "whole.tif", 50, encoding=encoding, sheet=layout.sheet)
    whole = printed(tmp_path / "whole.tif")
    assert whole.shape == (214, 314, 3)
    seen = np.zeros(whole.shape[:2], np.int64)
    for panel in layout.panels:
        sheet, box = layout.panel_in_sheet(panel)
        file = tmp_path / f"{panel.name}.tif"
        canvas.export_print(source, file, 50, encoding=encoding, sheet=sheet, box=box)
        found = printed(file)
        rows, columns = box.slices
        np.testing.assert_array_equal(found, whole[rows, columns])
        assert found.shape[:2] == (panel.sheet.size.height, panel.sheet.size.width)
        seen[7 + panel.t_box.top : 7 + panel.t_box.bottom, 7 + panel.t_box.left : 7 + panel.t_box.right] += 1
    assert (seen[7:-7, 7:-7] >= 1).all()
    # Three columns share two overlaps of 11 px, two rows one.
    assert (seen[7:-7, 7:-7] > 1).sum() == 300 * 200 - (300 - 22) * (200 - 11)


@pytest.mark.parametrize("bands", [3, 4])
def test_a_panel_in_the_margin_is_all_margin(tmp_path: Path, bands: int) -> None:
    """A portrait of 2:3 on a print of twice the width than height: the outer two of four columns miss it."""
    settings: dict[str, Any] = {
        "width": "120 px",
        "height": "60 px",
        "dpi": 25.4,
        "fit": "pad",
        "bleed": "2 px",
    }
    settings |= {"pad": [0, 128, 255], "crop_marks": True}
    layout = laid_out(Size(300, 200), **settings, panels={"columns": 4})
    source = tmp_path / "a.tif"
    picture(source, layout.picture.height, layout.picture.width, bands)
    alpha = source if bands == 4 else None
    files = []
    for panel in layout.panels:
        sheet, box = layout.panel_in_sheet(panel)
        file = tmp_path / f"{panel.name}.tif"
        canvas.export_print(source, file, 25.4, encoding=PLAIN, alpha=alpha, sheet=sheet, box=box)
        files.append(printed(file))
    for index in (0, 3):
        # 3 mm of white and 5 mm of marks around the finished 30 x 60 px, the bleed within the white.
        assert files[index].shape == (60 + 16, 30 + 16, bands)
        assert (files[index][6:70, 6:40, :3] == (0, 128, 255)).all()
        assert (files[index][..., 3:] == 255).all()
        assert (files[index][0, [7, 38], :3] == 0).all()
        files[index][6:70, 6:40] = 255
        assert (files[index] == 255).sum() > 0.9 * files[index].size
    assert len(np.unique(files[1][6:70, 6:40, 0])) > 100


def test_a_panels_marks_stand_at_its_own_corners(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"width": "200 px", "height": "90 px", "dpi": 25.4, "crop_marks": True}
    layout = laid_out(Size(90, 200), **settings, panels={"columns": 2})
    source = tmp_path / "a.tif"
    pixels = picture(source, 90, 200)
    sheet, box = layout.panel_in_sheet(layout.panels[1])
    canvas.export_print(source, tmp_path / "p.tif", 25.4, encoding=PLAIN, sheet=sheet, box=box)
    found = printed(tmp_path / "p.tif")
    assert found.shape == (90 + 16, 100 + 16, 3)
    np.testing.assert_array_equal(found[8:98, 8:108], rounded(pixels)[:, 100:])
    dark = np.argwhere((found == 0).all(axis=2))
    outside = {(row, column) for row, column in dark if not (8 <= row < 98 and 8 <= column < 108)}
    across = {(row, column) for row in (7, 98) for column in (*range(5), *range(111, 116))}
    down = {(row, column) for column in (7, 108) for row in (*range(5), *range(101, 106))}
    assert outside == across | down


# -- deep zoom -------------------------------------------------------------------------------------


def tile(path: Path) -> UInt8[ndarray, "height width 3"]:
    return np.asarray(pyvips.Image.jpegload(str(path)).numpy(), dtype=np.uint8)


def smooth(path: Path, height: int, width: int, bands: int = 3) -> Float32[ndarray, "height width bands"]:
    """What JPEG hardly changes."""
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    pixels = np.stack([rows, columns, (rows + columns) / 2, columns][:bands], axis=-1).astype(np.float32)
    canvas.write(path, pixels)
    return pixels


def test_tiles_of_deep_zoom_are_crops_of_the_picture(tmp_path: Path) -> None:
    pixels = rounded(smooth(tmp_path / "a.tif", 300, 500)).astype(int)
    folder = tmp_path / "d"
    folder.mkdir()
    canvas.export_deepzoom(tmp_path / "a.tif", folder, "dzi", tile_px=128, quality=95)
    root = ElementTree.parse(folder / "image.dzi").getroot()
    assert [root.get(key) for key in ("Format", "Overlap", "TileSize")] == ["jpg", "1", "128"]
    (size,) = root
    assert (size.get("Height"), size.get("Width")) == ("300", "500")
    # 500 px are level 9, since 2^9 = 512; each lower level has half the sides down to a pixel.
    counts = {9: 4 * 3, 8: 2 * 2, 7: 1, 6: 1, 5: 1, 4: 1, 3: 1, 2: 1, 1: 1, 0: 1}
    found = {int(level.name): len(list(level.iterdir())) for level in (folder / "image_files").iterdir()}
    assert found == counts
    assert {path.name for path in folder.iterdir()} == {"image.dzi", "image_files"}
    for column, row in ((0, 0), (1, 1), (3, 2)):
        box = Box(row * 128, column * 128, min(300, row * 128 + 128), min(500, column * 128 + 128))
        rows, columns = box.grown(1, Size(300, 500)).slices
        part = tile(folder / f"image_files/9/{column}_{row}.jpg").astype(int)
        assert part.shape == pixels[rows, columns].shape
        assert np.abs(part - pixels[rows, columns]).mean() < 1.5
    half = tile(folder / "image_files/8/1_1.jpg").astype(int)
    assert np.abs(half - pixels[254::2, 254::2][:, :123]).mean() < 2


def test_an_archive_is_one_file_and_opacity_lies_on_white(tmp_path: Path) -> None:
    import zipfile

    pixels = smooth(tmp_path / "a.tif", 100, 120, bands=4)
    (tmp_path / "s").mkdir()
    canvas.export_deepzoom(tmp_path / "a.tif", tmp_path / "s", "szi", quality=95)
    (file,) = (tmp_path / "s").iterdir()
    assert file.name == "image.szi"
    with zipfile.ZipFile(file) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        (name,) = (name for name in archive.namelist() if name.endswith("image_files/7/0_0.jpg"))
        (tmp_path / "tile.jpg").write_bytes(archive.read(name))
    on_white = pixels[..., :3] * pixels[..., 3:] + 1 - pixels[..., 3:]
    found = tile(tmp_path / "tile.jpg").astype(int)
    assert np.abs(found - rounded(on_white)).mean() < 1.5


def test_iiif_tiles_say_where_they_are_served(tmp_path: Path) -> None:
    pixels = rounded(smooth(tmp_path / "a.tif", 300, 500)).astype(int)
    (tmp_path / "i").mkdir()
    url = "https://museum.example/results/harbour/deepzoom"
    canvas.export_deepzoom(tmp_path / "a.tif", tmp_path / "i", "iiif", tile_px=256, quality=95, url=url)
    info = json.loads((tmp_path / "i" / "info.json").read_text())
    assert (info["id"], info["type"], info["profile"]) == (url, "ImageService3", "level0")
    assert (info["width"], info["height"]) == (500, 300)
    part = tile(tmp_path / "i" / "256,0,244,256/244,256/0/default.jpg").astype(int)
    assert np.abs(part - pixels[:256, 256:]).mean() < 1.5
    assert not list((tmp_path / "i").rglob("*.xml"))
