"""`impasto train`: teaches a network to paint photographs in one pass, each region in its own style."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from pydantic import ValidationError

from pipeline import __version__, canvas, provenance, weights
from pipeline.commands import photographs
from pipeline.commands.options import add_machine_arguments, positive
from pipeline.config.sections import NAME_PATTERN, NETWORKS, Network
from pipeline.console import Reporter, say
from pipeline.errors import InputError, ResourceError
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.files import hold, scratch_path, write_json
from pipeline.fingerprint import fingerprint
from pipeline.machine import Machine, prepare_machine, stop_requests
from pipeline.provenance import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.feedforward.models import ModelCard
    from pipeline.feedforward.photographs import Photographs
    from pipeline.feedforward.training import Training, Validation

_STATE_SUFFIX = ".state"
_STATE = "training.safetensors"
_IN_USE = ".in-use"
_EXIT_STOPPED = 143
_ENOUGH_TO_HOLD_OUT, _HELD_OUT_AT_MOST, _SHOWN_AT_MOST = 20, 8, 4


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
        choices=("top-bottom", "left-right", "circle"),
        default="top-bottom",
        help="where the regions are in every crop; any masks may be used later (default: %(default)s)",
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
    key = _key(settings, arguments, styles, usable)
    state = arguments.output.with_name(f".{arguments.output.stem}-{key}{_STATE_SUFFIX}")
    hold(state / _IN_USE)
    try:
        machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
        _train(_Job(arguments, settings, styles, machine, state, key), _Split.of(usable))
    finally:
        if not (state / _STATE).exists():
            # Nothing to go on from: a mistake in the inputs, say.
            shutil.rmtree(state, ignore_errors=True)
    _remove_others(arguments.output)


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


def _train(job: _Job, split: _Split) -> None:
    from pipeline.feedforward.models import save_network  # noqa: PLC0415 - torch takes seconds
    from pipeline.feedforward.photographs import Photographs  # noqa: PLC0415
    from pipeline.feedforward.training import train  # noqa: PLC0415
    from pipeline.feedforward.training_state import restore_state, save_state  # noqa: PLC0415

    arguments, settings = job.arguments, job.settings
    training = _prepared(job)
    if restore_state(job.state / _STATE, training, job.key):
        say(f"going on after {training.iteration} of {settings.iterations} iterations")
    crops = Photographs(split.trained_on, settings.size_px, settings.seed)
    shown = _middles(Photographs(split.validated, settings.size_px, settings.seed))
    with (
        Reporter(f"train {arguments.output.stem}", settings.iterations) as reporter,
        stop_requests() as should_stop,
        contextlib.closing(crops.batches(training.iteration, settings.batch, arguments.workers)) as batches,
    ):
        ending = train(
            training,
            batches,
            shown,
            save=lambda: save_state(job.state / _STATE, training, job.key),
            save_every_s=arguments.checkpoint_every_s,
            on_step=lambda iteration, loss: reporter.update(iteration, f"loss {loss:.4g}"),
            on_validation=lambda validation: _show(arguments.pictures, validation),
            should_stop=should_stop,
        )
    photographs.warn(list(crops.damaged.values()))
    if ending == "stopped":
        done = f"{training.iteration} of {settings.iterations} iterations"
        say(f"stopped after {done}; the same command goes on from there")
        sys.exit(_EXIT_STOPPED)
    figures = _figures(training)
    card = _card(job, figures, split, frozenset(crops.damaged))
    save_network(arguments.output, training.network, card)
    write_json(arguments.record, _record(job, training, figures, ending))
    shutil.rmtree(job.state, ignore_errors=True)
    say(
        f"{arguments.output}: {training.iteration} iterations ({ending}), validation loss "
        f"{training.validations[0].loss:.4g} -> {training.validations[-1].loss:.4g}, "
        f"{training.seconds:.1f} s, {figures['images_per_s']:.1f} images/s, {job.machine.precision}"
    )


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
    styles = {name: _style(path, arguments.output, settings.style_px) for name, path in job.styles.items()}
    return Training.new(settings, encoder, styles, job.machine)


def _style(path: Path, output: Path, style_px: int) -> Tensor:
    """A style image at the size of training; sRGB in [0, 1]."""
    import torch  # noqa: PLC0415 - see `run`

    beside = output.with_suffix(".tif")
    with scratch_path(beside, "style") as decoded, scratch_path(beside, "sized-style") as sized:
        canvas.prepare(path, decoded)
        canvas.resize(decoded, sized, canvas.size_of(decoded).of_area(style_px), clip=True)
        return torch.from_numpy(canvas.read(sized)).permute(2, 0, 1).contiguous()


def _key(
    settings: TrainingSettings,
    arguments: argparse.Namespace,
    styles: Mapping[str, Path],
    found: Sequence[Path],
) -> str:
    """Twelve hexadecimal digits for a training: its settings, its files by length and time, its code."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    told = (arguments.network, arguments.device, arguments.precision, arguments.threads, list(styles))
    digest.update(f"{told} {fingerprint('train')} {metadata.version('torch')}".encode())
    for path in (arguments.weights, *styles.values(), *found):
        # A file that is missing is told of where it is read.
        if path.is_file():
            facts = path.stat()
            digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _remove_others(output: Path) -> None:
    """Removes what interrupted trainings of other settings left of this network, unless they are at work."""
    theirs = re.compile(re.escape(f".{output.stem}-") + f"[0-9a-f]{{12}}{re.escape(_STATE_SUFFIX)}")
    for folder in output.parent.iterdir():
        if theirs.fullmatch(folder.name):
            with contextlib.suppress(ResourceError):
                hold(folder / _IN_USE)
                shutil.rmtree(folder, ignore_errors=True)


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
