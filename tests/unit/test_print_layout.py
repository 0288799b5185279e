from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.config.printing import Print
from pipeline.errors import ConfigError
from pipeline.geometry import Box, Size
from pipeline.print_layout import PrintLayout, crop_box, lay_out, of_size

LANDSCAPE = Size(2000, 3000)
TOP = Size(800, 1200)


def laid_out(content: Size = LANDSCAPE, **values: Any) -> PrintLayout:
    return lay_out(Print.model_validate(values), content, TOP, "config.yaml: artworks.a")


def sides(layout: PrintLayout) -> tuple[str, str, str | None]:
    """The file's size, the finished print's, and the content's part."""
    crop = None if layout.c_crop is None else str(layout.c_crop)
    return str(layout.sheet.size), str(layout.sheet.trim.size), crop


@pytest.mark.parametrize(
    ("settings", "file", "trim", "crop"),
    [
        # 20 cm are 2362.2 px, 13.33 cm 1574.8.
        ({"width": "20 cm"}, "1575x2362", "1575x2362", None),
        ({"height": "20 cm"}, "2362x3543", "2362x3543", None),
        # A2: 594 mm are 7015.75 px and 420 mm 4960.6; of 2000 rows, 4961/7016 are 1414.2 columns.
        ({"width": "420 mm", "height": "594 mm"}, "7016x4961", "7016x4961", "2000x1414"),
        # 3 mm are 35.4 px; of 2000 rows, 5031/7086 are 1420.0 columns.
        ({"width": "420 mm", "height": "594 mm", "bleed": "3 mm"}, "7086x5031", "7016x4961", "2000x1420"),
        # The content has the print's shape, but not that of the print with its bleed.
        ({"width": "20 cm", "bleed": "3 mm"}, "1645x2432", "1575x2362", "2000x2957"),
        # What is asked for has the content's shape to the pixel.
        ({"width": "20 cm", "height": "133.333 mm"}, "1575x2362", "1575x2362", None),
        ({"width": "20 cm", "height": "20 cm", "fit": "contain"}, "1575x2362", "1575x2362", None),
        ({"width": "20 cm", "height": "10 cm", "fit": "contain"}, "1181x1772", "1181x1772", None),
        ({"width": "20 cm", "height": "20 cm", "fit": "pad"}, "2362x2362", "2362x2362", None),
        ({"width": "800 px", "height": "300 px", "dpi": 7}, "300x800", "300x800", "1125x3000"),
    ],
)
def test_sizes_to_the_pixel(settings: dict[str, Any], file: str, trim: str, crop: str | None) -> None:
    assert sides(laid_out(**settings)) == (file, trim, crop)


@pytest.mark.parametrize(
    ("settings", "lying", "upright"),
    [
        ({"width": "300 px", "height": "200 px"}, "200x300", "300x200"),
        ({"width": "200 px", "height": "300 px"}, "200x300", "300x200"),
        # One side alone is that of a print that lies; of 3:2, 300 px are as wide as 200 px are high.
        ({"width": "300 px"}, "200x300", "300x200"),
        ({"height": "200 px"}, "200x300", "300x200"),
        ({"width": "300 px", "height": "100 px", "fit": "contain"}, "100x150", "150x100"),
        ({"width": "200 px", "height": "200 px"}, "200x200", "200x200"),
    ],
)
def test_a_print_is_turned_with_its_content(settings: dict[str, Any], lying: str, upright: str) -> None:
    contents = (LANDSCAPE, Size(3000, 2000))
    found = [str(laid_out(content, **settings, turn=True).sheet.trim.size) for content in contents]
    assert found == [lying, upright]


@pytest.mark.parametrize("settings", [{"width": "200 px", "height": "300 px"}, {"height": "300 px"}])
def test_a_print_is_as_written_for_a_square_content_or_where_it_is_not_turned(
    settings: dict[str, Any],
) -> None:
    square = Size(900, 900)
    assert laid_out(square, **settings, turn=True) == laid_out(square, **settings)
    assert laid_out(**settings).sheet.trim.size.height == 300


def test_panels_are_not_turned() -> None:
    settings: dict[str, Any] = {"width": "300 px", "height": "200 px", "panels": {"columns": 2}}
    boxes = [panel.t_box for panel in laid_out(Size(3000, 2000), **settings, turn=True).panels]
    assert boxes == [Box(0, 0, 300, 100), Box(0, 100, 300, 200)]


