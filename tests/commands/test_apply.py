from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import broken_pictures, gradient, left_half, noise, save
from running import Impasto, snapshot
from transformation_networks import make_card, make_network, save_narrow

from pipeline import canvas, cli
from pipeline.colour import rgb_to_yiq
from pipeline.commands import apply
from pipeline.console import Reporter
from pipeline.feedforward import application
from pipeline.feedforward.models import save_network
from pipeline.feedforward.network import as_luma
from pipeline.geometry import Size
from pipeline.machine import Machine
from pipeline.transformations import ARCHITECTURES

LEAN = ["--device", "cpu", "--precision", "float32", "--threads", 1]
OUTPUTS = ["--output", "out.tif", "--record", "out.json"]
MASKS = ["--mask", "top=left.png", "--mask", "bottom=not:left.png"]


@pytest.fixture
def studio(impasto: Impasto) -> Impasto:
    """A network, an image and a mask of another size."""
    save_narrow(impasto.folder / "net.safetensors")
    save(impasto.folder / "content.png", noise(70, 90, seed=0))
    save(impasto.folder / "left.png", left_half(35, 45))
    return impasto


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(canvas.read(path)).permute(2, 0, 1)


def record(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return facts


def test_it_paints_what_the_network_gives(studio: Impasto) -> None:
    network = save_narrow(studio.folder / "net.safetensors")
    imported, done = studio.imports(
        "apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS
    )
    canvas.compose_guides(
        [(studio.folder / "left.png", False), (studio.folder / "left.png", True)],
        studio.folder / "guides.tif",
        Size(70, 90),
    )
    guides = pixels(studio.folder / "guides.tif")
    expected = network(pixels(studio.folder / "content.png")[None], guides[None])[0]
    torch.testing.assert_close(pixels(studio.folder / "out.tif"), expected, rtol=0, atol=1e-5)
    assert "torchvision" not in imported
    assert done.said[-1].startswith("out.tif: 70x90 px, ")
    assert done.said[-1].endswith("layers in memory")
    facts = record(studio.folder)
    assert facts["application"]["moments"] == "exact"
    assert facts["application"]["deviation"] is None
    assert facts["colour"] == "painted"
    assert [region["name"] for region in facts["model"]["regions"]] == ["top", "bottom"]
    assert len(facts["model"]["sha256"]) == 64
    assert not list(studio.folder.glob(".*"))
    words = ["--guides", "guides.tif", *LEAN, "--output", "again.tif", "--record", "again.json"]
    studio.works("apply", "content.png", "--model", "net.safetensors", *words)
    assert torch.equal(pixels(studio.folder / "again.tif"), pixels(studio.folder / "out.tif"))


def test_bands_choose_among_the_networks_regions(studio: Impasto) -> None:
    """Three regions, two of which have one style; what they leave out is told."""
    network = save_narrow(studio.folder / "net.safetensors")
    save(studio.folder / "upper.png", np.repeat(left_half(45, 35), 1, axis=0).transpose(1, 0, 2).copy())
    bands = [canvas.Mask.parse(text) for text in ("left.png", "upper.png", "not:left.png")]
    masks = [canvas.Mask(studio.folder / mask.path, mask.inverted) for mask in bands]
    canvas.compose_guides(masks, studio.folder / "guides.tif", Size(70, 90))
    words = ["--guides", "guides.tif", "--channels", "bottom", "top", "top", *LEAN, *OUTPUTS]
    done = studio.works("apply", "content.png", "--model", "net.safetensors", *words)
    first, second, third = pixels(studio.folder / "guides.tif")
    channels = torch.stack([(second + third).clamp(max=1), first])
    expected = network(pixels(studio.folder / "content.png")[None], channels[None])[0]
    torch.testing.assert_close(pixels(studio.folder / "out.tif"), expected, rtol=0, atol=1e-5)
    assert any(line.startswith("warning: the regions cover 1") for line in done.said)
    assert "the regions cover 1" in record(studio.folder)["warnings"][0]


def test_a_style_that_is_nowhere_is_told(studio: Impasto) -> None:
    save(studio.folder / "all.png", np.full((20, 20, 1), 255, np.uint8))
    masks = ["--mask", "top=all.png", "--mask", "bottom=not:all.png"]
    done = studio.works("apply", "content.png", "--model", "net.safetensors", *masks, *LEAN, *OUTPUTS)
    assert any("nothing of the image is to have the style bottom" in line for line in done.said)


def test_a_small_budget_goes_through_files_and_changes_nothing(studio: Impasto) -> None:
    save(studio.folder / "content.png", noise(260, 200, seed=0))
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN]
    studio.works(*words, "--output", "whole.tif", "--record", "whole.json")
    done = studio.works(*words, *OUTPUTS, "--memory-budget-mib", 1)
    assert done.said[-1].endswith("layers in files")
    assert record(studio.folder)["application"]["tile_px"] == 128
    difference = pixels(studio.folder / "out.tif") - pixels(studio.folder / "whole.tif")
    assert difference.abs().max() < 1e-5
    assert not list(studio.folder.glob(".*"))


