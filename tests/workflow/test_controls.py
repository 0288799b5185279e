"""Every control of the paper through the whole workflow, on tiny images: four artworks."""

from __future__ import annotations

import copy
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from model_files import save_vgg19
from pictures import gradient, left_half, noise, save
from running import Impasto, snapshot
from workflows import Checkout, RenderedCollection

from pipeline import canvas
from pipeline.colour import rgb_to_yiq
from pipeline.geometry import Size
from pipeline.plan import Plan, read_plan

pytestmark = pytest.mark.slow

LEFT, RIGHT, STRIP = "inputs/left.png", "inputs/right.png", "inputs/strip.png"
COARSE, FINE = "inputs/coarse.png", "inputs/fine.png"
SIZE = Size(80, 64)
"""What a print 64 px wide of a photograph of 100x80 px has; its level is called 72."""
EDGE = 28
"""Left of this column lies nothing but the left region, right of its mirror image nothing of it."""

CONFIG: dict[str, Any] = {
    "compute": {"device": "cpu", "precision": "float32", "threads": 1},
    "report": {"viewer": "none"},
    "weights": {"vgg19": {"path": "inputs/vgg19.safetensors"}},
    "defaults": {
        "deepzoom": "none",
        "levels": "auto",
        "iterations": 2,
        "print": {"width": "64 px", "dither": False},
        "network": {"name": "vgg19"},
    },
    "artworks": {
        "mixed": {
            "content": "inputs/content.png",
            "levels": [
                {"px": 64, "content_weight": 3, "style_layers": ["relu1_1", "relu2_1"]},
                {
                    "px": 80,
                    "iterations": 1,
                    "style_weight": 500,
                    "tv_weight": 5,
                    "content_layers": ["relu3_1"],
                },
            ],
            "network": {"layer_weights": {"relu5_1": 0}},
            "mixing": {"up_to_layer": ["relu1_1", "relu2_1"], "iterations": [2, 1], "colours": "coarse"},
            "guidance": {"form": "gram", "propagation": "simple", "global_weight": 0.5},
            "regions": [
                {"where": LEFT, "style": {"image": COARSE, "fine": FINE, "fine_scale": 0.8}},
                {"where": STRIP, "style": {"image": COARSE, "fine": FINE, "fine_scale": 0.8}, "weight": 2},
            ],
        },
        "inside": {
            "content": "inputs/content.png",
            "preset": "one_style_means_only",
            "iterations": 2,
            "print": {"width": "64 px"},
            "regions": [
                {
                    "where": LEFT,
                    "style": {"image": FINE, "mask": "inputs/wide.png"},
                    "colour": {"mode": "luminance"},
                },
                {"where": RIGHT, "style": FINE},
            ],
        },
        "stacked": {
            "content": "inputs/content.png",
            "network": {"normalised": True, "channel_means": "inputs/means.safetensors"},
            "guidance": {"form": "stacked", "propagation": "cubic"},
            "colour": {"mode": "style_to_content", "source": "inputs/palette.png", "transform": "histogram"},
            "regions": [{"where": LEFT, "style": COARSE}, {"where": RIGHT, "style": COARSE, "weight": 3}],
        },
        "means": {
            "content": "inputs/content.png",
            "guidance": {"form": "means", "propagation": "all", "grow_units": -1},
            "regions": [{"where": LEFT, "style": COARSE}, {"where": RIGHT, "style": COARSE}],
        },
    },
}


