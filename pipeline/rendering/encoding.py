"""A model file as the network that images are compared by; stands alone, for trainings want nothing else."""

from __future__ import annotations

from pathlib import Path

from pipeline import weights
from pipeline.config.sections import Network
from pipeline.errors import WeightsError
from pipeline.features import Encoder
from pipeline.machine import Machine
from pipeline.normalisation import load_means, normalised, shipped_means


def load_encoder(path: Path, network: Network, machine: Machine) -> Encoder:
    """The network of a model file, ready on the machine's device.

    Raises:
        WeightsError: The file is missing, damaged, or another network's.
    """
    file = weights.load(path)
    if file.name != network.name:
        # A VGG-19 has every tensor of a VGG-16 in the same shape: nothing else would tell them apart.
        raise WeightsError(path, expected=f"the model file of {network.name}", found=file.name)
    tensors = file.tensors
    if network.normalised:
        given = network.channel_means
        table = network.architecture
        known = shipped_means(network.name) if given is None else load_means(given, table, network.name)
        tensors = normalised(tensors, known, table)
    return Encoder(
        tensors,
        network.architecture,
        file.preprocessing,
        pooling=network.pooling,
        dtype=machine.dtype,
        device=machine.device,
    )
