"""`impasto export-network`: a trained network to be handed on, with its licence, and its training's page.

Apart from `impasto train`: neither words on a licence nor a page's looks are worth another training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import provenance
from pipeline.commands.options import check_apart
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.feedforward.training_record import TrainingRecord, read_training

if TYPE_CHECKING:
    from pipeline.feedforward.models import ModelCard

_PICTURES_AT_MOST = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("network", type=Path, help="what train or import-network wrote")
    parser.add_argument(
        "--licence", help="of the weights, for the model card; it stays as it is where none is said"
    )
    parser.add_argument("--record", type=Path, help="what train recorded, for the page")
    parser.add_argument("--pictures", type=Path, help="the folder of its validations' pictures, for the page")
    parser.add_argument("--output", type=Path, required=True, help="the network, a safetensors file")
    parser.add_argument(
        "--report", type=Path, help="a page with the losses, the validations' pictures and the model card"
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if (arguments.record is None) != (arguments.report is None):
        raise InputError(
            "--report",
            expected="--record beside it, and neither without the other",
            found="one of them alone",
        )
    check_apart(arguments.output, arguments.network)
    record = None if arguments.record is None else read_training(arguments.record)
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.feedforward.models import load_network, save_network  # noqa: PLC0415

    trained = load_network(arguments.network)
    card = trained.card
    if arguments.licence is not None:
        card = card.model_copy(update={"licence": arguments.licence})
    if record is not None:
        _write_report(arguments.report, record, card, arguments.pictures)
    save_network(arguments.output, trained.network, card)
    say(f"{arguments.output}: {', '.join(card.names)}, licence: {card.licence}")


def _write_report(path: Path, record: TrainingRecord, card: ModelCard, pictures: Path | None) -> None:
    """The page of a training, with at most so many validations' pictures, the last among them."""
    # matplotlib takes a second, which a network without a page need not wait for.
    from pipeline.reporting import Picture  # noqa: PLC0415
    from pipeline.reporting.training import TrainingPage, write_training  # noqa: PLC0415

    points = record.validations
    count = min(len(points), _PICTURES_AT_MOST)
    chosen = [points[len(points) - 1 - index * len(points) // count] for index in reversed(range(count))]
    files = [] if pictures is None else [(pictures / point.picture, point.iteration) for point in chosen]
    page = TrainingPage(
        trace=[(point.iteration, point.loss) for point in record.trace],
        validations=[(point.iteration, point.loss) for point in points],
        pictures=[
            Picture(file, f"After {done} iterations: photographs above, painted below", True)
            for file, done in files
            if file.is_file()
        ],
        iterations=int(record.figures["iterations"]),
        kept=int(record.figures["kept_iteration"]),
        ending=record.ending,
        seconds=record.figures["seconds"],
        card=provenance.plain(card.model_dump(mode="json")),
    )
    write_training(page, f"Training of {', '.join(card.names)}", path)