def test_a_picture_fills_the_print_and_its_bleed() -> None:
    sheet = laid_out(width="420 mm", height="594 mm", bleed="3 mm").sheet
    assert sheet.trim == Box(35, 35, 7051, 4996)
    assert sheet.picture == sheet.printed == Box(0, 0, 7086, 5031)
    assert sheet.is_picture_alone


def test_a_padded_picture_lies_in_the_middle_and_reaches_the_bleed_where_it_reaches_the_edge() -> None:
    # 100 px an inch: 20 cm are 787 px, of which 525 rows show the content; 3 mm are 12 px, and two thirds of
    # 811 are 540.7.
    sheet = laid_out(width="20 cm", height="20 cm", fit="pad", dpi=100).sheet
    assert sheet.picture == Box(131, 0, 656, 787)
    assert not sheet.is_picture_alone
    sheet = laid_out(width="20 cm", height="20 cm", fit="pad", dpi=100, bleed="3 mm", pad="black").sheet
    assert (sheet.size, sheet.trim) == (Size(811, 811), Box(12, 12, 799, 799))
    assert sheet.picture == Box(12 + 123, 0, 12 + 664, 811)
    assert sheet.pad == (0, 0, 0)


@pytest.mark.parametrize(
    ("height", "picture", "crop"),
    [
        # 787 x h px with 12 px of bleed: the whole content takes 541 rows with the bleed at its sides, ...
        (787, "541x811", None),
        (542, "541x811", None),
        # ... and where that leaves no margin, the picture goes on over the bleed above and below too.
        (541, "565x811", "2000x2871"),
        (525, "549x811", "2000x2954"),
        (517, "541x811", None),
        # Margins left and right: 768 columns with the bleed above and below.
        (488, "512x768", None),
    ],
)
def test_a_padded_picture_loses_nothing_but_to_the_bleed(height: int, picture: str, crop: str | None) -> None:
    size: dict[str, Any] = {"width": "787 px", "height": f"{height} px", "bleed": "12 px"}
    layout = laid_out(**size, fit="pad")
    assert (str(layout.picture), None if layout.c_crop is None else str(layout.c_crop)) == (picture, crop)


def test_crop_marks_continue_the_edges_outside_the_bleed() -> None:
    # At 254 px an inch, a millimetre is 10 px and a quarter of a point 0.88 px.
    sheet = laid_out(width="10 cm", height="20 cm", dpi=254, crop_marks=True, bleed="4 mm").sheet
    assert sheet.trim == Box(90, 90, 2090, 1090)
    assert sheet.size == Size(2180, 1180)
    assert set(sheet.marks) == {
        Box(0, 89, 50, 90),
        Box(0, 1090, 50, 1091),
        Box(2130, 89, 2180, 90),
        Box(2130, 1090, 2180, 1091),
        Box(89, 0, 90, 50),
        Box(2090, 0, 2091, 50),
        Box(89, 1130, 90, 1180),
        Box(2090, 1130, 2091, 1180),
    }
    assert sheet.picture == Box(50, 50, 2130, 1130)
    # Without a bleed they keep 3 mm away.
    bare = laid_out(width="10 cm", height="20 cm", dpi=254, crop_marks=True).sheet
    assert bare.trim == Box(80, 80, 2080, 1080)
    assert Box(0, 79, 50, 80) in bare.marks


def test_a_print_of_levels_is_the_picture() -> None:
    assert sides(laid_out()) == ("800x1200", "800x1200", None)
    # At 127 dpi, 3 mm are 15 px and 5 mm 25.
    assert sides(laid_out(crop_marks=True, dpi=127)) == ("880x1280", "800x1200", None)


@pytest.mark.parametrize(
    ("focus", "box"),
    [
        ((0.5, 0.5), Box(0, 1000, 2000, 2000)),
        ((0.0, 0.0), Box(0, 0, 2000, 1000)),
        ((1.0, 1.0), Box(0, 2000, 2000, 3000)),
        # As near to the middle as can be: around column 600.
        ((0.2, 0.9), Box(0, 100, 2000, 1100)),
        ((0.1, 0.5), Box(0, 0, 2000, 1000)),
    ],
)
def test_a_crop_lies_around_its_focus(focus: tuple[float, float], box: Box) -> None:
    assert crop_box(LANDSCAPE, Size(2000, 1000), focus) == box


