from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import numpy as np
import pytest
import torch
from pictures import save
from running import Impasto, environment, within
from tiny_artwork import LOWEST, Artwork, Rendered

from pipeline import canvas
from pipeline.commands.rendering import Output, optimise
from pipeline.errors import ResourceError
from pipeline.geometry import Size
from pipeline.rendering.optimisation import Rendered as Optimised

OUTPUTS = ["--output", "out.tif", "--record", "out.json"]


def test_a_level_is_rendered_and_recorded(artwork: Artwork, stylised: Rendered) -> None:
    image = canvas.read(stylised.image)
    assert image.shape == (*LOWEST, 3)
    content = canvas.read(artwork.image(artwork.plan.levels[0].content))
    # It starts from the content, and moves.
    assert 0.002 < np.abs(image - content).mean() < 0.5
    record = stylised.facts()
    level = record["level"]
    assert (level["level_px"], level["height_px"], level["width_px"]) == (64, *LOWEST)
    assert level["iterations"] == 3
    losses = [point["loss"] for point in record["trace"]]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == level["loss_last"] < level["loss_first"] == losses[0]
    assert record["precision"] == "float32"
    assert record["device"]["device"] == "cpu"
    assert record["device"]["threads"] == 1
    assert set(record["trace"][0]["terms"]) > {"content relu4_2"}


def test_it_says_how_far_it_is_and_what_it_cost(stylised: Rendered) -> None:
    assert stylised.done.printed == ""
    assert "torchvision" not in stylised.imported
    *progress, last = stylised.done.said
    assert progress[-1].startswith("halves 64: 3/3. loss ")
    assert last.startswith("stylised.tif: 72x57 px, loss ")
    assert "3 of 3 iterations" in last


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--level": "96"}, "--level 96: expected one of the plan's levels 64, 80; found 96."),
        ({"--level": "many"}, "argument --level: expected a whole number of at least 1; found 'many'."),
        ({"--plan": "broken.json"}, "broken.json: expected a plan made by this version of `impasto plan`; "),
        (
            {"--plan": "absent.json"},
            "absent.json: expected a plan made by `impasto plan`; found no such file",
        ),
        ({"--guides": None}, "--guides: expected the file that `impasto guide` made; found none."),
        ({"--guides": "grey.png"}, "grey.png: expected an image of 2 bands; found 1."),
        ({"--content": "small.png"}, "small.png: expected 72x57 px (height x width) as planned; found 20x20"),
        (
            {"--targets": "empty/{key}.safetensors"},
            ".safetensors: expected a file made by `impasto targets`;",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, artwork: Artwork, vgg19: Path, change: dict[str, str | None], said: str
) -> None:
    level = artwork.plan.levels[0]
    key = artwork.targets(level).stem
    (impasto.folder / "broken.json").write_text("{}")
    (impasto.folder / "empty").mkdir()
    (impasto.folder / "empty" / f"{key}.safetensors").touch()
    save(impasto.folder / "grey.png", np.full((*LOWEST, 1), 128, np.uint8))
    save(impasto.folder / "small.png", np.full((20, 20, 3), 128, np.uint8))
    words = artwork.level_words(level, vgg19)
    options = dict(zip(words[::2], words[1::2], strict=True))
    for option, value in change.items():
        if value is None:
            del options[option]
        else:
            options[option] = value.format(key=key)
    given = [word for pair in options.items() for word in pair]
    assert said in impasto.refuses("stylise", *given, *OUTPUTS)


def words_of(
    folder: Path, artwork: Artwork, vgg19: Path, name: str = "plan.json", **changes: Any
) -> list[str]:
    """The words that render the lowest level with these changes to its plan, and few layers."""
    level = artwork.plan.levels[0]
    few = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",)}
    changes = {"network": level.network.model_copy(update=few), **changes}
    level = level.model_copy(update=changes)
    plan = artwork.plan.model_copy(update={"levels": (level,)})
    (folder / name).write_text(plan.model_dump_json())
    words = [str(word) for word in artwork.level_words(level, vgg19)]
    words[words.index("--plan") + 1] = str(folder / name)
    return words


