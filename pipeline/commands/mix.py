"""`impasto mix`: lays the fine structure of one style image over the large shapes of another."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline import canvas
from pipeline.commands.company import company, end
from pipeline.commands.rendering import Output, optimise, run_key, share
from pipeline.errors import InputError
from pipeline.files import scratch_path
from pipeline.level_plans import MixPlan

if TYPE_CHECKING:
    from pipeline.groups import Group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "start", type=Path, help="the coarse image at its level's size, or the mixture one level below"
    )
    parser.add_argument(
        "--fine", type=Path, required=True, help="the image whose fine structure is taken, at its size"
    )
    parser.add_argument(
        "--plan",
        type=Path,
        required=True,
        help="the mixture's plan, one of the `mixes` of plan.json; `-` reads standard input",
    )
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    parser.add_argument("--output", type=Path, required=True, help="the mixture, a tiled float TIFF")
    parser.add_argument("--record", type=Path, required=True, help="losses, cost and device, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with company("mix") as group:
        finished = _run(arguments, group)
    end(finished)


def _run(arguments: argparse.Namespace, group: Group | None) -> bool:
    plan = _plan(arguments.plan)
    if group is None and plan.processes > 1:
        share(arguments, plan.processes, plan.compute, plan.model_dump_json())
    named = (arguments.weights, arguments.start, arguments.fine, plan.network.channel_means)
    key = run_key("mix", plan.without_costs().model_dump_json(), plan.compute, named)
    output = Output(arguments.output.stem, arguments.output, arguments.record, plan.size)
    with contextlib.ExitStack() as scratch:
        start = arguments.start
        if not plan.lowest:
            start = scratch.enter_context(_enlarged(plan, arguments, group))
        # torch takes seconds, which help and mistakes need not wait for.
        from pipeline.rendering.mixing import MixFiles, mix_styles  # noqa: PLC0415

        files = MixFiles(arguments.weights, start, arguments.fine)
        return optimise(output, plan.iterations, key, lambda run: mix_styles(plan, files, run), group)


@contextlib.contextmanager
def _enlarged(plan: MixPlan, arguments: argparse.Namespace, group: Group | None) -> Iterator[Path]:
    """The mixture one level below at this one's size; of a group, its leader makes it."""
    with scratch_path(arguments.output, "start") as start:
        with contextlib.nullcontext() if group is None else group.together():
            if group is None or group.leads:
                canvas.resize(arguments.start, start, plan.size)
        # All have read it when the first of them leaves: they take their steps together.
        yield start


def _plan(path: Path) -> MixPlan:
    where = "standard input" if path == Path("-") else path
    try:
        text = sys.stdin.read() if path == Path("-") else path.read_text(encoding="utf-8")
        return MixPlan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{first['msg'].lower()} at {'.'.join(map(str, first['loc'])) or 'its start'}"
    except (OSError, UnicodeDecodeError) as error:
        found = (getattr(error, "strerror", None) or "bytes that are no text").lower()
    raise InputError(where, expected="a mixture's plan, one of the `mixes` of plan.json", found=found)
