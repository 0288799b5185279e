"""The algebra of soft masks: parts of a whole sum to one, and what sets obey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from numpy import ndarray
from pictures import save_guides

from pipeline import canvas
from pipeline.combination import mapped, parse
from pipeline.geometry import Size

SEVERAL = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=12,
    deadline=None,
    derandomize=True,
)
SEEDS = st.integers(0, 2**32 - 1)
STEP = 1 / 65535
SIZE = Size(24, 37)
NOT_A, NOT_B = {"not": "a"}, {"not": "b"}
GROWN = {"grow": "2.5 px", "of": "a"}


def masks(folder: Path, seed: int, size: Size = SIZE) -> None:
    """Two masks that are soft in places, and light or dark in others."""
    random = np.random.default_rng(seed)
    for name in "ab":
        plane = np.clip(random.normal(0.5, 0.6, (size.height, size.width, 1)), 0, 1)
        save_guides(folder / f"{name}.tif", plane)


def value(folder: Path, raw: Any) -> Float[ndarray, "height width"]:
    """What an expression of `a` and `b` comes to."""
    expression = mapped(
        parse(raw, lambda _: None), lambda leaf: f"{folder / leaf}.tif" if leaf in "ab" else leaf, str
    )
    canvas.combine_masks(expression, folder / "out.tif", SIZE)
    return canvas.read(folder / "out.tif")[..., 0]


@pytest.mark.parametrize(
    "parts",
    [
        ["a", NOT_A],
        ["a", {"minus": ["b", "a"]}, {"not": {"union": ["a", "b"]}}],
        [
            {"minus": ["a", "b"]},
            {"intersection": ["a", "b"]},
            {"minus": ["b", "a"]},
            {"not": {"union": ["a", "b"]}},
        ],
        ["a", {"minus": ["everything", "a"]}],
        [GROWN, {"not": GROWN}],
        [GROWN, {"shrink": "2.5 px", "of": NOT_A}],
        ["a", {"minus": [GROWN, "a"]}, {"not": GROWN}],
        [{"feather": "3 px", "of": "a"}, {"feather": "3 px", "of": NOT_A}],
    ],
)
@SEVERAL
@given(seed=SEEDS)
def test_the_parts_of_a_whole_sum_to_one_at_soft_edges_too(
    tmp_path: Path, parts: list[Any], seed: int
) -> None:
    masks(tmp_path, seed)
    found = sum(value(tmp_path, part) for part in parts)
    np.testing.assert_allclose(found, 1, atol=len(parts) * STEP)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"not": {"union": ["a", "b"]}}, {"intersection": [NOT_A, NOT_B]}),
        ({"not": {"intersection": ["a", "b"]}}, {"union": [NOT_A, NOT_B]}),
        ({"not": NOT_A}, "a"),
        ({"union": ["a", "a"]}, "a"),
        ({"intersection": ["a", "a", "a"]}, "a"),
        ({"minus": ["a", "a"]}, {"not": "everything"}),
        ({"minus": ["a", {"minus": ["a", "b"]}]}, {"intersection": ["a", "b"]}),
        ({"union": ["a", {"intersection": ["a", "b"]}]}, "a"),
        ({"intersection": ["a", {"union": ["a", "b"]}]}, "a"),
        ({"union": ["a", "everything"]}, "everything"),
        ({"not": GROWN}, {"shrink": "2.5 px", "of": NOT_A}),
        ({"grow": "2.5 px", "of": {"union": ["a", "b"]}}, {"union": [GROWN, {**GROWN, "of": "b"}]}),
        # Grown after it was shrunk, a mask has no more; a second time changes nothing.
        (
            {
                "grow": "2 px",
                "of": {"shrink": "2 px", "of": {"grow": "2 px", "of": {"shrink": "2 px", "of": "a"}}},
            },
            {"grow": "2 px", "of": {"shrink": "2 px", "of": "a"}},
        ),
    ],
)
@SEVERAL
@given(seed=SEEDS)
def test_two_ways_to_say_one_mask(tmp_path: Path, one: Any, other: Any, seed: int) -> None:
    masks(tmp_path, seed)
    np.testing.assert_allclose(value(tmp_path, one), value(tmp_path, other), atol=2 * STEP)


@SEVERAL
@given(seed=SEEDS, height=st.integers(16, 60), width=st.integers(16, 60))
def test_parts_still_sum_to_one_as_guides_of_a_level(
    tmp_path: Path, seed: int, height: int, width: int
) -> None:
    masks(tmp_path, seed)
    parts: list[Any] = ["a", {"minus": ["b", "a"]}, {"union": ["a", "b"]}]
    files = []
    for index, part in enumerate(parts):
        value(tmp_path, part)
        files.append((tmp_path / "out.tif").rename(tmp_path / f"part{index}.tif"))
    regions = [(files[0], False), (files[1], False), (files[2], True)]
    canvas.compose_guides(regions, tmp_path / "g.tif", Size(height, width))
    np.testing.assert_allclose(canvas.read(tmp_path / "g.tif").sum(axis=2), 1, atol=5 * STEP)
