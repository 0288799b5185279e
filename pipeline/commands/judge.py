"""`impasto judge`: whether an artwork's figures are within the limits asked for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import write_text
from pipeline.plan import read_plan
from pipeline.quality.limits import missed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("figures", type=Path, help="what assess wrote")
    parser.add_argument("--plan", type=Path, required=True, help="the artwork's plan.json")
    parser.add_argument("--output", type=Path, required=True, help="written when all limits are kept")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    limits = read_plan(arguments.plan).settings.quality.limits
    found = missed(_figures(arguments.figures), limits)
    if found:
        raise InputError.stating(f"{arguments.figures}: expected {', and '.join(found)}. The print stays")
    write_text(arguments.output, "Within its limits.\n")
    say(f"{arguments.output}: within its limits")


def _figures(path: Path) -> dict[str, float | None]:
    expected = "figures made by `impasto assess`"
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): None if item is None else float(item) for name, item in value["figures"].items()}
    except OSError as error:
        raise InputError(path, expected=expected, found=str(error.strerror).lower()) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(path, expected=expected, found="something else") from None
