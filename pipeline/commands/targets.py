"""`impasto targets`: the style statistics of an image, shared by every artwork that asks for the same."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from pipeline import canvas
from pipeline.commands.options import positive
from pipeline.config_mistakes import as_error
from pipeline.console import say
from pipeline.files import atomic_path, scratch_path
from pipeline.layers import STYLE_LAYERS
from pipeline.machine import prepare_machine
from pipeline.rasters import TensorRaster
from pipeline.rendering.inputs import load_encoder, read_padded
from pipeline.settings import NETWORKS, Network
from pipeline.targets import style_statistics

_TILE_PX = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a style image at its level's size and colours")
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    parser.add_argument("--mask", type=Path, help="use the light part of this mask only")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="vgg16", help="(default: %(default)s)")
    parser.add_argument("--pooling", choices=("max", "average"), default="max", help="(default: %(default)s)")
    parser.add_argument("--layers", nargs="+", default=STYLE_LAYERS, help="(default: the paper's five)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--precision", choices=("auto", "bfloat16", "float32"), default="auto", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="a safetensors file, one matrix per layer")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    try:
        network = Network(
            name=arguments.network,
            pooling=arguments.pooling,
            style_layers=arguments.layers,
            content_layers=(),
        )
    except ValidationError as error:
        raise as_error(error, {}, "--layers") from None
    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    encoder = load_encoder(arguments.weights, network, machine)
    style = TensorRaster(read_padded(arguments.image, None, machine))
    guide = None
    if arguments.mask is not None:
        with scratch_path(arguments.output.with_suffix(".tif"), "mask") as sized:
            canvas.compose_guides([(arguments.mask, False)], sized, canvas.size_of(arguments.image))
            guide = TensorRaster(read_padded(sized, None, machine))
    layers = [network.architecture.layer(name) for name in network.style_layers]
    grams = style_statistics(
        encoder, style, guide, layers, tile_px=_TILE_PX, name=str(arguments.mask or "style guide")
    )
    with atomic_path(arguments.output) as partial:
        tensors = {name: gram.to(torch.float32).contiguous().cpu() for name, gram in grams.items()}
        save_file(tensors, partial)
    for layer in layers:
        if layer.name not in grams:
            say(f"warning: {arguments.mask} covers less than one unit of {layer.name}; it is left out there")
    say(f"{arguments.output}: {', '.join(grams)} of {style.size} px, {machine.precision}")
