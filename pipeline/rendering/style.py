"""The style statistics of one image: files in, one file out."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from pipeline import canvas
from pipeline.config.sections import Network
from pipeline.files import atomic_path, scratch_path
from pipeline.geometry import Size
from pipeline.machine import Machine
from pipeline.rasters import TensorRaster
from pipeline.rendering.inputs import load_encoder, read_padded
from pipeline.targets import style_statistics

_TILE_PX = 512


def write_targets(
    output: Path, image: Path, mask: Path | None, *, weights: Path, network: Network, machine: Machine
) -> tuple[Size, tuple[str, ...]]:
    """Writes one float32 matrix per style layer; says the size they are of, and at which layers they are.

    Args:
        output: A safetensors file.
        image: The style image at its level's size and colours.
        mask: Its light part alone counts, at any size; a layer where that is less than a unit is left out.
        weights: The network's model file.
        network: Its name, pooling and style layers.
        machine: Where to compute, and how precisely.

    Raises:
        PipelineError: A file is missing or unsuitable, or the mask covers nothing.
    """
    encoder = load_encoder(weights, network, machine)
    style = TensorRaster(read_padded(image, None, 3, machine))
    guide = None
    if mask is not None:
        with scratch_path(output.with_suffix(".tif"), "mask") as sized:
            canvas.compose_guides([(mask, False)], sized, canvas.size_of(image))
            guide = TensorRaster(read_padded(sized, None, 1, machine))
    layers = [network.architecture.layer(name) for name in network.style_layers]
    grams = style_statistics(encoder, style, guide, layers, tile_px=_TILE_PX, name=str(mask or "style guide"))
    with atomic_path(output) as partial:
        tensors = {name: gram.to(torch.float32).contiguous().cpu() for name, gram in grams.items()}
        save_file(tensors, partial)
    return style.size, tuple(grams)
