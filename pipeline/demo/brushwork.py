"""Paints with thick oil paint: strokes of a bristle brush along a flow field, lit from the upper left.

Plain numpy. Arrays are (height, width) or (height, width, 3); colours are sRGB in [0, 1]; angles are those
of the strokes, from +x (right) towards +y (down).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

_UNDERPAINTING = 0.08
_RELIEF = 2.1
_LIGHT = np.array([-0.55, -0.65, 0.75], dtype=np.float32)
_GLOSS = 0.16
_SHARPNESS_OF_GLOSS = 24


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be painted.

    Attributes:
        colour: (height, width, 3), the colours aimed at.
        angle: (height, width), the direction of the strokes.
        curvature: (height, width), how much the direction turns along a stroke, per pixel.
        detail: (height, width) in [0, 1]: strokes of the finer layers fall where it is large.
        pigments: Colours on the palette, of which every stroke takes a part.
    """

    colour: Array
    angle: Array
    curvature: Array
    detail: Array
    pigments: Sequence[Colour]


@dataclass(frozen=True, slots=True)
class Layer:
    """Strokes of one brush.

    Attributes:
        width_px: The brush's width.
        length_px: The length of its strokes.
        cover: How many times the strokes' area covers the picture, were they everywhere.
        fine: Whether strokes fall only where the scene wants detail.
        purity: The share of pigment, in [0, 1], in the stroke's colour; the rest is the scene's.
    """

    width_px: float
    length_px: float
    cover: float
    fine: bool
    purity: float


@dataclass(frozen=True, slots=True)
class _Stroke:
    """One stroke: its middle (y, x), direction, curvature per pixel, brush, and paint."""

    centre: tuple[float, float]
    angle: float
    bend: float
    width_px: float
    length_px: float
    colour: Array


def paint(scene: Scene, layers: Sequence[Layer], seed: int) -> npt.NDArray[np.uint8]:
    """The painted scene, (height, width, 3), the same for the same seed.

    Args:
        scene: What to paint.
        layers: The brushes, in the order of use, largest first.
        seed: Chooses every stroke.
    """
    random = np.random.default_rng(seed)
    canvas = scene.colour * 0.8 + np.float32(_UNDERPAINTING)
    relief = np.zeros(scene.angle.shape, dtype=np.float32)
    for layer in layers:
        _paint_layer(canvas, relief, scene, layer, random)
    return np.round(_lit(canvas, relief) * 255).astype(np.uint8)


def direction(along_x: Array, along_y: Array) -> tuple[Array, Array]:
    """Angle and curvature (per pixel) of the curves that follow a vector field."""
    length = np.sqrt(along_x**2 + along_y**2) + 1e-6
    unit_x, unit_y = along_x / length, along_y / length
    x_dy, x_dx = np.gradient(unit_x)
    y_dy, y_dx = np.gradient(unit_y)
    turn_x = unit_x * x_dx + unit_y * x_dy
    turn_y = unit_x * y_dx + unit_y * y_dy
    curvature = unit_x * turn_y - unit_y * turn_x
    return np.arctan2(unit_y, unit_x).astype(np.float32), curvature.astype(np.float32)


def _paint_layer(
    canvas: Array, relief: Array, scene: Scene, layer: Layer, random: np.random.Generator
) -> None:
    height, width = relief.shape
    pigments = np.array(scene.pigments, dtype=np.float32)
    strokes = round(layer.cover * height * width / (layer.width_px * layer.length_px))
    for _ in range(strokes):
        y, x = random.uniform(0, height), random.uniform(0, width)
        row, column = int(y), int(x)
        if layer.fine and random.random() > scene.detail[row, column]:
            continue
        aimed = scene.colour[row, column]
        distance = ((pigments - aimed) ** 2).sum(1)
        likely = np.exp(-distance / 0.02) + 1e-9
        pigment = pigments[random.choice(len(pigments), p=likely / likely.sum())]
        loaded = aimed + layer.purity * (pigment - aimed)
        loaded = loaded * random.uniform(0.88, 1.12) + random.normal(0, 0.018, 3)
        size = random.uniform(0.7, 1.25)
        length_px = layer.length_px * size * random.uniform(0.75, 1.2)
        # A stroke that bends by more than a third of a circle would fold over itself.
        bend = float(np.clip(scene.curvature[row, column], -1.8 / length_px, 1.8 / length_px))
        angle = float(scene.angle[row, column]) + random.normal(0, 0.09)
        brush = _Stroke((y, x), angle, bend, layer.width_px * size, length_px, loaded.astype(np.float32))
        _lay(brush, canvas, relief, random)


