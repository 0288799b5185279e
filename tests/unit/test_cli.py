"""The boundary where an error becomes one line; tests/commands runs the real commands as subprocesses."""

from __future__ import annotations

import argparse
import importlib
import io
import weakref
from collections.abc import Callable

import pytest
import torch

from pipeline import cli
from pipeline.commands import prepare
from pipeline.commands.listing import COMMANDS
from pipeline.errors import InputError, PipelineError, ResourceError

WORDS = ["prepare", "a.png", "--output", "a.tif"]
SHORTAGES = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
)
SHORT = (
    "impasto prepare: this machine: expected memory for what lies in it whole; found too little. "
    "End what else uses it, or choose another device or machine."
)


def ending(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> int | str | None:
    """The exit code of a command that ends with this error; None when it just returns."""

    def run(_: argparse.Namespace) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(prepare, "run", run)
    try:
        cli.main(WORDS)
    except SystemExit as exit_:
        return exit_.code
    return None


def test_a_command_that_works_just_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(monkeypatch, None) is None


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            InputError("a.png", expected="an image", found="text", fix="Use another"),
            2,
            "impasto prepare: a.png: expected an image; found text. Use another.",
        ),
        (ResourceError.stating("no room"), 2, "impasto prepare: no room."),
        (PermissionError(13, "Permission denied", "a.tif"), 2, "impasto prepare: a.tif: permission denied."),
        (OSError(28, "No space left on device"), 2, "impasto prepare: a file: no space left on device."),
        (KeyboardInterrupt(), 130, "impasto: interrupted."),
        *((shortage, 2, SHORT) for shortage in SHORTAGES),
    ],
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    assert ending(monkeypatch, error) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_what_a_failed_command_held_is_let_go_before_its_line_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[weakref.ref[io.BytesIO]] = []

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            # The deleted half of an output: its room on the disk comes back when nothing has it open.
            assert held[0]() is None
            return super().write(text)

    def run(_: argparse.Namespace) -> None:
        output = io.BytesIO()
        held.append(weakref.ref(output))
        raise ResourceError.stating("no room")

    monkeypatch.setattr(prepare, "run", run)
    log = Log()
    monkeypatch.setattr("sys.stderr", log)
    with pytest.raises(SystemExit):
        cli.main(WORDS)
    assert log.getvalue() == "impasto prepare: no room.\n"


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a library's own")])
def test_a_bug_shows_itself(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        ending(monkeypatch, error)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_is_a_module_with_two_functions(verb: str) -> None:
    module = importlib.import_module(f"pipeline.commands.{verb.replace('-', '_')}")
    functions: list[Callable[..., None]] = [module.add_arguments, module.run]
    assert all(function.__doc__ for function in functions)
    assert module.__doc__ is not None
    assert module.__doc__.startswith(f"`impasto {verb}`: ")


def test_every_error_of_ours_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in PipelineError.__subclasses__():
        assert ending(monkeypatch, kind.stating("x")) == 2
