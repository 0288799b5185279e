"""`impasto verify`: whether outputs are still what their records say, and what differs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from pipeline.console import say
from pipeline.errors import InputError
from pipeline.verification import Finding, Verifier, find_record

_EXIT_DIFFERS = 1
_EXIT_UNKNOWN = 2
_CONFIG = Path("config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.epilog = (
        "Exit code 0: everything matches; 1: something differs; 2: nothing differs, but not everything could "
        "be compared, or an OUTPUT has no record."
    )
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
        help=f"the configuration whose settings are compared, or `none` (default: {_CONFIG})",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("resources/weights"),
        metavar="FOLDER",
        help="where the model files are, or `none` to leave them alone (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="also list what matches")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    weights = None if str(arguments.weights) == "none" else arguments.weights
    config, missing = _configuration(arguments.config)
    verifier = Verifier(config, weights)
    states: set[str] = set()
    for output in arguments.outputs:
        # One bad record does not keep the others from being looked at.
        try:
            record = find_record(output)
        except InputError as error:
            say(f"impasto verify: {error}")
            states.add("unknown")
            continue
        findings = [*verifier.verify(record), *missing]
        _tell(output, findings, verbose=arguments.verbose)
        states.update(finding.state for finding in findings)
    if "differs" in states:
        sys.exit(_EXIT_DIFFERS)
    if "unknown" in states:
        sys.exit(_EXIT_UNKNOWN)


def _configuration(given: Path | None) -> tuple[Path | None, list[Finding]]:
    """The configuration to compare with, and what there is to say where nobody chose to have none."""
    if given is None and not _CONFIG.is_file():
        told = f"there is no {_CONFIG} here; --config says where, or `--config none` to leave them alone"
        return None, [Finding("settings", "unknown", told)]
    if str(given) == "none":
        return None, []
    config = _CONFIG if given is None else given
    if not config.is_file():
        raise InputError(
            f"--config {config}", expected="a configuration file or `none`", found="no such file"
        )
    return config, []


def _tell(output: Path, findings: list[Finding], *, verbose: bool) -> None:
    """Writes what was found."""
    count = Counter(finding.state for finding in findings)
    if count["differs"]:
        verdict = f"{count['differs']} of {len(findings)} differ"
    elif count["unknown"]:
        verdict = f"{count['unknown']} of {len(findings)} could not be compared"
    else:
        verdict = "matches its record"
    sys.stdout.write(f"{output}: {verdict} ({count['matches']} compared and equal)\n")
    for finding in findings:
        if finding.state != "matches" or verbose:
            sys.stdout.write(f"  {finding.state}: {finding.what}{finding.told and f': {finding.told}'}\n")
    sys.stdout.flush()