def begun(impasto: Impasto, words: list[str], iteration: int) -> subprocess.Popen[str]:
    """A run that has come to this iteration at least."""
    command = ["impasto", "stylise", *words, *OUTPUTS]
    process = subprocess.Popen(
        command, cwd=impasto.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    manifest = "*.state/checkpoint.json"

    def reached() -> bool:
        found = [json.loads(path.read_text()) for path in impasto.folder.glob(manifest)]
        return process.poll() is not None or any(
            each["numbers"]["work"]["iteration"] >= iteration for each in found
        )

    assert within(200, reached)
    return process


BY_TILES: dict[str, Any] = {"iterations": 16, "tile_core_px": 32, "store": "files"}


@pytest.fixture(scope="module")
def uninterrupted(artwork: Artwork, vgg19: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of `BY_TILES` when nothing interferes."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    words = words_of(folder, artwork, vgg19, **BY_TILES)
    Impasto(folder).works("stylise", *words, "--output", "whole.tif", "--record", "whole.json")
    return folder / "whole.tif"


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_level_that_was_ended_goes_on_where_it_was(
    impasto: Impasto, artwork: Artwork, vgg19: Path, uninterrupted: Path, end: signal.Signals
) -> None:
    words = words_of(impasto.folder, artwork, vgg19, **BY_TILES)
    process = begun(impasto, words, 2)
    process.send_signal(end)
    _, said = process.communicate(timeout=120)
    (state,) = impasto.folder.glob(".out-*.state")
    assert (state / "checkpoint.json").is_file()
    assert not (impasto.folder / "out.tif").exists()
    if end == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 143
        assert "of 16 iterations; the same command goes on from there" in said.splitlines()[-1]
    done = impasto.works("stylise", *words, *OUTPUTS)
    # It did not begin again.
    assert not any(line.startswith("halves 64: 0/") for line in done.said)
    assert not list(impasto.folder.glob(".out-*"))
    facts = json.loads((impasto.folder / "out.json").read_text())
    assert [point["iteration"] for point in facts["trace"]] == list(range(17))
    assert np.array_equal(canvas.read(impasto.folder / "out.tif"), canvas.read(uninterrupted))


@pytest.mark.slow
def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_when_there_is_room(
    impasto: Impasto, artwork: Artwork, vgg19: Path
) -> None:
    words = words_of(impasto.folder, artwork, vgg19, **BY_TILES)
    process = begun(impasto, words, 2)
    # The next vector is larger.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    _, said = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert "expected room for" in last
    assert last.endswith("found a full disk. Free some and start again: what was finished is kept.")
    assert not (impasto.folder / "out.tif").exists()
    done = impasto.works("stylise", *words, *OUTPUTS)
    # It did not begin again.
    assert not any(line.startswith("halves 64: 0/") for line in done.said)
    assert len(json.loads((impasto.folder / "out.json").read_text())["trace"]) == 17
    assert not list(impasto.folder.glob(".out-*"))


@pytest.mark.slow
def test_a_state_that_is_damaged_or_another_runs_is_refused_with_the_reason(
    impasto: Impasto, artwork: Artwork, vgg19: Path
) -> None:
    def stopped(words: list[str]) -> Path:
        process = begun(impasto, words, 1)
        process.terminate()
        process.communicate(timeout=200)
        (manifest,) = impasto.folder.glob("*.state/checkpoint.json")
        return manifest

    def refused(words: list[str]) -> str:
        done = impasto.run("stylise", *words, *OUTPUTS)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        return line

    words = words_of(impasto.folder, artwork, vgg19, **BY_TILES)
    manifest = stopped(words)
    text = manifest.read_text()
    image = manifest.parent / json.loads(text)["vectors"][0]["image"]["file"]
    whole = image.read_bytes()
    image.write_bytes(whole[:3072] + bytes(3072) + whole[6144:])
    assert f"expected its file {image.name} as it was written; found a damaged one. Delete" in refused(words)
    manifest.write_text(text.replace('"step_length": 1.0', '"step_length": 0.5'))
    assert "expected a checkpoint as it was written; found a damaged one. Delete" in refused(words)
    others = words_of(impasto.folder, artwork, vgg19, "other.json", style_weight=7.0, **BY_TILES)
    shutil.rmtree(manifest.parent)
    theirs = stopped(others)
    theirs.write_text(text)
    assert "expected a checkpoint of these settings; found one of other settings. Delete" in refused(others)


def test_only_the_lowest_level_starts_from_nothing(impasto: Impasto, artwork: Artwork, vgg19: Path) -> None:
    line = impasto.refuses("stylise", *artwork.level_words(artwork.plan.levels[1], vgg19), *OUTPUTS)
    assert line == "--level 80: expected the plan's lowest level 64; found 80. Use impasto refine."


def test_a_start_must_be_what_the_plan_says(impasto: Impasto, artwork: Artwork, vgg19: Path) -> None:
    level, settings = artwork.plan.levels[0], artwork.plan.settings
    words = artwork.level_words(level, vgg19)
    line = impasto.refuses("stylise", *words, "--start", artwork.image(level.content), *OUTPUTS)
    assert line.startswith("--start: expected none: the plan starts from content; found ")
    painted = artwork.plan.model_copy(
        update={"settings": settings.model_copy(update={"start": "feedforward"})}
    )
    (impasto.folder / "painted.json").write_text(painted.model_dump_json(), encoding="utf-8")
    words[words.index("--plan") + 1] = "painted.json"
    line = impasto.refuses("stylise", *words, *OUTPUTS)
    assert line == "--start: expected what `impasto apply` made of the content, as the plan says; found none."


def test_too_little_memory_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def start(_: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    output = Output("halves 64", tmp_path / "out.tif", tmp_path / "out.json", Size(64, 64))
    with pytest.raises(ResourceError) as refused:
        optimise(output, 3, "0" * 12, start)
    assert str(refused.value) == (
        "halves 64: expected memory for what lies in it whole; found too little. Lower "
        "compute.memory_budget_mib, so that more is read by tiles and kept in files."
    )
    assert not list(tmp_path.iterdir())


def test_the_state_goes_when_the_disk_holds_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: events.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    cost = SimpleNamespace(loss_last=0.5, iterations=1, seconds=1.0, peak_memory_mib=1.0)
    record = SimpleNamespace(
        warnings=(),
        level=cost,
        trace=[SimpleNamespace(loss=1.0)],
        ending="iterations",
        precision="float32",
        model_dump_json=lambda **_: "{}",
    )
    rendered = SimpleNamespace(
        record=record,
        rows=lambda: iter([np.zeros((64, 64, 3), np.float32)]),
        discard_state=lambda: events.append("discarded"),
    )
    output = Output("halves 64", tmp_path / "out.tif", tmp_path / "out.json", Size(64, 64))
    assert optimise(output, 1, "0" * 12, lambda _: cast("Optimised", rendered))
    assert events == [*map(str, (output.image, output.record, tmp_path)), "discarded"]
