from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline import fingerprint as module
from pipeline.commands import COMMANDS
from pipeline.fingerprint import fingerprint

FILES = {
    "commands/paint.py": "import pipeline.a\nfrom pipeline import b\n",
    "commands/look.py": "import os\n",
    "a.py": "from pipeline.p.deep import thing\n",
    "b/__init__.py": "",
    "b/page.html": "<p>",
    "b/notes.md": "never read",
    "p/__init__.py": "from pipeline.c import other\n",
    "p/deep.py": "thing = 1\n",
    "c.py": "other = 1\n",
    "unused.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    fingerprint.cache_clear()
    module._imported.cache_clear()


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("commands/paint.py", True),
        ("a.py", True),
        ("b/__init__.py", True),
        ("b/page.html", True),
        ("p/deep.py", True),
        ("p/__init__.py", True),
        ("c.py", True),
        ("b/notes.md", False),
        ("unused.py", False),
        ("commands/look.py", False),
    ],
)
def test_it_changes_with_every_source_behind_the_command_and_no_other(
    package: Path, name: str, counts: bool
) -> None:
    before = fingerprint("paint")
    (package / name).write_text(FILES[name] + "\n# edited\n")
    forget()
    assert (fingerprint("paint") != before) == counts


@pytest.mark.parametrize(("name", "counts"), [("a.py", False), ("p/deep.py", False), ("b/__init__.py", True)])
def test_what_is_left_aside_does_not_count_nor_what_it_alone_reaches(
    package: Path, name: str, counts: bool
) -> None:
    before = fingerprint("paint", aside="a")
    (package / name).write_text("edited = 1\n")
    forget()
    assert (fingerprint("paint", aside="a") != before) == counts


@pytest.mark.usefixtures("package")
def test_it_changes_with_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint("look")
    monkeypatch.setattr(pipeline, "__version__", "0.0.0")
    forget()
    assert fingerprint("look") != before


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_one(verb: str) -> None:
    assert re.fullmatch("[0-9a-f]{12}", fingerprint(verb))
    assert fingerprint(verb) == fingerprint(verb.replace("-", "_"))


def test_commands_differ() -> None:
    assert len({fingerprint(verb) for verb in COMMANDS}) == len(COMMANDS)


def test_an_unknown_command_has_none() -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint("no-such-command")