def _lay(stroke: _Stroke, canvas: Array, relief: Array, random: np.random.Generator) -> None:
    """Lays one stroke onto canvas and relief, in place."""
    centre, angle, bend, width_px = stroke.centre, stroke.angle, stroke.bend, stroke.width_px
    half_length, half_width = stroke.length_px / 2, width_px / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    sag = abs(bend) * half_length**2 / 2 + half_width + 1
    reach_y = abs(sine) * half_length + abs(cosine) * sag
    reach_x = abs(cosine) * half_length + abs(sine) * sag
    top, bottom = max(0, int(centre[0] - reach_y)), min(relief.shape[0], int(centre[0] + reach_y) + 2)
    left, right = max(0, int(centre[1] - reach_x)), min(relief.shape[1], int(centre[1] + reach_x) + 2)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(centre[1])
    along = dx * np.float32(cosine) + dy * np.float32(sine)
    across = dy * np.float32(cosine) - dx * np.float32(sine) - np.float32(bend / 2) * along * along

    bristles = max(4, round(width_px * 0.9))
    position = np.clip((across / half_width + 1) * (0.5 * (bristles - 1)), 0, bristles - 1.001)
    first = position.astype(np.int32)
    share = position - first

    def by_bristle(values: Array) -> Array:
        chosen = values.astype(np.float32)
        blended: Array = chosen[first] * (1 - share) + chosen[first + 1] * share
        return blended

    paint_load = random.uniform(0.25, 1, bristles)
    starts = by_bristle(half_length * (-1 + 0.22 * random.random(bristles)))
    ends = by_bristle(half_length * (1 - 0.5 * random.random(bristles) ** 2))
    load = by_bristle(paint_load)
    run_out = np.clip(along / half_length, 0, 1)
    covering = np.clip(half_width - np.abs(across) + 0.5, 0, 1)
    covering *= np.clip((along - starts) / 1.5, 0, 1) * np.clip((ends - along) / 2.5, 0, 1)
    covering *= np.clip(1.25 - run_out * (1.15 - load), 0, 1)

    edge = np.clip(np.abs(across) / half_width, 0, 1) ** 6
    pile = np.exp(-(((ends - along) / (0.25 * width_px + 1)) ** 2))
    thickness = np.sqrt(width_px) * (0.35 + 0.65 * load + 0.45 * edge + 0.5 * pile) * (1 - 0.35 * run_out)
    tint = by_bristle(1 + 0.09 * random.standard_normal(bristles))

    patch, bed = canvas[top:bottom, left:right], relief[top:bottom, left:right]
    # Wet in wet: a brush that runs out of its own paint drags along what lies below.
    picked_up = (0.22 * run_out * covering)[..., None]
    wet = stroke.colour * tint[..., None]
    patch += covering[..., None] * (wet + picked_up * (patch - wet) - patch)
    bed += covering * (thickness + 0.3 * bed - bed)


def _lit(canvas: Array, relief: Array) -> Array:
    """The canvas with light and shade of its relief, in [0, 1]."""
    padded = np.pad(relief, 1, mode="edge")
    smooth = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + 2 * relief) / 6
    slope_y, slope_x = np.gradient(smooth)
    normal = np.stack([-_RELIEF * slope_x / 4, -_RELIEF * slope_y / 4, np.ones_like(relief)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    halfway = light + np.array([0, 0, 1], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    shade = np.clip(normal @ light / light[2], 0.35, 1.55)[..., None]
    gloss = np.clip(normal @ halfway, 0, 1)[..., None] ** _SHARPNESS_OF_GLOSS
    flat = halfway[2] ** _SHARPNESS_OF_GLOSS
    lit = np.clip(canvas, 0, 1) * (0.45 + 0.55 * shade) + _GLOSS * np.clip(gloss - flat, 0, 1)
    clipped: Array = np.clip(lit, 0, 1)
    return clipped
