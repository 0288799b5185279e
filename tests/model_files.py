"""Model files as a user hands them in: the real shapes, seeded or simple numbers, nothing fetched."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from networks import make_random_weights
from safetensors.torch import save_file

from pipeline import weights
from pipeline.layers import VGG19

PERSON_CLASS = 15


def save_vgg19(path: Path, seed: int = 0) -> Path:
    """Writes a random VGG-19 up to conv5_1, 50 MB, under our own names."""
    last = VGG19.layer("relu5_1").convolution
    every = make_random_weights(VGG19, seed, torch.float32)
    wanted = list(every)[: list(every).index(f"{last}.bias") + 1]
    save_file({name: every[name] for name in wanted}, path)
    return path


def save_short_vgg19(path: Path) -> Path:
    """Writes a model file, as `impasto fetch-weights` does, of a random VGG-19 that ends at conv2_1."""
    tensors = {
        name: tensor
        for name, tensor in make_random_weights(VGG19, 0, torch.float32).items()
        if name.startswith(("conv1_1", "conv1_2", "conv2_1"))
    }
    metadata = {
        "name": "vgg19",
        "tensors_sha256": weights.tensors_sha256({name: t.numpy() for name, t in tensors.items()}),
        "preprocessing": weights.IMAGENET.to_json(),
    }
    save_file(tensors, path, metadata)
    return path


def save_lraspp(path: Path, person: float) -> Path:
    """Writes torchvision's LR-ASPP with numbers that make every pixel a person with this probability."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in tensors.items():
        if "classifier.low_classifier" in name or "classifier.high_classifier" in name:
            tensor.zero_()
    tensors["classifier.high_classifier.bias"][PERSON_CLASS] = math.log(20 * person / (1 - person))
    save_file(tensors, path)
    return path
