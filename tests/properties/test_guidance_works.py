"""What spatial control promises of pictures, on the real VGG-16: the evaluator judges each region.

Contents are made by code, styles are the demo's two paintings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from renderings import pixels, quiet

from pipeline import canvas, weights
from pipeline.config.reading import parse
from pipeline.demo.scenes import paint_fields, paint_night
from pipeline.evaluation import style_distance
from pipeline.geometry import Size
from pipeline.guidance import Propagation
from pipeline.machine import prepare_machine
from pipeline.planning import resolve
from pipeline.rendering.level import LevelFiles, render_level
from pipeline.rendering.style import write_targets
from pipeline.shared_plans import Area

pytestmark = pytest.mark.slow

Picture = np.ndarray
LEVEL_PX = 128
ITERATIONS = 50
CONTENT, PAINTED, SIZE = Size(256, 256), Size(384, 384), Size(LEVEL_PX, LEVEL_PX)
STYLE_SKY, STYLE_GROUND = 0.43, 0.62
"""The painted fields' sky ends at the first share of their height, their ground begins at the second."""


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@cache
def judge(model_file: Path) -> weights.Weights:
    """The network that judges, read and hashed once."""
    return weights.load(model_file)


@final
@dataclass(frozen=True)
class Studio:
    """A folder of pictures and masks that artworks name, and the network that renders and judges them."""

    folder: Path
    model_file: Path

    def put(self, **pictures: Picture) -> None:
        """Writes pictures of three bands, and masks of one, in [0, 1]."""
        for name, values in pictures.items():
            canvas.write(self.folder / f"{name}.tif", values.astype(np.float32))

    def at_level(self, name: str) -> Path:
        """A square picture at the level's size."""
        path = self.folder / f"{name}-at-level.tif"
        canvas.resize(self.folder / f"{name}.tif", path, SIZE, clip=True)
        return path

    def mask_at_level(self, name: str) -> torch.Tensor:
        """A mask at the level's size: height and width."""
        path = self.folder / f"{name}-at-level.tif"
        canvas.compose_guides([(self.folder / f"{name}.tif", False)], path, SIZE)
        return torch.from_numpy(canvas.read(path)[..., 0])

    def render(self, **artwork: Any) -> torch.Tensor:
        """The only level of an artwork of `content.tif` as the stages render it, in [0, 1]: bands first."""
        settings = {"content": "content.tif", "levels": [LEVEL_PX], "iterations": ITERATIONS, **artwork}
        compute = {"device": "cpu", "precision": "auto", "threads": 1}
        config = parse({"compute": compute, "artworks": {"a": settings}})
        plan = resolve(config, "a", lambda path: canvas.size_of(self.folder / path))
        (level,) = plan.levels
        machine = prepare_machine("cpu", "auto", 1)
        targets = []
        for key in level.targets:
            target = plan.targets[key]
            targets.append(self.folder / f"{key}.safetensors")
            write_targets(
                targets[-1],
                self.at_level(plan.sources[plan.images[target.image].prepared].stem),
                None if target.mask is None else self.mask(target.mask),
                weights=self.model_file,
                network=target.network,
                machine=machine,
                how=Propagation(target.propagation, target.grow_units),
            )
        guides = None
        if plan.settings.needs_guidance:
            guides = self.folder / "guides.tif"
            canvas.compose_guides([self.mask(area) for area in plan.areas.values()], guides, level.size)
        files = LevelFiles(self.model_file, self.at_level("content"), tuple(targets), guides, None)
        image = pixels(render_level(plan, level, files, quiet()))
        return torch.from_numpy(image).permute(2, 0, 1).clamp(0, 1)

    def mask(self, area: Area) -> canvas.Mask:
        """The mask file of an area, which is none that is found or combined."""
        assert area.file is not None
        return canvas.Mask(self.folder / area.file, area.inverted)

    def distance(self, image: torch.Tensor, region: str, style: str, part: str | None = None) -> float:
        """From a region of an image to a style, or to a part of it, by the evaluator."""
        found = style_distance(
            image,
            torch.from_numpy(canvas.read(self.at_level(style))).permute(2, 0, 1),
            judge(self.model_file),
            mask=self.mask_at_level(region),
            style_mask=None if part is None else self.mask_at_level(part),
        )
        return found.value


@pytest.fixture
def studio(tmp_path: Path, real_vgg16: Path) -> Studio:
    return Studio(tmp_path, real_vgg16)


def coordinates(size: Size) -> tuple[Picture, Picture]:
    rows, columns = np.mgrid[: size.height, : size.width]
    return (rows + 0.5) / size.height, (columns + 0.5) / size.width


def mask(inside: Picture) -> Picture:
    return inside.astype(np.float32)[..., None]


