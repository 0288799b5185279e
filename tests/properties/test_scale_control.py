"""What scale control promises of pictures, on the real VGG-16 and the demo's two paintings.

The mixture's Gram matrices come close to the fine image's, and what is larger than a receptive field stays
where the coarse image has it: what survives a Gaussian blur of 64 px for relu2_1, whose units see 10 px, and
of 128 px for relu4_1, whose units see 60.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from renderings import pixels, quiet

from pipeline import canvas, evaluation, weights
from pipeline.config.reading import parse
from pipeline.demo.scenes import paint_fields, paint_night
from pipeline.geometry import Size
from pipeline.level_plans import MixPlan
from pipeline.planning import resolve
from pipeline.rendering.mixing import MixFiles, mix_styles

Picture = np.ndarray
PAINTED = Size(768, 768)
LUMA = np.array([0.299, 0.587, 0.114])


@final
@dataclass(frozen=True)
class Paintings:
    """A folder with the night (coarse), the fields (fine), and the fields in the night's colours."""

    folder: Path

    def at(self, name: str, size: Size) -> Path:
        """One of them at a level's size."""
        path = self.folder / f"{name}-{size}.tif"
        if not path.exists():
            canvas.resize(self.folder / f"{name}.tif", path, size)
        return path


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> Paintings:
    folder = tmp_path_factory.mktemp("paintings")
    night, fields = (paint(PAINTED) / 255 for paint in (paint_night, paint_fields))
    for name, picture in (
        ("night", night),
        ("fields", fields),
        ("fields_at_night", recoloured(fields, night)),
    ):
        canvas.write(folder / f"{name}.tif", picture.astype(np.float32))
    return Paintings(folder)


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def recoloured(image: Picture, reference: Picture) -> Picture:
    """The image with the mean and the covariance of the reference's colours."""
    pixels, others = image.reshape(-1, 3), reference.reshape(-1, 3)

    def root(colours: np.ndarray, power: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(np.cov(colours.T))
        found: np.ndarray = vectors * values**power @ vectors.T
        return found

    mapped: Picture = (pixels - pixels.mean(0)) @ (root(others, 0.5) @ root(pixels, -0.5)).T + others.mean(0)
    return mapped.reshape(image.shape)


def plans(levels: list[int], **mixing: Any) -> list[MixPlan]:
    """The mixtures of both paintings at these levels, lowest first."""
    artwork = {"content": "c.png", "style": {"image": "n.png", "fine": "f.png"}, "levels": levels}
    raw = {
        "compute": {"device": "cpu", "precision": "auto"},
        "artworks": {"a": {**artwork, "mixing": mixing}},
    }
    found = resolve(parse(raw), "a", lambda _: PAINTED).mixes.values()
    return sorted(found, key=lambda mix: mix.height)


def mix(plan: MixPlan, start: Path, fine: Path, model_file: Path) -> Picture:
    return pixels(mix_styles(plan, MixFiles(model_file, start, fine), quiet()))


def distances(plan: MixPlan, images: list[Picture], fine: Path, model_file: Path) -> list[np.ndarray]:
    """|G - G(fine)|^2 / |G(fine)|^2 of each image at the layers that the mixture takes, by the evaluator."""
    network = weights.load(model_file)
    *found, wanted = (
        evaluation.gram_matrices(evaluation.Picture.of(each), network)[0]
        for each in (*images, canvas.read(fine))
    )
    layers = [evaluation.distance(grams, wanted).layers for grams in found]
    return [np.array([each[name] for name in plan.network.style_layers]) for each in layers]


def blurred(image: Picture, sigma_px: float) -> Picture:
    """A Gaussian blur; what lies outside the image has no part in it."""

    def averages(length: int) -> np.ndarray:
        steps = np.arange(length)[:, None] - np.arange(length)
        kernel = np.exp(-(steps**2) / (2 * sigma_px**2))
        averaged: np.ndarray = kernel / kernel.sum(axis=1, keepdims=True)
        return averaged

    vertical, horizontal = (averages(side) for side in image.shape[:2])
    found: Picture = np.einsum("yv,vhc,xh->yxc", vertical, image, horizontal, optimize=True)
    return found


def correlation(one: Picture, other: Picture) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.slow
def test_brushwork_is_the_fine_images_and_large_shapes_stay(paintings: Paintings, real_vgg16: Path) -> None:
    (plan,) = plans([512], up_to_layer="relu2_1", iterations=12)
    coarse, fine = paintings.at("night", plan.size), paintings.at("fields", plan.size)
    mixed = mix(plan, coarse, fine, real_vgg16)
    before, after = distances(plan, [canvas.read(coarse), mixed], fine, real_vgg16)
    # The fine image's colours come with its Gram matrices: where things are is in the luma.
    assert (after < before / 10).all()
    assert correlation(blurred(mixed, 64) @ LUMA, blurred(canvas.read(coarse), 64) @ LUMA) > 0.95


@pytest.mark.slow
def test_in_equal_colours_larger_brushwork_changes_no_channels_large_shapes(
    paintings: Paintings, real_vgg16: Path
) -> None:
    low, high = plans([320, 640], up_to_layer=["relu2_1", "relu4_1"], iterations=[10, 6])
    mixed = mix(low, paintings.at("night", low.size), paintings.at("fields_at_night", low.size), real_vgg16)
    canvas.write(paintings.folder / "low.tif", mixed)
    coarse, fine = paintings.at("night", high.size), paintings.at("fields_at_night", high.size)
    mixed = mix(high, paintings.at("low", high.size), fine, real_vgg16)
    before, after = distances(high, [canvas.read(coarse), mixed], fine, real_vgg16)
    one, other = (blurred(each, 128) for each in (mixed, canvas.read(coarse)))
    # Equal colours alone bring relu1_1 near: it has less far to fall than the others.
    assert after.mean() < before.mean() / 10
    for channel in range(3):
        assert correlation(one[..., channel], other[..., channel]) > 0.98
