from __future__ import annotations

import pytest

from pipeline.lengths import in_px, is_physical


@pytest.mark.parametrize(
    ("text", "dpi", "expected"),
    [
        ("12 px", 300, 12),
        ("2.5px", 300, 2.5),
        ("1 in", 300, 300),
        ("2.54 cm", 300, 300),
        ("25.4 mm", 150, 150),
        ("3 mm", 254, 30),
        (" 60  cm ", 127, 3000),
    ],
)
def test_a_length_in_pixels(text: str, dpi: float, expected: float) -> None:
    assert in_px(text, dpi) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "3", "mm", "-3 mm", "0 px", "0.0 cm", "3 ft", "1e3 px", "3 mm 4", "nan px"]
)
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a length with its unit .* found '"):
        in_px(text, 300)


def test_lengths_on_paper_are_told_from_pixels() -> None:
    assert [is_physical(text) for text in ("3 mm", "3cm", "3 in ", "3 px", "3px ")] == [
        True,
        True,
        True,
        False,
        False,
    ]
