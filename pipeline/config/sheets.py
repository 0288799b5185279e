"""Sheets: a CSV or TSV file with one artwork in each row, as the settings that its columns name.

A column is a key of an artwork, dotted for what stands in a section (`colour.mode`) and numbered from 0 for
what stands in a list (`regions.0.where`). An empty cell says nothing, so the artwork inherits. Columns whose
heading begins with # are notes.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import yaml

from pipeline.config.naming import check_name, name_from
from pipeline.config.plain import SaidTwiceError, plain_values
from pipeline.errors import ConfigError, InputError

NAME = "name"
CONTENT = "content"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TEXT = {NAME, CONTENT, "image", "source", "fine", "channel_means"}
"""Keys whose values are names and paths: whatever stands there is one."""
_TEXT_OR_YAML = {"style", "mask", "where"}
"""Keys whose values are names and paths, a number too, or mappings and lists."""
_DEEPEST = 50
_LONGEST_NUMBER = 100
_ONLY_STYLE = re.compile(r"^regions\.0\.style(s\.0)?")
"""What `style` is written out to."""
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL_COMMA = re.compile(r"([+-]?[0-9]+),([0-9]+)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.?[0-9]+)([eE][+-]?[0-9]+)?")


@final
class _Below(dict[str, Any]):
    """What columns say below one key: a section, or a list where the next keys are numbers."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One artwork of a sheet.

    Attributes:
        file: The sheet.
        number: As a spreadsheet counts: the headings are row 1.
        columns: The headings, in their order.
        name: The artwork's.
        settings: What the row says.
    """

    file: Path
    number: int
    columns: tuple[str, ...]
    name: str
    settings: Mapping[str, Any]

    def place(self, keys: Sequence[object]) -> str:
        """Where in the sheet an artwork's key stands; a key of no column is named behind its row."""
        key = ".".join(map(str, keys))
        if "style" in self.columns:
            key = _ONLY_STYLE.sub("style", key)
        row = f"{self.file}: row {self.number}"
        column = next((column for column in self.columns if _overlap(column, key)), None)
        if column is None:
            return f"{row}: {key}" if key else row
        below = key.removeprefix(column).strip(".") if key.startswith(column) else ""
        return f"{row}, column {column}" + (f": {below}" if below else "")


def read_sheet(file: Path) -> list[Row]:
    """The artworks of a sheet, in its order.

    A .csv file has commas between its cells, or semicolons, as spreadsheets write where the comma is the
    decimal sign (2,5 is a number there); a .tsv file has tabs. Names are letters, digits, _ and -; a row
    without one is named after its content.

    Raises:
        InputError: There is no such file, or it is no such text.
        ConfigError: A heading or a row is not what it should be; the error says which row and column.
    """
    text = _text(file)
    heading = re.split(r"[\r\n]", text, maxsplit=1)[0]
    delimiter = _DELIMITERS[file.suffix.lower()]
    if delimiter == "," and ";" in heading and "," not in heading:
        delimiter = ";"
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    cells = _cells(file, lines)
    _, headings = next(cells, (1, []))
    columns = tuple(heading.strip() for heading in headings)
    _check_columns(file, columns)
    comma = delimiter == ";"
    rows = [_row(file, number, columns, values, decimal_comma=comma) for number, values in cells]
    if not rows:
        raise ConfigError(file, expected="a row for each artwork below the headings", found="none")
    return rows


def _text(file: Path) -> str:
    if file.suffix.lower() not in _DELIMITERS:
        raise InputError(file, expected="a sheet that ends in .csv or .tsv", found=f"{file.suffix or 'none'}")
    try:
        # Spreadsheets put a mark before the first heading, which would become a part of it.
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None)
        if reason is None:
            raise InputError(
                file, expected="text in UTF-8", found="other bytes", fix="Save it as CSV UTF-8"
            ) from None
        raise InputError(file, expected="a sheet of artworks", found=reason.lower()) from None