def test_panels_share_their_overlap() -> None:
    # 100 px an inch, 300 cm x 200 cm: 11811 x 7874 px, 1 cm is 39; a column adds a third of 11772 px.
    panels = laid_out(
        width="300 cm", height="200 cm", dpi=100, panels={"columns": 3, "rows": 2, "overlap": "1 cm"}
    ).panels
    assert [panel.name for panel in panels] == [
        f"row-{row}-column-{column}" for row in (1, 2) for column in (1, 2, 3)
    ]
    assert [panel.t_box for panel in panels[:3]] == [
        Box(0, 0, 3956, 3963),
        Box(0, 3924, 3956, 7887),
        Box(0, 7848, 3956, 11811),
    ]
    assert panels[5].t_box == Box(3917, 7848, 7874, 11811)
    assert panels[4].sheet.picture == Box(-3917, -3924, 7874 - 3917, 11811 - 3924)
    assert panels[4].sheet.size == Size(3957, 3963)


def test_panels_have_bleed_and_marks_of_their_own() -> None:
    settings: dict[str, Any] = {"width": "20 cm", "height": "10 cm", "dpi": 254, "bleed": "4 mm"}
    settings["crop_marks"] = True
    whole = laid_out(**settings, panels={"columns": 2})
    left, right = whole.panels
    assert (left.t_box, right.t_box) == (Box(0, 0, 1000, 1000), Box(0, 1000, 1000, 2000))
    assert left.sheet.size == right.sheet.size == Size(1180, 1180)
    assert left.sheet.trim == right.sheet.trim == Box(90, 90, 1090, 1090)
    assert len(left.sheet.marks) == 8
    assert left.sheet.picture == whole.sheet.picture == Box(50, 50, 1130, 2130)
    assert right.sheet.picture == Box(50, 50 - 1000, 1130, 2130 - 1000)


@pytest.mark.parametrize(
    ("panels", "files"),
    [
        # 2362 px; with 8 px of bleed on each side, files of at most 1000 px show 984 px.
        ({"width": "1000 px"}, [804, 803, 803]),
        ({"width": "2378 px"}, [2378]),
        ({"width": "1189 px"}, [804, 803, 803]),
        ({"width": "1197 px"}, [1197, 1197]),
        ({"width": "1000 px", "overlap": "100 px"}, [870, 870, 870]),
    ],
)
def test_the_fewest_panels_that_the_roll_takes(panels: dict[str, Any], files: list[int]) -> None:
    found = laid_out(width="2362 px", bleed="8 px", panels=panels).panels
    assert sorted(panel.sheet.size.width for panel in found) == sorted(files)
    assert {panel.row for panel in found} == {1}


@given(
    side=st.integers(200, 60_000),
    columns=st.integers(1, 40),
    overlap=st.integers(1, 300),
    bleed=st.integers(1, 80),
)
def test_panels_cover_the_print_once_but_for_their_overlap(
    side: int, columns: int, overlap: int, bleed: int
) -> None:
    assume(columns == 1 or side - overlap >= columns * overlap)
    panels = laid_out(
        Size(1000, 1000),
        width=f"{side} px",
        height="1000 px",
        bleed=f"{bleed} px",
        panels={"columns": columns, "overlap": f"{overlap} px"},
    ).panels
    boxes = [panel.t_box for panel in panels]
    assert (boxes[0].left, boxes[-1].right, len(boxes)) == (0, side, columns)
    assert all(before.right - after.left == overlap for before, after in itertools.pairwise(boxes))
    widths = {box.size.width for box in boxes}
    assert max(widths) - min(widths) <= 1
    assert {panel.sheet.size.width - panel.t_box.size.width for panel in panels} == {2 * bleed}