@pytest.mark.parametrize(("colour", "option"), [("rgb", ["--colour", "content"]), ("luminance", [])])
def test_the_contents_chroma_comes_back(studio: Impasto, colour: Any, option: list[str]) -> None:
    network = save_narrow(studio.folder / "net.safetensors", ("everywhere",), colour)
    save(studio.folder / "content.png", gradient(40, 60))
    studio.works("apply", "content.png", "--model", "net.safetensors", *option, *LEAN, *OUTPUTS)
    content = pixels(studio.folder / "content.png")
    to_yiq = torch.from_numpy(rgb_to_yiq())
    luma = torch.tensor([0.299, 0.587, 0.114])
    shown = content if colour == "rgb" else (luma @ content.flatten(1)).view(1, 40, 60).expand(3, -1, -1)
    painted = network(shown[None])[0]
    found = torch.einsum("ij,jhw->ihw", to_yiq, pixels(studio.folder / "out.tif").double())
    expected = torch.einsum("ij,jhw->ihw", to_yiq, content.double())
    torch.testing.assert_close(found[1:], expected[1:], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0].float(), torch.einsum("i,ihw->hw", luma, painted), rtol=0, atol=1e-5)
    assert record(studio.folder)["colour"] == "content"


def test_the_thumbnails_deviation_is_told(studio: Impasto) -> None:
    """An image of four times the thumbnail's area, in a texture that shrinking changes."""
    picture = gradient(400, 500) // 2 + noise(400, 500, seed=3) // 2
    save(studio.folder / "content.png", picture)
    save_narrow(studio.folder / "net.safetensors", ("everywhere",))
    words = ["apply", "content.png", "--model", "net.safetensors", *LEAN]
    studio.works(*words, "--output", "exact.tif", "--record", "exact.json")
    done = studio.works(*words, *OUTPUTS, "--moments", "thumbnail", "--thumbnail-px", 224)
    assert done.said[-2].startswith("the thumbnail's moments change the result by ")
    told = record(studio.folder)["application"]["deviation"]
    assert told["sampled_px"] == 9 * 128**2
    difference = 255 * (pixels(studio.folder / "out.tif") - pixels(studio.folder / "exact.tif"))
    rms = float(difference.double().square().mean().sqrt())
    assert 0.05 < rms <= told["bound"] == 2 * told["rms"]


def test_an_image_is_brought_to_a_size(studio: Impasto) -> None:
    words = ["--size", "36x44", *MASKS, *LEAN, *OUTPUTS]
    studio.works("apply", "content.png", "--model", "net.safetensors", *words)
    assert pixels(studio.folder / "out.tif").shape == (3, 36, 44)


