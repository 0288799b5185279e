"""Finds everybody in a photograph, and nobody who is not there: many views, then a second look.

The detector sees people who fill a good part of its view. So it looks at the whole image and at overlapping
tiles of it. Tiles without people give it something to imagine, with scores up to 0.8 on a motorcycle. But
what it imagines depends on the view: people are found again in views around them, and in mirror images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Box, Size
from pipeline.segmentation.detection import Person, Point, detect
from pipeline.weights import Weights

SMALLEST_SCORE = 0.5
"""Who stands or sits upright and scores less is nobody."""

SMALLEST_SCORE_LYING = 0.7
"""Who does not and scores less is nobody: most of what the detector imagines has its head beside its hips."""

BODY = 1.25
"""Half the side of the square around the hips that holds a body, by its reach: what MediaPipe cuts out."""

_TILES = (2, 3, 5)
_SMALLEST_TILE_PX = 224
_SMALLEST_VIEW_PX = 24
_ZOOMS = (0.8, 1.0, 1.4)
_FAINT = 0.05
_SAME_PLACE = 0.35
_SAME_PERSON = 0.3
_UPRIGHT = 0.25


def find_people(image: Float[Tensor, "3 height width"], detector: Weights) -> tuple[list[Person], float]:
    """The people, surest first, with the scores of their second looks; and the best score of who is nobody.

    Args:
        image: sRGB in [0, 1].
        detector: The registry's `person_detector`.
    """
    candidates: list[Person] = []
    for box in views(Size(*image.shape[1:])):
        found = detect(image[:, *box.slices], detector, SMALLEST_SCORE)
        candidates += [person.moved(box.top, box.left) for person in found]
    looked_at = [replace(person, score=second_look(image, person, detector)) for person in apart(candidates)]
    people = [person for person in looked_at if person.score >= needed_score(person)]
    nobody = [person.score for person in looked_at if person.score < needed_score(person)]
    return apart(people), max(nobody, default=0.0)


def needed_score(person: Person) -> float:
    """What this person must score: more, when the head is not well above the hips."""
    height = (person.hips[0] - person.head[0]) / max(person.reach, 1e-6)
    return SMALLEST_SCORE if height >= _UPRIGHT else SMALLEST_SCORE_LYING


def views(size: Size) -> list[Box]:
    """The whole image, and square tiles of two thirds, a half and a third of its shorter side.

    Tiles of one size overlap their neighbours by half or more, and the outermost touch the borders. None is
    smaller than the detector's own view, which would show it no more than a larger one does.
    """
    boxes = [Box.whole(size)]
    shorter = min(size.height, size.width)
    for count in _TILES:
        side = shorter * 2 // (count + 1)
        if side < _SMALLEST_TILE_PX:
            break
        tops = _steps(size.height, side, round(count * size.height / shorter))
        lefts = _steps(size.width, side, round(count * size.width / shorter))
        boxes += [Box(top, left, top + side, left + side) for top in tops for left in lefts]
    return boxes


def second_look(image: Float[Tensor, "3 height width"], person: Person, detector: Weights) -> float:
    """How sure the detector is of this person in views around: the mean of a view and its mirror image.

    Of three views, the largest such mean; where nobody is near the person's head, the detector's score is 0.
    """
    best = 0.0
    for zoom in _ZOOMS:
        box = around(person.hips, BODY * zoom * person.reach, Size(*image.shape[1:]))
        if box is None:
            continue
        view = image[:, *box.slices]
        row, column = person.head[0] - box.top, person.head[1] - box.left
        score = _score_at((row, column), person.reach, detect(view, detector, _FAINT))
        mirrored = detect(view.flip(2), detector, _FAINT)
        score += _score_at((row, box.size.width - column), person.reach, mirrored)
        best = max(best, score / 2)
    return best


def around(centre: Point, half_px: float, within: Size) -> Box | None:
    """The part of a square that lies in the image; None where less than 24 pixels a side are left of it."""
    top, left = round(centre[0] - half_px), round(centre[1] - half_px)
    bottom, right = round(centre[0] + half_px), round(centre[1] + half_px)
    top, left, bottom, right = max(0, top), max(0, left), min(within.height, bottom), min(within.width, right)
    small = min(bottom - top, right - left) < _SMALLEST_VIEW_PX
    return None if small else Box(top, left, bottom, right)


def apart(people: Sequence[Person]) -> list[Person]:
    """Each person once, surest first: heads nearer than 0.3 of the longer reach are one person's."""
    kept: list[Person] = []
    for person in sorted(people, key=lambda person: -person.score):
        reaches = [_SAME_PERSON * max(person.reach, other.reach) for other in kept]
        if all(math.dist(person.head, other.head) > r for other, r in zip(kept, reaches, strict=True)):
            kept.append(person)
    return kept


def _score_at(head: Point, reach: float, found: Sequence[Person]) -> float:
    near = [person.score for person in found if math.dist(person.head, head) < _SAME_PLACE * reach]
    return max(near, default=0.0)


def _steps(length: int, side: int, count: int) -> list[int]:
    """Where `count` tiles of this side begin, evenly, the last one ending at `length`."""
    if count < 2 or side >= length:
        return [0]
    return [round(index * (length - side) / (count - 1)) for index in range(count)]
