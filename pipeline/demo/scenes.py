"""Two scenes for the demo's painted styles: a night of whirling stars, and fields at sunset."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.demo.brushwork import Array, Colour, Layer, Scene, direction, paint
from pipeline.geometry import Size

NIGHT_LAYERS = (
    Layer(34, 120, 4, fine=False, purity=0.45),
    Layer(17, 72, 4, fine=False, purity=0.6),
    Layer(9, 46, 2.6, fine=True, purity=0.7),
    Layer(5, 26, 1.0, fine=True, purity=0.85),
)
FIELDS_LAYERS = (
    Layer(44, 120, 4, fine=False, purity=0.5),
    Layer(24, 74, 4, fine=False, purity=0.65),
    Layer(13, 44, 2.2, fine=True, purity=0.75),
    Layer(7, 24, 0.8, fine=True, purity=0.9),
)

_NIGHT_PIGMENTS: tuple[Colour, ...] = (
    (0.05, 0.08, 0.24),
    (0.08, 0.17, 0.45),
    (0.13, 0.31, 0.64),
    (0.29, 0.52, 0.77),
    (0.55, 0.75, 0.83),
    (0.16, 0.42, 0.46),
    (0.98, 0.83, 0.25),
    (0.95, 0.68, 0.14),
    (0.97, 0.94, 0.72),
    (0.06, 0.14, 0.16),
    (0.20, 0.29, 0.17),
)
_FIELDS_PIGMENTS: tuple[Colour, ...] = (
    (0.87, 0.26, 0.11),
    (0.93, 0.47, 0.12),
    (0.95, 0.72, 0.20),
    (0.80, 0.58, 0.18),
    (0.98, 0.88, 0.55),
    (0.56, 0.13, 0.12),
    (0.05, 0.40, 0.42),
    (0.10, 0.56, 0.55),
    (0.45, 0.72, 0.62),
    (0.16, 0.13, 0.22),
    (0.85, 0.50, 0.42),
)

# Whirls of the night sky: x, y, radius (shares of the picture), turning direction, light at the centre.
_WHIRLS = (
    (0.42, 0.36, 0.19, 1, 0.35),
    (0.63, 0.47, 0.13, -1, 0.3),
    (0.86, 0.15, 0.13, 1, 1.0),
    (0.12, 0.14, 0.075, -1, 0.9),
    (0.36, 0.09, 0.06, 1, 0.85),
    (0.61, 0.19, 0.07, -1, 0.9),
    (0.10, 0.44, 0.065, 1, 0.85),
    (0.90, 0.46, 0.06, -1, 0.85),
)


def paint_night(size: Size, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Whirling stars over dark hills in blues and yellows, (height, width, 3)."""
    return paint(_night(size), NIGHT_LAYERS, seed)


def paint_fields(size: Size, seed: int = 2) -> npt.NDArray[np.uint8]:
    """Furrowed fields under a low sun in ochre, vermilion and teal, (height, width, 3)."""
    return paint(_fields(size), FIELDS_LAYERS, seed)


def _night(size: Size) -> Scene:
    y, x = _coordinates(size)
    deep, light = _rgb(0.06, 0.12, 0.36), _rgb(0.25, 0.47, 0.70)
    wave = 0.5 + 0.5 * np.sin(26 * y + 5 * np.sin(5 * x) + 3 * np.sin(11 * x + 4 * y))
    colour = _mix(deep, light, (0.15 + 0.5 * wave * (0.4 + 0.6 * y))[..., None])
    flow_x, flow_y = np.ones_like(x), 0.35 * np.cos(7 * x + 2 * y) + 0.2 * np.sin(13 * y)
    detail = np.full_like(x, 0.45)
    for centre_x, centre_y, radius, turning, glow in _WHIRLS:
        dx, dy = x - centre_x, y - centre_y
        distance = np.sqrt(dx**2 + dy**2) / radius
        pull = 3.5 * np.exp(-((distance / 1.25) ** 2))
        # A little of the pull goes outwards, so that strokes spiral where circles would look drawn.
        flow_x += pull * (-turning * dy + 0.12 * dx) / radius
        flow_y += pull * (turning * dx + 0.12 * dy) / radius
        rings = 0.5 + 0.5 * np.sin(11 * distance - turning * np.arctan2(dy, dx))
        halo = np.exp(-((distance / 0.95) ** 2))
        colour = _mix(colour, _rgb(0.62, 0.80, 0.84), (halo * rings * (0.35 + 0.5 * glow))[..., None])
        colour = _mix(colour, _rgb(0.97, 0.80, 0.26), (glow * np.exp(-((distance / 0.62) ** 2)))[..., None])
        colour = _mix(colour, _rgb(0.99, 0.95, 0.72), (glow * np.exp(-((distance / 0.26) ** 4)))[..., None])
        detail = np.maximum(detail, halo)
    for crest, height, tone, slope in (
        (0.74, 0.06, _rgb(0.14, 0.33, 0.47), 4.0),
        (0.82, 0.05, _rgb(0.09, 0.22, 0.30), 6.5),
        (0.91, 0.04, _rgb(0.10, 0.15, 0.13), 5.0),
    ):
        outline = crest + height * np.sin(slope * x + 40 * crest)
        below = np.clip((y - outline) * 60, 0, 1)
        ridge = np.exp(-(((y - outline) * 26) ** 2))
        ground = _mix(tone, _rgb(0.36, 0.56, 0.50), (0.55 * ridge)[..., None])
        colour = _mix(colour, ground, below[..., None])
        flow_x, flow_y = (
            flow_x + below * (1 - flow_x),
            flow_y + below * (height * slope * np.cos(slope * x + 40 * crest) - flow_y),
        )
    for index in range(9):
        lamp_x, lamp_y = 0.08 + 0.105 * index, 0.865 + 0.02 * np.sin(3.7 * index)
        lamp = np.exp(-((((x - lamp_x) / 0.012) ** 2 + ((y - lamp_y) / 0.010) ** 2) ** 1.5))
        colour = _mix(colour, _rgb(0.98, 0.78, 0.22), lamp[..., None])
        detail = np.maximum(detail, lamp)
    angle, curvature = direction(flow_x, flow_y)
    return Scene(colour, angle, curvature, detail, _NIGHT_PIGMENTS)


