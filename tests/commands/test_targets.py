from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import gradient, left_half, noise, save
from running import Impasto, run
from safetensors.torch import load_file
from torch.nn.functional import conv2d

NETWORK = ["--network", "vgg19", "--device", "cpu", "--precision", "float32", "--threads", 1]


def test_the_statistics_are_the_gram_matrices_of_the_activations(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "style.png", noise(48, 64, seed=0))
    words = ["--weights", vgg19, *NETWORK, "--output", "style.safetensors"]
    imported, done = impasto.imports("targets", "style.png", *words)
    assert done.said == [
        "style.safetensors: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of 48x64 px, float32"
    ]
    assert "torch" in imported
    assert "torchvision" not in imported
    found = load_file(impasto.folder / "style.safetensors")
    channels = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        f"{layer}.{part}": (count, count) if part == "gram" else (count,)
        for layer, count in channels.items()
        for part in ("gram", "mean", "sum")
    }
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    expected = first_gram(noise(48, 64, seed=0), vgg19)
    torch.testing.assert_close(
        found["relu1_1.gram"].double(), expected, rtol=1e-4, atol=1e-4 * float(expected.max())
    )


def test_a_file_that_finds_no_room_is_told_in_one_line(impasto: Impasto, vgg19: Path) -> None:
    save(impasto.folder / "style.png", noise(48, 64, seed=0))
    words = ["impasto", "targets", "style.png", "--weights", str(vgg19), *map(str, NETWORK)]
    limited = ["bash", "-c", 'ulimit -f 100; exec "$@"', "-", *words, "--output", "style.safetensors"]
    done = run(limited, impasto.folder)
    assert (done.returncode, done.stderr) == (2, "impasto targets: style.safetensors: file too large.\n")
    assert [path.name for path in impasto.folder.iterdir()] == ["style.png"]


def first_gram(pixels: np.ndarray, weights: Path) -> torch.Tensor:
    """G = F F^T / N of relu1_1, in float64 and without our own network."""
    tensors = load_file(weights)
    mean = torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None]
    image = (torch.from_numpy(pixels).double().permute(2, 0, 1) / 255 - mean) / deviation
    weight, bias = tensors["conv1_1.weight"].double(), tensors["conv1_1.bias"].double()
    features = conv2d(image[None], weight, bias, padding=1).relu().flatten(2)[0]
    return features @ features.T / features.shape[1]


def test_a_mask_leaves_the_rest_out(impasto: Impasto, vgg19: Path) -> None:
    # The left half is one texture and the right one another; they mix near the middle alone.
    left = noise(64, 128, seed=0)
    save(impasto.folder / "both.png", np.hstack([left, gradient(64, 128)]))
    save(impasto.folder / "mask.png", left_half(32, 128))
    words = ["--weights", vgg19, *NETWORK, "--layers", "relu1_1", "--mask", "mask.png"]
    done = impasto.works("targets", "both.png", *words, "--output", "both.safetensors")
    assert done.said == ["both.safetensors: relu1_1 of 64x256 px, float32"]
    found = load_file(impasto.folder / "both.safetensors")["relu1_1.gram"].double()
    expected = first_gram(left, vgg19)
    assert torch.linalg.norm(found - expected) < 0.02 * torch.linalg.norm(expected)
    assert not list(impasto.folder.glob(".*"))


def test_a_mask_that_is_too_small_for_a_layer_is_told_how_large_it_would_have_to_be(
    impasto: Impasto, vgg19: Path
) -> None:
    save(impasto.folder / "style.png", noise(48, 64, seed=0))
    spot = np.zeros((48, 64, 1), np.uint8)
    spot[16:20, 16:20] = 255
    save(impasto.folder / "spot.png", spot)
    words = ["--weights", vgg19, *NETWORK, "--layers", "relu1_1", "relu4_1", "--mask", "spot.png"]
    done = impasto.works("targets", "style.png", *words, "--output", "style.safetensors")
    assert done.said == [
        "warning: spot.png covers less than one unit of relu4_1 at 48x64 px; it is left out there "
        "(15x15 px would do: a larger mask or level)",
        "style.safetensors: relu1_1 of 48x64 px, float32",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["style.png", "--mask", "black.png"], "black.png: expected a guide that covers at least one unit"),
        (
            ["style.png", "--layers", "relu9_9"],
            "--layers must name style_layers that the file of vgg19 has (relu1_1, ",
        ),
        (
            ["style.png", "--network", "vgg16"],
            "vgg19.safetensors: expected the model file of vgg16; found vgg19.",
        ),
        (["style.png", "--weights", "changed.safetensors"], "expected tensors with sha256 "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, vgg19: Path, words: list[str], said: str
) -> None:
    save(impasto.folder / "style.png", noise(48, 64, seed=0))
    save(impasto.folder / "black.png", np.zeros((48, 64, 1), np.uint8))
    if "changed.safetensors" in words:
        changed(vgg19, impasto.folder / "changed.safetensors")
    given = ["--weights", vgg19, *NETWORK, *words[1:], "--output", "out.safetensors"]
    assert said in impasto.refuses("targets", words[0], *given)


def changed(path: Path, copy: Path) -> None:
    """Copies a model file with its last byte changed, which its hash must notice."""
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    copy.write_bytes(contents)
