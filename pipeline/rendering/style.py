"""The style statistics of one image: files in, one file out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pipeline import canvas
from pipeline.config.sections import Network
from pipeline.files import scratch_path
from pipeline.geometry import Size
from pipeline.guidance import SIMPLE, Propagation
from pipeline.machine import Machine
from pipeline.rendering.encoding import load_encoder
from pipeline.rendering.inputs import FileRaster, save_targets
from pipeline.targets import style_statistics

_TILE_PX = 512


def write_targets(
    output: Path,
    image: Path,
    mask: canvas.Mask | None,
    *,
    weights: Path,
    network: Network,
    machine: Machine,
    how: Propagation = SIMPLE,
) -> tuple[Size, tuple[str, ...]]:
    """Writes the statistics of every style layer; says the size they are of, and at which layers they are.

    Args:
        output: A safetensors file.
        image: The style image at its level's size and colours.
        mask: The part of it that counts, at any size; a layer where that is less than a unit is left out.
        weights: The network's model file.
        network: Its name, pooling and style layers.
        machine: Where to compute, and how precisely.
        how: How the mask reaches a layer.

    Raises:
        PipelineError: A file is missing or unsuitable, or the mask covers nothing.
    """
    encoder = load_encoder(weights, network, machine)
    style = FileRaster(image, None, 3, machine)
    layers = [network.architecture.layer(name) for name in network.style_layers]
    with ExitStack() as scratch:
        guide = None
        if mask is not None:
            sized = scratch.enter_context(scratch_path(output.with_suffix(".tif"), "mask"))
            canvas.compose_guides([mask], sized, canvas.size_of(image))
            guide = FileRaster(sized, None, 1, machine)
        found = style_statistics(
            encoder, style, guide, layers, tile_px=_TILE_PX, name=str(mask or "style guide"), how=how
        )
    save_targets(output, found, [name for name in network.style_layers if name not in found])
    return style.size, tuple(found)
