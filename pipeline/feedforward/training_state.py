"""The saved state of a training, from which it goes on bit for bit as if it had not been interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from pipeline.errors import CheckpointError
from pipeline.feedforward.photographs import Damage, Photographs
from pipeline.feedforward.training import Training
from pipeline.feedforward.training_record import LossPoint
from pipeline.tensor_files import save_tensors
from pipeline.weights import tensors_sha256

_MOMENTS = ("exp_avg", "exp_avg_sq")
_BEST = "best."
_POINTS = TypeAdapter(list[LossPoint])
_DAMAGED = TypeAdapter(dict[Path, Damage])


def save_state(path: Path, training: Training, photographs: Photographs, key: str) -> None:
    """Writes all that training has come to so far, damaged photographs included, whole or not at all.

    Args:
        path: A safetensors file.
        training: What is saved.
        photographs: What it is trained on.
        key: Stands for everything that the weights depend on.

    Raises:
        OSError: It cannot be written; what was saved before is still there.
    """
    tensors = {name: _array(value) for name, value in _values(training).items()}
    numbers = {
        "key": key,
        "torch": torch.__version__,
        "iteration": training.iteration,
        "seconds": training.seconds,
        "trace": _POINTS.dump_python(training.trace),
        "validations": _POINTS.dump_python(training.validations),
        "damaged": _DAMAGED.dump_python(photographs.damaged, mode="json"),
    }
    metadata = {"state": json.dumps(numbers)}
    metadata["sha256"] = tensors_sha256({**tensors, "": np.frombuffer(metadata["state"].encode(), np.uint8)})
    save_tensors(path, tensors, metadata)


def restore_state(path: Path, training: Training, photographs: Photographs, key: str) -> bool:
    """Brings a training and its photographs to their saved state; whether there was one.

    Raises:
        CheckpointError: The state is damaged, or another training's.
    """
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError):
        raise _refusal(path, "a training's state", "something else, or half of one") from None
    text = metadata.get("state", "")
    if metadata.get("sha256") != tensors_sha256({**tensors, "": np.frombuffer(text.encode(), np.uint8)}):
        raise _refusal(path, "a training's state as it was written", "a damaged one")
    numbers: dict[str, Any] = json.loads(text)
    if (numbers["key"], numbers["torch"]) != (key, torch.__version__):
        raise _refusal(path, "the state of this training", "one of other settings or versions")
    try:
        training.trace = _POINTS.validate_python(numbers["trace"])
        training.validations = _POINTS.validate_python(numbers["validations"])
        photographs.learn(_DAMAGED.validate_python(numbers["damaged"]))
    except ValidationError:
        raise _refusal(path, "a training's state of this version", "one of another") from None
    training.iteration, training.seconds = numbers["iteration"], numbers["seconds"]
    _restore(training, {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return True


def _values(training: Training) -> dict[str, torch.Tensor]:
    """Everything that an iteration changes, by name."""
    found = {}
    for name, parameter in training.network.named_parameters():
        found[f"network.{name}"] = parameter.detach()
        for moment in _MOMENTS:
            value = training.optimiser.state.get(parameter, {}).get(moment)
            found[f"{moment}.{name}"] = torch.zeros_like(parameter) if value is None else value
    return found | {f"{_BEST}{name}": value for name, value in training.best.items()}


@torch.no_grad()
def _restore(training: Training, tensors: dict[str, torch.Tensor]) -> None:
    for name, parameter in training.network.named_parameters():
        parameter.copy_(tensors[f"network.{name}"])
        state = {
            moment: torch.empty_like(parameter).copy_(tensors[f"{moment}.{name}"]) for moment in _MOMENTS
        }
        training.optimiser.state[parameter] = {
            "step": torch.tensor(float(training.iteration)),
            **state,
        }
        if f"{_BEST}{name}" in tensors:
            training.best[name] = torch.empty_like(parameter).copy_(tensors[f"{_BEST}{name}"])


def _array(value: torch.Tensor) -> np.ndarray[Any, Any]:
    # safetensors writes the memory of an array whatever its strides.
    array: np.ndarray[Any, Any] = value.detach().float().cpu().contiguous().numpy()
    return array


def _refusal(path: Path, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        path, expected=expected, found=found, fix="Delete its folder to start from the beginning"
    )
