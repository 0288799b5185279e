"""Photographs with and without people, outlines of the people drawn by hand, and scenes of known alpha."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy import ndarray
from real_weights import cache_folder
from torch import Tensor
from torch.nn import functional

from pipeline import canvas
from pipeline.demo import INPUTS
from pipeline.errors import PipelineError
from pipeline.fetching.sources import WheelMember, obtain
from pipeline.files import atomic_path

Outline = Sequence[tuple[float, float]]
"""Corners as (x, y) in pixels, drawn on a grid over the photograph enlarged four times."""

_NASA = INPUTS["astronaut.png"].origin
assert isinstance(_NASA, WheelMember)
_CAMERAMAN = WheelMember(
    _NASA.wheel, "skimage/data/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"
)

_ASTRONAUT_HEAD_TO_SLEEVE: Outline = [
    (230, 15.5), (238, 16), (250, 18.5), (262, 24), (272, 29), (280, 34), (287, 40), (292, 50), (296, 58),
    (298, 68), (300, 77), (301.5, 87), (300, 98), (297, 107), (292, 114), (285, 121), (280, 126), (279, 131),
    (276, 135), (271, 137), (267.5, 136), (266, 144), (262, 153), (258, 160), (257, 166), (255, 174),
    (262, 178), (270, 183), (278, 190), (286, 199), (293, 208), (298, 218), (302, 228), (304.5, 234.5),
    (308, 237), (319.6, 243.8), (331.5, 254.4), (339.5, 263.7), (344.8, 271.7), (347.5, 278.3),
    (348.8, 283.6), (353.6, 291.6), (356.8, 302.2), (358.6, 316.8), (360.8, 327.4), (363, 332),
    (360.8, 333.2), (361.3, 343.3), (365.8, 349),
]  # fmt: skip
_ALONG_THE_HELMET: Outline = [
    (346.2, 357.1), (330.2, 365.9), (319.6, 375.2), (303.7, 388.4), (294.4, 397.7), (287.5, 425),
    (279.8, 452), (276.4, 479), (276.4, 500), (277.2, 512),
]  # fmt: skip
_AROUND_THE_HELMET: Outline = [
    (372.7, 346.5), (386, 344.4), (399.2, 343.6), (412.5, 344.4), (425.8, 346.8), (439, 351.8),
    (452.3, 359.2), (465.6, 369.9), (476.2, 381.8), (484.2, 393.7), (490.8, 408.3), (494.8, 425.6),
    (496.4, 441.5), (496.6, 450.8), (502.7, 454), (504, 458), (506.2, 465.4), (508, 476), (508.6, 485.6),
    (512, 486), (512, 494), (505, 502.5), (502.7, 512),
]  # fmt: skip
_ASTRONAUT_ELBOW_TO_HEAD: Outline = [
    (38.7, 512), (37.5, 505), (33.7, 500), (28.7, 490), (26.2, 480), (24.2, 465), (23, 450), (23.7, 437.5),
    (23, 425), (20.7, 412.5), (19.5, 400), (19.2, 392), (21.2, 385), (24.6, 380), (25.7, 355), (27, 340),
    (30, 332), (32, 325), (35, 312.5), (39.5, 297.5), (41.2, 290), (45, 281), (48.7, 272.5), (52.5, 264),
    (57.5, 255), (62.5, 247.5), (68.7, 241), (77.5, 235), (86.2, 230), (95, 222.5), (101, 217.5),
    (107.5, 210), (111, 205.7), (113.7, 204.5), (113.2, 201), (114.5, 197), (113, 191), (113.7, 187),
    (117.5, 185.5), (121.5, 183), (125, 172.5), (128.7, 165), (135, 159), (143.7, 153), (152.5, 150),
    (165, 148.2), (177.5, 148), (185.7, 149), (183.7, 141), (182.5, 134), (178.7, 131.7), (175, 128.7),
    (172.5, 123.7), (170.7, 119.5), (166, 115.5), (161, 110), (157, 102.5), (155, 92.5), (154.2, 82.5),
    (153.2, 72.5), (154, 65), (157, 58.7), (163.7, 51), (171, 45), (180, 39.5), (187.5, 35), (192.5, 30),
    (200, 24.5), (210, 20.5), (222.5, 17),
]  # fmt: skip
ASTRONAUT: Outline = [*_ASTRONAUT_HEAD_TO_SLEEVE, *_ALONG_THE_HELMET, *_ASTRONAUT_ELBOW_TO_HEAD]
"""The astronaut in her suit, without the helmet that she holds."""
HELMET: Outline = [(365.8, 349), *_AROUND_THE_HELMET, *reversed(_ALONG_THE_HELMET)]
"""The helmet: whether what somebody holds belongs to the person is a matter of taste."""
CAMERAMAN: Outline = [
    (196.7, 68.3), (213, 67.3), (230, 73.3), (243, 81.7), (256.7, 93.3), (265, 103.3), (269.3, 115),
    (268.3, 126.7), (258.3, 137.3), (252.3, 143.3), (253.3, 156.7), (254.3, 165), (246.7, 170.7),
    (246, 178.3), (241.7, 183.3), (241.7, 193.3), (239.3, 203.3), (242.7, 206.7), (243.3, 213.3),
    (240, 216.7), (242.7, 225), (248.3, 247.3), (263.3, 231.7), (261.7, 221.7), (266.7, 211.7), (275, 206.7),
    (285, 208), (297, 205), (303, 200), (301.7, 185), (315, 183), (319, 178), (318, 170), (320, 168.3),
    (328.3, 171.7), (331, 183.3), (330, 200), (325, 210), (316.7, 223.3), (306.7, 231.7), (301.7, 250),
    (304.3, 273.3), (297.7, 280), (287.7, 286.7), (266.7, 303.3), (246.7, 312.7), (233, 306.7),
    (216.7, 298.3), (206.7, 293.3), (200, 306.7), (186.7, 323.3), (171.7, 343.3), (156.7, 363.3),
    (141, 381.7), (145, 403.3), (148.3, 426.7), (149.7, 450), (150.7, 483.3), (151.3, 512), (0, 512),
    (0, 258), (6.7, 248), (16.7, 231.7), (28.3, 216.7), (35, 205), (50, 183.3), (58.3, 166.7), (70, 150),
    (83.3, 139.3), (100, 130.7), (116.7, 125.7), (130, 124.3), (136.7, 118.3), (150, 106.7), (161.7, 106),
    (162.3, 101.7), (171.7, 90), (181.7, 78.3), (191.7, 70.7),
]  # fmt: skip
"""The man in his coat, without camera and tripod; what is seen between his coat's tails are his trousers."""