def _fields(size: Size) -> Scene:
    y, x = _coordinates(size)
    sun_x, sun_y = 0.66, 0.27
    dx, dy = x - sun_x, y - sun_y
    distance = np.sqrt(dx**2 + dy**2)
    bands = 0.5 + 0.5 * np.sin(30 * distance + 1.5 * np.sin(9 * x))
    sky = _mix(_rgb(0.93, 0.58, 0.20), _rgb(0.97, 0.84, 0.45), bands[..., None])
    sky = _mix(
        sky, _rgb(0.20, 0.56, 0.56), np.clip(1.35 * distance - 0.42 + 0.12 * bands, 0, 0.85)[..., None]
    )
    sky = _mix(sky, _rgb(0.90, 0.30, 0.12), np.exp(-((distance / 0.085) ** 6))[..., None])
    colour, flow_x, flow_y = sky, -dy + 0.25 * dx, dx + 0.25 * dy
    detail = np.clip(0.35 + np.exp(-((distance / 0.14) ** 2)), 0, 1)
    for crest, height, slope, tone in (
        (0.47, 0.035, 6.0, _rgb(0.10, 0.45, 0.50)),
        (0.53, 0.045, 4.5, _rgb(0.06, 0.33, 0.36)),
    ):
        outline = crest - height * np.sin(slope * x + 17 * crest)
        below = np.clip((y - outline) * 70, 0, 1)
        facets = 0.5 + 0.5 * np.sin(34 * x + 22 * y)
        colour = _mix(colour, _mix(tone, _rgb(0.42, 0.66, 0.56), (0.5 * facets)[..., None]), below[..., None])
        flow_x = flow_x + below * (1 - flow_x)
        flow_y = flow_y + below * (0.9 * np.sin(9 * x + 3) - flow_y)
    horizon = 0.60 + 0.02 * np.sin(5 * x)
    depth = np.clip((y - horizon) / 0.40, 1e-3, 1)
    ray = (x - 0.45) / (depth + 0.12)
    furrow = 0.5 + 0.5 * np.sin(15 * ray + 1.2 * np.sin(6 * y))
    patches = np.sin(2.4 * ray + 4.5 * np.sqrt(depth))
    field = _mix(_rgb(0.90, 0.66, 0.20), _rgb(0.86, 0.28, 0.12), furrow[..., None])
    field = _mix(field, _rgb(0.09, 0.47, 0.46), np.clip(1.5 * patches - 0.75, 0, 0.9)[..., None])
    field = _mix(field, _rgb(0.42, 0.12, 0.16), (0.55 * (furrow > 0.86))[..., None])
    below = np.clip((y - horizon) * 60, 0, 1)
    colour = _mix(colour, field, below[..., None])
    flow_x = flow_x + below * (ray - flow_x)
    flow_y = flow_y + below * (1.0 - flow_y)
    detail = np.maximum(detail, below * 0.75)
    for tree_x, foot_y, tall in ((0.14, 0.66, 0.34), (0.225, 0.64, 0.23), (0.90, 0.65, 0.19)):
        rise = (foot_y - y) / tall
        flame = 0.030 * np.sqrt(np.clip(rise, 0, 1) * np.clip(1.02 - rise, 0, 1)) * 2 * tall / 0.3
        bent = x - tree_x - 0.012 * np.sin(9 * rise)
        tree = np.clip((flame - np.abs(bent)) * 110, 0, 1)
        lit = np.clip(0.5 - bent / (flame + 0.01) * 0.5, 0, 1)
        colour = _mix(
            colour,
            _mix(_rgb(0.14, 0.12, 0.21), _rgb(0.10, 0.44, 0.40), (0.8 * lit)[..., None]),
            tree[..., None],
        )
        flow_x = flow_x + tree * (0.35 * np.sin(16 * rise) - flow_x)
        flow_y = flow_y + tree * (-1.0 - flow_y)
        detail = np.maximum(detail, tree)
    angle, curvature = direction(flow_x, flow_y)
    return Scene(colour.astype(np.float32), angle, curvature, detail, _FIELDS_PIGMENTS)


def _coordinates(size: Size) -> tuple[Array, Array]:
    rows = (np.arange(size.height, dtype=np.float32) + 0.5) / size.height
    columns = (np.arange(size.width, dtype=np.float32) + 0.5) / size.width
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return y, x


def _rgb(red: float, green: float, blue: float) -> Array:
    return np.array([red, green, blue], dtype=np.float32)


def _mix(a: Array, b: Array, share_of_b: Array) -> Array:
    return (a + share_of_b * (b - a)).astype(np.float32)
