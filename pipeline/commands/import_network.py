"""`impasto import-network`: makes a network of Johnson's type, trained elsewhere, one for `apply`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pipeline import __version__, canvas
from pipeline.commands.options import check_apart
from pipeline.config.sections import NAME_PATTERN
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.provenance import as_written, file_sha256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "file",
        type=Path,
        help="weights in the layer names of PyTorch's example fast_neural_style: .safetensors, or what "
        "torch.save wrote, from which tensors alone are read",
    )
    parser.add_argument(
        "--style",
        required=True,
        metavar="NAME=IMAGE",
        help="what the network paints, and the image of that style",
    )
    parser.add_argument(
        "--licence", default="not stated", help="of the weights, for the model card (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="the network, a safetensors file")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    name, separator, image = arguments.style.partition("=")
    if not separator or not image or re.fullmatch(NAME_PATTERN, name) is None:
        raise InputError("--style", expected="NAME=IMAGE", found=repr(arguments.style))
    canvas.read_header(Path(image))
    check_apart(arguments.output, arguments.file, Path(image))
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.feedforward.importing import read_johnson  # noqa: PLC0415
    from pipeline.feedforward.models import ModelCard, RegionCard, save_network  # noqa: PLC0415

    network = read_johnson(arguments.file)
    card = ModelCard(
        architecture=network.architecture.name,
        upsampling=network.upsampling,
        regions=(RegionCard(name=name, style=as_written(image), style_sha256=file_sha256(Path(image))),),
        colour="rgb",
        settings={},
        data={"imported": arguments.file.name, "sha256": file_sha256(arguments.file)},
        licence=arguments.licence,
        figures={},
        version=__version__,
    )
    save_network(arguments.output, network, card)
    weights = sum(each.numel() for each in network.parameters())
    say(f"{arguments.output}: a network of {weights} weights, {name}")
