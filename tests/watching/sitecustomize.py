"""Python runs this at the start of every process whose PYTHONPATH has this folder: who opens a connection?

With `WATCHED_SOCKETS=FILE` in its environment, each `impasto` command adds a line to the file when it begins,
and one for every socket of the internet's families that it makes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FILE = os.environ.get("WATCHED_SOCKETS")


def _note(what: str) -> None:
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    with open(str(FILE), "a", encoding="utf-8") as file:  # noqa: PTH123 - before anything is imported
        file.write(f"{what} {verb}\n")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    # The families by number: 2 is that of IPv4, 10 that of IPv6.
    if event == "socket.__new__" and int(arguments[1]) in (2, 10):
        _note("socket")


if FILE is not None and any(word.endswith("/impasto") for word in sys.orig_argv):
    # sys.argv is not there yet.
    sys.argv = sys.orig_argv[next(i for i, word in enumerate(sys.orig_argv) if word.endswith("/impasto")) :]
    _note("begins")
    sys.addaudithook(_watch)
