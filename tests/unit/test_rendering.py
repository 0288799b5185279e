"""A level from files to pixels: the loss it states, tiles, starts, records, and files that do not fit.

The network is a VGG-19 that ends at conv2_1 with seeded numbers, so that everything is real and quick.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from model_files import save_short_vgg19
from pictures import save_guides
from renderings import pixels, quiet
from safetensors.torch import save_file

from pipeline import canvas, weights
from pipeline.config.reading import parse
from pipeline.config.sections import Optimiser
from pipeline.errors import CheckpointError, InputError, PipelineError
from pipeline.features import Encoder
from pipeline.geometry import Size
from pipeline.groups import Part, StoppedError
from pipeline.layers import VGG19
from pipeline.level_plans import LevelPlan
from pipeline.machine import Machine
from pipeline.optimiser import Step
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.rasters import Noise
from pipeline.rendering import optimisation
from pipeline.rendering.encoding import load_encoder
from pipeline.rendering.inputs import read_padded, read_targets, save_targets
from pipeline.rendering.level import LevelFiles, render_level
from pipeline.rendering.optimisation import Rendered, Run, Stopped, Work, optimise
from pipeline.rendering.record import RenderingRecord, read_record
from pipeline.targets import StyleStatistics

STYLE_LAYERS = ("relu1_1", "relu2_1")
LAYERS = [VGG19.layer(name) for name in STYLE_LAYERS]
CPU = Machine(torch.device("cpu"), torch.float32, 1)
CONTENT, STYLE = Size(50, 82), Size(64, 64)


@dataclass
class Scene:
    """An artwork of two regions at its lowest level, with every file that rendering reads."""

    plan: Plan
    files: LevelFiles

    @property
    def level(self) -> LevelPlan:
        return self.plan.levels[0]

    def render(self, report: Callable[[Step], None] = lambda _: None) -> tuple[np.ndarray, RenderingRecord]:
        rendered = render_level(self.plan, self.level, self.files, quiet(report))
        assert isinstance(rendered, Rendered)
        return pixels(rendered), rendered.record

    def with_level(self, **changes: Any) -> Scene:
        return Scene(
            self.plan.model_copy(update={"levels": (self.level.model_copy(update=changes),)}), self.files
        )

    def with_files(self, **changes: Any) -> Scene:
        return Scene(self.plan, dataclasses.replace(self.files, **changes))


def noise(size: Size, seed: int, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((size.height, size.width, bands), np.float32)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_short_vgg19(tmp_path_factory.mktemp("weights") / "vgg19.safetensors")


def statistics_of(F: torch.Tensor) -> StyleStatistics:
    return StyleStatistics(gram=F @ F.T / F.shape[1], mean=F.mean(dim=1), sum=F.mean(dim=1))


def make_scene(folder: Path, model_file: Path, **settings: Any) -> Scene:
    raw = {
        "content": "c.png",
        "regions": [
            {"where": "m.png", "style": "s.png", "name": "sky"},
            {"where": "n.png", "style": "t.png", "name": "sea", "weight": 3},
        ],
        "levels": [64],
        "iterations": [3],
        "content_weight": 2,
        "style_weight": 500,
        "network": {"name": "vgg19", "style_layers": STYLE_LAYERS, "content_layers": ["relu2_1"]},
        **settings,
    }
    config = parse(
        {"compute": {"device": "cpu", "precision": "float32", "threads": 1}, "artworks": {"a": raw}}
    )
    plan = resolve(config, "a", lambda path: CONTENT if path.stem in "cmn" else STYLE)
    level = plan.levels[0]
    canvas.write(folder / "content.tif", noise(level.size, 1))
    left = np.zeros((level.height, level.width, 2), np.float32)
    left[:, : level.width // 2, 0] = 1
    left[:, level.width // 2 :, 1] = 1
    save_guides(folder / "guides.tif", left)
    targets = []
    for seed, key in enumerate(plan.targets):
        rows = {"relu1_1": 64, "relu2_1": 128}
        features = {
            name: torch.from_numpy(noise(Size(n, n + 5), seed, 1))[:, :, 0] for name, n in rows.items()
        }
        targets.append(folder / f"{key}.safetensors")
        save_targets(targets[-1], {name: statistics_of(F) for name, F in features.items()})
    guides = folder / "guides.tif" if plan.settings.needs_guidance else None
    return Scene(plan, LevelFiles(model_file, folder / "content.tif", tuple(targets), guides, None))


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def scene(tmp_path: Path, network: Path) -> Scene:
    return make_scene(tmp_path, network)


def stated_loss(scene: Scene, image: np.ndarray) -> dict[str, float]:
    """METHOD.md sections 1 and 2 once more, plainly and in float64."""
    settings = scene.plan.settings
    file = weights.load(scene.files.weights)
    encoder = Encoder(file.tensors, VGG19, file.preprocessing, dtype=torch.float64)

    def features(pixels: np.ndarray) -> dict[str, torch.Tensor]:
        padded = np.pad(
            pixels, ((0, -pixels.shape[0] % 16), (0, -pixels.shape[1] % 16), (0, 0)), mode="reflect"
        )
        found: dict[str, torch.Tensor] = encoder(
            torch.from_numpy(padded).double().permute(2, 0, 1)[None], STYLE_LAYERS
        )
        return found

    seen, content = features(image), features(canvas.read(scene.files.content))
    loss = {
        "content relu2_1": settings.content_weight
        * (seen["relu2_1"] - content["relu2_1"]).square().mean().item()
    }
    regions = scene.level.regions
    for index, region in enumerate(regions):
        for name in STYLE_LAYERS:
            F = seen[name][0]
            T = torch.ones(F.shape[1:], dtype=torch.float64)
            if scene.files.guides is not None:
                channel = canvas.read(scene.files.guides)[:, :, index].astype(np.float64)
                channel = np.pad(
                    channel, ((0, -channel.shape[0] % 16), (0, -channel.shape[1] % 16)), mode="reflect"
                )
                stride = VGG19.layer(name).stride_px
                T = torch.nn.functional.avg_pool2d(torch.from_numpy(channel)[None], stride)[0]
                T = T / T.square().mean().sqrt()
            rows = (F * T).flatten(1)
            gram = rows @ rows.T / rows.shape[1]
            known = {file.stem: file for file in scene.files.targets}
            wanted = read_targets(known[region.targets[0].target], LAYERS, CPU)[name].gram.double()
            share = region.weight / len(regions)
            label = f" {region.label}" if scene.files.guides is not None else ""
            loss[f"style {name}{label}"] = (
                settings.style_weight * share / F.shape[0] ** 2 * (gram - wanted).square().mean().item()
            )
    return loss


def test_the_loss_is_the_methods(scene: Scene) -> None:
    image, record = scene.render()
    stated = stated_loss(scene, canvas.read(scene.files.content))
    assert stated["content relu2_1"] == 0
    assert record.trace[0].terms == pytest.approx(stated, rel=1e-4)
    assert record.trace[0].loss == pytest.approx(sum(stated.values()), rel=1e-4)
    assert image.shape == (scene.level.height, scene.level.width, 3)
    assert image.dtype == np.float32


def test_one_style_everywhere_needs_no_guides(tmp_path: Path, network: Path) -> None:
    scene = make_scene(tmp_path, network, regions=[{"where": "everything", "style": "s.png"}])
    _, record = scene.render()
    stated = stated_loss(scene, canvas.read(scene.files.content))
    assert set(stated) == {"content relu2_1", "style relu1_1", "style relu2_1"}
    assert record.trace[0].terms == pytest.approx(stated, rel=1e-4)


def test_several_styles_of_a_region_are_their_weighted_mean(tmp_path: Path, network: Path) -> None:
    styles = [{"image": "s.png", "weight": 3}, {"image": "t.png", "weight": 1}]
    scene = make_scene(tmp_path, network, regions=[{"where": "everything", "styles": styles}])
    _, record = scene.render()
    one, other = (read_targets(path, LAYERS, CPU) for path in scene.files.targets)
    mean = {
        name: dataclasses.replace(one[name], gram=(3 * one[name].gram + other[name].gram) / 4) for name in one
    }
    save_targets(scene.files.targets[0], mean)
    stated = stated_loss(scene, canvas.read(scene.files.content))
    assert record.trace[0].terms == pytest.approx(stated, rel=1e-4)


def test_without_a_content_weight_there_is_no_content_term(tmp_path: Path, network: Path) -> None:
    _, record = make_scene(tmp_path, network, content_weight=0).render()
    assert all(name.startswith("style") for name in record.trace[0].terms)


@pytest.mark.parametrize("content_layers", [["relu2_1"], ["relu1_1"], []])
def test_tiles_render_what_the_whole_renders(
    tmp_path: Path, network: Path, content_layers: list[str]
) -> None:
    layers = {"name": "vgg19", "style_layers": STYLE_LAYERS, "content_layers": content_layers}
    whole = make_scene(tmp_path, network, network=layers)
    # The halo of relu2_1 is 4 px: no multiple of the 16 px that a level is padded to.
    tiled = whole.with_level(tile_core_px=32)
    assert tiled.level.halo_px == 4
    image, record = whole.render()
    tiled_image, tiled_record = tiled.render()
    assert tiled_record.level.tile_px == 32
    # A level of 64x96 px, padded: 2 x 3 tiles.
    assert (tiled_record.row_borders, tiled_record.column_borders) == ((32,), (32, 62))
    assert (record.row_borders, record.column_borders) == ((), ())
    assert [point.loss for point in tiled_record.trace] == pytest.approx(
        [point.loss for point in record.trace], rel=1e-3
    )
    np.testing.assert_allclose(tiled_image, image, atol=2e-3)


def test_vectors_in_files_and_on_the_host_give_the_same_bits(tmp_path: Path, network: Path) -> None:
    layers = {"name": "vgg19", "style_layers": STYLE_LAYERS, "content_layers": ["relu2_1"]}
    scene = make_scene(tmp_path, network, network=layers)
    in_memory = scene.with_level(tile_core_px=32)
    in_files = scene.with_level(tile_core_px=32, store="files")
    on_host = scene.with_level(tile_core_px=32, store="host")
    kept = scene.with_level(tile_core_px=32, store="files", keep_tiles=3)
    image, _ = in_memory.render()
    for number, each in enumerate((in_files, on_host, kept)):
        run = quiet(state=tmp_path / f"state-{number}")
        rendered = render_level(each.plan, each.level, each.files, run)
        assert isinstance(rendered, Rendered)
        np.testing.assert_array_equal(pixels(rendered), image)
        rendered.discard_state()
        assert list((tmp_path / f"state-{number}").iterdir()) == []


@pytest.mark.parametrize(("store", "memory"), [("memory", "cuda"), ("host", "cpu")])
def test_beside_a_gpu_vectors_on_the_host_are_in_its_memory(
    store: Literal["memory", "host"], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(device: torch.device, where: torch.device) -> None:
        assert (device.type, where.type) == ("cuda", memory)
        raise StoppedError

    monkeypatch.setattr(optimisation, "MemoryWorkspace", made)
    size = Size(16, 16)
    work, judgement = Work(16, size, 1, None, 0, store), cast("Any", SimpleNamespace(part=Part.whole(size)))
    gpu, start = Machine(torch.device("cuda"), torch.float32, 1), Noise(size, 0, torch.device("cpu"))
    with pytest.raises(StoppedError):
        optimise(work, judgement, start, quiet(), optimiser=Optimiser(), machine=gpu)


def test_tiles_tell_the_share_of_the_work(tmp_path: Path, network: Path) -> None:
    scene = make_scene(tmp_path, network, iterations=[2]).with_level(tile_core_px=32)
    told: list[tuple[float, str] | int] = []
    steps: list[Step] = []

    def step(reached: Step) -> None:
        steps.append(reached)
        told.append(reached.iteration)

    def watched() -> Run:
        run = quiet(step, tmp_path / "state")
        return dataclasses.replace(run, on_share=lambda share, done: told.append((share, done)))

    run = dataclasses.replace(watched(), should_stop=partial(_reached, steps, 1))
    assert render_level(scene.plan, scene.level, scene.files, run) == Stopped(1)
    tiles = 6
    passes = [each for each in told if isinstance(each, tuple)]
    # The losses of the start and of the first step, and a gradient: two losses and three, of nine.
    assert [share for share, _ in passes[:tiles]] == pytest.approx([n / tiles / 9 for n in range(1, 7)])
    assert passes[-1][0] == pytest.approx(5 / 9)
    assert passes[-1][1] == "56 %, loss: tile 6 of 6"
    assert told[-1] == 1
    told.clear()
    assert isinstance(render_level(scene.plan, scene.level, scene.files, watched()), Rendered)
    assert told[0] == 1
    shares = [share for share, _ in (each for each in told if isinstance(each, tuple))]
    assert shares[0] >= 4 / 9
    assert shares[-1] == pytest.approx(1)
    assert told[-1] == 2


def _reached(steps: list[Step], iteration: int) -> bool:
    return bool(steps) and steps[-1].iteration >= iteration


@pytest.mark.parametrize("store", ["memory", "files"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, network: Path, store: Literal["memory", "files"]
) -> None:
    scene = make_scene(tmp_path, network, iterations=[6]).with_level(tile_core_px=32, store=store)
    expected, _ = scene.render()
    steps: list[Step] = []
    for wanted in (2, 4):
        # Stopped in the middle of the iteration after.
        run = Run(tmp_path / "state", "key", steps.append, partial(_reached, steps, wanted))
        assert render_level(scene.plan, scene.level, scene.files, run) == Stopped(wanted)
    rendered = render_level(scene.plan, scene.level, scene.files, quiet(state=tmp_path / "state"))
    assert isinstance(rendered, Rendered)
    np.testing.assert_array_equal(pixels(rendered), expected)
    assert [point.iteration for point in rendered.record.trace] == list(range(7))


def test_it_asks_whether_to_stop_at_each_tile_of_guides_and_of_cached_content(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(tmp_path, network).with_level(tile_core_px=32, store="memory")
    # Six tiles: their guides, their content, and the image.
    reached: list[int | None] = []
    opened: list[str] = []
    read = canvas.read

    def recorded(path: Path, *rest: Any) -> np.ndarray:
        opened.append(path.stem)
        return read(path, *rest)

    monkeypatch.setattr(canvas, "read", recorded)
    for allowed in (0, 5, 6, 9, 12):
        opened.clear()
        answers = itertools.chain([False] * allowed, itertools.repeat(True))
        run = Run(tmp_path / f"state-{allowed}", "key", lambda _: None, answers.__next__)
        stopped = render_level(scene.plan, scene.level, scene.files, run)
        assert isinstance(stopped, Stopped)
        reached.append(stopped.iterations)
        assert opened.count("guides") == min(allowed, 6)
        # As the start it is read in one piece, once the guides are known.
        assert opened.count("content") == (0 if allowed < 6 else 1 + allowed - 6)
    assert reached == [None, None, 0, 0, 0]


@pytest.mark.parametrize("store", ["memory", "files"])
def test_a_run_whose_device_was_full_goes_on_with_smaller_tiles_and_says_so(
    tmp_path: Path, network: Path, store: Literal["memory", "files"], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(tmp_path, network, iterations=[5]).with_level(tile_core_px=64, store=store)
    expected, _ = scene.render()
    monkeypatch.setattr(optimisation, "SMALLEST_TILE_PX", 16)
    steps: list[Step] = []
    seen: list[int] = []
    forward = Encoder.forward

    def limited(self: Encoder, pixels: torch.Tensor, *rest: Any) -> dict[str, torch.Tensor]:
        height, width = pixels.shape[2:]
        # Full from the second iteration on, as when another process takes its share.
        if len(steps) >= 3 and height * width > 40 * 40 and not resumed:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(height * width)
        return forward(self, pixels, *rest)

    monkeypatch.setattr(Encoder, "forward", limited)
    resumed = False
    run = Run(tmp_path / "state", "key", steps.append, partial(_reached, steps, 3))
    assert render_level(scene.plan, scene.level, scene.files, run) == Stopped(3)
    resumed = True
    seen.clear()
    rendered = render_level(scene.plan, scene.level, scene.files, quiet(state=tmp_path / "state"))
    assert isinstance(rendered, Rendered)
    assert max(seen) <= 40 * 40
    record = rendered.record
    assert record.level.tile_px == 32
    assert record.warnings[-1] == (
        "computed by tiles of 32 px instead of tiles of 64 px, for which there was too little memory"
    )
    assert [point.iteration for point in record.trace] == list(range(6))
    np.testing.assert_allclose(pixels(rendered), expected, atol=2e-3)


def test_the_state_of_another_run_is_refused(tmp_path: Path, network: Path) -> None:
    scene = make_scene(tmp_path, network, iterations=[3])
    steps: list[Step] = []
    stopped = Run(tmp_path / "state", "one", steps.append, partial(_reached, steps, 1))
    assert render_level(scene.plan, scene.level, scene.files, stopped) == Stopped(1)
    other = Run(tmp_path / "state", "two", lambda _: None, lambda: False)
    with pytest.raises(CheckpointError, match="expected a checkpoint of these settings; found one of other"):
        render_level(scene.plan, scene.level, scene.files, other)


def test_the_record_tells_what_happened(scene: Scene) -> None:
    steps: list[Step] = []
    _, record = scene.render(steps.append)
    assert [step.iteration for step in steps] == [0, 1, 2, 3]
    assert [point.iteration for point in record.trace] == [0, 1, 2, 3]
    assert (record.level.level_px, record.level.height_px, record.level.width_px) == (64, 50, 82)
    assert (record.level.tile_px, record.level.iterations) == (None, 3)
    first, last = record.trace[0].loss, record.trace[-1].loss
    assert (record.level.loss_first, record.level.loss_last) == (first, last)
    assert first > last
    assert record.level.passes == record.trace[-1].passes >= 6
    assert (record.precision, record.ending, record.warnings) == ("float32", "iterations", ())
    assert record.device["device"] == "cpu"


def test_the_record_has_no_loss_that_was_not_evaluated(tmp_path: Path, network: Path) -> None:
    _, checked = make_scene(tmp_path, network).render()
    _, record = make_scene(tmp_path, network, optimiser={"check_last_step": False}).render()
    assert [point.loss for point in record.trace] == [point.loss for point in checked.trace[:-1]]
    assert (record.level.iterations, record.level.loss_last) == (checked.level.iterations, None)
    assert record.level.passes == checked.level.passes - 1


def test_same_files_same_bits(scene: Scene) -> None:
    np.testing.assert_array_equal(scene.render()[0], scene.render()[0])


def test_the_start(tmp_path: Path, network: Path) -> None:
    def first(**settings: Any) -> float:
        return make_scene(tmp_path, network, iterations=[1], **settings).render()[1].trace[0].loss

    content, noise_0, noise_1 = first(), first(start="noise"), first(start="noise", seed=1)
    assert len({content, noise_0, noise_1}) == 3
    assert first(start="noise") == noise_0
    scene = make_scene(tmp_path, network, iterations=[1], start="noise")
    from_content = scene.with_files(start=scene.files.content)
    assert from_content.render()[1].trace[0].loss == content


def test_adam_is_an_alternative(tmp_path: Path, network: Path) -> None:
    _, record = make_scene(tmp_path, network, optimiser={"method": "adam"}).render()
    assert record.trace[-1].loss < record.trace[0].loss
    assert record.level.passes == 7


# -- files that do not fit ---------------------------------------------------------------------------


def refusal(scene: Scene) -> str:
    with pytest.raises(PipelineError) as caught:
        scene.render()
    return str(caught.value)


def test_a_content_image_of_another_size(scene: Scene) -> None:
    canvas.write(scene.files.content, noise(Size(50, 80), 0))
    assert refusal(scene) == (
        f"{scene.files.content}: expected 50x82 px (height x width) as planned; found 50x80 px."
    )


def test_statistics_that_are_not_there(scene: Scene) -> None:
    key = scene.files.targets[1].stem
    missing = scene.with_files(targets=scene.files.targets[:1])
    assert refusal(missing) == (
        f"--targets: expected {key}.safetensors, which the plan names; found other files."
    )


def test_statistics_that_are_none(scene: Scene) -> None:
    scene.files.targets[0].write_bytes(b"half of a file")
    line = f"{scene.files.targets[0]}: expected a file made by `impasto targets`; found "
    assert refusal(scene) == f"{line}something else, or half of one."
    scene.files.targets[0].unlink()
    assert refusal(scene) == f"{line}none."


def test_statistics_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, made = tmp_path / "s.safetensors", statistics_of(torch.rand(64, 7, dtype=torch.float64))
    save_targets(path, {"relu1_1": made}, ["relu2_1"])
    ((name, found),) = read_targets(path, LAYERS, CPU).items()
    assert name == "relu1_1"
    for part in ("gram", "mean", "sum"):
        assert torch.equal(getattr(found, part), getattr(made, part).float())


def test_the_same_statistics_are_the_same_bytes(tmp_path: Path) -> None:
    made = {name: statistics_of(torch.ones(4, 2)) for name in STYLE_LAYERS}
    for name in ("a", "b"):
        save_targets(tmp_path / name, made, ["relu3_1", "relu4_1"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_statistics_without_a_layer_differ_from_a_mask_that_vanishes_there(scene: Scene) -> None:
    path = scene.files.targets[0]
    ones = statistics_of(torch.ones(64, 1))
    save_targets(path, {"relu1_1": ones}, ["relu2_1"])
    _, record = scene.render()
    assert [name for name in record.trace[0].terms if "sky" in name] == ["style relu1_1 sky"]
    save_targets(path, {"relu1_1": ones})
    assert refusal(scene) == (
        f"{path}: expected the statistics of relu2_1; found those of relu1_1. "
        "Run `impasto targets` with `--layers` that name relu2_1."
    )


def test_statistics_of_another_network(scene: Scene) -> None:
    path = scene.files.targets[0]
    save_targets(path, {name: statistics_of(torch.ones(32, 1)) for name in STYLE_LAYERS})
    assert refusal(scene) == (
        f"{path}: expected statistics of the 64 channels of relu1_1; "
        "found tensors of shapes [(32, 32), (32,), (32,)]. The file was made for another network."
    )


@pytest.mark.parametrize(
    ("names", "metadata"),
    [
        (["relu1_1"], None),
        (["relu1_1"], {"vanished": ""}),
        (["relu1_1.gram"], {"vanished": ""}),
        (["relu1_1.gram", "relu1_1.mean", "relu1_1.sum"], None),
        (["relu1_1.gram", "relu1_1.mean", "relu1_1.sum", "conv1_1.weight"], {"vanished": ""}),
    ],
)
def test_tensors_that_are_no_statistics(
    scene: Scene, names: list[str], metadata: dict[str, str] | None
) -> None:
    path = scene.files.targets[0]
    save_file({name: torch.ones(64) for name in names}, path, metadata)
    assert refusal(scene) == (
        f"{path}: expected a file made by `impasto targets`; found tensors of another kind."
    )


def test_guides_of_another_number(scene: Scene) -> None:
    assert scene.files.guides is not None
    save_guides(scene.files.guides, noise(scene.level.size, 0, 3))
    assert refusal(scene) == f"{scene.files.guides}: expected an image of 2 bands; found 3."


def test_a_region_that_vanishes(scene: Scene) -> None:
    assert scene.files.guides is not None
    channels = np.zeros((50, 82, 2), np.float32)
    channels[:, :, 0] = 1
    channels[0, 0, 1] = 0.5
    save_guides(scene.files.guides, channels)
    assert refusal(scene) == (
        "region sea: expected a mask that covers at least one unit of relu1_1 at level 64; found less than "
        "that. "
        "Enlarge the mask, or leave the region out."
    )


def test_a_region_that_vanishes_at_one_layer_is_skipped_there_and_told(scene: Scene) -> None:
    assert scene.files.guides is not None
    channels = np.zeros((50, 82, 2), np.float32)
    channels[:, :, 0] = 1
    channels[0, :3, 1] = 1
    save_guides(scene.files.guides, channels)
    _, record = scene.render()
    assert [name for name in record.trace[0].terms if "sea" in name] == ["style relu1_1 sea"]
    assert record.warnings == (
        "region sea covers 0.31 of one unit of relu2_1 at 64x96 px; it is not styled at this layer "
        "(3x3 px would do: a larger mask or level)",
    )


def test_a_network_that_ends_too_early(tmp_path: Path, network: Path) -> None:
    deeper = {"name": "vgg19", "style_layers": ["relu1_1", "relu3_1"], "content_layers": []}
    scene = make_scene(tmp_path, network, network=deeper)
    for path in scene.files.targets:
        ones = {name: statistics_of(torch.ones(n, 1)) for name, n in (("relu1_1", 64), ("relu3_1", 256))}
        save_targets(path, ones)
    assert "expected a convolution conv2_2 for relu2_2; found weights that end at conv2_1" in refusal(scene)


def test_a_padded_file_is_reflected(tmp_path: Path) -> None:
    pixels = noise(Size(20, 30), 0)
    canvas.write(tmp_path / "a.tif", pixels)
    found = read_padded(tmp_path / "a.tif", None, 3, CPU).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, np.pad(pixels, ((0, 12), (0, 2), (0, 0)), mode="reflect"))


def test_the_encoder_is_the_files(network: Path) -> None:
    scene_network = parse(
        {
            "artworks": {
                "a": {"content": "c", "style": "s", "network": {"name": "vgg19", "pooling": "average"}}
            }
        }
    )
    encoder = load_encoder(network, scene_network.artworks["a"].network, CPU)
    assert (encoder.architecture, encoder.dtype) == (VGG19, torch.float32)


# -- records -----------------------------------------------------------------------------------------


def test_a_record_is_written_as_it_is_read(scene: Scene, tmp_path: Path) -> None:
    _, record = scene.render()
    (tmp_path / "r.json").write_text(record.model_dump_json(), encoding="utf-8")
    assert read_record(tmp_path / "r.json") == record


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, "no such file or directory"), ("{}", "something else"), ("x", "something else")],
)
def test_what_is_no_record(tmp_path: Path, text: str | None, found: str) -> None:
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_record(path)
    line = f"{path}: expected a record made by `impasto stylise` or `impasto refine`; found {found}."
    assert str(caught.value) == line