def test_a_file_of_a_stage_is_read_as_it_is_and_any_other_is_prepared(studio: Impasto) -> None:
    """Colours beyond white stay where a stage wrote them; of a user's file they are clipped, and told."""
    network = save_narrow(studio.folder / "net.safetensors", ("everywhere",))
    bright = noise(40, 50, seed=0).astype(np.float32) / 200
    canvas.write(studio.folder / "bright.tif", bright)
    words = ["apply", "bright.tif", "--model", "net.safetensors", *LEAN]
    studio.works(*words, "--prepared", *OUTPUTS)
    expected = network(pixels(studio.folder / "bright.tif")[None])[0]
    torch.testing.assert_close(pixels(studio.folder / "out.tif"), expected, rtol=0, atol=1e-5)
    done = studio.works(*words, *OUTPUTS)
    assert any("numbers lay outside 0 to 1 and were clipped" in line for line in done.said), done.said
    expected = network(pixels(studio.folder / "bright.tif").clamp(0, 1)[None])[0]
    # Prepared images have 16 bits.
    torch.testing.assert_close(pixels(studio.folder / "out.tif"), expected, rtol=0, atol=1e-3)
    bright[20, 20] = np.nan
    canvas.write(studio.folder / "bright.tif", bright)
    assert studio.refuses(*words, *OUTPUTS).startswith("bright.tif: expected ")


def test_what_is_read_is_not_overwritten(studio: Impasto) -> None:
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS[2:]]
    for name in ("content.png", "net.safetensors"):
        said = studio.refuses(*words, "--output", name)
        assert said == f"--output: expected another file than those that are read; found {name}."


def test_a_network_that_learnt_another_style_is_told(studio: Impasto) -> None:
    card = make_card()
    sha256 = hashlib.sha256((studio.folder / "left.png").read_bytes()).hexdigest()
    regions = (card.regions[0], card.regions[1].model_copy(update={"style_sha256": sha256}))
    network = make_network(ARCHITECTURES["narrow"])
    save_network(studio.folder / "net.safetensors", network, card.model_copy(update={"regions": regions}))
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS]
    styles = ["--style", "top=left.png", "--style", "bottom=left.png"]
    warning = (
        "the network paints top in the style of top.png, another file than left.png: it knows the style that "
        "it was trained on alone"
    )
    assert f"warning: {warning}" in studio.works(*words, *styles).said
    assert record(studio.folder)["warnings"] == [warning]
    line = studio.refuses(*words, "--style", "sky=left.png")
    assert line == "--style: expected regions of the network (top, bottom); found sky."


@pytest.mark.parametrize("masks", [[], ["--luminance-mask", "not:left.png"]])
def test_luma_is_kept_alone_everywhere_or_where_masks_are(studio: Impasto, masks: list[object]) -> None:
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN]
    studio.works(*words, *OUTPUTS)
    colours = pixels(studio.folder / "out.tif")
    studio.works(*words, "--colour", "luma", *masks, *OUTPUTS)
    found = pixels(studio.folder / "out.tif")
    luma = as_luma(colours)
    right = slice(50, None)
    torch.testing.assert_close(found[..., right], luma[..., right], rtol=0, atol=1e-5)
    left = colours if masks else luma
    torch.testing.assert_close(found[..., :40], left[..., :40], rtol=0, atol=1e-5)
    assert record(studio.folder)["colour"] == "luma"
    assert not list(studio.folder.glob(".*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--mask: expected a mask for each of the network's regions top, bottom; found none."),
        (["--mask", "top=left.png"], "regions top, bottom; found top."),
        (
            [*MASKS, "--luminance-mask", "left.png"],
            "--luminance-mask: expected --colour luma beside it; found painted.",
        ),
        ([*MASKS, "--channels", "top"], "--channels: expected --guides beside it; found none."),
        (
            ["--guides", "left.png", "--channels", "top", "sky"],
            "--channels: expected regions of the network (top, bottom); found sky.",
        ),
        ([*MASKS, "--mask", "sky=left.png"], "regions top, bottom; found top, bottom, sky."),
        ([*MASKS, "--mask", "top=left.png"], "--mask: expected each region once; found top twice."),
        (["--mask", "left.png"], "--mask: expected REGION=MASK; found 'left.png'."),
        (["--mask", "top=not:"], "--mask: expected REGION=MASK; found 'top=not:'."),
        (
            ["--mask", "top=gone.png", "--mask", "bottom=left.png"],
            "gone.png: expected an image file; found no",
        ),
        (["--guides", "left.png"], "left.png: expected a band for each of top, bottom; found 1 bands."),
        (
            ["--guides", "two.tif"],
            "two.tif: expected 70x90 px (height x width) as the image; found 35x45 px.",
        ),
        ([*MASKS, "--model", "left.png"], "left.png: expected a network made by `impasto train`; found"),
        ([*MASKS, "--model", "gone"], "gone: expected a network made by `impasto train`; found none."),
    ],
)
def test_what_cannot_be_is_told_in_one_line(studio: Impasto, words: list[object], said: str) -> None:
    mask = studio.folder / "left.png"
    canvas.compose_guides([(mask, False), (mask, True)], studio.folder / "two.tif", Size(35, 45))
    before = snapshot(studio.folder)
    given = ["apply", "content.png", "--model", "net.safetensors", *words, *LEAN, *OUTPUTS]
    assert said in studio.refuses(*given)
    assert snapshot(studio.folder) == before


