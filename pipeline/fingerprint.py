"""What code a command depends on, as one short hash.

Snakemake sees edits to a rule but not to the package behind it. Each rule passes the fingerprint of its
command as a parameter, so an edit re-runs the stages whose code changed and no others. The modules that a
command reaches are found by reading import statements, never by importing. A workflow asks at every start, so
they are found by a pattern: a parser takes twenty times as long.
"""

from __future__ import annotations

import hashlib
import re
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
    for match in _IMPORT.finditer(path.read_text(encoding="utf-8")):
        package, listed = match["package"], match["many"] or match["line"]
        names = [words[0] for each in _COMMENT.sub("", listed).split(",") if (words := each.split())]
        # `import a, b` names modules; `from a import b` names one, and what may be one inside of it.
        modules = names if package is None else [package, *(f"{package}.{name}" for name in names)]
        found.update(dict.fromkeys(modules))
    return tuple(file for module in found for file in _files(module))


@cache
def _files(module: str) -> tuple[Path, ...]:
    top, *parts = module.split(".")
    if top != "pipeline" or not parts:
        return ()
    base = _ROOT.joinpath(*parts)
    # Importing pipeline.a.b runs the packages above it as well.
    above = [folder / "__init__.py" for folder in base.parents if folder.is_relative_to(_ROOT / parts[0])]
    found = [*above, base.with_suffix(".py"), base / "__init__.py"]
    if base.is_dir():
        found += [file for file in base.iterdir() if file.suffix in _DATA]
    return tuple(file for file in found if file.is_file())