@example(content=(16, 1120), mm=(30, 30), dpi=30, bleed=None, fit="pad")
@example(content=(16, 16), mm=(30, 968), dpi=30, bleed=None, fit="crop")
@given(
    content=st.tuples(st.integers(16, 9000), st.integers(16, 9000)),
    mm=st.tuples(st.integers(30, 3000), st.integers(30, 3000)),
    dpi=st.integers(30, 600),
    bleed=st.none() | st.integers(1, 10),
    fit=st.sampled_from(["crop", "pad", "contain"]),
)
def test_any_print_is_exact_and_shows_nothing_stretched(
    content: tuple[int, int], mm: tuple[int, int], dpi: int, bleed: int | None, fit: str
) -> None:
    settings = {"height": f"{mm[0]} mm", "width": f"{mm[1]} mm", "dpi": dpi, "fit": fit}
    if bleed is not None:
        settings["bleed"] = f"{bleed} mm"
    try:
        layout = of_size(Print.model_validate(settings), Size(*content), "a")
    except ConfigError:
        return
    assert layout is not None
    asked = Size(*(round(side / 25.4 * dpi) for side in mm))
    trim, picture = layout.sheet.trim.size, layout.picture
    if fit == "contain":
        assert trim.height <= asked.height
        assert trim.width <= asked.width
        assert trim.height == asked.height or trim.width == asked.width
    else:
        assert trim == asked
    part = layout.c_crop or Size(*content)
    assert part.height <= content[0]
    assert part.width <= content[1]
    assert part.height == content[0] or part.width == content[1]
    has_margins = picture.height < trim.height or picture.width < trim.width
    assert not has_margins or fit == "pad"
    # A side that would be less than a pixel is one, and has another shape.
    if fit != "crop" and (bleed is None or has_margins) and min(picture.height, picture.width) > 1:
        assert layout.c_crop is None
    # It reaches the bleed's edge at every edge of the finished print that it reaches.
    margin = layout.sheet.bleed_px
    for side, edge in ((picture.height, trim.height), (picture.width, trim.width)):
        assert side < edge or side == edge + 2 * margin
    # One side follows from the other by the part's shape, to half a pixel of either image; to a whole one
    # where less than half a pixel would be left of a side.
    error = abs(picture.height * part.width - picture.width * part.height)
    share = 0.51 if min(part.height, part.width) > 1 else 1.0
    assert error <= share * max(picture.height, picture.width, part.height, part.width)
    assert layout.sheet.printed.size.height <= layout.sheet.size.height


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"width": "6000 cm"},
            ": expected a print of at most 200000 px a side and 4 gigapixels in all; found 472441x708661 px "
            "(height x width). Lower its size or the dpi: from farther away, fewer pixels per inch look as "
            "sharp.",
        ),
        (
            {"width": "20 cm", "dpi": 10_000},
            ": expected a print of at most 200000 px a side and 4 gigapixels in all; found 52493x78740 px "
            "(height x width). Lower its size or the dpi: from farther away, fewer pixels per inch look as "
            "sharp.",
        ),
        (
            {"width": "20 cm", "height": "2 cm", "bleed": "11 mm"},
            ".bleed: expected at most half of the print's shorter side (118 px); found 11 mm (130 px).",
        ),
        (
            {"width": "2000 px", "panels": {"width": "2001 px"}},
            ".panels.width: expected at most the print's own, 2000 px; found 2001 px.",
        ),
        (
            {"width": "2000 px", "bleed": "20 px", "panels": {"width": "50 px", "overlap": "10 px"}},
            ".panels.width: expected at least 60 px, for twice the overlap, and bleed and crop marks on both "
            "sides; found 50 px.",
        ),
        (
            {"width": "2000 px", "panels": {"height": "10 px"}},
            ".panels.height: expected at most 100 rows; found 134, of 10 px each.",
        ),
        (
            {"width": "2000 px", "panels": {"columns": 4, "overlap": "401 px"}},
            ".panels.overlap: expected at most 400 px, half of one of 4 panels on 2000 px; found 401 px.",
        ),
        (
            {"width": "2000 px", "panels": {"columns": 2, "overlap": "20 cm"}},
            ".panels.overlap: expected at most 666 px, half of one of 2 panels on 2000 px; found 2362 px.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        laid_out(**settings)
    assert str(caught.value) == f"config.yaml: artworks.a.print{line}"


def test_the_content_has_as_many_pixels_per_inch_as_it_shows() -> None:
    layout = laid_out(width="20 in", height="20 in", dpi=100)
    # 2000 of 3000 columns are shown on 20 inches.
    assert layout.content_dpi(LANDSCAPE) == pytest.approx(100)
    assert (layout.height_mm, layout.width_mm) == (508, 508)
    assert laid_out(dpi=100).content_dpi(LANDSCAPE) == pytest.approx(250)


def test_a_layout_is_read_back_from_a_plan() -> None:
    layout = laid_out(width="20 cm", bleed="3 mm", crop_marks=True, panels={"columns": 2})
    assert PrintLayout.model_validate_json(layout.model_dump_json()) == layout
