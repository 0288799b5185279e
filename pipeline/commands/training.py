"""What the processes of `impasto train` do together, and the files that the first of them writes."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from pipeline import __version__, canvas, provenance, weights
from pipeline.commands import photographs
from pipeline.commands.states import say_stopped
from pipeline.config.sections import Network
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.feedforward.training_record import Ending, LossPoint, TrainingRecord
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.files import scratch_path, write_json
from pipeline.machine import Machine, stop_requests
from pipeline.provenance import as_written, file_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.feedforward.models import ModelCard
    from pipeline.feedforward.training import Training, Validation
    from pipeline.groups import Group

STATE = "training.safetensors"
_HASHES, _AT_ONCE = "photographs.json", 16
_ENOUGH_TO_HOLD_OUT, _HELD_OUT_AT_MOST, _SHOWN_AT_MOST = 20, 8, 4


@final
@dataclass(frozen=True, slots=True)
class Job:
    """What a training is told, and where its state is kept.

    Attributes:
        arguments: Those of `impasto train`.
        settings: Checked.
        styles: Each region's style image, in the order of the regions.
        machine: Device and precision.
        state: The folder of what outlives an interruption.
        key: Of everything that the state depends on.
        group: The processes that train together.
    """

    arguments: argparse.Namespace
    settings: TrainingSettings
    styles: Mapping[str, Path]
    machine: Machine
    state: Path
    key: str
    group: Group


@final
@dataclass(frozen=True, slots=True)
class Split:
    """The photographs to train on and those to validate on: different ones, where there are enough.

    Attributes:
        trained_on: Those that crops are taken from.
        validated: Those whose middles are validated on.
    """

    trained_on: tuple[Path, ...]
    validated: tuple[Path, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Split:
        """One in twenty is held out, eight at the most, evenly spread over the order of names."""
        if len(paths) < _ENOUGH_TO_HOLD_OUT:
            return cls(tuple(paths), tuple(paths[:_SHOWN_AT_MOST]))
        count = min(_HELD_OUT_AT_MOST, len(paths) // _ENOUGH_TO_HOLD_OUT)
        held_out = tuple(paths[index * len(paths) // count] for index in range(count))
        return cls(tuple(path for path in paths if path not in held_out), held_out)


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """What validations look at.

    Attributes:
        split: The photographs, those that were found damaged left out.
        middles: Of those to validate on.
        damaged: Why those that are left out cannot be decoded.
    """

    split: Split
    middles: Tensor
    damaged: Mapping[Path, str]

    @classmethod
    def of(cls, paths: Sequence[Path], settings: TrainingSettings) -> Shown:
        """As many as are wanted: others take the places of damaged ones.

        Raises:
            InputError: None can be decoded.
        """
        import torch  # noqa: PLC0415 - torch takes seconds

        from pipeline.feedforward.photographs import Photographs  # noqa: PLC0415

        damaged: dict[Path, str] = {}
        while sound := [path for path in paths if path not in damaged]:
            split, found = Split.of(sound), []
            pictures = Photographs(split.validated, settings.size_px, settings.seed)
            for index, path in enumerate(split.validated):
                try:
                    found.append(pictures.middle(index))
                except InputError as error:
                    damaged[path] = str(error)
            if len(found) == len(split.validated):
                return cls(split, torch.stack(found), damaged)
        raise InputError(
            "the photographs",
            expected="one that can be decoded",
            found=f"{len(damaged)} that are damaged, the first of them {damaged[paths[0]].rstrip('.')}",
            fix="Copy or export them again",
        )


@final
@dataclass(frozen=True, slots=True)
class Origins:
    """The hashes of what a network is made from, taken before its training: files may go while it runs.

    Attributes:
        styles: Of each region's style image.
        photographs: Of those that are trained on.
        weights: Of the loss network's tensors.
    """

    styles: Mapping[str, str]
    photographs: Mapping[Path, str]
    weights: str

    @classmethod
    def of(cls, job: Job, shown: Shown) -> Origins:
        """Reads them all; the photographs are shared by the processes, and read once for all runs.

        Raises:
            PipelineError: One cannot be read.
        """
        with job.group.together():
            styles = {name: file_sha256(path) for name, path in job.styles.items()}
            network = weights.identify(job.arguments.weights).tensors_sha256
        return cls(styles, _hashed(job, shown.split.trained_on), network)


def _hashed(job: Job, paths: Sequence[Path]) -> dict[Path, str]:
    """The hash of each photograph, from the state of the training where it has them.

    The state's key stands for their lengths and times: they are still the same.
    """
    group, kept = job.group, job.state / _HASHES
    with group.together():
        found = json.loads(kept.read_text(encoding="utf-8")) if group.leads and kept.exists() else []
    found = group.gathered(found)[0]
    if len(found) == len(paths):
        return dict(zip(paths, found, strict=True))
    if group.leads:
        say(f"taking the checksums of {len(paths)} photographs, for the model card")
    digests: dict[Path, str] = {}
    # Some at a time: whoever waits for others gives up after a while.
    for first in range(0, len(paths), _AT_ONCE * group.count):
        these = paths[first : first + _AT_ONCE * group.count]
        with group.together():
            own = [file_sha256(path) for path in these[group.rank :: group.count]]
        for rank, each in enumerate(group.gathered(own)):
            digests |= zip(these[rank :: group.count], each, strict=True)
    with group.together():
        if group.leads:
            write_json(kept, [digests[path] for path in paths])
    return {path: digests[path] for path in paths}


def teach(job: Job, paths: Sequence[Path]) -> Ending:
    """How the training ended, after the first of the processes has written what came of it.

    Nothing is written of a training that was stopped, but its state.
    """
    from pipeline.feedforward.models import save_network  # noqa: PLC0415 - torch takes seconds
    from pipeline.feedforward.photographs import Photographs  # noqa: PLC0415
    from pipeline.feedforward.training import train  # noqa: PLC0415
    from pipeline.feedforward.training_state import restore_state, save_state  # noqa: PLC0415

    arguments, settings, group = job.arguments, job.settings, job.group
    # Whoever goes on may find the folder empty: a workflow deletes what an interrupted job has made.
    kept, named = job.state / "pictures", arguments.pictures
    pictures = [kept, named] if group.leads and named is not None else []
    with group.together():
        shown = Shown.of(paths, settings)
        crops = Photographs(shown.split.trained_on, settings.size_px, settings.seed)
        training = _prepared(job)
        if group.leads:
            photographs.warn(list(shown.damaged.values()))
        if restore_state(job.state / STATE, training, crops, job.key) and group.leads:
            say(f"going on after {training.iteration} of {settings.iterations} iterations")
    origins = Origins.of(job, shown)

    def save() -> None:
        for damaged in group.gathered(crops.damaged):
            crops.learn(damaged)
        with group.together():
            if group.leads:
                save_state(job.state / STATE, training, crops, job.key)

    with (
        Reporter(
            f"train {arguments.output.stem}", settings.iterations, None if group.leads else io.StringIO()
        ) as reporter,
        stop_requests() as should_stop,
        contextlib.closing(
            crops.batches(training.iteration, settings.batch, arguments.workers, group.rank, group.count)
        ) as batches,
    ):
        reporter.go_on(training.iteration)
        ending = train(
            training,
            batches,
            shown.middles,
            save=save,
            save_every_s=arguments.checkpoint_every_s,
            on_step=lambda iteration, loss: reporter.update(iteration, f"loss {loss:.4g}"),
            on_validation=lambda validation: _show(pictures, validation),
            should_stop=should_stop,
        )
    for found in group.gathered(crops.damaged):
        crops.learn(found)
    if not group.leads:
        return ending
    cropped = training.iteration * settings.batch
    met = {path: each.told for path, each in sorted(crops.damaged.items()) if each.first_crop < cropped}
    photographs.warn(list(met.values()))
    if ending == "stopped":
        say_stopped(training.iteration, settings.iterations)
        return ending
    figures = _figures(training)
    card = _card(job, figures, shown, origins, frozenset(met))
    save_network(arguments.output, training.network, card)
    write_json(arguments.record, _record(job, training, figures, ending).model_dump(mode="json"))
    if pictures and kept.is_dir():
        shutil.copytree(kept, named, dirs_exist_ok=True)
    shutil.rmtree(job.state, ignore_errors=True)
    early = " (ended early: it learnt no more)" if ending == "early" else ""
    which = (
        f", kept as after {training.kept_iteration}" if training.kept_iteration < training.iteration else ""
    )
    say(
        f"{arguments.output}: {training.iteration} iterations{early}{which}, validation loss "
        f"{training.validations[0].loss:.4g} -> {_kept(training).loss:.4g}, "
        f"{training.seconds:.1f} s, {_images_per_s(training):.1f} images/s, {job.machine.precision}"
    )
    return ending


def _prepared(job: Job) -> Training:
    """The training before its first iteration."""
    from pipeline.feedforward.training import Training  # noqa: PLC0415 - torch, as above
    from pipeline.rendering.encoding import load_encoder  # noqa: PLC0415

    arguments, settings = job.arguments, job.settings
    network = Network(name=arguments.network, style_layers=settings.style_layers, content_layers=())
    encoder = load_encoder(arguments.weights, network, job.machine)
    # Processes that train together each decode for themselves.
    beside = arguments.output.with_name(f"{arguments.output.stem}-{job.group.rank}.tif")
    styles = {name: _style(path, beside, settings.style_px) for name, path in job.styles.items()}
    return Training.new(settings, encoder, styles, job.machine, job.group)


def _style(path: Path, beside: Path, style_px: int) -> Tensor:
    """A style image at the size of training; sRGB in [0, 1]."""
    import torch  # noqa: PLC0415 - torch takes seconds

    with scratch_path(beside, "style") as decoded, scratch_path(beside, "sized-style") as sized:
        canvas.prepare(path, decoded)
        canvas.resize(decoded, sized, canvas.size_of(decoded).of_area(style_px), clip=True)
        return torch.from_numpy(canvas.read(sized)).permute(2, 0, 1).contiguous()


def _show(folders: Sequence[Path], validation: Validation) -> None:
    """Writes the picture of a validation into each of the folders."""
    if not folders:
        return
    import torch  # noqa: PLC0415 - torch takes seconds

    rows = [
        torch.cat(list(values.clamp(0, 1)), dim=2) for values in (validation.contents, validation.painted)
    ]
    sheet = (255 * torch.cat(rows, dim=1)).round().byte().permute(1, 2, 0).contiguous().numpy()
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        canvas.write_png(folder / validation.point.picture, np.asarray(sheet))


def _figures(training: Training) -> dict[str, float]:
    """What the card and the record tell of the work, but for its time: equal trainings make equal files."""
    return {
        "iterations": training.iteration,
        "loss_first": training.trace[0].loss,
        "loss_last": training.trace[-1].loss,
        "validation_first": training.validations[0].loss,
        "validation_last": training.validations[-1].loss,
        "validation_best": training.best_validation.loss,
        "best_iteration": training.best_validation.iteration,
        "kept_iteration": training.kept_iteration,
    }


def _kept(training: Training) -> LossPoint:
    """The validation of the weights that are kept."""
    return training.best_validation if training.best else training.validations[-1]


def _images_per_s(training: Training) -> float:
    return training.iteration * training.settings.batch / training.seconds


def _card(
    job: Job, figures: dict[str, float], shown: Shown, origins: Origins, damaged: frozenset[Path]
) -> ModelCard:
    from pipeline.feedforward.models import ModelCard, RegionCard  # noqa: PLC0415 - torch, as above

    settings, arguments = job.settings, job.arguments
    used = [sha256 for path, sha256 in origins.photographs.items() if path not in damaged]
    return ModelCard(
        architecture=settings.architecture,
        upsampling=settings.upsampling,
        regions=tuple(
            RegionCard(name=name, style=as_written(path), style_sha256=origins.styles[name])
            for name, path in job.styles.items()
        ),
        colour=settings.colour,
        settings={
            **settings.model_dump(mode="json"),
            "network": arguments.network,
            "weights_sha256": origins.weights,
            "precision": job.machine.precision,
            # They add up their gradients in another order than one process does.
            "processes": job.group.count,
        },
        data={
            "photographs": len(used),
            "sha256": hashlib.sha256("".join(used).encode()).hexdigest(),
            "damaged": len(damaged | shown.damaged.keys()),
            "validated": len(shown.split.validated),
            "held_out": not set(shown.split.validated) & set(shown.split.trained_on),
        },
        licence=arguments.licence,
        figures=figures,
        version=__version__,
    )


def _record(job: Job, training: Training, figures: Mapping[str, float], ending: Ending) -> TrainingRecord:
    return TrainingRecord(
        ending=ending,
        figures={**figures, "seconds": training.seconds, "images_per_s": _images_per_s(training)},
        precision=job.machine.precision,
        device=provenance.device_facts(str(job.machine.device)),
        peak_memory_mib=provenance.peak_memory_mib(),
        trace=tuple(training.trace),
        validations=tuple(training.validations),
    )
