"""Where people are, by MediaPipe's selfie network run in plain torch, in views around each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.geometry import Box, Size
from pipeline.segmentation import graph
from pipeline.segmentation.detection import Person
from pipeline.segmentation.masks import box_of
from pipeline.segmentation.people import BODY, around
from pipeline.weights import Weights

_HEAD_ZOOMS = (0.6, 0.8, 1.2)
_BODY_ZOOMS = (BODY, 1.4 * BODY)
_FEATHER = 0.1
_GRID_PX = 160
_TORSO = 0.6
_TORSO_POINTS = 13
_SMALLEST_SUPPORT = 0.5
_HELD = 0.5


def person_probability(
    view: Float[Tensor, "3 height width"], weights: Weights
) -> Float[Tensor, "height width"]:
    """The probability in [0, 1] that a pixel belongs to a person, at the view's size.

    The mean over the view and its mirror image. It is squashed to the network's 256x256: on a photograph
    extended to 3:2 that finds the same person as the square one does with an intersection over union of 0.94,
    and a letterboxed one of 0.87. The network expects a person; it fires on a cat's face as well.

    Args:
        view: sRGB in [0, 1].
        weights: The registry's `person`.
    """
    small = functional.interpolate(
        view[None].float(), graph.input_size(weights), mode="bilinear", antialias=True, align_corners=False
    )
    probability = (graph.run(small, weights) + graph.run(small.flip(3), weights).flip(3)) / 2
    height, width = view.shape[1:]
    whole = functional.interpolate(probability, (height, width), mode="bilinear", align_corners=False)
    return whole[0, 0].clamp(0, 1)


def masks_of(
    image: Float[Tensor, "3 height width"], people: Sequence[Person], weights: Weights
) -> list[Float[Tensor, "height width"]]:
    """Each person's part of the mask of them all, in [0, 1]; zeros for whom the segmenter does not see.

    The mask of all is the largest of the masks around each (`mask_of`). A pixel that several of these hold
    goes to the person whose line from head to hips is nearest, by that person's size.

    Args:
        image: sRGB in [0, 1].
        people: Whom to look at.
        weights: The registry's `person`.
    """
    masks = torch.stack([mask_of(image, person, weights) for person in people])
    everybody = masks.amax(0)
    far = torch.stack([_distance(person, everybody) / person.reach for person in people])
    far[masks < _HELD * everybody] = torch.inf
    nearest = far.argmin(0)
    return [torch.where(nearest == index, everybody, 0) for index in range(len(people))]


def mask_of(
    image: Float[Tensor, "3 height width"], person: Person, weights: Weights
) -> Float[Tensor, "height width"]:
    """The probability in [0, 1] that a pixel belongs to this person or to who hangs together with them.

    The mean over views around the head, as in a selfie, and around the hips, where all of the body is. Each
    counts by how surely the segmenter sees somebody in it on the line from the head to the hips. What does
    not hang together with that line is nobody's, and fades away. Zeros where no view shows anybody on it.

    Args:
        image: sRGB in [0, 1].
        person: Whom to look at.
        weights: The registry's `person`.
    """
    size = Size(*image.shape[1:])
    squares = [(person.head, zoom) for zoom in _HEAD_ZOOMS] + [(person.hips, zoom) for zoom in _BODY_ZOOMS]
    boxes = [around(centre, zoom * person.reach, size) for centre, zoom in squares]
    total = image.new_zeros(size.height, size.width, dtype=torch.float32)
    weight, reached = torch.zeros_like(total), torch.zeros_like(total)
    best = 0.0
    for box in dict.fromkeys(box for box in boxes if box is not None):
        seen = person_probability(image[:, *box.slices], weights)
        support = _support(seen, person.moved(-box.top, -box.left))
        best = max(best, support)
        window = _window(box, size).to(total)
        total[box.slices] += support**2 * window * seen
        weight[box.slices] += support**2 * window
        reached[box.slices] = torch.maximum(reached[box.slices], window)
    if best < _SMALLEST_SUPPORT:
        return torch.zeros_like(total)
    outer = box_of(reached > 0)
    mean = reached[outer.slices] * total[outer.slices] / weight[outer.slices].clamp(min=1e-6)
    total.zero_()
    total[outer.slices] = _connected(mean, person.moved(-outer.top, -outer.left))
    return total


def _connected(probability: Tensor, person: Person) -> Tensor:
    """What hangs together with the torso, no more probable than the weakest link between them.

    Morphological reconstruction by dilation (Vincent, 1993) from the torso, on a grid of 160 px a side.
    """
    height, width = probability.shape
    shrink = min(1.0, _GRID_PX / max(height, width))
    grid = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    small = functional.interpolate(probability[None, None], grid, mode="area")
    reached = torch.zeros_like(small)
    for row, column in _torso(person, probability):
        at = (0, 0, row * grid[0] // height, column * grid[1] // width)
        reached[at] = small[at]
    while True:
        grown = torch.minimum(functional.max_pool2d(reached, 3, 1, 1), small)
        if torch.equal(grown, reached):
            break
        reached = grown
    # Where nothing is probable there is nothing to take away; the margin keeps the part's own soft edge.
    kept = functional.max_pool2d(reached / small.clamp(min=1e-3), 3, 1, 1).clamp(0, 1)
    share_kept = functional.interpolate(kept, (height, width), mode="bilinear", align_corners=False)[0, 0]
    return probability * share_kept


def _torso(person: Person, within: Tensor) -> list[tuple[int, int]]:
    """Pixels on the line from the head to the hips that lie in the image, to well above the hips."""
    points = []
    for index in range(_TORSO_POINTS):
        share = _TORSO * index / (_TORSO_POINTS - 1)
        row = math.floor(person.head[0] + share * (person.hips[0] - person.head[0]))
        column = math.floor(person.head[1] + share * (person.hips[1] - person.head[1]))
        if 0 <= row < within.shape[0] and 0 <= column < within.shape[1]:
            points.append((row, column))
    return points


def _support(probability: Tensor, person: Person) -> float:
    """The mean probability on the torso; 0 where none of it is in the view."""
    points = _torso(person, probability)
    return sum(float(probability[point]) for point in points) / len(points) if points else 0.0


def _distance(person: Person, like: Tensor) -> Tensor:
    """Pixels from the line between head and hips, at every pixel of an image of this shape."""
    rows = torch.arange(like.shape[0], device=like.device, dtype=torch.float32)[:, None] - person.head[0]
    columns = torch.arange(like.shape[1], device=like.device, dtype=torch.float32) - person.head[1]
    down, across = person.hips[0] - person.head[0], person.hips[1] - person.head[1]
    share = ((rows * down + columns * across) / max(down**2 + across**2, 1e-6)).clamp(0, 1)
    return torch.hypot(rows - share * down, columns - share * across)


def _window(box: Box, size: Size) -> Float[Tensor, "height width"]:
    """1 in the box, fading to 0 at those of its sides that are not the image's."""
    sides = []
    for start, end, whole in ((box.top, box.bottom, size.height), (box.left, box.right, size.width)):
        length = end - start
        at = torch.arange(length, dtype=torch.float32) + 0.5
        feather = _FEATHER * length
        fade = torch.ones(length)
        if start > 0:
            fade = torch.minimum(fade, at / feather)
        if end < whole:
            fade = torch.minimum(fade, (length - at) / feather)
        sides.append(fade)
    return torch.minimum(sides[0][:, None], sides[1][None, :])