PEOPLE = {"astronaut.png": ASTRONAUT, "camera.png": CAMERAMAN}
"""By the file's name; both photographs are 512x512."""


def photograph(name: str) -> Path:
    """One of scikit-image's photographs, fetched once a machine; skips the test where it cannot be had."""
    source = _CAMERAMAN if name == "camera.png" else INPUTS[name].origin
    assert isinstance(source, WheelMember)
    path = cache_folder() / name
    if not path.is_file():
        try:
            with tempfile.TemporaryDirectory() as folder:
                data = obtain(source, Path(folder)).read_bytes()
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                partial.write_bytes(data)
        except (PipelineError, OSError) as error:
            pytest.skip(f"the photograph cannot be had: {error}")
    return path


def read(name: str, longer_px: int | None = None) -> Float[Tensor, "3 height width"]:
    """The photograph as sRGB in [0, 1], resized so that its longer side has so many pixels."""
    levels = canvas.read(photograph(name))
    image = torch.from_numpy(levels).permute(2, 0, 1)
    image = image.expand(3, -1, -1) if image.shape[0] == 1 else image[:3]
    if longer_px is None:
        return image.contiguous()
    scale = longer_px / max(image.shape)
    return resized(image, (round(image.shape[1] * scale), round(image.shape[2] * scale)))


