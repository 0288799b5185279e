"""`impasto status`: how far a collection is, while a run is on or after it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pipeline.collection import Collection, open_collection
from pipeline.commands.options import positive
from pipeline.config.reading import read_yaml
from pipeline.console import say
from pipeline.job_files import JobFiles
from pipeline.progress import STATES, Survey, survey

_HEADERS = Path(".snakemake/impasto-headers.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="the configuration of the collection (default: %(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="also list artworks that are done or to do")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="everything about each artwork, as JSON")
    how.add_argument(
        "--watch",
        type=positive,
        nargs="?",
        const=10,
        metavar="SECONDS",
        help="one line again and again, until the run has ended (default: every %(const)s seconds)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    collection = open_collection(read_yaml(arguments.config), [arguments.config], _HEADERS, to_write=False)
    files = JobFiles(collection)
    found = survey(files)
    if arguments.json:
        sys.stdout.write(_as_json(collection, found))
        return
    if arguments.watch is not None:
        _watch(files, arguments.watch)
        return
    listed = ("running", "failed", "stopped", *(("done", "to do") if arguments.all else ()))
    lines = [found.line]
    if found.on_demand_line and found.on_demand_line not in found.line:
        lines.append(f"  {found.on_demand_line} (not part of a plain `snakemake`)")
    lines += [
        f"  {one.state}: {one.artwork} {one.told}".rstrip() for one in found.artworks if one.state in listed
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _watch(files: JobFiles, seconds: int) -> None:
    """A line for the collection, again whenever something has changed; on a terminal in the same place."""
    last, width = "", 0
    while True:
        found = survey(files)
        if sys.stdout.isatty():
            sys.stdout.write(f"\r{found.line:<{width}}")
            width = len(found.line)
        elif found.line != last:
            sys.stdout.write(f"{found.line}\n")
        last = found.line
        sys.stdout.flush()
        if not found.at_work:
            break
        time.sleep(seconds)
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    say("no run is at work")


def _as_json(collection: Collection, found: Survey) -> str:
    """The survey as JSON, with the title of the collection."""
    asked, on_demand = (
        {state: len(found.of(state, on_demand=each)) for state in STATES} for each in (False, True)
    )
    whole = {
        "title": collection.config.title,
        "at_work": found.at_work,
        "counts": asked,
        "counts_on_demand": on_demand,
        "artworks": [asdict(artwork) for artwork in found.artworks],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
