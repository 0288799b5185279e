from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import broken_pictures, noise, save
from running import Impasto
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.functional import conv2d

from pipeline import __version__
from pipeline.layers import VGG19
from pipeline.normalisation import load_means

NETWORK = ["--network", "vgg19", "--device", "cpu", "--threads", 1]


def options(weights: Path, output: str = "means.safetensors", size_px: int = 32) -> list[object]:
    return ["--weights", weights, *NETWORK, "--size-px", size_px, "--output", output]


def photographs(folder: Path, count: int) -> Path:
    """A folder of pictures of 32x48 px, of different brightness."""
    folder.mkdir()
    for index in range(count):
        save(folder / f"{index}.png", noise(32, 48, seed=index) // (1 + index % 3))
    return folder


def first_means(pixels: list[np.ndarray], weights: Path) -> torch.Tensor:
    """The channel means of relu1_1 over whole pictures, in float64 and without our own network."""
    tensors = load_file(weights)
    mean = torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None]
    weight, bias = tensors["conv1_1.weight"].double(), tensors["conv1_1.bias"].double()
    total = torch.zeros(64).double()
    for picture in pixels:
        image = (torch.from_numpy(picture).double().permute(2, 0, 1) / 255 - mean) / deviation
        total += conv2d(image[None], weight, bias, padding=1).relu().mean(dim=(0, 2, 3))
    return total / len(pixels)


