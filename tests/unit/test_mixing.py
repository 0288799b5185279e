"""A mixture from files to pixels: what it minimises, tiles, its start, and files that do not fit.

The network is a VGG-19 that ends at conv2_1 with seeded numbers. What mixing does to pictures is measured in
tests/properties/test_scale_control.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_files import save_short_vgg19
from renderings import pixels, quiet

from pipeline import canvas, weights
from pipeline.config.reading import parse
from pipeline.errors import PipelineError
from pipeline.geometry import Size
from pipeline.layers import VGG19
from pipeline.level_plans import MixPlan
from pipeline.normalisation import MeansRecord, save_means
from pipeline.optimiser import Step
from pipeline.planning import resolve
from pipeline.rendering.mixing import MixFiles, mix_styles
from pipeline.rendering.optimisation import Rendered, Run, Stopped
from pipeline.rendering.record import RenderingRecord

COARSE, FINE = Size(50, 82), Size(40, 40)
LAYERS = ("relu1_1", "relu2_1")


@dataclass
class Scene:
    """The plan of a mixture at its lowest level, and its files."""

    plan: MixPlan
    files: MixFiles

    def mix(self, report: Callable[[Step], None] = lambda _: None) -> tuple[np.ndarray, RenderingRecord]:
        rendered = mix_styles(self.plan, self.files, quiet(report))
        assert isinstance(rendered, Rendered)
        return pixels(rendered), rendered.record

    def with_plan(self, **changes: Any) -> Scene:
        return Scene(self.plan.model_copy(update=changes), self.files)

    def with_files(self, **changes: Any) -> Scene:
        return Scene(self.plan, replace(self.files, **changes))


def noise(size: Size, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((size.height, size.width, 3), np.float32)


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_short_vgg19(tmp_path_factory.mktemp("weights") / "vgg19.safetensors")


@pytest.fixture
def scene(tmp_path: Path, network: Path) -> Scene:
    raw = {
        "content": "c.png",
        "style": {"image": "coarse.png", "fine": "fine.png"},
        "levels": [64],
        "network": {"name": "vgg19", "style_layers": LAYERS, "content_layers": []},
        "mixing": {"up_to_layer": "relu2_1", "iterations": 3},
    }
    compute = {"device": "cpu", "precision": "float32", "threads": 1}
    config = parse({"compute": compute, "artworks": {"a": raw}})
    (plan,) = resolve(config, "a", lambda path: FINE if path.stem == "fine" else COARSE).mixes.values()
    canvas.write(tmp_path / "coarse.tif", noise(plan.size, 1))
    # Grey and flat, unlike the coarse image.
    canvas.write(tmp_path / "fine.tif", 0.4 + 0.2 * noise(FINE, 2))
    return Scene(plan, MixFiles(network, tmp_path / "coarse.tif", tmp_path / "fine.tif"))


def grams(
    pixels: np.ndarray, model_file: Path, means: dict[str, np.ndarray] | None = None
) -> list[np.ndarray]:
    """G at `LAYERS` in float64, by convolutions written out as sums of shifted products."""
    file = weights.load(model_file)
    padding = ((0, -pixels.shape[0] % 16), (0, -pixels.shape[1] % 16), (0, 0))
    image = np.pad(pixels.astype(np.float64), padding, mode="reflect")
    centre, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    F = (image - centre) / spread
    found = []
    for name in ("conv1_1", "conv1_2", "conv2_1"):
        if name == "conv2_1":
            F = F.reshape(F.shape[0] // 2, 2, F.shape[1] // 2, 2, -1).max(axis=(1, 3))
        weight = np.asarray(file.tensors[f"{name}.weight"], np.float64)
        bordered = np.pad(F, ((1, 1), (1, 1), (0, 0)))
        total = np.zeros((*F.shape[:2], weight.shape[0])) + np.asarray(
            file.tensors[f"{name}.bias"], np.float64
        )
        for row in range(3):
            for column in range(3):
                shifted = bordered[row : row + F.shape[0], column : column + F.shape[1]]
                total += shifted @ weight[:, :, row, column].T
        F = np.maximum(total, 0)
        if name != "conv1_2":
            seen = (F if means is None else F / means[name]).reshape(-1, F.shape[2])
            found.append(seen.T @ seen / len(seen))
    return found


def test_asked_to_stop_while_the_fine_image_is_read_it_stops(scene: Scene) -> None:
    run = Run(None, "key", lambda _: None, lambda: True)
    assert mix_styles(scene.plan, scene.files, run) == Stopped(None)


def test_the_loss_is_the_methods(scene: Scene) -> None:
    _, record = scene.mix()
    coarse, fine = (
        grams(canvas.read(path), scene.files.weights) for path in (scene.files.start, scene.files.fine)
    )
    wanted = {
        f"style {layer}": 1e3 / 2 * ((G - target) ** 2).mean()
        for layer, G, target in zip(LAYERS, coarse, fine, strict=True)
    }
    # No content term, and no weight 1 / N^2 beside the mean over entries.
    assert record.trace[0].terms == pytest.approx(wanted, rel=1e-4)
    assert record.trace[0].loss == pytest.approx(sum(wanted.values()), rel=1e-4)


def test_the_loss_of_the_normalised_network_weighs_a_hundred_times_as_much(
    scene: Scene, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    names = [layer.convolution for layer in VGG19.up_to(["relu2_1"])]
    channels = {layer.convolution: layer.channels for layer in VGG19}
    means = {name: rng.uniform(0.5, 2, channels[name]).astype(np.float32) for name in names}
    save_means(tmp_path / "means.safetensors", means, MeansRecord("vgg19", "0" * 64, "max", 2, 64, {}, "0"))
    network = scene.plan.network.model_copy(
        update={"normalised": True, "channel_means": tmp_path / "means.safetensors"}
    )
    _, record = scene.with_plan(network=network).mix()
    coarse, fine = (
        grams(canvas.read(path), scene.files.weights, means) for path in (scene.files.start, scene.files.fine)
    )
    wanted = {
        f"style {layer}": 1e5 / 2 * ((G - target) ** 2).mean()
        for layer, G, target in zip(LAYERS, coarse, fine, strict=True)
    }
    assert record.trace[0].terms == pytest.approx(wanted, rel=1e-4)


def test_it_moves_towards_the_fine_images_statistics(scene: Scene) -> None:
    image, _ = scene.with_plan(iterations=12).mix()
    coarse, mixed, fine = (
        grams(pixels, scene.files.weights)
        for pixels in (canvas.read(scene.files.start), image, canvas.read(scene.files.fine))
    )
    for before, after, target in zip(coarse, mixed, fine, strict=True):
        assert np.square(after - target).sum() < 0.1 * np.square(before - target).sum()


def test_tiles_mix_what_the_whole_mixes(scene: Scene) -> None:
    image, record = scene.mix()
    tiled_image, tiled_record = scene.with_plan(tile_core_px=32).mix()
    assert (record.level.tile_px, tiled_record.level.tile_px) == (None, 32)
    assert [point.loss for point in tiled_record.trace] == pytest.approx(
        [point.loss for point in record.trace], rel=1e-3
    )
    np.testing.assert_allclose(tiled_image, image, atol=2e-3)


def test_the_image_has_the_planned_size_and_the_record_tells_what_happened(scene: Scene) -> None:
    steps: list[Step] = []
    image, record = scene.mix(steps.append)
    assert image.shape == (50, 82, 3)
    assert image.dtype == np.float32
    assert [step.iteration for step in steps] == [0, 1, 2, 3]
    assert (record.level.level_px, record.level.height_px, record.level.width_px) == (64, 50, 82)
    assert record.level.iterations == 3
    first, last = record.trace[0].loss, record.trace[-1].loss
    assert (record.level.loss_first, record.level.loss_last) == (first, last)
    assert first > last
    assert (record.precision, record.ending, record.warnings) == ("float32", "iterations", ())


def test_same_files_same_bits(scene: Scene) -> None:
    np.testing.assert_array_equal(scene.mix()[0], scene.mix()[0])


def test_the_fine_image_mixed_with_itself_stays(scene: Scene) -> None:
    same = scene.with_files(fine=scene.files.start)
    image, record = same.mix()
    assert record.trace[0].loss < 1e-6 * scene.mix()[1].trace[0].loss
    np.testing.assert_allclose(image, canvas.read(scene.files.start), atol=0.02)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"start": "other.tif"}, "other.tif: expected 50x82 px (height x width) as planned; found 40x40 px."),
        ({"fine": "absent.tif"}, "absent.tif: expected an image file; found no such file."),
        ({"weights": "absent.safetensors"}, "absent.safetensors: expected "),
    ],
)
def test_what_does_not_fit(scene: Scene, tmp_path: Path, files: dict[str, str], said: str) -> None:
    canvas.write(tmp_path / "other.tif", noise(FINE, 0))
    with pytest.raises(PipelineError) as caught:
        scene.with_files(**{name: tmp_path / file for name, file in files.items()}).mix()
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


def test_a_network_that_ends_before_the_layer(scene: Scene) -> None:
    network = scene.plan.network.model_copy(update={"style_layers": ("relu1_1", "relu3_1")})
    with pytest.raises(
        PipelineError, match=r"expected a convolution conv2_2 .* found weights that end at conv2_1"
    ):
        scene.with_plan(network=network).mix()
