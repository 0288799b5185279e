"""The `impasto` command: one subcommand per stage, and the one place where an error becomes one line."""

from __future__ import annotations

import argparse
import atexit
import importlib
import itertools
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, final

from pipeline import __version__
from pipeline.commands.listing import COMMANDS
from pipeline.errors import PipelineError, ToldError
from pipeline.machine import END_WITH_PARENT, end_with_parent, share_processors, shortage_told

_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130


def command() -> NoReturn:
    """What `impasto` runs: `main`, and then the end of the process at once.

    When Python ends, it takes torch apart piece by piece: 0.7 s of every short job, in which threads of a
    group's connections may still abort the process. What a command has written is in its place by then.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = end.code or 0
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                # Who read it has gone, or the disk is full: nothing more can be told.
                code = code or _EXIT_USER_ERROR
    finally:
        os._exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with 0, or with 2 after one line for a mistake of the user's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = list(itertools.takewhile(lambda word: word.startswith("-"), words))
    verb = next(iter(words[len(options) :]), "")
    if END_WITH_PARENT in options:
        # Before the command is imported: torch takes seconds, in which the parent may end.
        end_with_parent()
    share_processors()
    line = _mistake(words, verb)
    if line is not None:
        # Told only now that the error is gone, and with it what it held open: on a full disk the log is full
        # for as long as the deleted half of an output is still open.
        sys.exit(_failed(line))


def _mistake(words: Sequence[str], verb: str) -> str | None:
    """Runs the command; the line that tells the user's mistake, if there was one."""
    try:
        parsed = _parse(words, verb)
        # For a command that starts others with the same words.
        parsed.words = tuple(words)
        # Commands that have something to lower tell of it themselves.
        with shortage_told("this machine", "End what else uses it, or choose another device or machine"):
            parsed.run(parsed)
        sys.stdout.flush()
    except ToldError:
        sys.exit(_EXIT_USER_ERROR)
    except PipelineError as error:
        return f"impasto {verb}: {error}"
    except BrokenPipeError:
        # Who read the standard output has seen enough; nothing may be left for Python to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_EXIT_USER_ERROR)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = error.filename if error.filename is not None else "a file"
        return f"impasto {verb}: {where}: {(error.strerror or str(error)).lower()}."
    except KeyboardInterrupt:
        sys.stderr.write("impasto: interrupted.\n")
        sys.exit(_EXIT_INTERRUPTED)
    return None


@final
class _Parser(argparse.ArgumentParser):
    """Tells a mistake on the command line as every other mistake is told: in one line."""

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split()).rstrip(".")
        self.exit(_EXIT_USER_ERROR, f"{self.prog}: {line}. See {self.prog} --help.\n")


def _parse(words: Sequence[str], verb: str) -> argparse.Namespace:
    parser, commands = _parsers()
    if verb in COMMANDS:
        # Only the chosen command is imported: planning and raster stages must start without torch.
        module = importlib.import_module(f"pipeline.commands.{verb.replace('-', '_')}")
        module.add_arguments(commands[verb])
        commands[verb].set_defaults(run=module.run)
    return parser.parse_args(words)


def _failed(line: str) -> int:
    sys.stderr.write(f"{line}\n")
    return _EXIT_USER_ERROR


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="impasto",
        description="Renders collections of photographs in controlled painting styles, at print resolution. "
        "Each command is one stage of the pipeline and takes the files of the stages before it; "
        "`snakemake --cores all` chains them for the whole of config.yaml.",
    )
    parser.add_argument("--version", action="version", version=f"impasto {__version__}")
    parser.add_argument(
        END_WITH_PARENT,
        action="store_true",
        help="end when the process that started this one ends (the workflow's rules use it)",
    )
    subparsers = parser.add_subparsers(title="stages, in their order", metavar="COMMAND", required=True)
    return parser, {
        verb: subparsers.add_parser(verb, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        for verb, summary in COMMANDS.items()
    }
