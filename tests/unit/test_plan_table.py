from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.reading import parse
from pipeline.geometry import Size
from pipeline.plan import Plan
from pipeline.plan_table import LEGEND, data_size, duration, named_rows, sum_line, table
from pipeline.planning import resolve


def plan(**own: Any) -> Plan:
    raw = {"artworks": {"a": {"content": "c.png", "levels": [256, 2048], "style": "s.png", **own}}}
    return resolve(parse(raw), "a", lambda _: Size(3000, 4000))


def test_a_table_says_what_each_level_is_and_takes() -> None:
    assert table(plan(iterations=[60, 20])).splitlines() == [
        "a: c.png",
        "  level height x width      MP     tiles core+halo  more   device     host    files  evals",
        "    256        222x296    0.07     whole                  166 MiB  700 MiB   12 MiB     64",
        # 1776x2368 px, padded, in two rows and three columns, each tile with 64 px around it.
        "   2048      1774x2365    4.20       2x3    832+64   19%  2.6 GiB  700 MiB  722 MiB     22",
        "  everything: s.png (100%)",
        "  print: 150 x 200 mm (height x width), 1774x2365 px at 300 dpi",
        # relu5_1 sees 132 px of level 256, which are 1055 px of the print.
        "  brushwork: structures of up to 89.3 mm; the content has 507 px per inch",
        "  disk: at most 1.0 GiB at once, of which 304 MiB stay",
    ]


@pytest.mark.parametrize(
    ("optimiser", "iterations", "expected"),
    [
        # The start, and the loss after the step.
        ({}, 1, "2"),
        ({"check_last_step": False}, 1, "1"),
        ({"check_last_step": False}, 3, "4"),
        ({"method": "adam"}, 60, "61"),
        ({"method": "adam", "check_last_step": False}, 60, "60"),
    ],
)
def test_a_loss_that_is_not_evaluated_does_not_count(
    optimiser: dict[str, Any], iterations: int, expected: str
) -> None:
    lines = table(plan(iterations=[iterations], optimiser=optimiser)).splitlines()
    assert lines[2].split()[-1] == expected


def test_a_table_says_what_becomes_of_the_print() -> None:
    settings = {"width": "60 cm", "height": "20 cm", "dpi": 100, "bleed": "3 mm", "focus": [0.5, 0.25]}
    panels = {"columns": 3, "overlap": "1 cm"}
    found = table(plan(levels=None, print={**settings, "crop_marks": True, "panels": panels})).splitlines()
    assert found[-6:-1] == [
        "  print: 200 x 600 mm (height x width), 787x2362 px at 100 dpi",
        "  file: 851x2426 px with bleed 3.0 mm (12 px) and crop marks",
        "  content: cropped to 1360x4000 px around 0.5, 0.25",
        # A third of 2362 - 39 px, and the overlap; 32 px on each side.
        "  panels: 1 x 3 (rows x columns), files of up to 851x878 px, 216 x 223 mm",
        "  brushwork: structures of up to 134 mm; the content has 168 px per inch",
    ]


def test_a_focus_that_is_to_be_found_is_told() -> None:
    found = table(plan(levels=None, print={"width": "20 cm", "height": "20 cm", "focus": "smart"}))
    assert "  content: cropped to 3000x3000 px around what draws the eye" in found.splitlines()


def test_levels_that_are_shared_are_named() -> None:
    raw = {"artworks": {"a": {"content": "c.png", "levels": [256, 2048], "style": "s.png", "devices": 4}}}
    found = table(resolve(parse(raw), "a", lambda _: Size(3000, 4000)))
    assert "  4 devices share 2048: each has a strip, and the memory that stands there" in found.splitlines()
    assert "share 256" not in found


def test_estimates_are_a_column_and_a_sum() -> None:
    lines = table(plan(), {"256": 30.0, "2048": 7000.0}).splitlines()
    assert [line.split()[-2:] for line in lines[2:4]] == [["30", "s"], ["1.9", "h"]]
    assert lines[1].endswith("    time")
    assert lines[-1] == "  time: 2.0 h for levels and mixtures together"


def test_mixtures_come_first_the_smallest_first() -> None:
    found = plan(style={"image": "s.png", "fine": "t.png"})
    rows = named_rows(found)
    assert list(rows) == ["mix 1", "mix 2", "256", "2048"]
    assert [str(row.size) for row in rows.values()] == ["222x296", "1774x2365", "222x296", "1774x2365"]
    assert rows["2048"] is found.levels[-1]


def test_a_collection_is_summed_up_in_a_line() -> None:
    plans = [plan(), plan(levels=[256, 1024])]
    # 1774x2365 and 887x1182 px.
    megapixels = "5.24 MP in top levels"
    stay = f"at most {data_size(plans[0].kept_mib + plans[1].kept_mib)} stay"
    assert sum_line(plans, 3, []) == f"2 of 3 artworks can be made: {megapixels}; {stay}"
    seconds = [{"256": 30.0, "2048": 7000.0}, {"256": 30.0, "1024": 140.0}]
    other = plans[1].model_copy(update={"artwork": "b"})
    line = f"2 of 2 artworks can be made: {megapixels}; {stay}; 2.0 h to render"
    assert sum_line([plans[0], other], 2, seconds) == line


def test_a_mixture_that_artworks_share_takes_its_time_once() -> None:
    found = plan(style={"image": "s.png", "fine": "t.png"})
    seconds = dict.fromkeys(named_rows(found), 600.0)
    plans = [found, found.model_copy(update={"artwork": "b"})]
    # Two mixtures, and two levels of each.
    assert sum_line(plans, 2, [seconds, seconds]).endswith("; 60 min to render")


def test_no_line_is_wider_than_a_terminal() -> None:
    regions = [
        {"where": "person", "style": {"image": "s.png", "fine": "t.png"}},
        {"where": "background", "style": "t.png"},
    ]
    found = plan(style=None, regions=regions, levels=[64, 63_000], iterations=[100_000])
    lines = table(found, dict.fromkeys(named_rows(found), 1e9)).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert max(len(line) for line in LEGEND.splitlines()) <= 100
    assert len(sum_line([found] * 500, 500, [dict.fromkeys(named_rows(found), 1e9)] * 500)) <= 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (36_000, "10 h"),
        (172_800, "2 days"),
        (1e7, "116 days"),
        (1e8, "3 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("mib", "text"),
    [
        (0, "0 MiB"),
        (819, "819 MiB"),
        (1023, "1023 MiB"),
        (1024, "1.0 GiB"),
        (52_428.8, "51.2 GiB"),
        (156_467, "153 GiB"),
        (2**20, "1.0 TiB"),
        (2**40, "1024 PiB"),
    ],
)
def test_sizes_of_data(mib: float, text: str) -> None:
    assert data_size(mib) == text
