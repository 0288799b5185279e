"""`impasto assess`: how good a result is, in figures, as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from pipeline import weights
from pipeline.commands.options import add_machine_arguments
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.machine import prepare_machine
from pipeline.quality.task import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    parser.add_argument(
        "--task",
        required=True,
        metavar="FILE",
        help="the artwork's files level by level, as JSON; `-` reads standard input",
    )
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    add_machine_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the figures, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    task = _task(arguments.task)
    file = weights.load(arguments.weights)
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.quality.judgement import judge  # noqa: PLC0415

    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    found = judge(task, arguments.image, file, machine, arguments.output.with_suffix(".tif"))
    write_json(arguments.output, found)
    told = (f"{name} {value:.4g}" for name, value in found["figures"].items() if value is not None)
    say(f"{arguments.output}: {', '.join(told)}")


def _task(given: str) -> Task:
    try:
        text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
        return Task.model_validate_json(text)
    except OSError as error:
        found = str(error.strerror).lower()
    except UnicodeDecodeError:
        found = "bytes that are no text"
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{first['msg'].lower()} at {'.'.join(map(str, first['loc'])) or 'its start'}"
    raise InputError(f"--task {given}", expected="an artwork's files as JSON", found=found)
