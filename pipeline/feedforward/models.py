"""Files of trained networks: safetensors, with a model card that says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.config.sections import Model
from pipeline.errors import WeightsError
from pipeline.feedforward.network import TransformationNetwork
from pipeline.files import atomic_path
from pipeline.transformations import ARCHITECTURES, Upsampling
from pipeline.weights import tensors_sha256

_CARD = "impasto_model_card"
_SHA256 = "tensors_sha256"
_EXPECTED = "a network made by `impasto train`"
_LENGTH_BYTES = 8
"""How many bytes at a safetensors file's start say how long its header is; it ends on a multiple of them."""


@final
class RegionCard(Model):
    """A region that a network knows, and the style that it was taught there.

    Attributes:
        name: The region's; masks are given to it by this name.
        style: The style image as it was named in training; of an absolute path the file's name alone.
        style_sha256: Of that file.
    """

    name: str
    style: str
    style_sha256: str


@final
class ModelCard(Model):
    """What a network is, how it came about, and on what terms it may be used.

    Attributes:
        architecture: The name of its chain of convolutions.
        upsampling: How it doubles sizes.
        regions: In the order of its guidance channels.
        colour: `rgb`, or `luminance` for a network that reads and gives luma alone.
        settings: Everything that training was told, and how many processes shared it.
        data: The photographs: how many it was trained on, their sha256 together, how many were left out as
            damaged, how many it was validated on, and whether those are others.
        licence: Of the weights, as whoever trained them says.
        figures: Iterations and losses, and after which iteration the weights were kept; the training's record
            has its time, which no two have alike.
        version: Of this package.
    """

    architecture: str
    upsampling: Upsampling
    regions: tuple[RegionCard, ...] = Field(min_length=1)
    colour: Literal["rgb", "luminance"]
    settings: dict[str, Any]
    data: dict[str, Any]
    licence: str
    figures: dict[str, float]
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """The regions' names."""
        return tuple(region.name for region in self.regions)


@final
@dataclass(frozen=True, eq=False, slots=True)
class TrainedNetwork:
    """A network and its card."""

    network: TransformationNetwork
    card: ModelCard


def save_network(path: Path, network: TransformationNetwork, card: ModelCard) -> None:
    """Writes the weights in float32 and the card, whole or not at all; the same bytes each time."""
    # safetensors writes the memory of an array whatever its strides, and these are channels-last.
    tensors = {
        name: value.detach().float().cpu().contiguous().numpy()
        for name, value in network.state_dict().items()
    }
    metadata = {_CARD: card.model_dump_json(), _SHA256: tensors_sha256(tensors)}
    with atomic_path(path) as partial:
        partial.write_bytes(_ordered(save(tensors, metadata)))


def _ordered(file: bytes) -> bytes:
    """A safetensors file whose metadata are in the order of their names; safetensors has them in any."""
    start = _LENGTH_BYTES + int.from_bytes(file[:_LENGTH_BYTES], "little")
    header = json.loads(file[_LENGTH_BYTES:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # Tensors lie on multiples of eight bytes.
    text = text.ljust(-(-len(text) // _LENGTH_BYTES) * _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + file[start:]


def load_network(path: Path, device: torch.device | str = "cpu") -> TrainedNetwork:
    """The network in a file that `save_network` wrote.

    Raises:
        WeightsError: The file is missing, damaged, of another kind, or of another version's network.
    """
    if not path.is_file():
        raise WeightsError(path, expected=_EXPECTED, found="none", fix="Correct the path, or train one")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError):
        raise WeightsError(path, expected=_EXPECTED, found="something else, or half of one") from None
    card = _card(path, metadata)
    if tensors_sha256(tensors) != metadata.get(_SHA256):
        raise WeightsError(
            path, expected="weights as they were written", found="damaged ones", fix="Copy the file again"
        )
    if card.architecture not in ARCHITECTURES:
        raise WeightsError(
            path, expected=f"an architecture of {', '.join(ARCHITECTURES)}", found=repr(card.architecture)
        )
    network = TransformationNetwork(ARCHITECTURES[card.architecture], len(card.regions), card.upsampling)
    _check_shapes(path, network, tensors)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return TrainedNetwork(network.to(device).eval().requires_grad_(False), card)


def _card(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    if _CARD not in metadata:
        raise WeightsError(path, expected=_EXPECTED, found="a safetensors file without a model card")
    try:
        return ModelCard.model_validate_json(metadata[_CARD])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its start"
        raise WeightsError(
            path, expected="a model card of this version", found=f"{first['msg'].lower()} at {where}"
        ) from None


def _check_shapes(
    path: Path, network: TransformationNetwork, tensors: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    """Raises a WeightsError unless the tensors are those of the network."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted == found:
        return
    name = min(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    raise WeightsError(
        path,
        expected=f"{name} of shape {wanted.get(name)}, for a network of {network.regions} regions",
        found=str(found.get(name)),
        fix="Its card belongs to other weights",
    )
