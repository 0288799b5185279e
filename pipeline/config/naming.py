"""Names of artworks: which there can be, and names made from those of files."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from pipeline.config.sections import NAME_PATTERN
from pipeline.errors import ConfigError

NAME_WORDS = "a name of letters, digits, _ and -, with a letter or digit first"


def plain_name(text: str) -> str:
    """The text as a name, without accents and with hyphens for what a name cannot hold; maybe empty."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-_")


def name_from(path: Path, where: str) -> str:
    """A name made from a file's.

    Raises:
        ConfigError: The file's name has no letter or digit that a name can hold.
    """
    name = plain_name(path.stem)
    if not name:
        raise ConfigError(
            where,
            expected="a file whose name has letters a to z or digits",
            found=str(path),
            fix="Give a name",
        )
    return name


def check_name(name: object, where: str) -> None:
    """Does nothing for a name that an artwork can have.

    Raises:
        ConfigError: It cannot stand in a path as it is.
    """
    if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name):
        return
    instead = plain_name(str(name))
    fix = f"{instead} would do" if instead else ""
    raise ConfigError(where, expected=NAME_WORDS, found=repr(name), fix=fix)
