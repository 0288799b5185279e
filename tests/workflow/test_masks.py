"""Masks combined by the workflow: made once, and made again when what they are made of changes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from pictures import gradient, left_half, noise, save
from workflows import CONFIG, Checkout

from pipeline import canvas

pytestmark = pytest.mark.slow

LEFT, TOP = "inputs/left.png", "inputs/top.png"
REGIONS: list[dict[str, Any]] = [
    {"where": {"minus": [LEFT, TOP]}, "style": "inputs/style.png"},
    {"where": TOP, "style": {"image": "inputs/style.png", "mask": f"not {LEFT}"}},
    {"where": {"not": {"union": [LEFT, TOP]}}, "style": "inputs/style.png"},
]
MASKS = {f"combine key=content-{name}" for name in ("left-minus-top", "top", "left-union-top")}


@pytest.fixture
def checkout(warm: Checkout) -> Checkout:
    """An artwork of three parts, and its inputs."""
    inputs = warm.folder / "inputs"
    save(inputs / "top.png", left_half(60, 70).transpose(1, 0, 2).copy())
    save(inputs / "content.png", gradient(100, 80))
    configure(warm, REGIONS)
    return warm


def configure(checkout: Checkout, regions: list[dict[str, Any]]) -> None:
    parts = {"content": "inputs/content.png", "regions": regions, "print": {"width": "160 px", "dpi": 127}}
    checkout.configure(
        {
            **copy.deepcopy(CONFIG),
            "defaults": {"network": {"name": "vgg19"}, "deepzoom": "none"},
            "artworks": {"parts": parts},
        }
    )


def test_parts_of_a_whole_from_combined_masks(checkout: Checkout) -> None:
    guides = "results/parts/levels/179/guides.tif"
    assert checkout.renders(guides) == {*MASKS, "guide artwork=parts, level=179"}
    found = canvas.read(checkout.folder / guides)
    assert found.shape == (200, 160, 3)
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=3 / 65535)
    assert [round(float(found[..., index].mean()), 2) for index in range(3)] == [0.25, 0.5, 0.25]
    assert checkout.would_render(guides) == set()

    # A mask by another name, and one that is grown: only what depends on it.
    regions = copy.deepcopy(REGIONS)
    regions[2] = {**REGIONS[2], "where": {"shrink": "2 mm", "of": REGIONS[2]["where"]}}
    configure(checkout, regions)
    made = checkout.renders(guides)
    assert made == {"combine key=content-not-left-union-top-shrunk", "guide artwork=parts, level=179"}
    # 2 mm at 127 dpi are 10 px of the print, whose 160 px show the 80 px of the photograph.
    shrunk = canvas.read(checkout.folder / guides)[..., 2]
    assert shrunk[150, :85].max() == 0
    assert shrunk[150, 95:].min() == 1

    # Pixels of a mask.
    save(checkout.folder / TOP, 255 - noise(60, 70, seed=1)[..., :1])
    assert checkout.would_render(guides) == {
        "combine key=content-top",
        "combine key=content-left-minus-top",
        "combine key=content-not-left-union-top-shrunk",
        "guide artwork=parts, level=179",
    }
