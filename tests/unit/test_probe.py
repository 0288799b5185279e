"""An estimate is tested against a small run that is written without the probe."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from model_files import save_short_vgg19
from networks import OxfordFormat, make_image, make_random_weights

from pipeline import probe
from pipeline.config.reading import parse
from pipeline.config.sections import Optimiser
from pipeline.errors import WeightsError
from pipeline.features import Encoder
from pipeline.geometry import Size
from pipeline.layers import VGG16
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.machine import Machine
from pipeline.objective import WholeObjective
from pipeline.optimiser import Lbfgs, Result, minimise
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.probe import Pace, basis, measure, pace_key
from pipeline.rasters import TensorRaster

MACHINE = Machine(torch.device("cpu"), torch.float32, 1)
REGIONS = [{"where": "left.png", "style": "s.png"}, {"where": "right.png", "style": "s.png"}]
PACE = Pace(Size(256, 256), forward=1.0, leading=0.75, gradient=3.0, optimiser=0.5, seconds=2.0, random=True)
SHALLOW = {"style_layers": ["relu1_1", "relu2_1"], "content_layers": ["relu2_2"]}


def plan(compute: dict[str, Any] | None = None, **own: Any) -> Plan:
    artwork = {"content": "c.png", "levels": [128], "iterations": [8], "network": SHALLOW, **own}
    return resolve(
        parse({"artworks": {"a": artwork}, "compute": compute or {}}), "a", lambda _: Size(128, 128)
    )


def paced(found: Plan, weights: Path = Path("absent")) -> Pace:
    settings = found.settings
    return measure(found.levels[0], settings.guidance, settings.optimiser, weights, MACHINE)


def real_run_s(side_px: int, iterations: int) -> float:
    size, dtype = Size(side_px, side_px), torch.float32
    encoder = Encoder(make_random_weights(VGG16, 1, dtype), VGG16, OxfordFormat())
    style = encoder(make_image(side_px, side_px, seed=1, dtype=dtype)[None], ["relu1_1", "relu2_1"])
    grams = []
    for name, features in style.items():
        rows = features[0].flatten(1)
        grams.append(GramTerm(VGG16.layer(name), None, 1.0, (rows @ rows.T / rows.shape[1]).double()))
    loss = Loss((ContentTerm(VGG16.layer("relu2_2")), *grams))
    content = TensorRaster(make_image(side_px, side_px, seed=2, dtype=dtype))
    objective = WholeObjective(encoder, loss, size, content=content)
    started = time.perf_counter()
    minimise(objective, content, Lbfgs(iterations))
    return time.perf_counter() - started


def test_the_estimate_is_that_of_a_real_run_within_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    # Other work on the machine costs time, but no processor time.
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = plan(style="s.png")
        ratio = paced(found).estimated_s(found.levels[0], found.settings.optimiser) / real_run_s(128, 8)
    finally:
        torch.set_num_threads(threads)
    assert 1 / 2 < ratio < 2


def test_an_estimate_counts_pixels_halos_and_passes() -> None:
    megapixels = 1024**2 / 1e6
    (whole,) = plan(style="s.png", levels=[1024]).levels
    assert (whole.tile_core_px, whole.iterations) == (None, 8)
    # Of eight steps each has a gradient, and one in ten a trial that is rejected; the last image is judged.
    assert PACE.estimated_s(whole, Optimiser()) == pytest.approx((8 * 3 + 1.8 * 1 + 8 * 0.5) * megapixels)
    tiled = whole.model_copy(update={"tile_core_px": 512, "halo_px": 64})
    # Four tiles of 576 px at a side, none kept: both passes everywhere, and the first of them leads.
    computed = (1152 / 1024) ** 2
    twice = computed * (8 * 3 + 0.75 + 7 * 1 + 1.8) + 8 * 0.5
    assert PACE.estimated_s(tiled, Optimiser()) == pytest.approx(twice * megapixels)
    kept = tiled.model_copy(update={"keep_tiles": 1})
    three_quarters = computed * (8 * 3 + 0.75 * (0.75 + 7) + 1.8) + 8 * 0.5
    assert PACE.estimated_s(kept, Optimiser()) == pytest.approx(three_quarters * megapixels)


@pytest.mark.parametrize(
    ("iterations", "optimiser", "passes"),
    [
        # One step that is not checked: what leads, its gradient, and no more.
        (1, Optimiser(check_last_step=False), 0.75 + 3),
        (1, Optimiser(), 0.75 + 3 + 1.1),
        (3, Optimiser(check_last_step=False), 0.75 + 2 + 3 * 3 + 0.2),
        (3, Optimiser(method="adam"), 3 * 0.75 + 3 * 3 + 1),
        (3, Optimiser(method="adam", check_last_step=False), 3 * 0.75 + 3 * 3),
    ],
)
def test_an_estimate_counts_what_the_method_does(
    iterations: int, optimiser: Optimiser, passes: float
) -> None:
    (level,) = plan(style="s.png", levels=[1024]).levels
    # One tile that is not kept.
    tiled = level.model_copy(update={"iterations": iterations, "tile_core_px": 1024})
    expected = (passes + iterations * 0.5) * 1024**2 / 1e6
    assert PACE.estimated_s(tiled, optimiser) == pytest.approx(expected)


@pytest.mark.parametrize(
    "own",
    [
        {"regions": REGIONS},
        {"regions": REGIONS, "guidance": {"form": "means", "propagation": "inside"}},
        {"regions": REGIONS, "guidance": {"form": "stacked"}, "optimiser": {"method": "adam"}},
        {"style": "s.png", "content_weight": 0, "tv_weight": 1},
        {"style": "s.png", "network": {"name": "vgg19", **SHALLOW}},
    ],
)
def test_every_kind_of_level_can_be_measured(own: dict[str, Any]) -> None:
    pace = paced(plan(levels=[64], **own))
    assert (pace.size, pace.random) == (Size(64, 64), True)
    assert min(pace.forward, pace.leading, pace.gradient) > 0 <= pace.optimiser


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_what_a_method_costs_is_measured_over_steps_that_it_takes(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Result] = []

    def recorded(*arguments: Any) -> Result:
        found.append(minimise(*arguments))
        return found[-1]

    monkeypatch.setattr(probe, "minimise", recorded)
    paced(plan(style="s.png", levels=[64], optimiser={"method": method}))
    (result,) = found
    first, last = result.trace[1], result.trace[-1]
    assert (result.ending, last.iteration) == ("iterations", 3)
    # Two steps lie between, each with a gradient.
    assert last.gradient_passes - first.gradient_passes == 2
    assert last.forward_passes - first.forward_passes >= 2


def test_a_mixture_can_be_measured() -> None:
    found = plan(style={"image": "s.png", "fine": "t.png"}, levels=[64])
    (mix,) = found.mixes.values()
    pace = measure(mix, found.settings.guidance, found.settings.optimiser, Path("absent"), MACHINE)
    assert pace.estimated_s(mix, found.settings.optimiser) > 0


def test_the_real_weights_are_taken_where_they_are(tmp_path: Path) -> None:
    network = {"name": "vgg19", "style_layers": ["relu2_1"], "content_layers": []}
    found = plan(style="s.png", levels=[64], network=network)
    file = save_short_vgg19(tmp_path / "vgg19.safetensors")
    assert not paced(found, file).random
    other = plan(style="s.png", levels=[64])
    with pytest.raises(WeightsError, match="expected the model file of vgg16"):
        paced(other, file)


def test_what_has_the_same_pace_is_measured_once() -> None:
    def key(found: Plan) -> str:
        return pace_key(found.levels[0], found.settings)

    assert key(plan(style="s.png")) == key(plan(style="t.png", iterations=[5]))
    assert key(plan(style="s.png", levels=[300])) == key(plan(style="s.png", levels=[500]))
    others = [
        plan(style="s.png", levels=[64]),
        plan(regions=REGIONS),
        plan(style="s.png", network={}),
        plan(style="s.png", optimiser={"method": "adam"}),
        plan({"memory_budget_mib": 900}, style="s.png", levels=[4096]),
    ]
    assert len({key(found) for found in (plan(style="s.png"), *others)}) == 6


def test_the_basis_says_what_was_measured() -> None:
    lines = basis([PACE, PACE], MACHINE)
    assert lines[0] == (
        "time: scaled by pixels, halos and passes from 256x256 px with random weights, which took"
    )
    assert lines[1].startswith("4.0 s just now on ")
    assert lines[1].endswith(", 1 threads, float32. What else the machine does then,")