def test_masks_for_a_network_of_one_region_are_refused(studio: Impasto) -> None:
    save_narrow(studio.folder / "net.safetensors", ("everywhere",))
    line = studio.refuses("apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS)
    assert line == "--mask: expected none, for a network of one region, everywhere; found some."


def test_too_little_memory_is_told(
    studio: Impasto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.chdir(studio.folder)
    monkeypatch.setattr(apply, "prepare_machine", lambda *_: Machine(torch.device("cpu"), torch.float32, 1))
    monkeypatch.setattr(application, "paint", short)
    before = snapshot(studio.folder)
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS]
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "impasto apply: out.tif: expected memory for what lies in it whole; found too little. Lower "
        "--memory-budget-mib (in config.yaml compute.memory_budget_mib), so that tiles are smaller."
    )
    assert snapshot(studio.folder) == before


def test_a_painting_that_is_stopped_leaves_nothing(
    studio: Impasto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its layers are in files meanwhile, a decoded copy of the image and composed guides beside them."""
    met: list[set[str]] = []

    def update(*_: object) -> None:
        met.append({path.name for path in studio.folder.glob(".out.*")})
        if len(met) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.chdir(studio.folder)
    monkeypatch.setattr(apply, "prepare_machine", lambda *_: Machine(torch.device("cpu"), torch.float32, 1))
    monkeypatch.setattr(Reporter, "update", update)
    before = snapshot(studio.folder)
    words = ["apply", "content.png", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS]
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in [*words, "--memory-budget-mib", 1]])
    assert ended.value.code == 143
    assert len(met) == 3
    assert {".out.prepared.tif", ".out.guides.tif", ".out.layers"} <= met[-1]
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"stopped after 3 of \d+ tiles; the same command begins anew", said)
    assert snapshot(studio.folder) == before


@pytest.mark.parametrize("kind", ["missing", "truncated", "text", "empty"])
def test_a_broken_image_is_told_in_one_line(studio: Impasto, kind: str) -> None:
    path = broken_pictures(studio.folder)[kind]
    words = ["--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS]
    assert studio.refuses("apply", path, *words).startswith(f"{path}: expected ")


def test_a_colourless_float_image_is_no_file_of_a_stage(studio: Impasto) -> None:
    canvas.write(studio.folder / "grey.tif", np.zeros((40, 40, 1), np.float32))
    words = ["apply", "grey.tif", "--model", "net.safetensors", *MASKS, *LEAN, *OUTPUTS]
    assert "grey.tif: expected " in studio.refuses(*words, "--prepared")
    studio.works(*words)