def resized(planes: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c height width"]:
    """The planes at another size, averaged where that is smaller."""
    return functional.interpolate(planes[None], size, mode="bilinear", antialias=True, align_corners=False)[
        0
    ].clamp(0, 1)


def alpha_of(outline: Outline, side_px: int = 512) -> Float[Tensor, "height width"]:
    """The share of each pixel inside an outline (even-odd), on four lines a pixel, exact along each."""
    corners = np.array(outline)
    ends = np.roll(corners, -1, axis=0)
    alpha = np.zeros((side_px, side_px))
    edges = np.arange(side_px + 1)
    for line in range(4 * side_px):
        y = (line + 0.5) / 4
        crosses = (corners[:, 1] <= y) != (ends[:, 1] <= y)
        start, end = corners[crosses], ends[crosses]
        xs = np.sort(start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1]))
        for left, right in xs.reshape(-1, 2):
            alpha[line // 4] += np.diff(np.clip(edges, left, right)) / 4
    return torch.from_numpy(alpha.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Placed:
    """A person of a scene: whose photograph, its side and where its top left corner goes, in pixels."""

    name: str
    side_px: int
    top: int
    left: int
    mirrored: bool = False


def scene(
    background: str, size: tuple[int, int], people: Sequence[Placed]
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "height width"]]:
    """People cut out of their photographs in front of another one, and the alpha of them all.

    What sticks out of the scene is cut off; who comes later stands in front.
    """
    image, truth = resized(read(background), size), torch.zeros(size)
    for person in people:
        side = (person.side_px, person.side_px)
        figure = torch.cat([read(person.name), alpha_of(PEOPLE[person.name])[None]])
        figure = resized(figure.flip(2) if person.mirrored else figure, side)
        top, left = max(0, person.top), max(0, person.left)
        bottom, right = min(size[0], person.top + side[0]), min(size[1], person.left + side[1])
        seen = figure[:, top - person.top : bottom - person.top, left - person.left : right - person.left]
        alpha = seen[3]
        image[:, top:bottom, left:right] += alpha * (seen[:3] - image[:, top:bottom, left:right])
        truth[top:bottom, left:right] = torch.maximum(truth[top:bottom, left:right], alpha)
    return image, truth


def overlap(
    mask: Float[ndarray | Tensor, "height width"],
    truth: Float[Tensor, "height width"],
    ignored: Float[Tensor, "height width"] | None = None,
) -> float:
    """Intersection over union of what is above one half in both, where nothing is ignored."""
    counted = torch.ones_like(truth) if ignored is None else (ignored < 0.5).float()
    found, there = torch.as_tensor(mask) > 0.5, truth > 0.5
    either = (found | there) & (counted > 0.5)
    return float((found & there & (counted > 0.5)).sum() / either.sum().clamp(min=1))


SCENES: dict[str, tuple[str, tuple[int, int], tuple[Placed, ...]]] = {
    "half the height": ("coffee.png", (768, 1024), (Placed("astronaut.png", 420, 348, 500),)),
    "a third of it": ("rocket.jpg", (768, 1024), (Placed("astronaut.png", 256, 512, 500),)),
    "a fifth of it": ("rocket.jpg", (768, 1024), (Placed("astronaut.png", 160, 608, 760, True),)),
    "an eighth of it": ("hubble_deep_field.jpg", (768, 1024), (Placed("astronaut.png", 96, 672, 200),)),
    "cut off by the left border": ("coffee.png", (768, 1024), (Placed("astronaut.png", 420, 348, -120),)),
    "cut off by the right border": ("rocket.jpg", (768, 1024), (Placed("astronaut.png", 420, 348, 800),)),
    "two people": (
        "rocket.jpg",
        (768, 1024),
        (Placed("astronaut.png", 400, 368, 60), Placed("camera.png", 420, 348, 600)),
    ),
    "three people": (
        "coffee.png",
        (768, 1024),
        (
            Placed("astronaut.png", 260, 508, 20),
            Placed("astronaut.png", 300, 468, 380, True),
            Placed("astronaut.png", 220, 548, 760),
        ),
    ),
    "beside a cat": ("chelsea.png", (768, 1024), (Placed("astronaut.png", 420, 348, 0),)),
    "upright format": ("rocket.jpg", (1024, 768), (Placed("astronaut.png", 500, 524, 100),)),
}
"""Background, size and people, by what is difficult about them."""

WITHOUT_PEOPLE = ("coffee.png", "chelsea.png", "rocket.jpg", "ihc.png", "hubble_deep_field.jpg", "retina.jpg")
