"""Machines that compute need no network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import REPOSITORY, run
from workflows import SOCKETS, RenderedCollection

pytestmark = pytest.mark.slow


def test_no_command_of_a_collection_opens_a_connection(rendered: RenderedCollection) -> None:
    lines = (rendered.checkout.folder / SOCKETS).read_text(encoding="utf-8").splitlines()
    begun = {line.removeprefix("begins ") for line in lines if line.startswith("begins ")}
    assert begun >= {"prepare", "plan", "recolour", "guide", "targets", "stylise", "upsample", "refine"}
    assert begun >= {"assemble", "export-print", "preview", "report"}
    # The weights were given by path, so that not even fetch-weights needs it.
    assert [line for line in lines if not line.startswith("begins ")] == []


def test_a_connection_would_be_seen(tmp_path: Path) -> None:
    program = tmp_path / "impasto"
    program.write_text("import socket\nsocket.socket(socket.AF_UNIX)\nsocket.socket()\n")
    env = {"PYTHONPATH": str(REPOSITORY / "tests" / "watching"), "WATCHED_SOCKETS": str(tmp_path / "seen")}
    assert run([sys.executable, str(program), "--loud", "stylise"], tmp_path, env).returncode == 0
    assert (tmp_path / "seen").read_text() == "begins stylise\nsocket stylise\n"
