from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import broken_pictures, noise, save, truncate
from running import Impasto, environment, run_ranks

from pipeline import __version__, canvas, cli, weights
from pipeline.commands import train
from pipeline.commands.training import Job
from pipeline.feedforward import training
from pipeline.feedforward.models import load_network
from pipeline.machine import Machine

STYLES = ["--style", "sky=a.png", "--style", "ground=b.png"]


@pytest.fixture
def studio(impasto: Impasto) -> Impasto:
    """Three photographs in a folder, and two styles."""
    (impasto.folder / "photos").mkdir()
    for index in range(3):
        save(impasto.folder / "photos" / f"{index}.png", noise(40, 50, seed=index))
    save(impasto.folder / "a.png", noise(50, 40, seed=10))
    save(impasto.folder / "b.png", noise(40, 40, seed=11) // 2)
    return impasto


def options(weights: Path, iterations: int = 2, output: str = "net") -> list[object]:
    size = ["--size-px", 32, "--style-px", 32, "--batch", 1, "--iterations", iterations]
    machine = ["--network", "vgg19", "--device", "cpu", "--precision", "float32", "--threads", 1]
    return [
        *size,
        *machine,
        *["--weights", weights, "--output", f"{output}.safetensors", "--record", f"{output}.json"],
    ]


def record(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def test_a_network_is_trained_and_painted_with(studio: Impasto, vgg19: Path) -> None:
    words = ["--validate-every", 1, "--pictures", "pictures", "--licence", "CC0-1.0"]
    words += ["--training-mask", "varied", "--balance", "styles"]
    imported, done = studio.imports("train", "photos", *STYLES, *options(vgg19), *words)
    assert "torchvision" not in imported
    assert any(line.startswith("train net: 2/2. loss ") for line in done.said)
    assert done.said[-1].startswith("net.safetensors: 2 iterations, validation loss ")
    card = load_network(studio.folder / "net.safetensors").card
    assert card.names == ("sky", "ground")
    assert [region.style for region in card.regions] == ["a.png", "b.png"]
    assert card.licence == "CC0-1.0"
    assert card.version == __version__
    assert (card.settings["mask"], card.settings["balance"]) == ("varied", "styles")
    assert (card.settings["network"], card.settings["precision"]) == ("vgg19", "float32")
    assert card.settings["processes"] == 1
    assert (card.data["photographs"], card.data["validated"], card.data["held_out"]) == (3, 3, False)
    assert set(card.figures) == {
        "iterations", "loss_first", "loss_last", "validation_first", "validation_last", "validation_best",
        "best_iteration", "kept_iteration",
    }  # fmt: skip
    assert card.figures["kept_iteration"] == 2
    assert card.figures["iterations"] == 2
    told = {name: card.settings[name] for name in ("size_px", "style_px", "batch", "iterations", "seed")}
    assert told == {"size_px": 32, "style_px": 32, "batch": 1, "iterations": 2, "seed": 0}
    assert card.settings["weights_sha256"] == weights.load(vgg19).tensors_sha256
    assert [region.style_sha256 for region in card.regions] == [
        hashlib.sha256((studio.folder / name).read_bytes()).hexdigest() for name in ("a.png", "b.png")
    ]
    each = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(studio.folder.glob("photos/*"))]
    assert card.data["sha256"] == hashlib.sha256("".join(each).encode()).hexdigest()
    assert card.data["damaged"] == 0
    facts = record(studio.folder / "net.json")
    assert facts["ending"] == "iterations"
    assert facts["figures"] == {
        **card.figures,
        "seconds": facts["figures"]["seconds"],
        "images_per_s": pytest.approx(2 / facts["figures"]["seconds"]),
    }
    assert [point["iteration"] for point in facts["validations"]] == [1, 2]
    assert {"style relu1_2 sky", "style relu4_3 ground"} < set(facts["trace"][0]["terms"])
    # Three contents above, three painted below.
    assert canvas.read(studio.folder / "pictures" / "000002.png").shape == (64, 96, 3)
    assert not list(studio.folder.glob(".*"))
    words = ["--record", "net.json", "--pictures", "pictures", "--output", "out.safetensors"]
    done = studio.works("export-network", "net.safetensors", *words, "--report", "net.html")
    assert done.said == ["out.safetensors: sky, ground, licence: CC0-1.0"]
    one, other = ((studio.folder / f"{name}.safetensors").read_bytes() for name in ("net", "out"))
    assert one == other
    page = (studio.folder / "net.html").read_text(encoding="utf-8")
    assert "Training of sky, ground" in page
    assert page.count("data:image/png;base64,") == 2
    assert "After 1 iterations: photographs above, painted below" in page
    assert "CC0-1.0" in page
    save(studio.folder / "left.png", np.tile(np.repeat(np.array([255, 0], np.uint8), 20), (40, 1))[..., None])
    masks = ["--mask", "sky=left.png", "--mask", "ground=not:left.png"]
    outputs = ["--output", "out.tif", "--record", "out.json", "--threads", 1]
    studio.works("apply", "photos/0.png", "--model", "net.safetensors", *masks, *outputs)
    assert canvas.read(studio.folder / "out.tif").shape == (40, 50, 3)


def test_many_photographs_leave_some_to_validate_on(studio: Impasto, vgg19: Path) -> None:
    for index in range(3, 22):
        save(studio.folder / "photos" / f"{index}.png", noise(40, 50, seed=index))
    studio.works("train", "photos", "--style", "all=a.png", *options(vgg19, iterations=1))
    card = load_network(studio.folder / "net.safetensors").card
    assert (card.data["photographs"], card.data["validated"], card.data["held_out"]) == (21, 1, True)


def test_what_cannot_be_read_in_a_folder_is_left_out_and_named(studio: Impasto, vgg19: Path) -> None:
    photos = studio.folder / "photos"
    (photos / "1a.jpg").write_text("not a photograph " * 50, encoding="utf-8")
    save(photos / "1b.png", noise(20, 90, seed=0))
    truncate(save(photos / "1c.png", noise(40, 50, seed=0)))
    save(photos / "1d.png", noise(40, 50, seed=0)).rename(photos / os.fsdecode(b"1d\xdf.png"))
    done = studio.works("train", "photos", *STYLES, *options(vgg19, iterations=8))
    warnings = [line for line in done.said if line.startswith("warning: left out: ")]
    assert [line.split(": ")[2] for line in warnings] == [
        *("photos/1a.jpg", "photos/1b.png", "photos/1d\\xdf.png", "photos/1c.png"),
    ]
    assert "expected sides of at least 32 px; found 20x90 px" in warnings[1]
    data = load_network(studio.folder / "net.safetensors").card.data
    assert (data["photographs"], data["damaged"], data["validated"]) == (3, 1, 3)


def test_a_folder_without_a_usable_photograph_is_refused(studio: Impasto, vgg19: Path) -> None:
    for path in (studio.folder / "photos").iterdir():
        path.write_text("not a photograph " * 50, encoding="utf-8")
    line = studio.refuses("train", "photos", *STYLES, *options(vgg19))
    assert line.startswith(
        "photos: expected photographs with sides of at least 32 px; found 3 that cannot be used, the first "
        "of them photos/0.png: expected an image ("
    )


def test_photographs_that_are_all_damaged_leave_nothing(studio: Impasto, vgg19: Path) -> None:
    for path in (studio.folder / "photos").iterdir():
        truncate(path)
    done = studio.run("train", "photos", *STYLES, *options(vgg19))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "impasto train: the photographs: expected one that can be decoded; found 3 that are damaged, the "
        "first of them photos/0.png: expected a complete image"
    )
    assert not list(studio.folder.glob(".*"))
    assert not list(studio.folder.glob("net*"))


