from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import make_image
from pictures import truncate
from safetensors import safe_open
from safetensors.numpy import save_file
from transformation_networks import make_card, make_network, save_narrow

from pipeline.errors import WeightsError
from pipeline.feedforward.models import load_network, save_network
from pipeline.transformations import ARCHITECTURES

CARD = "impasto_model_card"


def test_a_network_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    network = save_narrow(path)
    found = load_network(path)
    assert found.card == make_card()
    assert found.card.names == ("top", "bottom")
    assert not any(parameter.requires_grad for parameter in found.network.parameters())
    image = make_image(20, 24, seed=0, dtype=torch.float32)[None]
    guides = make_image(20, 24, seed=1, channels=2, dtype=torch.float32)[None]
    assert torch.equal(found.network(image, guides), network(image, guides))
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_same_network_makes_the_same_bytes(tmp_path: Path) -> None:
    """safetensors has metadata in any order; of ten files some would differ. Names need not be ASCII."""
    network, card = make_network(ARCHITECTURES["narrow"], 1), make_card(("Föhn “1”",))
    files = set()
    for number in range(10):
        save_network(tmp_path / str(number), network, card)
        files.add((tmp_path / str(number)).read_bytes())
    assert len(files) == 1
    assert load_network(tmp_path / "0").card == card
    assert int.from_bytes(files.pop()[:8], "little") % 8 == 0


def rewrite(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, str]], None]) -> None:
    """Writes the file again after a change of its tensors and metadata."""
    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


def edit(field: str, value: object) -> Callable[[dict[str, np.ndarray], dict[str, str]], None]:
    """A change of one field of the card."""

    def change(_: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        metadata[CARD] = json.dumps({**json.loads(metadata[CARD]), field: value})

    return change


def damage(tensors: dict[str, np.ndarray], _: dict[str, str]) -> None:
    tensors["convolutions.c1.bias"] = tensors["convolutions.c1.bias"] + 1


def forget(_: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    metadata.clear()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (forget, "expected a network made by `impasto train`; found a safetensors file without a model card"),
        (damage, "expected weights as they were written; found damaged ones. Copy the file again."),
        (edit("architecture", "deep"), "expected an architecture of narrow, wide, johnson; found 'deep'."),
        (
            edit("architecture", "wide"),
            "expected convolutions.c1.bias of shape (32,), for a network of 2 regions; found (16,). Its card",
        ),
        (
            edit("regions", [{"name": "all", "style": "a.png", "style_sha256": ""}]),
            "expected convolutions.c1.weight of shape (16, 3, 9, 9), for a network of 1 regions; found (16,",
        ),
        (edit("regions", []), "expected a model card of this version; found tuple should have at least 1"),
        (edit("colour", "sepia"), "at colour."),
    ],
)
def test_what_is_no_network_of_ours_is_told(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray], dict[str, str]], None], said: str
) -> None:
    path = tmp_path / "net.safetensors"
    save_narrow(path)
    rewrite(path, change)
    with pytest.raises(WeightsError) as raised:
        load_network(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize("kind", ["missing", "truncated", "text"])
def test_what_is_no_file_of_weights_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net.safetensors"
    if kind == "truncated":
        save_narrow(path)
        truncate(path)
    elif kind == "text":
        path.write_text("not weights " * 100)
    with pytest.raises(WeightsError, match="expected a network made by `impasto train`; found"):
        load_network(path)


def test_weights_are_saved_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, make_network(ARCHITECTURES["narrow"]).bfloat16(), make_card())
    with safe_open(path, framework="numpy") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"float32"}  # noqa: SIM118
