"""What stylise and refine share: run a level, show its progress, write its two files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.files import write_text
from pipeline.plan import LevelPlan, Plan, parse_plan, read_plan

if TYPE_CHECKING:
    from pipeline.optimiser import Step


def render(arguments: argparse.Namespace, start: Path | None) -> None:
    """Renders the level that the arguments name, from `start` or from what the plan says."""
    plan = _plan(arguments.plan)
    level = plan.level(arguments.level)
    _check_order(plan, level, start)
    if len(arguments.guides) > 1:
        raise InputError(
            "--guides", expected="one file of guidance channels", found=str(len(arguments.guides))
        )
    if plan.settings.needs_guidance and not arguments.guides:
        raise InputError("--guides", expected="the file that `impasto guide` made", found="none")
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.rendering.level import LevelFiles, render_level  # noqa: PLC0415

    files = LevelFiles(
        weights=arguments.weights,
        content=arguments.content,
        targets=tuple(arguments.targets),
        guides=arguments.guides[0] if arguments.guides else None,
        start=start,
    )
    with Reporter(f"{plan.artwork} {level.level_px}", level.iterations) as reporter:

        def show(step: Step) -> None:
            reporter.update(step.iteration, f"loss {step.loss:.4g}")

        image, record = render_level(plan, level, files, show)
    for warning in record.warnings:
        say(f"warning: {warning}")
    canvas.write(arguments.output, image)
    write_text(arguments.record, record.model_dump_json(indent=2) + "\n")
    cost = record.level
    ending = "" if record.ending == "iterations" else f" ({record.ending})"
    say(
        f"{arguments.output}: {level.size} px, loss {cost.loss_first:.4g} -> {cost.loss_last:.4g}, "
        f"{cost.iterations} of {level.iterations} iterations{ending}, {cost.seconds:.1f} s, "
        f"{record.precision}, {cost.peak_memory_mib:.0f} MiB"
    )


def _plan(path: Path) -> Plan:
    return read_plan(path) if path != Path("-") else parse_plan(sys.stdin.read(), "standard input")


def _check_order(plan: Plan, level: LevelPlan, start: Path | None) -> None:
    """Raises an InputError where stylise is asked for a higher level, or refine for the lowest."""
    lowest = plan.levels[0].level_px
    if start is None and level.level_px != lowest:
        raise InputError(
            f"--level {level.level_px}",
            expected=f"the plan's lowest level {lowest}",
            found=str(level.level_px),
            fix="Use impasto refine",
        )
    if start is not None and level.level_px == lowest:
        raise InputError(
            f"--level {level.level_px}",
            expected="a level above the plan's lowest",
            found=str(level.level_px),
            fix="Use impasto stylise",
        )