def _cells(file: Path, lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty with its number; the headings come first."""
    for number in itertools.count(1):
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigError(
                f"{file}: row {number}", expected="cells in order, quotes in pairs", found=str(error)
            ) from None
        if any(value.strip() for value in values):
            yield number, values


def _check_columns(file: Path, columns: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for index, column in enumerate(columns, start=1):
        if not column or column.startswith("#"):
            continue
        if column in seen:
            raise ConfigError(f"{file}: row 1", expected="each column once", found=f"{column!r} again")
        seen.add(column)
        keys = column.split(".")
        if "" in keys:
            raise ConfigError(
                f"{file}: row 1, column {column}",
                expected="keys with one dot between them",
                found=f"one without a key, in column {index}",
            )
        if len(keys) > _DEEPEST:
            raise ConfigError(
                f"{file}: row 1", expected=f"at most {_DEEPEST} keys", found=f"{len(keys)} in column {index}"
            )
    if CONTENT not in seen:
        raise ConfigError(
            f"{file}: row 1",
            expected=f"a column {CONTENT!r} among the headings",
            found=", ".join(column for column in columns if column) or "none",
        )
    for column in columns:
        whole = next((other for other in seen if column.startswith(f"{other}.")), None)
        if whole is not None:
            raise ConfigError(
                f"{file}: row 1", expected=f"either a column {whole!r} or columns below it", found=column
            )


def _row(file: Path, number: int, columns: tuple[str, ...], values: list[str], *, decimal_comma: bool) -> Row:
    where = f"{file}: row {number}"
    if len(values) > len(columns):
        beyond = next((value for value in values[len(columns) :] if value.strip()), None)
        if beyond is not None:
            raise ConfigError(
                where,
                expected=f"{len(columns)} cells, one for each heading",
                found=f"{len(values)}, among them {beyond!r}",
                fix="Put cells that hold the delimiter in quotes",
            )
    settings: dict[str, Any] = {}
    for column, text in zip(columns, values, strict=False):
        if not text.strip() or column.startswith("#"):
            continue
        if not column:
            raise ConfigError(where, expected="a heading above every cell", found=f"none above {text!r}")
        place = f"{where}, column {column}"
        value = _value(column, text.strip(), place, decimal_comma=decimal_comma)
        _put(settings, column.split("."), value)
    settings = {key: _lists(value, f"{where}, column {key}") for key, value in settings.items()}
    content = settings.get(CONTENT)
    if content is None:
        raise ConfigError(f"{where}, column {CONTENT}", expected="a path", found="an empty cell")
    name = settings.pop(NAME, None)
    if name is None:
        name = name_from(Path(content), f"{where}, column {CONTENT}")
    check_name(name, f"{where}, column {NAME}")
    return Row(file, number, columns, name, settings)


def _value(column: str, text: str, where: str, *, decimal_comma: bool) -> Any:
    """What a cell says: a list or mapping as YAML writes them, a number, true or false, or text."""
    key = column.rpartition(".")[2]
    if key in _TEXT:
        return text
    if text[0] in "[{":
        try:
            return plain_values(text)
        except SaidTwiceError as error:
            raise ConfigError(where, expected="each key once", found=f"{error.key!r} again") from None
        except yaml.YAMLError:
            raise ConfigError(
                where,
                expected="a list such as [256, 512], or a mapping such as {mode: luminance}",
                found=text if len(text) <= 80 else f"{text[:77]}...",
            ) from None
    if key in _TEXT_OR_YAML:
        return text
    # Python reads no whole number of thousands of digits; as text it is refused where it stands.
    if len(text) <= _LONGEST_NUMBER:
        if decimal_comma:
            text = _DECIMAL_COMMA.sub(r"\1.\2", text) if _DECIMAL_COMMA.fullmatch(text) else text
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _put(settings: dict[str, Any], keys: list[str], value: Any) -> None:
    *above, last = keys
    for key in above:
        settings = settings.setdefault(key, _Below())
    settings[last] = value


def _lists(value: Any, where: str) -> Any:
    """The value of columns with those whose keys are numbers as lists; what a cell says stays as it is."""
    if not isinstance(value, _Below):
        return value
    inner = {key: _lists(below, f"{where}.{key}") for key, below in value.items()}
    if not any(_INTEGER.fullmatch(key) for key in inner):
        return inner
    numbers = [str(number) for number in range(len(inner))]
    if {*inner} != {*numbers}:
        found = ", ".join(inner)
        raise ConfigError(where, expected="entries numbered from 0 without a gap", found=found)
    return [inner[number] for number in numbers]


def _overlap(column: str, key: str) -> bool:
    return column == key or key.startswith(f"{column}.") or bool(key and column.startswith(f"{key}."))
