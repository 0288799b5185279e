"""Fills other libraries' modules with weights from the registry."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.errors import WeightsError
from pipeline.weights import Weights


def fill(module: nn.Module, weights: Weights) -> None:
    """Copies every tensor into the module, which is then in evaluation mode.

    Raises:
        WeightsError: The names or shapes are not the module's.
    """
    # A copy, because numpy arrays read from a file may be read-only and torch warns about those.
    state = {name: torch.from_numpy(tensor.copy()) for name, tensor in weights.tensors.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            weights.name,
            expected=f"the tensors of {type(module).__name__}",
            found=" ".join(str(error).split())[:160],
            fix="Give the checkpoint of this very network",
        ) from error
    module.eval()
