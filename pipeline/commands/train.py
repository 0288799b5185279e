"""`impasto train`: teaches a network to paint photographs in one pass, each region in its own style."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from pydantic import ValidationError

from pipeline import __version__, canvas, provenance, weights
from pipeline.commands import photographs
from pipeline.commands.options import add_machine_arguments, positive
from pipeline.commands.states import exit_stopped, remove_others, say_stopped, state_folder, state_key, take
from pipeline.config.sections import NAME_PATTERN, NETWORKS, Network
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.files import scratch_path, write_json
from pipeline.machine import Machine, prepare_machine, stop_requests
from pipeline.provenance import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.feedforward.models import ModelCard
    from pipeline.feedforward.photographs import Photographs
    from pipeline.feedforward.training import Ending, Training, Validation
    from pipeline.groups import Group

_STATE = "training.safetensors"
_ENOUGH_TO_HOLD_OUT, _HELD_OUT_AT_MOST, _SHOWN_AT_MOST = 20, 8, 4
_PICTURES_AT_MOST = 8


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
        help="end when so many validations in a row find no lower loss; 0 never does (default: %(default)s)",
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
        "--report", type=Path, help="a page with the losses, the validations' pictures and the model card"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        help="a folder for a picture of every validation: contents above, painted below",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    styles = _styles(arguments.style)
    for path in styles.values():
        canvas.read_header(path)
    settings = _settings(arguments)
    usable = photographs.usable(arguments.photographs, settings.size_px)
    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    told = (settings.model_dump_json(), arguments.network, arguments.threads, list(styles))
    key = state_key("train", str(told), machine, (arguments.weights, *styles.values(), *usable))
    state = state_folder(arguments.output, key)
    from pipeline.distributed import joined  # noqa: PLC0415 - torch takes seconds

    with joined() as group:
        with group.together():
            if group.leads:
                take(state)
        try:
            ending = _train(_Job(arguments, settings, styles, machine, state, key, group), _Split.of(usable))
        finally:
            if group.leads and not (state / _STATE).exists():
                # Nothing to go on from: a mistake in the inputs, say.
                shutil.rmtree(state, ignore_errors=True)
        if group.leads and ending != "stopped":
            remove_others(arguments.output)
    if ending == "stopped":
        exit_stopped()


@final
@dataclass(frozen=True, slots=True)
class _Job:
    """What a training is told, and where its state is kept."""

    arguments: argparse.Namespace
    settings: TrainingSettings
    styles: Mapping[str, Path]
    machine: Machine
    state: Path
    key: str
    group: Group


@final
@dataclass(frozen=True, slots=True)
class _Split:
    """The photographs to train on and those to validate on: different ones, where there are enough."""

    trained_on: tuple[Path, ...]
    validated: tuple[Path, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Split:
        """One in twenty is held out, eight at the most, evenly spread over the order of names."""
        if len(paths) < _ENOUGH_TO_HOLD_OUT:
            return cls(tuple(paths), tuple(paths[:_SHOWN_AT_MOST]))
        count = min(_HELD_OUT_AT_MOST, len(paths) // _ENOUGH_TO_HOLD_OUT)
        held_out = tuple(paths[index * len(paths) // count] for index in range(count))
        return cls(tuple(path for path in paths if path not in held_out), held_out)


def _train(job: _Job, split: _Split) -> Ending:
    """Trains, and has the first of the processes write what came of it."""
    from pipeline.feedforward.models import save_network  # noqa: PLC0415 - torch takes seconds
    from pipeline.feedforward.photographs import Photographs  # noqa: PLC0415
    from pipeline.feedforward.training import train  # noqa: PLC0415
    from pipeline.feedforward.training_state import restore_state, save_state  # noqa: PLC0415

    arguments, settings, group = job.arguments, job.settings, job.group
    # They outlive an interruption, as the state beside them does.
    pictures = arguments.pictures or (None if arguments.report is None else job.state / "pictures")
    with group.together():
        training = _prepared(job)
        if restore_state(job.state / _STATE, training, job.key) and group.leads:
            say(f"going on after {training.iteration} of {settings.iterations} iterations")
    crops = Photographs(split.trained_on, settings.size_px, settings.seed)
    shown = _middles(Photographs(split.validated, settings.size_px, settings.seed))
    with (
        Reporter(
            f"train {arguments.output.stem}", settings.iterations, None if group.leads else io.StringIO()
        ) as reporter,
        stop_requests() as should_stop,
        contextlib.closing(
            crops.batches(training.iteration, settings.batch, arguments.workers, group.rank, group.count)
        ) as batches,
    ):
        ending = train(
            training,
            batches,
            shown,
            save=lambda: save_state(job.state / _STATE, training, job.key) if group.leads else None,
            save_every_s=arguments.checkpoint_every_s,
            on_step=lambda iteration, loss: reporter.update(iteration, f"loss {loss:.4g}"),
            on_validation=lambda validation: _show(pictures if group.leads else None, validation),
            should_stop=should_stop,
        )
    damaged = {path: told for each in group.gathered(crops.damaged) for path, told in each.items()}
    if not group.leads:
        return ending
    photographs.warn(list(damaged.values()))
    if ending == "stopped":
        say_stopped(training.iteration, settings.iterations)
        return ending
    figures = _figures(training)
    card = _card(job, figures, split, frozenset(damaged))
    save_network(arguments.output, training.network, card)
    write_json(arguments.record, _record(job, training, figures, ending))
    if arguments.report is not None and pictures is not None:
        _write_report(arguments.report, training, card, ending, pictures)
    shutil.rmtree(job.state, ignore_errors=True)
    say(
        f"{arguments.output}: {training.iteration} iterations ({ending}), validation loss "
        f"{training.validations[0].loss:.4g} -> {training.validations[-1].loss:.4g}, "
        f"{training.seconds:.1f} s, {figures['images_per_s']:.1f} images/s, {job.machine.precision}"
    )
    return ending


def _styles(given: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not path or re.fullmatch(NAME_PATTERN, name) is None:
            raise InputError("--style", expected="REGION=IMAGE", found=repr(text))
        if name in found:
            raise InputError("--style", expected="each region once", found=f"{name} twice")
        found[name] = Path(path)
    return found


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    given = {name: value for name, value in vars(arguments).items() if name in TrainingSettings.model_fields}
    try:
        return TrainingSettings(**given, mask=arguments.training_mask)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        expected = first["msg"].removeprefix("Input should be ")
        raise InputError(option, expected=expected, found=str(first["input"])) from None


def _middles(shown: Photographs) -> Tensor:
    """The middles of the photographs to validate on, but for the damaged ones."""
    import torch  # noqa: PLC0415 - see `run`

    found, complaints = [], []
    for index in range(len(shown)):
        try:
            found.append(shown.middle(index))
        except InputError as error:
            complaints.append(error)
    if not found:
        raise complaints[0]
    return torch.stack(found)


def _prepared(job: _Job) -> Training:
    """The training before its first iteration."""
    from pipeline.feedforward.training import Training  # noqa: PLC0415 - torch, as above
    from pipeline.rendering.inputs import load_encoder  # noqa: PLC0415

    arguments, settings = job.arguments, job.settings
    network = Network(name=arguments.network, style_layers=settings.style_layers, content_layers=())
    encoder = load_encoder(arguments.weights, network, job.machine)
    # Processes that train together each decode for themselves.
    beside = arguments.output.with_name(f"{arguments.output.stem}-{job.group.rank}.tif")
    styles = {name: _style(path, beside, settings.style_px) for name, path in job.styles.items()}
    return Training.new(settings, encoder, styles, job.machine, job.group)


def _style(path: Path, beside: Path, style_px: int) -> Tensor:
    """A style image at the size of training; sRGB in [0, 1]."""
    import torch  # noqa: PLC0415 - see `run`

    with scratch_path(beside, "style") as decoded, scratch_path(beside, "sized-style") as sized:
        canvas.prepare(path, decoded)
        canvas.resize(decoded, sized, canvas.size_of(decoded).of_area(style_px), clip=True)
        return torch.from_numpy(canvas.read(sized)).permute(2, 0, 1).contiguous()


def _show(folder: Path | None, validation: Validation) -> None:
    """Writes the picture of a validation, where a folder is named."""
    if folder is None:
        return
    import torch  # noqa: PLC0415 - see `run`

    rows = [
        torch.cat(list(values.clamp(0, 1)), dim=2) for values in (validation.contents, validation.painted)
    ]
    sheet = (255 * torch.cat(rows, dim=1)).round().byte().permute(1, 2, 0).contiguous().numpy()
    folder.mkdir(parents=True, exist_ok=True)
    canvas.write_png(folder / f"{validation.point.iteration:06}.png", np.asarray(sheet))


def _write_report(path: Path, training: Training, card: ModelCard, ending: str, pictures: Path) -> None:
    """The page of a finished training, with at most so many validations' pictures, the last among them."""
    # matplotlib takes a second, which trainings without a page need not wait for.
    from pipeline.reporting import Picture  # noqa: PLC0415
    from pipeline.reporting.training import TrainingPage, write_training  # noqa: PLC0415

    points = training.validations
    count = min(len(points), _PICTURES_AT_MOST)
    chosen = [points[len(points) - 1 - index * len(points) // count] for index in reversed(range(count))]
    files = [(pictures / f"{point.iteration:06}.png", point) for point in chosen]
    page = TrainingPage(
        trace=[(point.iteration, point.loss) for point in training.trace],
        validations=[(point.iteration, point.loss) for point in points],
        pictures=[
            Picture(file, f"After {point.iteration} iterations: photographs above, painted below", True)
            for file, point in files
            if file.is_file()
        ],
        iterations=training.iteration,
        ending=ending,
        seconds=training.seconds,
        card=provenance.plain(card.model_dump(mode="json")),
    )
    write_training(page, f"Training of {', '.join(card.names)}", path)


def _figures(training: Training) -> dict[str, float]:
    """What the card and the record tell of the work."""
    return {
        "iterations": training.iteration,
        "loss_first": training.trace[0].loss,
        "loss_last": training.trace[-1].loss,
        "validation_first": training.validations[0].loss,
        "validation_last": training.validations[-1].loss,
        "seconds": training.seconds,
        "images_per_s": training.iteration * training.settings.batch / training.seconds,
    }


def _card(job: _Job, figures: dict[str, float], split: _Split, damaged: frozenset[Path]) -> ModelCard:
    from pipeline.feedforward.models import ModelCard, RegionCard  # noqa: PLC0415 - torch, as above

    settings, arguments = job.settings, job.arguments
    used = [path for path in split.trained_on if path not in damaged]
    return ModelCard(
        architecture=settings.architecture,
        upsampling=settings.upsampling,
        regions=tuple(
            RegionCard(name=name, style=path.as_posix(), style_sha256=file_sha256(path))
            for name, path in job.styles.items()
        ),
        colour=settings.colour,
        settings={
            **settings.model_dump(mode="json"),
            "network": arguments.network,
            "weights_sha256": weights.load(arguments.weights).tensors_sha256,
            "precision": job.machine.precision,
        },
        data={
            "photographs": len(used),
            "sha256": hashlib.sha256("".join(map(file_sha256, used)).encode()).hexdigest(),
            "damaged": len(damaged),
            "validated": len(split.validated),
            "held_out": not set(split.validated) & set(split.trained_on),
        },
        licence=arguments.licence,
        figures=figures,
        version=__version__,
    )


def _record(job: _Job, training: Training, figures: Mapping[str, float], ending: str) -> dict[str, Any]:
    return {
        "ending": ending,
        "figures": dict(figures),
        "precision": job.machine.precision,
        "device": provenance.device_facts(str(job.machine.device)),
        "peak_memory_mib": provenance.peak_memory_mib(),
        "trace": [point.model_dump() for point in training.trace],
        "validations": [point.model_dump() for point in training.validations],
    }
