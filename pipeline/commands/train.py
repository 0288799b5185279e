"""`impasto train`: teaches a network to paint photographs in one pass, each region in its own style."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline import canvas
from pipeline.commands import photographs
from pipeline.commands.company import company, end
from pipeline.commands.options import add_machine_arguments, check_apart, named_images, positive
from pipeline.commands.states import remove_others, say_others, state_folder, state_key, take
from pipeline.commands.training import STATE, Job, teach
from pipeline.config.sections import NETWORKS
from pipeline.errors import InputError
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.machine import prepare_machine, shortage_told

if TYPE_CHECKING:
    from pipeline.groups import Group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "photographs",
        type=Path,
        nargs="+",
        metavar="PHOTO",
        help="photographs, and folders whose photographs are all taken; unreadable ones in a folder are left "
        "out and named",
    )
    parser.add_argument(
        "--style",
        action="append",
        required=True,
        metavar="REGION=IMAGE",
        help="a region's name and the style image that it learns; once for each region, in the order of its "
        "place in the training mask",
    )
    parser.add_argument("--weights", type=Path, required=True, help="the loss network's model file")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="vgg16", help="(default: %(default)s)")
    parser.add_argument(
        "--architecture",
        choices=("narrow", "wide"),
        default="narrow",
        help="the authors' network, or one of twice the channels (default: %(default)s)",
    )
    parser.add_argument(
        "--upsampling",
        choices=("nearest", "transposed"),
        default="nearest",
        help="how the network doubles sizes; `transposed`, the authors', may leave a checkerboard (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--colour",
        choices=("rgb", "luminance"),
        default="rgb",
        help="`luminance` trains on luma alone, for results that keep the content's colours (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--training-mask",
        choices=("top-bottom", "left-right", "circle", "varied"),
        default="top-bottom",
        help="where the regions are: the same in every crop, or one of 32 masks of many shapes and shares; "
        "any masks may be used later (default: %(default)s)",
    )
    parser.add_argument(
        "--balance",
        choices=("paper", "styles"),
        default="paper",
        help="`styles` lets a dark style weigh as much as a bright one (default: %(default)s)",
    )
    for option, value, text in (
        ("--size-px", 256, "the side of a crop, a multiple of 16"),
        ("--style-px", 256, "the square root of a style image's area"),
        ("--batch", 4, "crops of an iteration"),
        ("--iterations", 40_000, "how many"),
        ("--validate-every", 500, "iterations from one validation to the next"),
        ("--workers", 2, "threads that decode photographs"),
    ):
        parser.add_argument(
            option, type=positive, default=value, metavar="N", help=f"{text} (default: %(default)s)"
        )
    for option, number, text in (
        ("--learning-rate", 1e-3, "Adam's"),
        ("--content-weight", 1.0, "of the photograph"),
        ("--style-weight", 5.0, "of the styles"),
        ("--tv-weight", 1e-6, "of the total variation"),
        ("--checkpoint-every-s", 300.0, "seconds from one saved state to the next"),
    ):
        parser.add_argument(
            option, type=float, default=number, metavar="X", help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--patience",
        type=int,
        default=0,
        metavar="N",
        help="end when so many validations in a row find no lower loss, and keep the weights of the best; 0 "
        "does neither (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of first weights, order and crops (default: %(default)s)",
    )
    parser.add_argument(
        "--licence",
        default="not stated",
        help="of the trained weights, for the model card; what photographs and styles allow is yours to know "
        "(default: %(default)s)",
    )
    add_machine_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the network, a safetensors file")
    parser.add_argument("--record", type=Path, required=True, help="losses, cost and device, as JSON")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder for a picture of every validation: contents above, painted below",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with company("train") as group:
        finished = _run(arguments, group)
    end(finished)


def _run(arguments: argparse.Namespace, group: Group | None) -> bool:
    """Whether it is finished; it was asked to stop if not."""
    styles = named_images("--style", arguments.style)
    check_apart(arguments.output, arguments.weights, *styles.values())
    for path in styles.values():
        canvas.read_header(path)
    settings = _settings(arguments)
    usable, left_out = photographs.usable(arguments.photographs, settings.size_px)
    if group is None or group.leads:
        photographs.warn(left_out)
    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    from pipeline.groups import Alone  # noqa: PLC0415 - torch takes seconds

    group = group or Alone()
    group.meet(machine.device)
    told = (settings.model_dump_json(), arguments.network, arguments.threads, list(styles), group.count)
    key = state_key("train", str(told), machine, (arguments.weights, *styles.values(), *usable))
    state = state_folder(arguments.output, key)
    lower = "Lower --batch, --size-px or --style-px (in config.yaml batch, size_px, style_px)"
    with shortage_told(arguments.output, lower):
        with group.together():
            if group.leads:
                take(state)
                say_others(arguments.output, state)
        try:
            ending = teach(Job(arguments, settings, styles, machine, state, key, group), usable)
        finally:
            if group.leads and not (state / STATE).exists():
                # Nothing to go on from: a mistake in the inputs, say.
                shutil.rmtree(state, ignore_errors=True)
        if group.leads and ending != "stopped":
            remove_others(arguments.output)
    return ending != "stopped"


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    given = {name: value for name, value in vars(arguments).items() if name in TrainingSettings.model_fields}
    try:
        return TrainingSettings(**given, mask=arguments.training_mask)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        expected = first["msg"].removeprefix("Input should be ")
        raise InputError(option, expected=expected, found=str(first["input"])) from None
