"""Asks the process of warm_start.py to run a command with this one's streams: `impasto` in some workflows.

It imports nothing of ours, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

ADDRESS = "WARM_START"
"""The variable that holds the address of that process's socket."""
KILLED = -9


def ask(
    address: str,
    words: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    streams: Sequence[int],
) -> int:
    """The exit code of a command, its words with the program's name first; `KILLED` if it says none."""
    request = {"words": list(words), "folder": folder, "environment": dict(environment)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b"?"], streams)
        server.sendall(json.dumps(request).encode() + b"\n")
        answer = server.recv(16)
    return int(answer) if answer else KILLED


if __name__ == "__main__":
    own = ["impasto", *sys.argv[1:]]
    code = ask(os.environ[ADDRESS], own, os.getcwd(), os.environ, [0, 1, 2])  # noqa: PTH109
    sys.exit(code % 256)