def test_the_means_are_those_of_the_middles_of_the_photographs(impasto: Impasto, vgg19: Path) -> None:
    photographs(impasto.folder / "photos", 4)
    done = impasto.works("calibrate", "photos", *options(vgg19))
    assert done.said[-1] == (
        "means.safetensors: 13 convolutions, 4 photographs of 32 px, max pooling, float32"
    )
    assert "calibrate: 4/4. " in done.said
    middles = [(noise(32, 48, seed=index) // (1 + index % 3))[:, 8:40] for index in range(4)]
    expected = first_means(middles, vgg19)
    means = load_means(impasto.folder / "means.safetensors", VGG19, "vgg19")
    assert list(means) == [layer.convolution for layer in VGG19.up_to(["relu5_1"])]
    torch.testing.assert_close(torch.from_numpy(means["conv1_1"]).double(), expected, rtol=1e-4, atol=1e-5)
    assert not list(impasto.folder.glob(".*"))
    with safe_open(impasto.folder / "means.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["network"] == "vgg19"
    assert metadata["photographs"] == "4"
    assert metadata["size_px"] == "32"
    assert metadata["pooling"] == "max"
    assert metadata["version"] == __version__
    assert len(metadata["weights_sha256"]) == 64
    assert set(json.loads(metadata["correlations"])) == set(means)


def test_names_order_and_repetitions_change_nothing(impasto: Impasto, vgg19: Path) -> None:
    folder = photographs(impasto.folder / "photos", 3)
    impasto.works("calibrate", "photos", *options(vgg19))
    other = impasto.folder / "other" / "deep"
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("not a photograph", encoding="utf-8")
    for index in range(3):
        shutil.copy(folder / f"{index}.png", other / f"{9 - index}.PNG")
    shutil.copy(folder / "0.png", other / "again.png")
    words = ["photos/1.png", "other", *options(vgg19, "other.safetensors")]
    done = impasto.works("calibrate", *words)
    assert done.said[0] == "2 of 5 files repeat another one and are not counted"
    same = [load_file(impasto.folder / f"{name}.safetensors") for name in ("means", "other")]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


def test_photographs_are_shrunk_until_their_shorter_side_fits(impasto: Impasto, vgg19: Path) -> None:
    for index, (height, width) in enumerate([(64, 160), (96, 64)]):
        flat = np.full((height, width, 3), 60 + 90 * index, np.uint8)
        save(impasto.folder / f"{index}.png", flat)
    impasto.works("calibrate", "0.png", "1.png", *options(vgg19))
    flats = [np.full((32, 32, 3), 60 + 90 * index, np.uint8) for index in range(2)]
    found = load_file(impasto.folder / "means.safetensors")["conv1_1.mean"].double()
    torch.testing.assert_close(found, first_means(flats, vgg19), rtol=1e-4, atol=1e-5)


def test_few_photographs_are_warned_of(impasto: Impasto, vgg19: Path) -> None:
    for index in range(2):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[..., 2 * index] = 255
        save(impasto.folder / f"{index}.png", pixels)
    done = impasto.works("calibrate", "0.png", "1.png", *options(vgg19))
    (line,) = [line for line in done.said if line.startswith("halves")]
    low = [part.split()[0] for part in line.partition(": ")[2].split(", ") if float(part.split()[1]) < 0.9]
    assert low
    (warning,) = [line for line in done.said if line.startswith("warning")]
    assert warning.startswith(f"warning: 2 photographs do not agree enough at {', '.join(low)} (halves ")


def test_a_name_that_is_no_text_is_told_in_one_line(impasto: Impasto, vgg19: Path) -> None:
    photographs(impasto.folder / "photos", 2)
    save(impasto.folder / "c.png", noise(32, 48, seed=3))
    (impasto.folder / "c.png").rename(impasto.folder / "photos" / os.fsdecode(b"Stra\xdfe.png"))
    assert impasto.refuses("calibrate", "photos", *options(vgg19)) == (
        "photos/Stra\\xdfe.png: expected a name in UTF-8; found bytes that are none. Rename it."
    )


def test_the_network_is_not_overwritten(impasto: Impasto, vgg19: Path) -> None:
    photographs(impasto.folder / "photos", 2)
    (impasto.folder / "net.safetensors").write_bytes(vgg19.read_bytes())
    said = impasto.refuses("calibrate", "photos", *options(Path("net.safetensors"), "net.safetensors"))
    assert said == "--output: expected another file than those that are read; found net.safetensors."


@pytest.mark.parametrize("kind", ["missing", "text", "empty"])
def test_what_is_no_photograph_is_told_in_one_line(impasto: Impasto, vgg19: Path, kind: str) -> None:
    path = broken_pictures(impasto.folder)[kind]
    save(impasto.folder / "good.png", noise(32, 48, seed=0))
    assert impasto.refuses("calibrate", "good.png", path, *options(vgg19)).startswith(f"{path}: expected ")


def test_a_damaged_photograph_ends_it_and_leaves_nothing(impasto: Impasto, vgg19: Path) -> None:
    path = broken_pictures(impasto.folder)["truncated"]
    save(impasto.folder / "good.png", noise(32, 48, seed=0))
    done = impasto.run("calibrate", "good.png", path, *options(vgg19))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"impasto calibrate: {path}: expected a complete image")
    assert "Traceback" not in done.stderr
    assert not list(impasto.folder.glob("means*")) + list(impasto.folder.glob(".*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing: expected a folder with photographs; found none in it."),
        (["a.png"], "a.png: expected two different photographs at least; found one. A hundred are enough."),
        (["a.png", "a.png"], "a.png: expected two different photographs at least; found one."),
        (["a.png", "b.png", "--size-px", 40], "--size-px: expected a multiple of 16; found 40."),
        (
            ["a.png", "b.png", "--size-px", 48],
            "a.png: expected sides of at least 48 px, since enlarged photographs are blurred; found 32x48 "
            "px; too small are 2 of 2. Leave them out, or lower --size-px.",
        ),
        (["a.png", "b.png", "--network", "vgg16"], "expected the model file of vgg16; found vgg19."),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, vgg19: Path, words: list[object], said: str
) -> None:
    (impasto.folder / "nothing").mkdir()
    for seed, name in enumerate(["a.png", "b.png"]):
        save(impasto.folder / name, noise(32, 48, seed))
    given = [word for word in words if str(word).endswith(".png") or word == "nothing"]
    assert said in impasto.refuses("calibrate", *given, *options(vgg19), *words[len(given) :])