def write_inputs(folder: Path) -> None:
    """Writes the files that `CONFIG` names, but for the channel means."""
    inputs = folder / "inputs"
    (inputs / "photographs").mkdir(parents=True)
    save(inputs / "content.png", gradient(100, 80) // 2 + noise(100, 80, seed=1) // 2)
    save(inputs / "coarse.png", noise(90, 90, seed=2))
    save(inputs / "fine.png", noise(96, 80, seed=3) // 2)
    save(inputs / "left.png", left_half(50, 40))
    save(inputs / "right.png", 255 - left_half(50, 40))
    strip = np.zeros((50, 40, 1), np.uint8)
    strip[:, 16:28] = 255
    save(inputs / "strip.png", strip)
    save(inputs / "wide.png", left_half(60, 100))
    save(inputs / "palette.png", PALETTE)
    for index in range(3):
        save(inputs / "photographs" / f"{index}.png", noise(32, 40, seed=10 + index))
    save_vgg19(inputs / "vgg19.safetensors")


PALETTE = np.array([[[30, 60, 200]], [[90, 60, 200]], [[150, 120, 200]], [[90, 180, 200]]] * 8, np.uint8)
"""A strip of colours 1 px wide."""


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> RenderedCollection:
    """The collection, rendered from nothing; a test that changes a thing changes it back."""
    checkout = Checkout.make(tmp_path_factory.mktemp("controls"), warm=True)
    write_inputs(checkout.folder)
    impasto = Impasto(checkout.folder)
    model = "model/vgg19.safetensors"
    (checkout.folder / "model").mkdir()
    impasto.works("fetch-weights", "vgg19", "--path", "inputs/vgg19.safetensors", "--output", model)
    how = ["--weights", model, "--network", "vgg19", "--device", "cpu", "--threads", 1, "--size-px", 32]
    impasto.works("calibrate", "inputs/photographs", *how, "--output", "inputs/means.safetensors")
    checkout.configure(CONFIG)
    return RenderedCollection.render(checkout)


def plan_of(painted: RenderedCollection, artwork: str) -> Plan:
    return read_plan(painted.results / artwork / "plan.json")


def record_of(
    painted: RenderedCollection, artwork: str, level: int, name: str = "stylised"
) -> dict[str, Any]:
    path = painted.results / artwork / "levels" / str(level) / f"{name}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def terms_of(record: dict[str, Any]) -> set[str]:
    return set(record["trace"][0]["terms"])


def image_of(painted: RenderedCollection, key: str) -> np.ndarray:
    return canvas.read(painted.results / "shared" / "images" / f"{key}.tif")


def prepared_at(painted: RenderedCollection, key: str, size: Size, scratch: Path) -> np.ndarray:
    """A prepared image at a size, in its own colours."""
    canvas.resize(painted.results / "shared" / "prepared" / f"{key}.tif", scratch / "sized.tif", size)
    return canvas.read(scratch / "sized.tif")


def test_the_dry_run_told_the_truth_and_everything_was_painted(painted: RenderedCollection) -> None:
    assert painted.made == painted.promised
    sizes = {"mixed": Size(89, 72), "inside": SIZE, "stacked": SIZE, "means": SIZE}
    for name, size in sizes.items():
        printed = pyvips.Image.tiffload(str(painted.results / name / "print.tif"))
        assert Size(printed.height, printed.width) == size
        assert np.asarray(printed.numpy()).std(axis=(0, 1)).min() > 5
        record = json.loads((painted.results / name / "provenance.json").read_text(encoding="utf-8"))
        assert all(level["loss_last"] < level["loss_first"] for level in record["levels"])


def test_each_form_of_guidance_has_its_terms(painted: RenderedCollection) -> None:
    layers = [f"relu{block}_1" for block in range(1, 6)]
    sides = ("left", "right")
    means = {f"means {layer} {side}" for layer in layers for side in sides}
    everywhere = {f"style {layer} everywhere" for layer in layers}
    for name in ("means", "stacked"):
        assert terms_of(record_of(painted, name, 72)) == {*means, *everywhere, "content relu4_2"}
    # Inside by receptive field, of 24 px at relu3_1 and 68 px at relu4_1, in a region 32 px wide.
    seen = {f"means {layer} {side}" for layer in layers[:3] for side in sides}
    assert terms_of(record_of(painted, "inside", 72)) == {*seen, "content relu4_2"}


def test_each_level_has_its_own_layers_and_weights(painted: RenderedCollection) -> None:
    places = ("left", "strip", "everywhere")
    low, high = (
        {f"style {layer} {place}" for layer in layers for place in places}
        for layers in (("relu1_1", "relu2_1"), ("relu1_1", "relu2_1", "relu3_1", "relu4_1"))
    )
    lower, upper = record_of(painted, "mixed", 64), record_of(painted, "mixed", 80, "refined")
    assert terms_of(lower) == {*low, "content relu4_2"}
    assert terms_of(upper) == {*high, "content relu3_1", "total variation"}
    assert (lower["level"]["iterations"], upper["level"]["iterations"]) == (2, 1)
    # A level started from its content: there the content's term is nothing yet, whatever it weighs.
    weights = [
        (level.content_weight, level.style_weight, level.tv_weight)
        for level in plan_of(painted, "mixed").levels
    ]
    assert weights == [(3, 1000, 0), (1, 500, 5)]


def test_a_mixture_is_made_for_each_level_and_named_in_the_report(painted: RenderedCollection) -> None:
    plan = plan_of(painted, "mixed")
    made = sorted(plan.mixes.values(), key=lambda mix: mix.height)
    assert [(mix.size, mix.up_to_layer, mix.iterations) for mix in made] == [
        (Size(64, 64), "relu1_1", 2),
        (Size(80, 80), "relu2_1", 1),
    ]
    page = (painted.results / "report" / "mixed.html").read_text(encoding="utf-8")
    assert page.count('alt="The style image coarse.png with the fine structure of fine.png"') >= 1
    assert "its structure up to relu2_1" in page
    for key in plan.mixes:
        mixture = canvas.read(painted.results / "shared" / "mixed" / f"{key}.tif")
        assert mixture.std() > 0.05
        losses = json.loads((painted.results / "shared" / "mixed" / f"{key}.json").read_text())["level"]
        assert losses["loss_last"] < losses["loss_first"]


@pytest.mark.parametrize(
    ("artwork", "level", "name", "sentences"),
    [
        (
            "mixed",
            80,
            "refined",
            [
                r"\d\d\.\d% of level 80 is in no region and is styled by the Gram matrix of the whole image",
                r"\d+\.\d% of level 80 is in several regions and takes all their styles",
            ],
        ),
        (
            "inside",
            72,
            "stylised",
            [
                r"region left takes nothing of fine-79x66-[0-9a-f]{12} at "
                rf"{layer}: the mask on the style covers less than one unit there "
                rf"\({least}x{least} px would do: a larger mask or level, or propagation `simple`\)"
                for layer, least in (("relu4_1", 75), ("relu5_1", 171))
            ]
            + [
                rf"region {side} covers 0 of one unit of {layer} at 80x64 px; it is not styled at this layer "
                rf"\({least}x{least} px would do: a larger mask or level, or propagation `simple`\)"
                for layer, least in (("relu4_1", 75), ("relu5_1", 171))
                for side in ("left", "right")
            ],
        ),
        ("means", 72, "stylised", []),
    ],
)
def test_what_a_user_should_know_is_in_the_record_the_log_and_the_report(
    painted: RenderedCollection, artwork: str, level: int, name: str, sentences: list[str]
) -> None:
    found = record_of(painted, artwork, level, name)["warnings"]
    assert len(found) == len(sentences)
    page = (painted.results / "report" / f"{artwork}.html").read_text(encoding="utf-8")
    rule = {"stylised": "stylise", "refined": "refine"}[name]
    log = (painted.results / "logs" / artwork / f"{rule}-{level}.log").read_text(encoding="utf-8")
    for sentence, warning in zip(sentences, found, strict=True):
        assert re.fullmatch(sentence, warning)
        assert warning in page
        assert f"warning: {warning}\n" in log


def test_luminance_in_one_region_leaves_the_other_alone(painted: RenderedCollection, tmp_path: Path) -> None:
    plan = plan_of(painted, "inside")
    plain = prepared_at(painted, plan.content, SIZE, tmp_path)
    content = image_of(painted, plan.levels[0].content)
    left, right = np.s_[:, :EDGE], np.s_[:, SIZE.width - EDGE :]
    assert np.ptp(content[left], axis=-1) == pytest.approx(0, abs=1e-6)
    assert content[right] == pytest.approx(plain[right], abs=1e-6)

    printed = pyvips.Image.tiffload(str(painted.results / "inside" / "print.tif")).numpy()
    rendered = canvas.read(painted.results / "inside" / "levels" / "72" / "stylised.tif")
    level = 1 / 255
    assert printed[right] * level == pytest.approx(np.clip(rendered[right], 0, 1), abs=0.51 * level)
    to_yiq = rgb_to_yiq().T
    shown = ((printed[left] > 0) & (printed[left] < 255)).all(axis=-1)
    assert shown.mean() > 0.5
    chroma, luma = (printed[left] * level @ to_yiq)[..., 1:], (printed[left] * level @ to_yiq)[..., 0]
    # I and Q sum |coefficients| of at most 1.2 times half a level of each channel.
    assert chroma[shown] == pytest.approx((plain[left] @ to_yiq)[..., 1:][shown], abs=0.7 * level)
    assert luma[shown] == pytest.approx((rendered[left] @ to_yiq)[..., 0][shown], abs=0.51 * level)


def test_a_strip_of_colours_one_pixel_wide_is_where_colours_come_from(
    painted: RenderedCollection,
) -> None:
    plan = plan_of(painted, "stacked")
    (target,) = plan.levels[0].targets
    style = image_of(painted, plan.targets[target].image)
    found = style.reshape(-1, 3)
    # Quantiles are joined by straight lines, so the mean is not the palette's: of green, whose levels 60,
    # 120 and 180 lie at the quantiles 1/4, 5/8 and 7/8, it is 60/4 + 90 * 3/8 + 150/4 + 180/8.
    assert found.mean(axis=0) == pytest.approx(np.array([90, 108.75, 200]) / 255, abs=0.002)
    assert found[:, 2] == pytest.approx(200 / 255, abs=1e-4)


def test_the_users_channel_means_reach_every_stage_that_asks_the_network(painted: RenderedCollection) -> None:
    means = painted.checkout.folder / "inputs" / "means.safetensors"
    *others, last = means.read_bytes()
    with painted.checkout.edited("inputs/means.safetensors", bytes([*others, last ^ 1])):
        made = painted.checkout.would_render()
    artwork = {f"{rule} artwork=stacked" for rule in ("assemble", "record", "assess", "preview")}
    artwork |= {"export_print artwork=stacked, extension=tif"}
    assert made == {"targets key=coarse-72x72", "stylise artwork=stacked, level=72", *artwork, "report"}


def test_a_second_run_has_nothing_to_do(painted: RenderedCollection) -> None:
    before = snapshot(painted.results)
    done = painted.checkout.snakemake("--cores", 2)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert snapshot(painted.results) == before


def test_another_mixture_is_mixed_again_and_what_depends_on_it_and_nothing_else(
    painted: RenderedCollection,
) -> None:
    config = copy.deepcopy(CONFIG)
    config["artworks"]["mixed"]["mixing"]["iterations"] = [2, 2]
    with painted.checkout.edited("config.yaml", json.dumps(config)):
        made = painted.checkout.would_render()
    mixture = "key=coarse-80x80-with-fine"
    files = {f"{rule} artwork=mixed" for rule in ("plan", "assemble", "record", "assess", "preview")}
    files |= {"export_print artwork=mixed, extension=tif"}
    level = {f"{rule} artwork=mixed, level=80" for rule in ("upsample", "refine")}
    assert made == {f"mix {mixture}", f"targets {mixture}", *level, *files, "report"}


def test_what_can_be_known_before_the_work_is_told_with_the_plan(painted: RenderedCollection) -> None:
    impasto = Impasto(painted.checkout.folder)
    table = impasto.works("plan", "--artwork", "inside").printed
    warnings = [line for line in table.splitlines() if line.startswith("  warning: ")]
    assert warnings == [
        "  warning: inputs/wide.png (60x100 px) has another shape than its style image (96x80 px) and is "
        "stretched",
        "  warning: inputs/fine.png is 79x66 px at level 72, and relu5_1 sees 156 px at once: the style's "
        "large shapes will be missing there",
    ]
    page = html.unescape((painted.results / "report" / "inside.html").read_text(encoding="utf-8"))
    assert all(warning.removeprefix("  warning: ") in page for warning in warnings)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            ("regions", 0, "where"),
            "inputs/many.tif",
            "config.yaml: artworks.means.regions.0.where: inputs/many.tif: expected at most one band besides "
            "the colours (alpha); found 5 bands. Export it as RGB without further channels.",
        ),
        (
            ("regions", 1, "style"),
            "inputs/ribbon.png",
            "config.yaml: artworks.means.regions: expected style images of 32 px at least on their shorter "
            "side; found 228x23 px (height x width) for inputs/ribbon.png at level 72. Raise the style's "
            "scale or the lowest level, or crop the style image.",
        ),
    ],
)
def test_what_cannot_be_painted_is_one_line_and_no_work(
    painted: RenderedCollection, path: tuple[str, int, str], value: str, said: str
) -> None:
    inputs = painted.checkout.folder / "inputs"
    save(inputs / "ribbon.png", noise(400, 40, seed=1))
    many = pyvips.Image.new_from_array(np.zeros((50, 40, 5), np.uint8), interpretation="srgb")
    many.tiffsave(str(inputs / "many.tif"))
    config = copy.deepcopy(CONFIG)
    section, index, key = path
    config["artworks"]["means"][section][index][key] = value
    before = snapshot(painted.results)
    with painted.checkout.edited("config.yaml", json.dumps(config)):
        done = painted.checkout.snakemake("-n")
    # A file at fault keeps one artwork out; that the run failed is told at its end.
    assert done.returncode == 0
    told = done.stdout + done.stderr
    # Once when it is found, once with the state of the collection.
    assert told.count(said) == 2
    assert "Traceback" not in told
    assert snapshot(painted.results) == before
