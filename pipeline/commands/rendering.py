"""What stylise, refine and mix share: run an optimisation, show its progress, write its two files."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, final

from pipeline import canvas
from pipeline.commands.company import company, end
from pipeline.commands.states import (
    remove_others,
    say_others,
    say_stopped,
    state_folder,
    state_key,
    take,
)
from pipeline.config.models import Compute
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.files import scratch_path, settle, write_text
from pipeline.geometry import Size
from pipeline.level_plans import LevelPlan
from pipeline.machine import (
    END_WITH_PARENT,
    prepare_machine,
    shortage_told,
    stop_requests,
)
from pipeline.plan import Plan, parse_plan, read_plan

if TYPE_CHECKING:
    from pipeline.groups import Group
    from pipeline.optimiser import Step
    from pipeline.rendering.optimisation import Rendered, Run, Stopped


Verb = Literal["stylise", "refine"]


def render(arguments: argparse.Namespace, verb: Verb) -> None:
    """Renders the level that the arguments name, from their `start` or from what the plan says."""
    with company(verb) as group:
        finished = _render(arguments, verb, group)
    end(finished)


def _render(arguments: argparse.Namespace, verb: Verb, group: Group | None) -> bool:
    start: Path | None = arguments.start
    plan = _plan(arguments.plan)
    level = plan.level(arguments.level)
    _check_order(plan, level, verb)
    _check_start(plan, start, verb)
    if len(arguments.guides) > 1:
        raise InputError(
            "--guides", expected="one file of guidance channels", found=str(len(arguments.guides))
        )
    if plan.settings.needs_guidance and not arguments.guides:
        raise InputError("--guides", expected="the file that `impasto guide` made", found="none")
    if group is None and level.processes > 1:
        share(arguments, level.processes, plan.compute, plan.model_dump_json())
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.rendering.level import LevelFiles, render_level  # noqa: PLC0415

    files = LevelFiles(
        weights=arguments.weights,
        content=arguments.content,
        targets=tuple(arguments.targets),
        guides=arguments.guides[0] if arguments.guides else None,
        start=start,
    )
    named = (files.weights, files.content, *files.targets, files.guides, files.start)
    named = (*named, level.network.channel_means)
    depends_on = plan.excerpt(level.level_px).model_dump_json()
    every_min = arguments.preview_every_min if arguments.preview is not None else 0
    output = Output(
        f"{plan.artwork} {level.level_px}",
        arguments.output,
        arguments.record,
        level.size,
        arguments.preview if every_min > 0 else None,
        every_min,
    )
    return optimise(
        output,
        level.iterations,
        run_key(verb, depends_on, plan.compute, named),
        lambda run: render_level(plan, level, files, run),
        group,
    )


def share(arguments: argparse.Namespace, count: int, compute: Compute, plan: str) -> NoReturn:
    """Runs this command in so many processes, each with a device of its own, and ends with them.

    Args:
        arguments: The command's own.
        count: How many.
        compute: Device, precision and threads of each.
        plan: The text that `--plan` stands for. It is handed over as a file: they share no standard input.

    Raises:
        PipelineError: There are fewer devices; one of the processes was killed; or what they have told.
    """
    from pipeline.torchrun import check_devices, run_shared  # noqa: PLC0415 - torch, as above

    machine = prepare_machine(compute.device, compute.precision, compute.threads)
    check_devices(count, machine.device)
    with scratch_path(arguments.record, "plan") as path:
        write_text(path, plan)
        words = [word for word in arguments.words if word != END_WITH_PARENT]
        code = run_shared(count, ["impasto", END_WITH_PARENT, *words, "--plan", str(path)])
    sys.exit(code)


@final
@dataclass(frozen=True, slots=True)
class Output:
    """What an optimised image leaves behind.

    Attributes:
        label: What progress is called.
        image: The image, a tiled float TIFF.
        record: Its record, as JSON.
        size: Height and width.
        preview: A PNG of it while it is rendered, removed in the end; None where nobody looks.
        preview_every_min: Minutes between two of them.
    """

    label: str
    image: Path
    record: Path
    size: Size
    preview: Path | None = None
    preview_every_min: float = 0


def optimise(
    output: Output,
    iterations: int,
    key: str,
    start: Callable[[Run], Rendered | Stopped],
    group: Group | None = None,
) -> bool:
    """Runs what `start` begins, shows its progress, keeps its state, and writes its two files.

    Asked to stop, it keeps the state of the last completed iteration; the same command then goes on from
    there. In a group it shares the work with the other processes, and the first of them writes and talks.

    Returns:
        Whether it is finished; it was asked to stop if not.
    """
    from pipeline.checkpoint import MANIFEST  # noqa: PLC0415 - torch, as above
    from pipeline.groups import Alone  # noqa: PLC0415
    from pipeline.rendering.optimisation import Run, Stopped  # noqa: PLC0415
    from pipeline.rendering.previewing import Previews  # noqa: PLC0415

    previews = None if output.preview is None else Previews(output.preview, 60 * output.preview_every_min)

    group = group or Alone()
    state = state_folder(output.image, key)
    with group.together():
        if group.leads:
            take(state)
            say_others(output.image, state)
    nobody = None if group.leads else io.StringIO()
    fix = "Lower compute.memory_budget_mib, so that more is read by tiles and kept in files"
    try:
        with (
            shortage_told(output.label, fix),
            Reporter(output.label, iterations, nobody) as reporter,
            stop_requests() as should_stop,
        ):
            shown = _Shown(reporter)
            run = Run(state, key, shown.step, should_stop, group, previews, shown.tile)
            rendered = start(run)
    finally:
        if group.leads and not (state / MANIFEST).exists():
            # Nothing to go on from: a mistake in the inputs, say.
            shutil.rmtree(state, ignore_errors=True)
    if isinstance(rendered, Stopped):
        if group.leads:
            say_stopped(rendered.iterations, iterations)
        return False
    _finish(output, iterations, rendered, group)
    if group.leads:
        shutil.rmtree(state, ignore_errors=True)
        remove_others(output.image)
        if previews is not None:
            previews.discard()
    return True


@final
@dataclass(slots=True)
class _Shown:
    """What the reporter is told: steps, and between them tiles, where there are any."""

    reporter: Reporter
    iteration: int | None = None
    share: float | None = None

    def step(self, step: Step) -> None:
        if self.iteration is None and step.iteration > 0:
            self.reporter.go_on(step.iteration)
        self.iteration = step.iteration
        self.reporter.update(step.iteration, f"loss {step.loss:.4g}", self.share)

    def tile(self, share: float, done: str) -> None:
        if self.share is None:
            # What an earlier run has done says nothing of this one's pace, nor does what comes before tiles.
            self.reporter.go_on(self.iteration or 0, share)
        self.share = share
        self.reporter.update(self.iteration or 0, done, share)


def _finish(output: Output, iterations: int, rendered: Rendered, group: Group) -> None:
    """Writes the two files, lets go of the state, and says what it cost."""
    if not group.leads:
        for _ in rendered.rows():
            pass
        rendered.discard_state()
        return
    cost, record = rendered.record.level, rendered.record
    for warning in record.warnings:
        say(f"warning: {warning}")
    rows = rendered.rows()
    try:
        canvas.write_rows(output.image, output.size, 3, rows)
    finally:
        # The writer takes no more than it needs, or has failed: the others wait until all of theirs is taken.
        for _ in rows:
            pass
    write_text(output.record, record.model_dump_json(indent=2) + "\n")
    settle(output.image, output.record)
    rendered.discard_state()
    ending = "" if record.ending == "iterations" else f" ({record.ending})"
    reached = "not evaluated" if cost.loss_last is None else f"{cost.loss_last:.4g}"
    say(
        f"{output.image}: {output.size} px, loss {record.trace[0].loss:.4g} -> {reached}, "
        f"{cost.iterations} of {iterations} iterations{ending}, {cost.seconds:.1f} s, "
        f"{record.precision}, {cost.peak_memory_mib:.0f} MiB"
    )


def run_key(verb: str, depends_on: str, compute: Compute, files: Iterable[Path | None]) -> str:
    """What `state_key` gives for a command on this machine.

    Raises:
        ResourceError: There is no such device.
    """
    machine = prepare_machine(compute.device, compute.precision, compute.threads)
    return state_key(verb, depends_on, machine, files)


def _plan(path: Path) -> Plan:
    return read_plan(path) if path != Path("-") else parse_plan(sys.stdin.read(), "standard input")


def _check_start(plan: Plan, start: Path | None, verb: Verb) -> None:
    """Raises an InputError where the lowest level has a start that the plan does not name, or lacks it."""
    wanted = plan.settings.start == "feedforward"
    if verb == "stylise" and (start is not None) != wanted:
        raise InputError(
            "--start",
            expected="what `impasto apply` made of the content, as the plan says"
            if wanted
            else f"none: the plan starts from {plan.settings.start}",
            found="none" if start is None else str(start),
        )


def _check_order(plan: Plan, level: LevelPlan, verb: Verb) -> None:
    """Raises an InputError where stylise is asked for a higher level, or refine for the lowest."""
    lowest = plan.levels[0].level_px
    if verb == "stylise" and level.level_px != lowest:
        raise InputError(
            f"--level {level.level_px}",
            expected=f"the plan's lowest level {lowest}",
            found=str(level.level_px),
            fix="Use impasto refine",
        )
    if verb == "refine" and level.level_px == lowest:
        raise InputError(
            f"--level {level.level_px}",
            expected="a level above the plan's lowest",
            found=str(level.level_px),
            fix="Use impasto stylise",
        )
