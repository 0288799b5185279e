from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline import fingerprint as module
from pipeline.commands.listing import COMMANDS
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
    for cached in (fingerprint, module._imported, module._files, module._digest, module._handed_on):
        cached.cache_clear()


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


def parsed(path: Path) -> set[str]:
    """The modules that a file may import, by Python's own parser; of packages that hand on, those it uses."""
    found: set[str] = set()
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            handed_on = module._handed_on(node.module)
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if handed_on is None:
                    found |= {node.module, *used(tree, inner, alias.asname or alias.name)}
                else:
                    found.add(handed_on.get(alias.name, inner if module._files(inner) else node.module))
    return {name for name in found if name.startswith("pipeline.")}


def used(tree: ast.Module, package: str, name: str) -> set[str]:
    """What a file uses of a package that it knows by this name: all where it is not only looked into."""
    handed_on = module._handed_on(package)
    inside = {
        id(node.value): node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    everywhere = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name}
    if not handed_on or everywhere - inside.keys():
        return {package}
    return {handed_on.get(attribute, package) for attribute in inside.values()}


def test_no_import_is_missed() -> None:
    for path in sorted(module._ROOT.rglob("*.py")):
        missed = {file for name in parsed(path) for file in module._files(name)} - set(module._imported(path))
        assert not missed, path


def test_imports_of_all_forms_are_seen(package: Path) -> None:
    (package / "commands/look.py").write_text(
        "def f():\n    from pipeline import (  # both\n        a as z,  # and\n        b,\n    )\n"
        "    import os, pipeline.p.deep as deep\n"
    )
    forget()
    seen = {file.relative_to(package).as_posix() for file in module._imported(package / "commands/look.py")}
    assert seen == {"a.py", "b/__init__.py", "b/page.html", "p/__init__.py", "p/deep.py"}


@pytest.mark.parametrize(
    "name",
    [
        *("reporting/training.html", "reporting/report.css", "reporting/training.py", "config/schema.json"),
        *("config/presets.yaml", "optimiser/lbfgs.py", "rendering/level.py", "feedforward/application.py"),
        *("commands/rendering.py", "commands/export_network.py", "plan.py", "torchrun.py"),
        *("commands/listing.py", "canvas/deepzoom.py", "canvas/export.py", "canvas/__init__.py"),
    ],
)
def test_hours_of_training_do_not_depend_on_what_trains_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, edited, digest = fingerprint("train"), module._ROOT / name, module._digest
    assert edited.is_file()
    monkeypatch.setattr(module, "_digest", lambda path: b"edited" if path == edited else digest(path))
    fingerprint.cache_clear()
    assert fingerprint("train") == before
    fingerprint.cache_clear()


HANDS_ON = {
    "h/__init__.py": '"""What it has."""\n\nfrom pipeline.h.one import first\n__all__ = ["first", "second"]\n'
    "from pipeline.h.two import (\n    second,\n)\n",
    "h/one.py": "from pipeline.a import thing\n",
    "h/two.py": "",
}


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("from pipeline import h\nh.second()\n", ["h/two.py"]),
        ("from pipeline.h import first\n", ["h/one.py"]),
        ("from pipeline.h import two\n", ["h/two.py"]),
        ("from pipeline.h.two import second\n", ["h/two.py"]),
        # What cannot be told is all of it.
        ("from pipeline import h\n", ["h/__init__.py"]),
        ("from pipeline import h\nh.first\nh.unknown\n", ["h/__init__.py"]),
        ("import pipeline.h\n", ["h/__init__.py"]),
    ],
)
def test_of_a_package_that_hands_on_what_is_taken_counts(
    package: Path, text: str, reached: list[str]
) -> None:
    (package / "h").mkdir()
    for name, contents in HANDS_ON.items():
        (package / name).write_text(contents)
    (package / "commands/look.py").write_text(text)
    forget()
    seen = {file.relative_to(package).as_posix() for file in module._imported(package / "commands/look.py")}
    assert seen == set(reached)


@pytest.mark.parametrize("more", ["second = 2\n", "print()\n"])
def test_a_package_that_does_more_than_hand_on_counts_itself(package: Path, more: str) -> None:
    (package / "h").mkdir()
    for name, contents in HANDS_ON.items():
        (package / name).write_text(contents + (more if name == "h/__init__.py" else ""))
    (package / "commands/look.py").write_text("from pipeline.h import first\n")
    forget()
    seen = {file.relative_to(package).as_posix() for file in module._imported(package / "commands/look.py")}
    assert "h/__init__.py" in seen


def test_commands_differ() -> None:
    assert len({fingerprint(verb) for verb in COMMANDS}) == len(COMMANDS)


def test_an_unknown_command_has_none() -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint("no-such-command")
