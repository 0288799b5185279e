"""`impasto plan`: an artwork's settings resolved, before any work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.budget import computed_share
from pipeline.config.models import Config
from pipeline.config.reading import load, parse, read_yaml_text
from pipeline.errors import ConfigError, InputError
from pipeline.files import write_text
from pipeline.headers import HeaderCache
from pipeline.plan import LevelPlan, Plan
from pipeline.planning import resolve
from pipeline.pyramid import STRIDE_PX


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config",
        default="config.yaml",
        help="the configuration file; `-` reads standard input (default: %(default)s)",
    )
    parser.add_argument("--artwork", help="plan this artwork only (default: all, as a table)")
    parser.add_argument("--output", type=Path, help="write the plan of --artwork here, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    config = _config(arguments.config)
    if arguments.output is not None and arguments.artwork is None:
        raise InputError("--output", expected="--artwork NAME beside it", found="no artwork")
    if arguments.artwork is not None and arguments.artwork not in config.artworks:
        raise ConfigError(
            f"--artwork {arguments.artwork}",
            expected=f"one of {', '.join(config.artworks)}",
            found="another name",
        )
    headers = HeaderCache(None, config.resources_dir / "demo")
    names = [arguments.artwork] if arguments.artwork else list(config.artworks)
    plans = [resolve(config, name, headers.size_of, arguments.config) for name in names]
    if arguments.output is not None:
        write_text(arguments.output, plans[0].model_dump_json(indent=2) + "\n")
        return
    sys.stdout.write("\n\n".join(_table(plan) for plan in plans) + "\n")


def _config(where: str) -> Config:
    if where != "-":
        return load(Path(where))
    return parse(read_yaml_text(sys.stdin.read(), "standard input"), "config.yaml")


def _table(plan: Plan) -> str:
    lines = [f"{plan.artwork}: {plan.sources[plan.content]}"]
    lines.append(
        f"{'level':>9} {'height x width':>16} {'iterations':>11} {'tile':>8} {'computed':>9} {'memory':>10}"
    )
    for level in plan.levels:
        tile = f"{level.tile_core_px} px" if level.tile_core_px is not None else "whole"
        lines.append(
            f"{level.level_px:>9} {level.size!s:>16} {level.iterations:>11} {tile:>8} "
            f"{_computed(level):>8.2f}x {level.memory_mib:>6} MiB"
        )
    lines.extend(
        f"  {region.label}: {_styles(plan, index)}" for index, region in enumerate(plan.levels[-1].regions)
    )
    lines.extend(f"  warning: {warning}" for warning in plan.warnings)
    return "\n".join(lines)


def _computed(level: LevelPlan) -> float:
    padded = level.size.aligned_up(STRIDE_PX)
    return computed_share(padded, level.network, level.tile_core_px, level.halo_px)


def _styles(plan: Plan, region: int) -> str:
    styles = plan.settings.regions[region].styles
    total = sum(style.weight for style in styles)
    return ", ".join(f"{style.image} ({style.weight / total:.0%})" for style in styles)
