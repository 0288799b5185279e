"""Portraits of known alpha: a head with thousands of thin curved strands, before a textured background."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Background = Literal["smooth", "busy", "dark hair"]
Plane: TypeAlias = Float[ndarray, "height width"]

_OVERSAMPLING = 2
_HAIR: dict[Background, tuple[float, float, float]] = {
    "smooth": (0.28, 0.18, 0.10),
    "busy": (0.75, 0.60, 0.38),
    "dark hair": (0.12, 0.09, 0.08),
}
_BEHIND: dict[Background, tuple[tuple[float, float, float], float, float]] = {
    "smooth": ((0.55, 0.65, 0.60), 0.10, 1.6),
    "busy": ((0.30, 0.35, 0.40), 0.13, 1.0),
    "dark hair": ((0.55, 0.50, 0.45), 0.16, 0.8),
}


class Composite(NamedTuple):
    """A photograph in [0, 1] and the share of each pixel that the person covers."""

    image: Float[ndarray, "height width 3"]
    alpha: Plane


def portrait(side_px: int, background: Background, seed: int, strands: int = 3000) -> Composite:
    """A square portrait: everything but the sharpness is the same at any `side_px`.

    Strands are 0.3 to 1 thousandths of the side wide, taper to their ends, and are drawn at twice the size.
    """
    random = np.random.default_rng(seed)
    y, x = ((np.mgrid[:side_px, :side_px] + 0.5) / side_px).astype(np.float32)
    angle = np.arctan2(y - 0.42, x - 0.5)
    distance = np.hypot((x - 0.5) / 0.2, (y - 0.42) / 0.26) - 1 - _wave(angle, seed) / 0.2
    head = np.clip(0.5 - distance * 0.22 * side_px, 0, 1)
    outside = (np.hypot((x - 0.5) / 0.42, (y - 1.05) / 0.38) - 1) * 0.4
    shoulders = np.clip(0.5 - outside * side_px, 0, 1)
    hair = _strands(side_px, random, seed, strands)
    alpha = 1 - (1 - np.maximum(head, shoulders)) * (1 - hair)

    tone = np.clip(_normal(random, side_px, side_px, 1), -2, 2)
    person = np.array(_HAIR[background], np.float32) * (1 + 0.12 * tone)
    face = np.hypot((x - 0.5) / 0.13, (y - 0.47) / 0.19) < 1
    person[face] = np.array([0.82, 0.62, 0.52]) * (1 + 0.02 * tone[face])
    coat = (shoulders > 0.5) & (y > 0.72)
    person[coat] = np.array([0.7, 0.25, 0.15]) + 0.04 * _texture(side_px, random, 1.0)[coat]
    colour, contrast, decay = _BEHIND[background]
    image = np.array(colour, np.float32) + np.float32(contrast) * _texture(side_px, random, decay)
    np.clip(image, 0, 1, out=image)
    image += alpha[..., None].astype(np.float32) * (np.clip(person, 0, 1) - image)
    image += 0.006 * _normal(random, side_px, side_px, 3)
    return Composite(np.clip(image, 0, 1), alpha.astype(np.float32))


def coarse(alpha: Plane, seed: int, side_px: int = 256) -> Plane:
    """What a person network of 256 px would say: averaged down, blurred, and wrong by a pixel here and there.

    The edge is moved by a smooth field with a deviation of one pixel in each direction, and the mask is
    dilated in some places and eroded in others.
    """
    random = np.random.default_rng(seed)
    move_y, move_x, lean = (_smooth_field(side_px, random) for _ in range(3))
    blurred = _blurred(averaged(alpha.astype(np.float64), side_px), 1.5)
    rows, columns = np.mgrid[:side_px, :side_px]
    moved = _sampled(blurred, rows + move_y, columns + move_x)
    odds = np.clip(moved, 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + (1 - odds) / odds * np.exp(-0.5 * lean)))


def averaged(
    array: Float[ndarray, "height width *bands"], side_px: int
) -> Float[ndarray, "side side *bands"]:
    """Block means."""
    step = len(array) // side_px
    blocks = array.reshape(side_px, step, side_px, step, *array.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)))


def bicubic(plane: Plane, side_px: int) -> Plane:
    """Catmull-Rom upsampling of a square plane, clipped to [0, 1]; borders repeat."""
    for _ in range(2):
        position = (np.arange(side_px) + 0.5) * len(plane) / side_px - 0.5
        below = np.floor(position).astype(int)
        t = (position - below)[:, None]
        weights = (
            (-t + 2 * t**2 - t**3) / 2,
            (2 - 5 * t**2 + 3 * t**3) / 2,
            (t + 4 * t**2 - 3 * t**3) / 2,
            (-(t**2) + t**3) / 2,
        )
        taps = (plane[np.clip(below + step, 0, len(plane) - 1)] for step in (-1, 0, 1, 2))
        plane = np.asarray(sum(weight * tap for weight, tap in zip(weights, taps, strict=True))).T
    return np.asarray(np.clip(plane, 0, 1))


def _wave(angle: Float[ndarray, "*shape"], seed: int) -> Float[ndarray, "*shape"]:
    return np.asarray(0.012 * np.sin(5 * angle + seed) + 0.008 * np.sin(11 * angle))


def _strands(side_px: int, random: np.random.Generator, seed: int, count: int) -> Plane:
    """How far each pixel is covered by hair that grows outwards from the upper part of the head."""
    side = side_px * _OVERSAMPLING
    covered = np.zeros((side, side), dtype=bool)
    for _ in range(count):
        start = random.uniform(0.9 * np.pi, 2.1 * np.pi)
        radius = 0.93 * (1 + _wave(np.array(start), seed) / 0.2)
        length = random.uniform(0.02, 0.06) * (1.8 if random.random() > 0.9 else 1)
        turn, bend, twist = random.normal(size=3) * (0.5, 18, 300)
        half_width = random.uniform(0.15, 0.5) * 1e-3
        along = np.linspace(0, length, int(length * side * 1.5) + 2)
        direction = start + turn + bend * along + twist * along**2 / 2
        step = length / len(along)
        x = 0.5 + 0.2 * radius * np.cos(start) + np.cumsum(np.cos(direction)) * step
        y = 0.42 + 0.26 * radius * np.sin(start) + np.cumsum(np.sin(direction)) * step
        width = half_width * (1 - 0.7 * along / length)
        for across in np.linspace(-1, 1, int(half_width * side * 3) + 2):
            column = ((x - np.sin(direction) * across * width) * side).astype(int)
            row = ((y + np.cos(direction) * across * width) * side).astype(int)
            within = (np.minimum(row, column) >= 0) & (np.maximum(row, column) < side)
            covered[row[within], column[within]] = True
    return averaged(covered, side_px)


def _texture(side_px: int, random: np.random.Generator, decay: float) -> Float[ndarray, "height width 3"]:
    """Coloured noise of unit deviation at all scales from a quarter of the side to four pixels."""
    total = np.zeros((side_px, side_px, 3), np.float32)
    points = 4
    while points <= side_px // 4:
        knots = _normal(random, points + 1, points + 1, 3) * np.float32((4 / points) ** (decay / 2))
        position = np.arange(side_px) * points / side_px
        below = position.astype(int)
        share = (position - below).astype(np.float32)[:, None, None]
        rows = knots[below] * (1 - share) + knots[below + 1] * share
        share = share[:, 0]
        total += rows[:, below] * (1 - share)
        total += rows[:, below + 1] * share
        points *= 2
    return np.asarray(total / total.std())


def _normal(random: np.random.Generator, *shape: int) -> Float[ndarray, "*shape"]:
    return random.standard_normal(shape, dtype=np.float32)


def _smooth_field(side_px: int, random: np.random.Generator) -> Plane:
    field = _blurred(random.normal(size=(side_px, side_px)), 8.0)
    return np.asarray(field / field.std())


def _blurred(plane: Plane, deviation_px: float) -> Plane:
    reach = round(4 * deviation_px)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_px) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(plane, ((reach, reach), (0, 0)), mode="edge")
        plane = sum(weight * padded[i : i + len(plane)] for i, weight in enumerate(kernel)).T
    return plane


def _sampled(plane: Plane, rows: Plane, columns: Plane) -> Plane:
    """Bilinear interpolation; positions outside are those of the border."""
    rows, columns = np.clip(rows, 0, plane.shape[0] - 1), np.clip(columns, 0, plane.shape[1] - 1)
    top, left = rows.astype(int), columns.astype(int)
    bottom, right = np.minimum(top + 1, plane.shape[0] - 1), np.minimum(left + 1, plane.shape[1] - 1)
    down, across = rows - top, columns - left
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[bottom, left] * (1 - across) + plane[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down)
