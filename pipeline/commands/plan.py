"""`impasto plan`: an artwork's settings resolved, before any work."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.collections import placed
from pipeline.config.models import Config
from pipeline.config.reading import Parsed, parse_whole, read_yaml, read_yaml_text
from pipeline.console import say
from pipeline.errors import ConfigError, InputError, PipelineError, ResourceError
from pipeline.files import write_text
from pipeline.headers import HeaderCache
from pipeline.inspection import SeenFiles, SizeOf
from pipeline.plan import Plan
from pipeline.plan_table import LEGEND, data_size, named_rows, sum_line, table
from pipeline.planning import largest_ending, resolve

if TYPE_CHECKING:
    from pipeline.probe import Pace

_MIB = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config",
        default="config.yaml",
        help="the configuration file; `-` reads standard input (default: %(default)s)",
    )
    parser.add_argument("--artwork", help="plan this artwork only (default: all, as a table)")
    parser.add_argument("--output", type=Path, help="write the plan of --artwork here, as JSON")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="measure for some seconds how fast this machine is, and estimate how long each level takes",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    where = "config.yaml" if arguments.config == "-" else arguments.config
    parsed = _parsed(arguments.config)
    config, places = parsed.config, parsed.places
    if arguments.output is not None and arguments.artwork is None:
        raise InputError("--output", expected="--artwork NAME beside it", found="no artwork")
    if arguments.output is not None and arguments.probe:
        raise InputError("--probe", expected="a table to write estimates into", found="--output beside it")
    if arguments.artwork is not None and arguments.artwork not in config.artworks:
        raise ConfigError(
            f"--artwork {arguments.artwork}",
            expected=f"one of {', '.join(config.artworks)}",
            found="another name",
        )
    headers = HeaderCache(None, config.resources_dir / "demo")
    seen = SeenFiles(headers.size_of)
    names = [arguments.artwork] if arguments.artwork else list(config.artworks)
    if arguments.output is not None:
        plan = resolve(config, arguments.artwork, seen, where)
        for warning in plan.warnings:
            say(f"warning: {warning}")
        write_text(arguments.output, plan.model_dump_json(indent=2) + "\n")
        return
    for warning in parsed.warnings:
        say(f"warning: {warning}")
    plans, mistakes = [], []
    for name in names:
        try:
            plan = resolve(config, name, seen, where)
            _check_disk(plan, config, seen)
            plans.append(plan)
        except PipelineError as error:
            mistakes.append(InputError.stating(placed(str(error), name, places, where)))
    if plans:
        seconds = _show(plans, config, probe=arguments.probe)
        if len(names) > 1:
            sys.stdout.write(f"\n{sum_line(plans, len(names), seconds)}\n")
    if mistakes:
        # The last one ends the command.
        for mistake in mistakes[:-1]:
            say(f"impasto plan: {mistake}")
        raise mistakes[-1]


def _show(plans: Sequence[Plan], config: Config, *, probe: bool) -> list[dict[str, float]]:
    """Writes each plan's table, with estimates when they are wanted: the seconds of each plan's rows."""
    paces: dict[str, Pace] = {}
    seconds = []
    for plan in plans:
        if probe:
            estimates, basis = _estimates(plan, config.resources_dir / "weights", paces)
            seconds.append(estimates)
            lines = [table(plan, estimates), *(f"  {line}" for line in basis)]
        else:
            lines = [table(plan)]
        lines += [f"  warning: {warning}" for warning in (*plan.warnings, *_free_space(plan, config))]
        sys.stdout.write("\n".join(lines) + "\n\n")
        sys.stdout.flush()
    sys.stdout.write(f"{LEGEND}\n")
    return seconds


def _parsed(where: str) -> Parsed:
    if where != "-":
        return parse_whole(read_yaml(Path(where)), where)
    return parse_whole(read_yaml_text(sys.stdin.read(), "standard input"), "config.yaml")


def _check_disk(plan: Plan, config: Config, size_of: SizeOf) -> None:
    """Refuses what the whole disk could not hold, were it empty."""
    disk_mib = _disk(config).total // _MIB
    if plan.disk_mib <= disk_mib:
        return
    top = plan.levels[-1]
    ending = largest_ending(config, plan.artwork, size_of, lambda smaller: smaller.disk_mib <= disk_mib)
    raise ResourceError(
        config.results_dir,
        expected=f"a disk of {data_size(plan.disk_mib)} for level {top.level_px} ({top.size} px) of "
        f"{plan.artwork}",
        found=f"one of {data_size(disk_mib)}",
        fix="Take a larger one" if ending is None else f"End at {ending}, the largest that fits",
    )


def _free_space(plan: Plan, config: Config) -> Iterator[str]:
    free_mib = _disk(config).free // _MIB
    if plan.disk_mib > free_mib:
        yield (
            f"the files take up to {data_size(plan.disk_mib)} at once, and {data_size(free_mib)} are free on "
            f"the disk of {config.results_dir}, besides what is there already"
        )


def _disk(config: Config) -> shutil._ntuple_diskusage:
    folder = config.results_dir
    return shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def _estimates(plan: Plan, weights: Path, paces: dict[str, Pace]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Seconds of each of the table's rows, and what they rest on; `paces` keeps what was measured."""
    # torch takes seconds, which a plan without a probe need not wait for.
    from pipeline.machine import prepare_machine  # noqa: PLC0415
    from pipeline.probe import basis, measure, pace_key  # noqa: PLC0415

    compute, settings = plan.compute, plan.settings
    machine = prepare_machine(compute.device, compute.precision, compute.threads)
    found, used = {}, {}
    for name, row in named_rows(plan).items():
        key = pace_key(row, settings)
        if key not in paces:
            file = weights / f"{row.network.name}.safetensors"
            paces[key] = measure(row, settings.guidance, settings.optimiser, file, machine)
        used[key] = paces[key]
        found[name] = paces[key].estimated_s(row, settings.optimiser)
    return found, basis(used.values(), machine)
