"""Starts `impasto` without the seconds that importing torch takes: imports it once, then forks.

A line of JSON on the standard input is a command: its words, folder, environment, and the files that are its
standard streams. It runs in a process of its own, from the parser to what is done at the interpreter's exit;
its exit code is the answer. What a command imports, and that it starts from nothing, only a real start tells.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import sys
import threading
from typing import Any, NoReturn

import pipeline


def main() -> None:
    """Answers until its standard input ends."""
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        importlib.import_module(module.name)
    # What was imported is of no interest to the collector: looking at it copies its pages in each process.
    gc.freeze()
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _become(request: dict[str, Any]) -> NoReturn:
    """Makes this process the command's, and runs it."""
    from pipeline.cli import main as impasto

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))
    ):
        stream = os.open(request[name], flags)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["impasto", *request["words"]]
    code = 0
    try:
        impasto()
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # as the interpreter ends: told with its traceback
        sys.excepthook(*sys.exc_info())
        code = 1
    # What the interpreter does at its end, but for taking apart all that was imported: a second for nothing.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _exit_code(end: SystemExit) -> int:
    """What the interpreter makes of it."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    main()
