from __future__ import annotations

import pytest
import torch
from pictures import noise, save
from running import Impasto
from transformation_networks import johnson_state

from pipeline import canvas
from pipeline.feedforward.models import load_network


@pytest.fixture
def studio(impasto: Impasto) -> Impasto:
    """A network of somebody else's and the style that it knows."""
    torch.save(johnson_state(), impasto.folder / "mosaic.pth")
    save(impasto.folder / "mosaic.png", noise(40, 40, seed=1))
    save(impasto.folder / "content.png", noise(30, 50, seed=2))
    return impasto


def test_a_network_of_somebody_elses_paints(studio: Impasto) -> None:
    words = [
        "--style",
        f"tiles={studio.folder}/mosaic.png",
        "--licence",
        "BSD-3-Clause",
        "--output",
        "net.safetensors",
    ]
    done = studio.works("import-network", "mosaic.pth", *words)
    assert done.said[-1] == "net.safetensors: a network of 1679235 weights, tiles"
    card = load_network(studio.folder / "net.safetensors").card
    assert (card.architecture, card.names, card.licence) == ("johnson", ("tiles",), "BSD-3-Clause")
    assert card.data["imported"] == "mosaic.pth"
    assert card.regions[0].style == "mosaic.png"
    outputs = ["--output", "out.tif", "--record", "out.json", "--threads", 1, "--precision", "float32"]
    studio.works("apply", "content.png", "--model", "net.safetensors", *outputs)
    assert canvas.read(studio.folder / "out.tif").shape == (30, 50, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mosaic.png", "--style", "tiles=mosaic.png"], "mosaic.png: expected a network in the names of"),
        (["mosaic.pth", "--style", "mosaic.png"], "--style: expected NAME=IMAGE; found 'mosaic.png'."),
        (
            ["mosaic.pth", "--style", "tiles=mosaic.png", "--output", "mosaic.pth"],
            "--output: expected another file than those that are read; found mosaic.pth.",
        ),
        (["mosaic.pth", "--style", "a=gone.png"], "gone.png: expected an image file; found no such file."),
    ],
)
def test_what_cannot_be_is_told_in_one_line(studio: Impasto, words: list[object], said: str) -> None:
    file, *more = words
    assert said in studio.refuses("import-network", file, "--output", "net.safetensors", *more)