@pytest.mark.parametrize("kind", ["missing", "text", "empty"])
def test_a_photograph_that_was_named_itself_must_be_one(studio: Impasto, vgg19: Path, kind: str) -> None:
    path = broken_pictures(studio.folder)[kind]
    line = studio.refuses("train", "photos", path, *STYLES, *options(vgg19))
    assert line.startswith(f"{path}: expected ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["empty", *STYLES], "empty: expected a folder with photographs; found none in it."),
        (["photos", "--style", "a.png"], "--style: expected REGION=IMAGE; found 'a.png'."),
        (["photos", "--style", "a b=a.png"], "--style: expected REGION=IMAGE; found 'a b=a.png'."),
        (["photos", *STYLES, "--style", "sky=a.png"], "--style: expected each region once; found sky twice."),
        (["photos", "--style", "sky=gone.png"], "gone.png: expected an image file; found no such file."),
        (["photos", *STYLES, "--size-px", 40], "--size-px: expected a multiple of 16; found 40."),
        (["photos", *STYLES, "--learning-rate", 0], "--learning-rate: expected greater than 0; found 0.0."),
        (["photos", *STYLES, "--seed", 2**63], "--seed: expected less than 9223372036854775808; found 9223"),
        (["photos", *STYLES, "--patience", -1], "--patience: expected greater than or equal to 0; found -1."),
        (["photos", *STYLES, "--network", "vgg16"], "expected the model file of vgg16; found vgg19."),
        (["photos", *STYLES, "--weights", "gone"], "gone: expected a weights file; found none."),
        (["photos", *STYLES, "--output", "a.png"], "--output: expected another file than those that are re"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    studio: Impasto, vgg19: Path, words: list[object], said: str
) -> None:
    (studio.folder / "empty").mkdir()
    place = next((index for index, word in enumerate(words) if str(word).startswith("--s")), 1)
    given = [*words[:place], *options(vgg19), *words[place:]]
    assert said in studio.refuses("train", *given)


def test_too_little_memory_is_told(
    studio: Impasto, vgg19: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.chdir(studio.folder)
    monkeypatch.setattr(train, "prepare_machine", lambda *_: Machine(torch.device("cpu"), torch.float32, 1))
    monkeypatch.setattr(train, "teach", short)
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in ["train", "photos", *STYLES, *options(vgg19)]])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "impasto train: net.safetensors: expected memory for what lies in it whole; found too little. "
        "Lower --batch, --size-px or --style-px (in config.yaml batch, size_px, style_px).\n"
    )
    assert not list(studio.folder.glob(".*"))


