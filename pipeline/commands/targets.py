"""`impasto targets`: the style statistics of an image, shared by every artwork that asks for the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import ValidationError

from pipeline import canvas
from pipeline.commands.options import add_machine_arguments
from pipeline.config.mistakes import as_error
from pipeline.config.sections import NETWORKS, Network
from pipeline.console import say
from pipeline.layers import STYLE_LAYERS
from pipeline.machine import prepare_machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a style image at its level's size and colours")
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    parser.add_argument(
        "--mask",
        type=canvas.Mask.parse,
        help="use the light part of this mask only; `not:MASK` is what MASK leaves",
    )
    parser.add_argument(
        "--propagation",
        choices=("simple", "cubic", "all", "inside"),
        default="simple",
        help="how the mask reaches a layer (default: %(default)s)",
    )
    parser.add_argument(
        "--grow-units", type=int, default=0, help="by how many units it grows there (default: %(default)s)"
    )
    parser.add_argument("--network", choices=tuple(NETWORKS), default="vgg16", help="(default: %(default)s)")
    parser.add_argument("--pooling", choices=("max", "average"), default="max", help="(default: %(default)s)")
    parser.add_argument(
        "--normalised", action="store_true", help="rescale the network by its channels' mean activations"
    )
    parser.add_argument("--channel-means", type=Path, help="those means, made by impasto calibrate")
    parser.add_argument("--layers", nargs="+", default=STYLE_LAYERS, help="(default: the paper's five)")
    add_machine_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="a safetensors file, one matrix per layer")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    try:
        network = Network(
            name=arguments.network,
            pooling=arguments.pooling,
            normalised=arguments.normalised,
            channel_means=arguments.channel_means,
            style_layers=arguments.layers,
            content_layers=(),
        )
    except ValidationError as error:
        raise as_error(error, {}, "--layers") from None
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.guidance import Propagation  # noqa: PLC0415
    from pipeline.rendering.style import write_targets  # noqa: PLC0415

    how = Propagation(arguments.propagation, arguments.grow_units)
    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    size, found = write_targets(
        arguments.output,
        arguments.image,
        arguments.mask,
        weights=arguments.weights,
        network=network,
        machine=machine,
        how=how,
    )
    for name in network.style_layers:
        if name not in found:
            remedy = how.remedy(network.architecture.layer(name))
            say(
                f"warning: {arguments.mask} covers less than one unit of {name} at {size} px; "
                f"it is left out there {remedy}"
            )
    say(f"{arguments.output}: {', '.join(found)} of {size} px, {machine.precision}")
