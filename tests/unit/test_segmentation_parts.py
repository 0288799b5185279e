"""Parts of a photograph: which segments are taken, what is left, and the package's own generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_sam import sure_sam, tiny_sam, tiny_sam_weights

from pipeline.segmentation import parts, sam
from pipeline.segmentation.parts import Part, apart, find_parts

SIZE = (20, 30)


def segment(
    rows: tuple[int, int], columns: tuple[int, int], quality: float = 0.9, stability: float = 1.0
) -> dict[str, Any]:
    mask = np.zeros(SIZE, dtype=bool)
    mask[slice(*rows), slice(*columns)] = True
    return {"segmentation": mask, "predicted_iou": quality, "stability_score": stability}


def areas(found: list[Part]) -> list[int]:
    return [int(part.mask.sum()) for part in found]


def check_cover(found: list[Part]) -> None:
    """Each pixel is in one part."""
    assert (np.sum([part.mask for part in found], axis=0) == 1).all()


def test_the_largest_segments_come_first_and_the_rest_last() -> None:
    small, large, middle = segment((0, 4), (0, 5)), segment((10, 20), (0, 20)), segment((0, 10), (20, 30))
    found = apart([small, large, middle], SIZE, 3)
    assert areas(found) == [200, 100, 300]
    check_cover(found)
    assert areas(apart([small, large, middle], SIZE, 4)) == [200, 100, 20, 280]


def test_what_lies_within_a_larger_segment_is_a_part_of_it() -> None:
    whole, inside, beside = segment((0, 20), (0, 15)), segment((5, 10), (3, 9)), segment((0, 5), (20, 30))
    found = apart([inside, whole, beside], SIZE, 3)
    assert areas(found) == [300, 50, 250]
    check_cover(found)


def test_a_segment_keeps_what_larger_ones_leave_where_that_is_half_of_it() -> None:
    large = segment((0, 20), (0, 15))
    half, less = segment((0, 10), (10, 20)), segment((10, 20), (9, 20))
    # Of `less`, 50 of 110 pixels are its own.
    assert areas(apart([large, half, less], SIZE, 4)) == [300, 50, 0, 250]
    assert areas(apart([large, half], SIZE, 3)) == [300, 50, 250]
    assert areas(apart([large, less], SIZE, 3)) == [300, 0, 300]


def test_a_segment_of_nearly_everything_and_one_of_nearly_nothing_are_none() -> None:
    everything, nothing, some = segment((0, 20), (0, 29)), segment((0, 0), (0, 0)), segment((0, 9), (0, 9))
    found = apart([everything, nothing, some], SIZE, 4)
    assert areas(found) == [81, 0, 0, 519]
    check_cover(found)


def test_missing_segments_are_empty_and_without_any_all_is_left() -> None:
    found = apart([], SIZE, 3)
    assert areas(found) == [0, 0, 600]
    assert [part.confidence for part in found] == [0, 0, 1]


def test_confidence_is_quality_times_stability() -> None:
    found = apart([segment((0, 10), (0, 30), 0.9, 0.5), segment((10, 20), (0, 10), 1.3, 1.0)], SIZE, 3)
    assert [part.confidence for part in found] == pytest.approx([0.45, 1.0, 0.45 * 0.75 + 1.0 * 0.25])
    assert [part.coverage for part in found] == pytest.approx([1 / 2, 1 / 6, 1 / 3])


def test_the_order_of_equal_segments_does_not_matter() -> None:
    one, other = segment((0, 10), (0, 20), 0.9), segment((5, 15), (0, 20), 0.95)
    first, second = apart([one, other], SIZE, 3), apart([other, one], SIZE, 3)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.mask, b.mask)
    assert np.array_equal(first[0].mask, other["segmentation"])


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (3, 3), (300, 1000)])
def test_the_packages_generator_gives_parts_of_the_photographs_size(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segment_anything

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", tiny_sam)
    monkeypatch.setattr(parts, "_POINTS_PER_SIDE", 4)
    ramp = torch.linspace(0, 1, width).expand(3, height, width)
    found = find_parts(ramp, tiny_sam_weights(make=sure_sam), 3)
    assert [part.mask.shape for part in found] == [(height, width)] * 3
    check_cover(found)
    # Equal input, equal parts.
    again = find_parts(ramp, tiny_sam_weights(make=sure_sam), 3)
    assert [np.array_equal(a.mask, b.mask) for a, b in zip(found, again, strict=True)] == [True] * 3


def test_a_network_that_is_sure_of_nothing_leaves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    import segment_anything

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", tiny_sam)
    found = find_parts(torch.full((3, 40, 40), 0.5), tiny_sam_weights(), 2)
    assert [part.coverage for part in found] == [0, 1]


def test_the_photograph_arrives_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    import segment_anything

    seen: dict[str, Any] = {}

    class Generator:
        def __init__(self, model: Any, **options: Any) -> None:
            seen.update(options, model=model)

        def generate(self, image: Any) -> list[dict[str, Any]]:
            seen["image"] = image
            return [segment((0, 20), (0, 10))]

    monkeypatch.setattr(segment_anything, "SamAutomaticMaskGenerator", Generator)
    monkeypatch.setattr(sam, "build", lambda _: torch.nn.Identity())
    image = torch.full((3, *SIZE), 0.5)
    image[0] = 1.2
    assert areas(find_parts(image, tiny_sam_weights(), 2)) == [200, 400]
    assert (seen["image"].shape, seen["image"].dtype) == ((*SIZE, 3), np.uint8)
    assert seen["image"][0, 0].tolist() == [255, 128, 128]
