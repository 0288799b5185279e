from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.models import ArtworkSettings, Defaults
from pipeline.errors import ConfigError
from pipeline.geometry import Size
from pipeline.pyramid import Level, levels

LANDSCAPE = Size(2000, 3000)


def artwork(**values: Any) -> ArtworkSettings:
    return Defaults.model_validate(values)


def sizes(content: Size, **values: Any) -> list[tuple[int, str]]:
    return [(level.px, str(level.size)) for level in levels(artwork(**values), content, "artworks.a")]


def test_levels_are_named_by_the_square_root_of_their_area() -> None:
    assert sizes(LANDSCAPE) == [(512, "418x627"), (1024, "836x1254")]
    assert sizes(LANDSCAPE, levels=[256, 512]) == [(256, "209x314"), (512, "418x627")]
    assert sizes(Size(300, 300), levels=[64]) == [(64, "64x64")]


@pytest.mark.parametrize(
    ("print_size", "top"),
    [
        ({"width": "20 cm"}, "1575x2362"),
        ({"width": "60 cm"}, "4725x7087"),
        ({"width": "8.5 in"}, "1700x2550"),
        ({"width": "300 mm", "dpi": 150}, "1181x1772"),
        ({"height": "20 cm"}, "2362x3543"),
        ({"height": "10 in", "dpi": 72}, "720x1080"),
        ({"width": "3000 px"}, "2000x3000"),
    ],
)
def test_the_top_level_is_the_print_to_the_pixel(print_size: dict[str, Any], top: str) -> None:
    assert sizes(LANDSCAPE, print=print_size)[-1][1] == top


def test_lower_levels_of_a_print_have_half_the_sides() -> None:
    assert sizes(LANDSCAPE, print={"width": "60 cm"}) == [
        (362, "296x443"),
        (723, "590x885"),
        (1447, "1181x1772"),
        (2894, "2363x3544"),
        (5787, "4725x7087"),
    ]
    assert sizes(Size(2000, 2000), print={"width": "640 mm", "dpi": 25.4}) == [(640, "640x640")]
    assert sizes(Size(2000, 2000), print={"width": "641 mm", "dpi": 25.4}) == [
        (320, "320x320"),
        (641, "641x641"),
    ]


@given(
    width=st.integers(1, 60_000),
    height=st.integers(1, 60_000),
    mm=st.integers(20, 5000),
    dpi=st.integers(50, 600),
)
def test_levels_of_any_print_rise_to_it(width: int, height: int, mm: int, dpi: int) -> None:
    chosen = artwork(print={"width": f"{mm} mm", "dpi": dpi})
    try:
        found = levels(chosen, Size(height, width), "artworks.a")
    except ConfigError:
        return
    names = [level.px for level in found]
    assert names == sorted(set(names))
    assert names[0] <= 640
    assert found[-1].size.width == round(mm / 25.4 * dpi)
    assert all(1.9 < upper / lower < 2.1 for lower, upper in itertools.pairwise(names))


def test_a_level_too_thin_for_the_network_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        levels(artwork(levels=[128]), Size(100, 3000), "config.yaml: artworks.a")
    assert str(caught.value) == (
        "config.yaml: artworks.a.levels: expected levels that are 32 px at least on their shorter side; "
        "found 23x701 px (height x width) at level 128 for a content image of 100x3000 px. "
        "Raise the lowest level, or crop the content image."
    )


@pytest.mark.parametrize(
    ("content", "largest", "found", "level"),
    [
        # 4e9 px in all.
        (Size(1000, 1000), 63245, 63246, "63246x63246"),
        (LANDSCAPE, 63245, 65536, "53510x80265"),
        # 200,000 px a side.
        (Size(400, 40000), 20000, 20001, "2000x200010"),
    ],
)
def test_a_level_larger_than_what_can_be_written_is_refused(
    content: Size, largest: int, found: int, level: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        levels(artwork(levels=[512, found]), content, "config.yaml: artworks.a")
    assert str(caught.value) == (
        f"config.yaml: artworks.a.levels: expected at most {largest} last, for sides of at most 200000 px "
        f"and 4 gigapixels in all; found {found}, {level} px (height x width)."
    )
    top = levels(artwork(levels=[512, largest]), content, "config.yaml: artworks.a")[-1]
    assert top.size.area <= 4e9


def test_a_print_too_small_for_any_level_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        levels(artwork(print={"width": "5 mm", "dpi": 72}), LANDSCAPE, "config.yaml: artworks.a")
    assert str(caught.value) == (
        "config.yaml: artworks.a.print: expected a print of 64 x 64 px at least; found 9x14 px (height "
        "x width). Raise the width, the height or the dpi."
    )


def test_a_level_is_padded_to_the_deepest_stride() -> None:
    assert Level(256, Size(209, 314)).padded == Size(224, 320)
    assert Level(256, Size(256, 256)).padded == Size(256, 256)


def test_levels_beside_a_print_end_at_it() -> None:
    chosen = {"width": "60 cm", "height": "60 cm", "bleed": "3 mm"}
    # 60 cm and 3 mm on both sides: 7087 + 2 * 35 px; lower levels have the print's shape, not the content's.
    assert sizes(LANDSCAPE, print=chosen, levels=[512, 2048, 7157]) == [
        (512, "512x512"),
        (2048, "2048x2048"),
        (7157, "7157x7157"),
    ]
    with pytest.raises(ConfigError) as caught:
        sizes(LANDSCAPE, print=chosen, levels=[512, 7087])
    assert str(caught.value) == (
        "artworks.a.levels: expected 7157 last, the print of 7157x7157 px (height x width); found 7087. "
        "Leave out the levels or the print's size: the one follows from the other."
    )
