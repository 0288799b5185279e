from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.reading import parse
from pipeline.disk import DiskUse, disk_use, rendering_mib
from pipeline.drafting import draft
from pipeline.geometry import Size
from pipeline.plan import Plan

SIZES = {"c.png": Size(400, 600), "s.png": Size(512, 512), "m.png": Size(400, 600)}
MIB = 2**20


def size_of(path: Path) -> Size:
    return SIZES[path.name]


def plan(**own: Any) -> Plan:
    artwork = {"content": "c.png", "levels": [256, 512], "iterations": [60, 20], **own}
    return draft(parse({"artworks": {"a": artwork}}), "a", size_of, "config.yaml")


def in_mib(*parts: int) -> int:
    return -(-sum(parts) // MIB)


# Files are laid out in tiles of 256 px: 400x600 -> 512x768; the levels: 209x314 -> 256x512, 512x768 again.
PREPARED = 6 * (512 * 768 + 512 * 512)
IMAGES = 6 * (256 * 512 + 512 * 768) + 6 * (256 * 256 + 512 * 512)
TARGETS = 2 * 4 * sum(n * n + 2 * n for n in (64, 128, 256, 512, 512))
RESULTS = 12 * (256 * 512 + 512 * 768)
START = 12 * 512 * 768
# Vectors of 432x640 px, in memory, saved twice: image, gradient, five pairs of bfloat16, the next step.
STATE = MIB * in_mib(432 * 640 * 2 * (24 + 5 * 12 + 6))
# Sixteen bits of four bands, and a pyramid.
PRINT = 8 * 512 * 768 * 4 // 3
PICTURES = 3 * 1024**2 * (2 + 2 + 1)


# The top level is 418x627: two bytes for each of its pixels, with its halves.
DEEPZOOM = 524_172


def test_the_largest_moment_is_the_top_levels_rendering_here() -> None:
    shared = PREPARED + IMAGES + TARGETS
    found = plan(style="s.png")
    assert (found.kept_mib, found.disk_mib) == (
        in_mib(shared, RESULTS, PRINT // 2, DEEPZOOM, PICTURES),
        in_mib(shared, RESULTS, START, STATE),
    )
    assert disk_use(found, size_of) == DiskUse(found.kept_mib, found.disk_mib)


def test_at_the_end_the_assembled_image_lies_beside_the_print() -> None:
    shared = PREPARED + IMAGES + TARGETS
    settings = {"bits": 16, "format": ["tiff", "png"]}
    found = plan(style="s.png", preview_px=4096, print=settings, deepzoom="none")
    pictures = 16 * PICTURES
    assert found.kept_mib == in_mib(shared, RESULTS, 2 * PRINT, pictures)
    # Beside them the result at the lower level's size, which is judged.
    judged = 12 * 256 * 512
    assert found.disk_mib == in_mib(shared, RESULTS, 16 * 512 * 768, 2 * PRINT, pictures, judged)


def test_of_a_state_in_files_the_image_alone_is_left_beside_the_result() -> None:
    big = {"c.png": Size(2048, 2048), "s.png": Size(512, 512)}
    artwork = {"content": "c.png", "style": "s.png", "levels": [512, 2048], "iterations": [1, 1]}
    little = {"deepzoom": "none", "preview_px": 64, "print": {"pyramid": False}}
    raw = {"artworks": {"a": {**artwork, **little}}, "compute": {"memory_budget_mib": 1024}}
    found = draft(parse(raw), "a", lambda path: big[path.name], "config.yaml")
    lower, top = found.levels
    assert (top.store, top.disk_mib) == ("files", 96)
    # Gradient and next image, and of the result nothing before the gradient has gone.
    assert rendering_mib(top) == 96
    # The state of one in memory stays until its result is safe.
    assert (lower.store, rendering_mib(lower)) == ("memory", lower.disk_mib + 3)
    shared = 6 * (2048**2 + 512**2) + 6 * (512**2 + 2048**2) + 6 * (512**2 + 2048**2) + TARGETS
    assert found.disk_mib == pytest.approx((shared + 12 * 512**2 + 12 * 2048**2) / MIB + 96, abs=2)


def test_masks_combinations_and_guides_count() -> None:
    regions = [
        {"where": {"union": ["person", "m.png"]}, "style": "s.png", "name": "x"},
        {"where": "background", "style": {"image": "s.png", "weight": 2}},
    ]
    plain, found = plan(style="s.png"), plan(regions=regions)
    assert (len(found.masks), len(found.combinations)) == (1, 1)
    # A byte of the automatic mask, two of the combination, two for each channel of the guides.
    more = 512 * 768 * (1 + 2) + 2 * 2 * (256 * 512 + 512 * 768)
    assert found.kept_mib - plain.kept_mib == pytest.approx(more / MIB, abs=1.01)
    assert found.disk_mib - plain.disk_mib == pytest.approx(more / MIB, abs=1.01)


def test_what_masks_leave_behind_while_they_are_combined_counts() -> None:
    grown = [{"grow": "12 px", "of": name} for name in ("person", "subject", "m.png")]
    regions = [{"where": {"union": grown}, "style": "s.png", "name": "x"}]
    big = {"c.png": Size(5120, 5120), "s.png": Size(512, 512), "m.png": Size(5120, 5120)}
    artwork = {"content": "c.png", "levels": [64], "regions": regions, "deepzoom": "none", "preview_px": 64}
    found = draft(parse({"artworks": {"a": artwork}}), "a", lambda path: big[path.name], "config.yaml")
    # Beside what stays of them: prepared, two masks and the combination.
    assert found.disk_mib - found.kept_mib == pytest.approx(3 * 2 * 5120**2 / MIB, abs=2)


def test_parts_of_an_image_count_twice_while_they_are_made() -> None:
    weights = {"sam_vit_b": {"url": "https://example.org/b.pth", "sha256": "0" * 64}}
    artwork = {"content": "c.png", "masks": {"sam": "vit_b"}, "levels": [256, 512]}
    parts = {**artwork, "regions": {"automatic": 3, "style": "s.png"}}
    whole = {**artwork, "style": "s.png"}
    plain, found = (
        draft(parse({"artworks": {"a": each}, "weights": weights}), "a", size_of, "config.yaml")
        for each in (whole, parts)
    )
    more = 512 * 768 * 2 * 3 + 2 * 3 * (256 * 512 + 512 * 768)
    assert found.disk_mib - plain.disk_mib == pytest.approx(more / MIB, abs=1.01)


def test_a_mixture_is_an_image_and_has_a_state_while_it_is_made() -> None:
    style = {"image": "s.png", "fine": "s.png", "scale": 8}
    found = plan(style=style, levels=[512], mixing={"iterations": [100]})
    (mix,) = found.mixes.values()
    assert mix.size == Size(4096, 4096)
    # Prepared; content and coarse image in their own colours, the fine one recoloured; the mixture. While
    # that is made, its start and its state.
    shared = 6 * (512 * 768 + 512 * 512) + 6 * (512 * 768 + 4096**2) + 12 * (512 * 512 + 4096**2)
    state = 4096**2 * 2 * (24 + 60 + 6) + 12 * 4096**2
    assert found.disk_mib == pytest.approx((shared + state + TARGETS / 2) / MIB, abs=2)
