"""`impasto verify`: whether outputs are still what their records say, and what differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.errors import InputError
from pipeline.verification import Finding, Verifier, find_record

_EXIT_DIFFERS = 1
_CONFIG = Path("config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.epilog = "Exit code 0: everything matches; 1: something differs; 2: it could not be verified."
    parser.add_argument(
        "outputs",
        type=Path,
        nargs="+",
        metavar="OUTPUT",
        help="a print, the folder of an artwork's results, or its provenance.json",
    )
    parser.add_argument(
        "--config",
        type=Path,
        help=f"the configuration whose settings are compared, or `none` (default: {_CONFIG}, if there)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("resources/weights"),
        metavar="FOLDER",
        help="where the model files are (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="also list what matches")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    config = arguments.config
    if config is None:
        config = _CONFIG if _CONFIG.is_file() else None
    elif str(config) == "none":
        config = None
    elif not config.is_file():
        raise InputError(
            f"--config {config}", expected="a configuration file or `none`", found="no such file"
        )
    differs, verifier = False, Verifier(config, arguments.weights)
    for output in arguments.outputs:
        findings = list(verifier.verify(find_record(output)))
        differs = _told(output, findings, verbose=arguments.verbose) or differs
    if differs:
        sys.exit(_EXIT_DIFFERS)


def _told(output: Path, findings: list[Finding], *, verbose: bool) -> bool:
    """Writes what was found; whether anything differs."""
    differing = [finding for finding in findings if finding.state == "differs"]
    matching = sum(finding.state == "matches" for finding in findings)
    verdict = f"{len(differing)} of {len(findings)} differ" if differing else "matches its record"
    sys.stdout.write(f"{output}: {verdict} ({matching} compared and equal)\n")
    for finding in findings:
        if finding.state != "matches" or verbose:
            sys.stdout.write(f"  {finding.state}: {finding.what}{finding.told and f': {finding.told}'}\n")
    sys.stdout.flush()
    return bool(differing)
