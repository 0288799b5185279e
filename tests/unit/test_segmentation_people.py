"""Detections decoded by hand, views, second looks, and whose a mask is, on networks made here."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.geometry import Box, Size
from pipeline.segmentation import detection, graph, people, person
from pipeline.segmentation.detection import Person
from pipeline.weights import Preprocessing, Weights

NETWORK = Weights(
    "person_detector", {}, Preprocessing(), "", {"graph": json.dumps({"height_px": 224, "width_px": 224})}
)
FIRST_OF_STRIDE_16 = 28 * 28 * 2
FIRST_OF_STRIDE_32 = FIRST_OF_STRIDE_16 + 14 * 14 * 2


def row_of(head: tuple[float, float], hips: tuple[float, float], end: tuple[float, float]) -> list[float]:
    """What the network says of a person, as (x, y) from the anchor."""
    return [*head, 45.0, 45.0, *hips, *end, 0.0, 0.0, 0.0, 0.0]


# --- the detector


def test_anchors_are_centres_of_cells_twice_for_each_stride() -> None:
    found = detection.anchors(224)
    assert found.shape == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2)
    assert found[0].tolist() == found[1].tolist() == [4, 4]
    assert found[2].tolist() == [12, 4]
    assert found[2 * 28].tolist() == [4, 12]
    assert found[FIRST_OF_STRIDE_16].tolist() == [8, 8]
    assert found[FIRST_OF_STRIDE_32 + 5].tolist() == [16, 16]
    assert found[-1].tolist() == [208, 208]


def test_positions_count_from_the_anchor() -> None:
    rows, scores = torch.zeros(2254, 12), torch.zeros(2254)
    index = FIRST_OF_STRIDE_16 + 2 * (14 * 3 + 5)  # x = 88, y = 56
    rows[index] = torch.tensor(row_of((2, -6), (5, 40), (5 + 30, 40 + 40)))
    scores[index] = 0.75
    assert detection.decode(rows, scores, 224, 0.5) == [Person(0.75, (50, 90), (96, 93), 50)]
    assert detection.decode(rows, scores, 224, 0.8) == []


def test_heads_close_together_are_one_person_at_the_weighted_mean() -> None:
    near = [Person(0.6, (10, 10), (50, 10), 40), Person(0.9, (13, 10), (53, 10), 50)]
    far = Person(0.7, (10, 60), (50, 60), 40)
    first, second = detection.merge([*near, far], 22)
    assert first.score == 0.9
    assert first.head == pytest.approx((0.4 * 10 + 0.6 * 13, 10))
    assert first.hips == pytest.approx((0.4 * 50 + 0.6 * 53, 10))
    assert first.reach == pytest.approx(0.4 * 40 + 0.6 * 50)
    assert second.score == 0.7
    assert second.head == pytest.approx((10, 60))


@pytest.mark.parametrize(
    ("height", "width", "above", "before"), [(100, 200, 56, 0), (448, 224, 0, 56), (224, 224, 0, 0)]
)
def test_an_image_is_letterboxed_and_people_are_found_in_its_own_pixels(
    height: int, width: int, above: int, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def answer(x: Tensor, _: Weights) -> Tensor:
        seen.append(x)
        rows = torch.zeros(1, 2254, 13)
        rows[..., 12] = -9
        index = FIRST_OF_STRIDE_16 + 2 * (14 * 7 + 7)  # x = y = 120
        rows[0, index] = torch.tensor([*row_of((0, -20), (0, 0), (0, 40)), 2.0])
        return rows

    monkeypatch.setattr(graph, "run", answer)
    (found,) = detection.detect(torch.ones(3, height, width), NETWORK, 0.5)
    (x,) = seen
    assert x.shape == (1, 3, 224, 224)
    expected = torch.full((224, 224), -1.0)
    expected[above : 224 - above, before : 224 - before] = 1.0
    assert torch.allclose(x, expected.expand(1, 3, 224, 224), atol=1e-6)
    scale = 224 / max(height, width)
    assert found.score == pytest.approx(1 / (1 + math.exp(-2)))
    assert found.head == pytest.approx(((100 - above) / scale, (120 - before) / scale))
    assert found.hips == pytest.approx(((120 - above) / scale, (120 - before) / scale))
    assert found.reach == pytest.approx(40 / scale)


# --- many views


def test_small_images_are_seen_whole_and_large_ones_by_overlapping_tiles_too() -> None:
    assert people.views(Size(300, 450)) == [Box(0, 0, 300, 450)]
    boxes = people.views(Size(512, 1024))
    assert boxes[0] == Box(0, 0, 512, 1024)
    sides = [box.size.height for box in boxes[1:]]
    assert sides == [341] * 8 + [256] * 18
    rows = boxes[1:5]
    assert [box.left for box in rows] == [0, 228, 455, 683]
    assert {box.top for box in boxes[1:9]} == {0, 171}
    for side in (341, 256):
        covered = np.zeros((512, 1024), bool)
        for box in boxes[1:]:
            if box.size.height == side:
                assert box.size == Size(side, side)
                covered[box.slices] = True
        assert covered.all()


def test_a_square_ends_at_the_image_and_is_nothing_beyond_it() -> None:
    assert people.around((10, 50), 20, Size(80, 100)) == Box(0, 30, 30, 70)
    assert people.around((200, 50), 20, Size(80, 100)) is None
    assert people.around((90, 50), 33, Size(80, 100)) is None  # 23 rows are left


def test_a_person_seen_in_two_tiles_is_one() -> None:
    found = people.apart(
        [
            Person(0.6, (100, 100), (160, 100), 80),
            Person(0.9, (110, 105), (165, 104), 90),
            Person(0.7, (100, 140), (160, 140), 80),
        ]
    )
    assert [one.score for one in found] == [0.9, 0.7]


def detector_of(standing: list[tuple[Person, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that finds these people, and in mirror images by a score of their own; see `coordinates`."""

    def detect(view: Tensor, _: Weights, smallest: float) -> list[Person]:
        mirrored = bool(view[1, 0, 0] > view[1, 0, -1])
        view = view.flip(2) if mirrored else view
        top, left = float(view[0, 0, 0]), float(view[1, 0, 0])
        found = []
        for one, in_mirror in standing:
            moved = one.moved(-top, -left)
            inside = 0 <= moved.head[0] < view.shape[1] and 0 <= moved.head[1] < view.shape[2]
            column = view.shape[2] - moved.head[1] if mirrored else moved.head[1]
            score = in_mirror if mirrored else one.score
            if inside and score >= smallest:
                found.append(Person(score, (moved.head[0], column), moved.hips, one.reach))
        return found

    monkeypatch.setattr(people, "detect", detect)