def clouds(sky: Picture, colour: Picture, seed: int) -> Picture:
    """A sky with forty soft clouds of a colour, lighter and darker."""
    y, x = coordinates(CONTENT)
    random = np.random.default_rng(seed)
    for _ in range(40):
        cy, cx, radius = random.random() * 0.5, random.random(), 0.02 + 0.04 * random.random()
        share = 0.7 * np.exp(-((((x - cx) ** 2 / 3 + (y - cy) ** 2) / radius**2) ** 2))[..., None]
        sky = sky * (1 - share) + share * colour * (0.3 + 1.2 * random.random())
    return sky


def scene(sky: Picture, ground: Picture) -> tuple[Picture, Picture]:
    """A picture of both, and where the ground is."""
    y, x = coordinates(CONTENT)
    below = np.clip((y - 0.5 - 0.02 * np.sin(7 * x)) * 80, 0, 1)[..., None]
    return np.clip(sky * (1 - below) + ground * below, 0, 1), below


def harbour() -> Picture:
    """A pale sky with clouds over striped water, a house between them."""
    y, x = coordinates(CONTENT)
    sky = clouds(
        np.stack([0.5 + 0.4 * y, 0.6 + 0.3 * y, 0.85 + 0 * y], axis=-1), np.array([0.9, 0.9, 0.9]), 0
    )
    waves = np.sin(90 * y / (y + 0.2) + 4 * np.sin(12 * x))
    water = np.stack([0.25 + 0.1 * waves, 0.4 + 0.12 * waves, 0.45 + 0.1 * waves], axis=-1)
    picture, _ = scene(sky, water)
    picture[(abs(x - 0.5) < 0.15) & (abs(y - 0.45) < 0.15)] = (0.7, 0.3, 0.25)
    return picture


def storm() -> tuple[Picture, Picture]:
    """A dark and broken sky over smooth pale sand, and where the sand is."""
    y, x = coordinates(CONTENT)
    sky = np.stack([0.45 - 0.3 * y, 0.25 - 0.15 * y, 0.3 - 0.1 * y], axis=-1)
    ripples = 0.03 * np.sin(20 * x + 9 * y)[..., None]
    return scene(clouds(sky, np.array([0.5, 0.15, 0.1]), 0), np.array([0.85, 0.8, 0.6]) + ripples)


@pytest.mark.parametrize("form", ["gram", "means"])
def test_each_region_is_painted_in_its_own_style(studio: Studio, form: str) -> None:
    """The left half in the fields' style, the right half in the night's.

    Each half's style distance to its own style is at most a third of that to the other's. For `means` that is
    the feature map means of each half beside the Gram matrix of both styles together.
    """
    _, x = coordinates(CONTENT)
    studio.put(content=harbour(), left=mask(x < 0.5), right=mask(x >= 0.5))
    studio.put(fields=paint_fields(PAINTED) / 255, night=paint_night(PAINTED) / 255)
    regions = [{"where": "left.tif", "style": "fields.tif"}, {"where": "right.tif", "style": "night.tif"}]
    image = studio.render(regions=regions, guidance={"form": form})
    for region, own, other in (("left", "fields", "night"), ("right", "night", "fields")):
        near, far = (studio.distance(image, region, style) for style in (own, other))
        assert near <= far / 3


def test_guidance_keeps_the_ground_out_of_the_sky(studio: Studio) -> None:
    """The poster's failure: without guidance, a sky takes the texture of the style's ground.

    One style image with sky and ground, masked on its own side; a content whose sky is dark and broken and
    whose ground is smooth and pale, so that the style's ground suits its sky better. The cross-region
    distance of a region is d(region, the style's own part) / d(region, the style's other part), of the result
    and by the evaluator: 0 in its own part's texture, above 1 when it is nearer to the other's. Guidance
    lowers it to a third at most in either region, and halves d(region, the style's own part) at least: no
    region gets there by going far from both.
    """
    content, below = storm()
    y, _ = coordinates(PAINTED)
    studio.put(content=content, sky=1 - below, ground=below, fields=paint_fields(PAINTED) / 255)
    studio.put(style_sky=mask(y < STYLE_SKY), style_ground=mask(y > STYLE_GROUND))
    parts = ("sky", "ground")

    def distances(image: torch.Tensor) -> Mapping[str, tuple[float, float]]:
        """By region: to the style's own part, and across."""
        found = {}
        for own, other in (parts, parts[::-1]):
            near, far = (studio.distance(image, own, "fields", f"style_{part}") for part in (own, other))
            found[own] = (near, near / far)
        return found

    unguided = distances(studio.render(style="fields.tif"))
    assert unguided["sky"][1] > 1

    regions = [
        {"where": f"{part}.tif", "style": {"image": "fields.tif", "mask": f"style_{part}.tif"}}
        for part in parts
    ]
    for settings in ({}, {"preset": "one_style_gram"}):
        guided = distances(studio.render(regions=regions, **settings))
        for part in parts:
            assert guided[part][0] <= unguided[part][0] / 2
            assert guided[part][1] <= unguided[part][1] / 3
