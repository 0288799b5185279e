"""What code a command depends on, as one short hash.

Snakemake sees edits to a rule but not to the package behind it. Each rule passes the fingerprint of its
command as a parameter, so an edit re-runs the stages whose code changed and no others. The modules that a
command reaches are found by reading import statements, never by importing. A workflow asks at every start, so
they are found by a pattern: a parser takes twenty times as long. A package whose `__init__.py` does nothing
but hand on what its modules have (`canvas`) counts by the names that are taken from it: who reads an image
does not depend on how prints are written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pipeline

_ROOT = Path(pipeline.__file__).parent
_DATA = {".html", ".css", ".js", ".json", ".yaml", ".safetensors"}
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<package>pipeline[\w.]*)[ \t]+)?"
    r"import[ \t]+(?:\((?P<many>[^)]*)\)|(?P<line>.*))",
    re.MULTILINE,
)
_COMMENT = re.compile("#.*")
_HANDS_ON = re.compile(r'"""(?s:.*?)"""|__all__ = \[[^\]]*\]')


@cache
def fingerprint(verb: str, aside: str | None = None) -> str:
    """Twelve hexadecimal digits that change with the version and the sources behind `impasto VERB`.

    Args:
        verb: A command's name, with hyphens or underscores.
        aside: A module that the command has for the terminal alone: its files do not depend on that.

    Raises:
        FileNotFoundError: There is no such command.
    """
    start = _ROOT / "commands" / f"{verb.replace('-', '_')}.py"
    reached: set[Path] = set()
    left_out = set() if aside is None else set(_files(f"pipeline.{aside}"))
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in reached | left_out:
            reached.add(path)
            waiting.extend(_imported(path))
    digest = hashlib.sha256(pipeline.__version__.encode())
    for path in sorted(reached):
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(_digest(path))
    return digest.hexdigest()[:12]


@cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The package's own files that this file brings in: modules it imports, and a package's data files.

    What reads like an import in a text counts as one: a stage then depends on one file too many.
    """
    if path.suffix != ".py":
        return ()
    found: dict[str, None] = {}
    text = path.read_text(encoding="utf-8")
    for package, names in _statements(text):
        for name in names:
            found.update(dict.fromkeys([name] if package is None else _taken(package, name, text)))
    return tuple(file for module in found for file in _files(module))


def _statements(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """The names of each import statement, and the package that they are taken from, if one is named."""
    for match in _IMPORT.finditer(text):
        listed = _COMMENT.sub("", match["many"] or match["line"])
        yield match["package"], [words[0] for each in listed.split(",") if (words := each.split())]


def _taken(package: str, name: str, text: str) -> list[str]:
    """The modules that `from package import name` brings into a file of this text."""
    module = f"{package}.{name}"
    handed_on = _handed_on(package)
    if handed_on is not None and name in handed_on:
        return [handed_on[name]]
    inside = _handed_on(module)
    if inside:
        used = set(re.findall(rf"\b{name}\.(\w+)", text))
        if used and used <= inside.keys():
            return [inside[each] for each in used]
    if handed_on is not None and any(file.stem in (name, "__init__") for file in _files(module)):
        return [module]
    # What may be a module, or a name that the package has of its own.
    return [package, module]


@cache
def _handed_on(package: str) -> dict[str, str] | None:
    """The module behind each name that a package hands on; None where it is none, or does more than that."""
    folder = _ROOT.joinpath(*package.split(".")[1:])
    start = folder / "__init__.py"
    if not start.is_file() or any(file.suffix in _DATA for file in folder.iterdir()):
        return None
    text = _HANDS_ON.sub("", start.read_text(encoding="utf-8"))
    if _IMPORT.sub("", text).strip():
        return None
    found = {name: module or "" for module, names in _statements(text) for name in names}
    return found if all(module.startswith(f"{package}.") for module in found.values()) else None


@cache
def _files(module: str) -> tuple[Path, ...]:
    top, *parts = module.split(".")
    if top != "pipeline" or not parts:
        return ()
    base = _ROOT.joinpath(*parts)
    # Importing pipeline.a.b runs the packages above it as well.
    packages = [".".join([top, *parts[:count]]) for count in range(1, len(parts))]
    above = [
        _ROOT.joinpath(*package.split(".")[1:], "__init__.py")
        for package in packages
        if _handed_on(package) is None
    ]
    found = [*above, base.with_suffix(".py"), base / "__init__.py"]
    if base.is_dir():
        found += [file for file in base.iterdir() if file.suffix in _DATA]
    return tuple(file for file in found if file.is_file())
