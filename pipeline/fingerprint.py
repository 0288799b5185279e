"""What code a command depends on, as one short hash.

Snakemake sees edits to a rule but not to the package behind it. Each rule passes the fingerprint of its
command as a parameter, so an edit re-runs the stages whose code changed and no others. The modules that a
command reaches are found by reading import statements, never by importing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

import pipeline

_ROOT = Path(pipeline.__file__).parent
_DATA = {".html", ".css", ".js", ".json", ".yaml", ".safetensors"}


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
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The package's own files that this file brings in: modules it imports, and a package's data files."""
    if path.suffix != ".py":
        return ()
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found.extend(_files(name))
    return tuple(found)


def _files(module: str) -> list[Path]:
    top, *parts = module.split(".")
    if top != "pipeline" or not parts:
        return []
    base = _ROOT.joinpath(*parts)
    # Importing pipeline.a.b runs the packages above it as well.
    above = [folder / "__init__.py" for folder in base.parents if folder.is_relative_to(_ROOT / parts[0])]
    found = [*above, base.with_suffix(".py"), base / "__init__.py"]
    if base.is_dir():
        found += [file for file in base.iterdir() if file.suffix in _DATA]
    return [file for file in found if file.is_file()]