def begun(studio: Impasto, monkeypatch: pytest.MonkeyPatch, words: list[object]) -> None:
    """Runs `impasto train photos WORDS` in this process."""
    monkeypatch.chdir(studio.folder)
    monkeypatch.setattr(train, "prepare_machine", lambda *_: Machine(torch.device("cpu"), torch.float32, 1))
    cli.main([str(word) for word in ["train", "photos", *words]])


def test_files_that_go_during_a_training_do_not_cost_the_network(
    studio: Impasto, vgg19: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = studio.folder
    (folder / "vgg.safetensors").write_bytes(vgg19.read_bytes())
    styles = [word.replace("=", f"={folder.as_posix()}/") for word in STYLES]
    whole = training.train

    def train_and_remove(*given: Any, **named: Any) -> Any:
        ending = whole(*given, **named)
        for path in (folder / "photos" / "1.png", folder / "a.png", folder / "vgg.safetensors"):
            path.unlink()
        return ending

    monkeypatch.setattr(training, "train", train_and_remove)
    begun(studio, monkeypatch, [*styles, *options(Path("vgg.safetensors"))])
    card = load_network(folder / "net.safetensors").card
    assert card.data["photographs"] == 3
    # Whose folder a style lay in is nobody's business.
    assert [region.style for region in card.regions] == ["a.png", "b.png"]
    assert folder.as_posix() not in card.model_dump_json()


def test_another_number_of_processes_is_another_training(
    studio: Impasto, vgg19: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[int, str] = {}

    def note(job: Job, _: object) -> str:
        keys[job.group.count] = job.key
        return "iterations"

    monkeypatch.setattr(train, "teach", note)
    for count in (1, 2):
        group = SimpleNamespace(rank=0, count=count, leads=True, together=nullcontext, meet=lambda _: None)
        monkeypatch.setattr(train, "company", lambda _, group=group: nullcontext(group))
        begun(studio, monkeypatch, [*STYLES, *options(vgg19)])
    assert len(set(keys.values())) == len(keys) == 2


@pytest.mark.slow
def test_several_processes_tell_a_mistake_once(studio: Impasto, vgg19: Path) -> None:
    (studio.folder / "photos" / "small.png").write_bytes(b"not a photograph" * 50)
    words = ["train", "photos", *STYLES, *options(vgg19), "--batch", 3]
    done = run_ranks(["impasto", *map(str, words)], studio.folder, 2)
    assert [each.returncode for each in done] == [2, 2]
    said = [line for each in done for line in each.stderr.splitlines()]
    assert len(said) == 2
    assert said[0].startswith("warning: left out: photos/small.png: expected an image")
    assert said[1] == "impasto train: --batch: expected a multiple of the 2 processes; found 3."


@pytest.mark.slow
def test_several_processes_train_one_network(studio: Impasto, vgg19: Path) -> None:
    words = ["train", "photos", *STYLES, *options(vgg19), "--batch", 2, "--pictures", "pictures"]
    done = run_ranks(["impasto", *map(str, words), "--checkpoint-every-s", "0"], studio.folder, 2)
    assert [each.returncode for each in done] == [0, 0], done
    card = load_network(studio.folder / "net.safetensors").card
    each = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(studio.folder.glob("photos/*"))]
    assert card.data["sha256"] == hashlib.sha256("".join(each).encode()).hexdigest()
    assert card.settings["processes"] == 2
    assert [path.name for path in (studio.folder / "pictures").iterdir()] == ["000002.png"]
    assert not list(studio.folder.glob(".*"))


@pytest.mark.slow
def test_a_training_that_was_ended_goes_on_where_it_was(studio: Impasto, vgg19: Path) -> None:
    """Its file is that of a training that nobody ended, to the last byte.

    One photograph is damaged, of twenty to train on: the first crop would have shown it, and no other does.
    """
    for index in range(3, 21):
        save(studio.folder / "photos" / f"{index}.png", noise(40, 50, seed=index))
    trained_on = sorted((studio.folder / "photos").iterdir())[1:]
    truncate(damaged := trained_on[int(np.random.default_rng([0, 0, 0]).permutation(20)[0])])
    told = f"warning: left out: photos/{damaged.name}: expected a complete image"
    # No run is faster than its signal.
    shown = ["--validate-every", 1, "--pictures"]
    words = [
        str(word) for word in ["train", "photos", *STYLES, *options(vgg19, 16), *shown, "pictures/of/net"]
    ]
    process = subprocess.Popen(
        ["impasto", *words], cwd=studio.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "/16" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert told in said
    assert said.splitlines()[-1].endswith("of 16 iterations; the same command goes on from there")
    (state,) = studio.folder.glob(".net-*.state")
    assert not (studio.folder / "net.safetensors").exists()
    # As a workflow does with what an interrupted job has made.
    shutil.rmtree(studio.folder / "pictures" / "of")
    done = studio.works(*words)
    assert done.said[0].startswith("going on after ")
    sheets = sorted(path.name for path in (studio.folder / "pictures" / "of" / "net").iterdir())
    assert sheets == [f"{iteration:06}.png" for iteration in range(1, 17)]
    assert any(line.startswith(told) for line in done.said)
    assert not list(studio.folder.glob(".net-*"))
    assert not state.exists()
    studio.works("train", "photos", *STYLES, *options(vgg19, 16, output="whole"), *shown, "pictures")
    one, other = (studio.folder / f"{name}.safetensors" for name in ("net", "whole"))
    assert one.read_bytes() == other.read_bytes()
    data = load_network(one).card.data
    assert (data["photographs"], data["damaged"], data["validated"]) == (19, 1, 1)
    losses = [record(studio.folder / f"{name}.json")["trace"] for name in ("net", "whole")]
    assert losses[0] == losses[1]