def coordinates(height: int, width: int) -> Tensor:
    """A picture whose red is each pixel's row and whose green its column."""
    rows = torch.arange(float(height))[:, None].expand(height, width)
    columns = torch.arange(float(width)).expand(height, width)
    return torch.stack([rows, columns, torch.zeros(height, width)])


def test_who_is_not_seen_in_the_mirror_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    real, imagined = Person(0.9, (80, 100), (160, 100), 120), Person(0.9, (80, 400), (160, 400), 120)
    detector_of([(real, 0.7), (imagined, 0.04)], monkeypatch)
    found, best_of_nobody = people.find_people(coordinates(300, 500), NETWORK)
    (one,) = found
    assert one.head == (80, 100)
    assert one.score == pytest.approx(0.8)
    assert best_of_nobody == pytest.approx(0.45)


@pytest.mark.parametrize(("hips", "score", "people_found"), [(160, 0.6, 1), (90, 0.6, 0), (90, 0.8, 1)])
def test_who_does_not_stand_upright_must_score_more(
    hips: int, score: float, people_found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector_of([(Person(score, (80, 100), (hips, 150), 120), score)], monkeypatch)
    assert len(people.find_people(coordinates(300, 500), NETWORK)[0]) == people_found


# --- masks that belong to somebody


def segmenter(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A segmenter that takes the blue of a picture for the probability."""
    monkeypatch.setattr(person, "person_probability", lambda view, _: view[2].clone())
    return Weights("person", {}, Preprocessing(), "", {})


def blue(height: int, width: int, *boxes: tuple[Box, float]) -> Tensor:
    image = torch.zeros(3, height, width)
    for box, value in boxes:
        image[2, *box.slices] = value
    return image


def test_what_hangs_together_with_nobody_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    body, apart, leak = Box(40, 40, 120, 80), Box(40, 100, 120, 130), Box(100, 80, 104, 100)
    image = blue(160, 160, (body, 0.9), (apart, 0.8), (leak, 0.1))
    mask = person.mask_of(image, Person(0.9, (50, 60), (100, 60), 60), segmenter(monkeypatch))
    assert mask.shape == (160, 160)
    assert torch.allclose(mask[44:116, 44:76], torch.tensor(0.9), atol=1e-5)
    # No more probable than the leak that connects it.
    assert mask[44:116, 106:130].max() < 0.11
    assert mask[:30].max() == 0


def test_nobody_on_the_line_from_head_to_hips_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    image = blue(160, 160, (Box(40, 100, 120, 130), 1.0))
    weights = segmenter(monkeypatch)
    assert person.mask_of(image, Person(0.9, (50, 60), (100, 60), 60), weights).max() == 0
    assert person.mask_of(image, Person(0.9, (900, 60), (950, 60), 60), weights).max() == 0


def test_views_that_show_nobody_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    image = blue(200, 200, (Box(60, 80, 160, 120), 1.0))

    def blind_to_large_views(view: Tensor, _: Weights) -> Tensor:
        return view[2].clone() if view.shape[2] < 150 else torch.zeros(view.shape[1:])

    monkeypatch.setattr(person, "person_probability", blind_to_large_views)
    found = person.mask_of(image, Person(0.9, (80, 100), (120, 100), 70), segmenter_weights())
    assert found[90, 100] > 0.99


def segmenter_weights() -> Weights:
    return Weights("person", {}, Preprocessing(), "", {})


def test_people_who_touch_share_one_mask_by_nearness(monkeypatch: pytest.MonkeyPatch) -> None:
    image = blue(160, 200, (Box(40, 40, 120, 160), 1.0))
    left, right = Person(0.9, (50, 70), (100, 70), 80), Person(0.8, (50, 130), (100, 130), 80)
    first, second = person.masks_of(image, [left, right], segmenter(monkeypatch))
    assert ((first > 0) & (second > 0)).sum() == 0
    assert first[80, 60:99].min() > 0.99
    assert second[80, 102:140].min() > 0.99
    assert torch.allclose(torch.maximum(first, second)[44:116, 44:156], torch.ones(()), atol=1e-5)


def test_the_mirror_image_counts_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "input_size", lambda _: (4, 4))
    left = torch.zeros(1, 1, 4, 4)
    left[..., 0] = 0.8

    def always_left(_: Tensor, __: Any) -> Tensor:
        return left

    monkeypatch.setattr(graph, "run", always_left)
    found = person.person_probability(torch.rand(3, 4, 4), segmenter_weights())
    assert found[0].tolist() == pytest.approx([0.4, 0, 0, 0.4])
