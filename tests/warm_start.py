"""Starts `impasto`, `snakemake` and programs without the seconds of their imports: imports once, then forks.

Its standard input is a socket that listens. Each connection brings a command's standard streams, then a line
of JSON: its words, the program's name first, its folder and environment. It runs in a process of its own,
from the parser to what is done at the interpreter's exit; its exit code is the answer. What a command
imports, and that it starts from nothing, only a real start tells.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

import pipeline
from pipeline.machine import end_with_parent, share_processors

_PACKAGES = {"impasto": "pipeline", "snakemake": "snakemake"}


def main() -> None:
    """Answers until its parent ends."""
    end_with_parent()
    share_processors()
    listener = socket.socket(fileno=0)
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What was imported is of no interest to the collector: looking at it copies its pages in each process.
    gc.freeze()
    while True:
        connection, _ = listener.accept()
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile("rb") as lines:
            request = json.loads(lines.readline())
        if request["words"][0] == "snakemake" and "snakemake.cli" not in sys.modules:
            importlib.import_module("snakemake.cli")
            gc.freeze()
        if os.fork() == 0:
            listener.close()
            _become(request, streams, connection)
        for stream in (*streams, connection.detach()):
            os.close(stream)


def _become(request: dict[str, Any], streams: list[int], connection: socket.socket) -> NoReturn:
    """Makes this process the command's, runs it and answers with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = request["words"]
    os.chdir(request["folder"])
    _look_in(request["environment"].get("PYTHONPATH", ""))
    os.environ.clear()
    os.environ.update(request["environment"])
    code = 0
    try:
        if sys.argv[0] in _PACKAGES:
            importlib.import_module(f"{_PACKAGES[sys.argv[0]]}.cli").main()
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:  # as the interpreter ends: told with its traceback
        sys.excepthook(*sys.exc_info())
        code = 1
    # What the interpreter does at its end, but for taking apart all that was imported: a second for nothing.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    connection.sendall(str(code).encode())
    os._exit(code)


def _look_in(folders: str) -> None:
    """Has modules looked for in the command's own PYTHONPATH; a `pipeline` in there is imported anew."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [folder for folder in folders.split(os.pathsep) if folder not in known]
    sys.path[:0] = found
    if any(os.path.isdir(os.path.join(folder, "pipeline")) for folder in found):  # noqa: PTH112, PTH118
        for name in [*sys.modules]:
            if name.partition(".")[0] == "pipeline":
                del sys.modules[name]


def _exit_code(end: SystemExit) -> int:
    """What the interpreter makes of it."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    main()
