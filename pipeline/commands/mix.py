"""`impasto mix`: lays the fine structure of one style image over the large shapes of another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline import canvas
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.files import scratch_path, write_text
from pipeline.plan import MixPlan

if TYPE_CHECKING:
    import numpy as np

    from pipeline.optimiser import Step
    from pipeline.rendering.record import RenderingRecord


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
    plan = _plan(arguments.plan)
    if plan.lowest:
        image, record = _mix(plan, arguments, arguments.start)
    else:
        with scratch_path(arguments.output, "start") as start:
            canvas.resize(arguments.start, start, plan.size)
            image, record = _mix(plan, arguments, start)
    canvas.write(arguments.output, image)
    write_text(arguments.record, record.model_dump_json(indent=2) + "\n")
    cost = record.level
    ending = "" if record.ending == "iterations" else f" ({record.ending})"
    say(
        f"{arguments.output}: {plan.size} px, up to {plan.up_to_layer}, loss {cost.loss_first:.4g} -> "
        f"{cost.loss_last:.4g}, {cost.iterations} of {plan.iterations} iterations{ending}, "
        f"{cost.seconds:.1f} s, {record.precision}, {cost.peak_memory_mib:.0f} MiB"
    )


def _mix(plan: MixPlan, arguments: argparse.Namespace, start: Path) -> tuple[np.ndarray, RenderingRecord]:
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.rendering.mixing import MixFiles, mix_styles  # noqa: PLC0415

    with Reporter(arguments.output.stem, plan.iterations) as reporter:

        def show(step: Step) -> None:
            reporter.update(step.iteration, f"loss {step.loss:.4g}")

        return mix_styles(plan, MixFiles(arguments.weights, start, arguments.fine), show)


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
