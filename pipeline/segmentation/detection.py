"""Finds people in one view, by MediaPipe's pose detector run in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.segmentation import graph
from pipeline.weights import Weights

Point = tuple[float, float]
"""Row and column in pixels; may lie beyond the image."""

_STRIDES_PX = (8, 16, 32, 32, 32)
_ANCHORS_PER_STRIDE = 2
_LARGEST_LOGIT = 100.0
_SAME_HEAD = 0.1


@dataclass(frozen=True, slots=True)
class Person:
    """A person that the detector found.

    Attributes:
        score: How sure the detector is, in [0, 1].
        head: The middle of the face, roughly.
        hips: The middle between the hips; beyond the image's border where that cuts the person off.
        reach: Pixels from the hips to the end of the whole body: a circle of this radius holds it.
    """

    score: float
    head: Point
    hips: Point
    reach: float

    def moved(self, rows: float, columns: float) -> Person:
        """The same person in an image that has so many rows more above and columns more at the left."""
        head = (self.head[0] + rows, self.head[1] + columns)
        return Person(self.score, head, (self.hips[0] + rows, self.hips[1] + columns), self.reach)

    def scaled(self, factor: float) -> Person:
        """The same person in an image that is so many times as large."""
        head = (self.head[0] * factor, self.head[1] * factor)
        hips = (self.hips[0] * factor, self.hips[1] * factor)
        return Person(self.score, head, hips, self.reach * factor)


@torch.no_grad()
def detect(view: Float[Tensor, "3 height width"], weights: Weights, smallest_score: float) -> list[Person]:
    """The people in an image that is looked at as a whole, surest first, in its pixels.

    The image is letterboxed to the network's 224x224, for squashing costs people, with values in [-1, 1]
    about a border of black. Whoever is smaller than about a sixth of the image's side is missed.

    Args:
        view: sRGB in [0, 1].
        weights: The registry's `person_detector`.
        smallest_score: Detections below it are dropped.
    """
    side = graph.input_size(weights)[0]
    height, width = view.shape[1:]
    scale = side / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = functional.interpolate(
        view[None].float(), inner, mode="bilinear", antialias=True, align_corners=False
    )
    above, before = (side - inner[0]) // 2, (side - inner[1]) // 2
    borders = (before, side - inner[1] - before, above, side - inner[0] - above)
    boxed = functional.pad(small.clamp(0, 1), borders)
    rows = graph.run(boxed * 2 - 1, weights)[0].double().cpu()
    scores = torch.sigmoid(rows[:, -1].clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT))
    found = merge(decode(rows[:, :-1], scores, side, smallest_score), side * _SAME_HEAD)
    return [person.moved(-above, -before).scaled(1 / scale) for person in found]


def decode(
    rows: Float[Tensor, "anchors 12"], scores: Float[Tensor, anchors], side: int, smallest_score: float
) -> list[Person]:
    """The people behind the network's numbers, one for each anchor that is sure, in pixels of its input.

    A row holds x and y of the head's centre, width and height of a box about it (a fifth of the side, whoever
    is in it, so that it says nothing), then x and y of four points: the hips, the end of the body, and two
    that are not used here. Positions count from the anchor.
    """
    centres = anchors(side)
    people = []
    for index in (scores >= smallest_score).nonzero()[:, 0].tolist():
        x, y = centres[index].tolist()
        head_x, head_y, _, _, hips_x, hips_y, end_x, end_y = rows[index, :8].tolist()
        reach = math.hypot(end_x - hips_x, end_y - hips_y)
        people.append(Person(float(scores[index]), (y + head_y, x + head_x), (y + hips_y, x + hips_x), reach))
    return people


def anchors(side: int) -> Float[Tensor, "anchors 2"]:
    """Where the rows of the network's output stand: x and y in pixels of its input.

    The centres of a grid's cells, row by row, two for each entry of MediaPipe's list of strides; an entry
    that repeats adds its anchors to those of the same cell.
    """
    grids = []
    for stride in dict.fromkeys(_STRIDES_PX):
        cells = -(-side // stride)
        at = (torch.arange(cells, dtype=torch.float64) + 0.5) * (side / cells)
        y, x = torch.meshgrid(at, at, indexing="ij")
        each = _ANCHORS_PER_STRIDE * _STRIDES_PX.count(stride)
        grids.append(torch.stack([x, y], -1).reshape(-1, 2).repeat_interleave(each, 0))
    return torch.cat(grids)


def merge(people: Sequence[Person], same_head_px: float) -> list[Person]:
    """Each person once, surest first: those whose heads are nearer than `same_head_px` are one.

    Weighted non-maximum suppression (Bazarevsky et al., BlazeFace, 2019): the surest score is kept, positions
    are means weighted by the scores.
    """
    rest = sorted(people, key=lambda person: -person.score)
    merged = []
    while rest:
        first = rest[0]
        near = [math.dist(person.head, first.head) < same_head_px for person in rest[1:]]
        same = [first, *(person for person, is_near in zip(rest[1:], near, strict=True) if is_near)]
        rest = [person for person, is_near in zip(rest[1:], near, strict=True) if not is_near]
        shares = [person.score / sum(other.score for other in same) for person in same]
        head = _mean([person.head for person in same], shares)
        hips = _mean([person.hips for person in same], shares)
        reach = sum(share * person.reach for share, person in zip(shares, same, strict=True))
        merged.append(Person(first.score, head, hips, reach))
    return merged


def _mean(points: Sequence[Point], shares: Sequence[float]) -> Point:
    rows = sum(share * row for share, (row, _) in zip(shares, points, strict=True))
    return rows, sum(share * column for share, (_, column) in zip(shares, points, strict=True))
