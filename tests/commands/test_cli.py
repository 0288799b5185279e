from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import noise, save
from running import Impasto, environment, is_running, run, within

from pipeline import __version__
from pipeline.commands.listing import COMMANDS


def test_help_tells_the_pipelines_story_in_order(impasto: Impasto) -> None:
    text = impasto.works("--help").printed
    listed = [line.split()[0] for line in text[text.index("COMMAND\n") :].splitlines()[1:] if line[4] != " "]
    assert listed == list(COMMANDS)
    assert listed[:3] == ["fetch-weights", "fetch-viewer", "make-demo"]
    assert listed[-3:] == ["report", "status", "verify"]


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_explains_itself(impasto: Impasto, verb: str) -> None:
    done = impasto.works(verb, "--help")
    assert done.printed.startswith(f"usage: impasto {verb} ")
    assert done.said == []
    parser = argparse.ArgumentParser()
    importlib.import_module(f"pipeline.commands.{verb.replace('-', '_')}").add_arguments(parser)
    assert [action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [("", 0, ""), ("sys.exit(2)", 2, ""), ("sys.exit()", 0, ""), ("sys.exit('why')", 1, "why\n")],
)
def test_the_process_ends_at_once(tmp_path: Path, ending: str, code: int, said: str) -> None:
    """Python would take torch apart first; what is written, or to be done at the end, is not lost."""
    program = (
        "import atexit, sys\n"
        "from pipeline import cli\n"
        "class Slow:\n"
        "    def __del__(self): print('taken apart')\n"
        "kept = Slow()\n"
        "atexit.register(print, 'at the end')\n"
        "def main():\n"
        "    print('written')\n"
        f"    {ending}\n"
        "cli.main = main\n"
        "cli.command()\n"
    )
    done = run([sys.executable, "-c", program], tmp_path)
    taken_apart = "taken apart\n" if said else ""
    assert done.stdout == f"written\nat the end\n{taken_apart}"
    assert (done.returncode, done.stderr) == (code, said)


def test_no_help_waits_for_a_network_to_be_loaded(impasto: Impasto) -> None:
    """Help must not take seconds; what a command's work loads is looked at by its own tests."""
    program = (
        "import contextlib, io, sys\n"
        "from pipeline.cli import main\n"
        "from pipeline.commands.listing import COMMANDS\n"
        "for verb in COMMANDS:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main([verb, '--help'])\n"
        "    assert 'pipeline.commands.' + verb.replace('-', '_') in sys.modules, verb\n"
        "    assert not {'torch', 'torchvision', 'segment_anything'} & sys.modules.keys(), verb\n"
    )
    done = run([sys.executable, "-c", program], impasto.folder)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_packages(impasto: Impasto) -> None:
    assert impasto.works("--version").printed == f"impasto {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "impasto: the following arguments are required: COMMAND. See impasto --help."),
        (["paint"], "impasto: argument COMMAND: invalid choice: 'paint' (choose from "),
        (["prepare"], "impasto prepare: the following arguments are required: image, --output. See impasto"),
        (["plan", "--colour"], "impasto: unrecognized arguments: --colour. See impasto --help."),
        (["preview", "--longer-side-px", "0"], "expected a whole number of at least 1; found '0'."),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_one_line(
    impasto: Impasto, words: list[str], line: str
) -> None:
    done = impasto.run(*words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(impasto: Impasto) -> None:
    save(impasto.folder / "a.png", noise(90, 90, seed=0))
    artworks = {f"artwork{index}": {"content": "a.png", "style": "a.png"} for index in range(200)}
    (impasto.folder / "config.yaml").write_text(f"artworks: {artworks}", encoding="utf-8")
    process = subprocess.Popen(
        ["impasto", "plan"],
        cwd=impasto.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert said == b""
    assert process.returncode != 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize("words", [["--help"], ["plan"], ["--version"]])
def test_an_output_that_takes_nothing_is_a_mistake_without_a_traceback(
    impasto: Impasto, words: list[str]
) -> None:
    save(impasto.folder / "a.png", noise(90, 90, seed=0))
    (impasto.folder / "config.yaml").write_text("artworks: {one: {content: a.png, style: a.png}}")
    # Else each word is written, and argparse swallows the error, before Python's own end sees it.
    buffered = environment({"PYTHONUNBUFFERED": ""})
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            ["impasto", *words],
            check=False,
            cwd=impasto.folder,
            env=buffered,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 1
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a process with its parent")
@pytest.mark.parametrize(("option", "ends"), [("--end-with-parent", True), ("", False)])
def test_it_ends_with_its_parent_from_the_first_moment(impasto: Impasto, option: str, ends: bool) -> None:
    """Killed while the command is still being loaded: with torch that takes seconds."""
    slow = impasto.folder / "slow"
    slow.mkdir()
    started = impasto.folder / "started"
    (slow / "yaml.py").write_text(f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(600)\n")
    program = (
        "import subprocess, time\n"
        f"child = subprocess.Popen({['impasto', *option.split(), 'plan']!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=impasto.folder,
        env=environment({"PYTHONPATH": str(slow)}),
        stdout=subprocess.PIPE,
        text=True,
    )
    child = 0
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert within(20, started.exists)
        parent.kill()
        parent.wait()
        assert within(2, lambda: not is_running(child)) == ends
    finally:
        parent.kill()
        if child and is_running(child):
            os.kill(child, signal.SIGKILL)
        parent.communicate()
