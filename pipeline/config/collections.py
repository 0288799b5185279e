"""Collections as data: artworks from a sheet, and from contents x styles x settings; where each was written.

What is found here becomes plain entries of `artworks`, so nothing behind the configuration knows of it.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.combine import COMBINE, SHEET, Combine, Images
from pipeline.config.controls import as_list
from pipeline.config.inheritance import merged
from pipeline.config.mistakes import as_error, shown
from pipeline.config.naming import check_name, name_from
from pipeline.config.sheets import CONTENT, read_sheet
from pipeline.errors import ConfigError, InputError

_IMAGES = {".avif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_UNREAD = {
    *(".bmp", ".gif", ".heic", ".heif", ".jp2", ".jxl"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
}
"""Endings of images that folders and patterns do not give."""
_KINDS = ", ".join(sorted(_IMAGES))
_WILDCARDS = frozenset("*?[")

Place = Callable[[Sequence[object]], str]
"""Where an artwork's key was written, from the keys below the artwork's name."""


def with_collections(
    raw: Mapping[str, Any], where: str
) -> tuple[Mapping[str, Any], dict[str, Place], tuple[str, ...]]:
    """The configuration with its sheets and combinations written out as artworks, and where those come from.

    Warnings, a line each, come last.

    An artwork of the configuration without a content of its own changes the one of that name in a sheet or a
    combination: what it says stands above.

    Raises:
        InputError: A sheet, or a folder of a combination, cannot be read.
        ConfigError: Something in a sheet or a combination cannot be; two artworks have one name.
    """
    if raw.get(SHEET) is None and raw.get(COMBINE) is None:
        return raw, {}, ()
    unread: set[str] = set()
    made: dict[str, tuple[Mapping[str, Any], Place]] = {}
    for name, settings, place in (*_from_sheets(raw, where), *_from_combinations(raw, where, unread)):
        if name in made:
            raise ConfigError(
                place([]),
                expected="a name of its own for each artwork",
                found=f"{name!r} again, the name of {made[name][1]([])}",
                fix="Give a name",
            )
        made[name] = settings, place
    own = raw.get("artworks")
    if own is not None and not isinstance(own, Mapping):
        raise ConfigError(f"{where}: artworks", expected="names and settings", found=shown(own))
    artworks: dict[Any, Any] = {name: settings for name, (settings, _) in made.items()}
    places = {name: place for name, (_, place) in made.items()}
    for name, settings in (own or {}).items():
        if str(name) in made and settings is None:
            # All that it changed is commented out.
            continue
        if str(name) not in made:
            artworks[name] = settings
        elif isinstance(settings, Mapping) and settings.get(CONTENT) is None:
            artworks[str(name)] = merged(artworks[str(name)], settings)
            places[str(name)] = _either(f"{where}: artworks.{name}", settings, places[str(name)])
        else:
            found = "a content" if isinstance(settings, Mapping) else shown(settings)
            raise ConfigError(
                f"{where}: artworks.{name}",
                expected="another name, or settings without a content that change the artwork of that name",
                found=f"{found} beside that of {places[str(name)]([])}",
            )
    return (
        {key: value for key, value in raw.items() if key not in (SHEET, COMBINE)} | {"artworks": artworks},
        places,
        tuple(_left_out(unread, where)),
    )


def placed(line: str, name: str, places: Mapping[str, Place], where: str) -> str:
    """The line of artwork `name`'s mistake, told of where that was written: in a sheet's row and column, say.

    Args:
        line: As told of the configuration that `where` names.
        name: The artwork.
        places: Where artworks were written that a sheet or a combination made.
        where: The configuration's name.
    """
    key, separator, told = line.partition(": artworks.")[2].partition(": ")
    artwork, _, below = key.partition(".")
    if name not in places or artwork != name or not line.startswith(f"{where}: artworks."):
        return line
    return f"{places[name](below.split('.') if below else [])}{separator}{told}"


def _from_sheets(raw: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    files = as_list(raw.get(SHEET)) or []
    if not isinstance(files, list) or not all(_is_path(file) for file in files):
        raise ConfigError(f"{where}: {SHEET}", expected="the path of a sheet, or a list", found=repr(files))
    for file in files:
        for row in read_sheet(Path(file)):
            yield row.name, row.settings, row.place


def _from_combinations(
    raw: Mapping[str, Any], where: str, unread: set[str]
) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    """The artworks of all combinations; `unread` takes the images that folders and patterns do not give."""
    given = raw.get(COMBINE)
    several = isinstance(given, list)
    for index, part in enumerate(given if isinstance(given, list) else [] if given is None else [given]):
        key = (COMBINE, str(index)) if several else (COMBINE,)
        try:
            combine = Combine.model_validate(part)
        except ValidationError as error:
            raise as_error(error, part, where, key) from None
        yield from _combined(combine, f"{where}: {'.'.join(key)}", unread)


def _combined(
    combine: Combine, where: str, unread: set[str]
) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    """Every combination that is wanted, the contents in the outer loop."""
    contents = _parts(combine.contents, CONTENT, f"{where}.contents", unread)
    styles = _parts(combine.styles, "style", f"{where}.styles", unread) if combine.styles else {"": {}}
    for name in combine.settings:
        check_name(name, f"{where}.settings")
    unwanted = dict.fromkeys(combine.exclude, False)
    for content, own in contents.items():
        for style, painted in styles.items():
            for variant, changed in (combine.settings or {"": {}}).items():
                name = "-".join(part for part in (content, style, variant) if part)
                if name in unwanted:
                    unwanted[name] = True
                    continue
                yield name, merged(merged(own, painted), changed), _at(f"{where}: {name}")
    for name, found in unwanted.items():
        if not found:
            raise ConfigError(f"{where}.exclude", expected="names of combinations", found=repr(name))


def _parts(given: Images, key: str, where: str, unread: set[str]) -> dict[str, Mapping[str, Any]]:
    """Settings by name: of each image, or as they are written."""
    found: dict[str, Mapping[str, Any]] = {}
    if isinstance(given, dict):
        for name, value in given.items():
            check_name(name, where)
            if not isinstance(value, str | Mapping):
                raise ConfigError(f"{where}.{name}", expected="an image or settings", found=repr(value))
            found[name] = {key: value} if isinstance(value, str) else value
        return found
    files: dict[str, str] = {}
    for word in as_list(given):
        for file in _files(word, where, unread):
            name = name_from(Path(file), where)
            if name in found and files[name] != file:
                raise ConfigError(
                    where,
                    expected="files whose names differ without their folders and endings",
                    found=f"{files[name]} and {file}, both {name!r}",
                    fix="Write `NAME: file` for each",
                )
            found[name], files[name] = {key: file}, file
    return found


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _files(word: str, where: str, unread: set[str]) -> list[str]:
    """The images that a path, a folder or a pattern stands for, by name."""
    try:
        return _looked_up(word, where, unread)
    except OSError as error:
        found = f"{word}: {(error.strerror or str(error)).lower()}"
        raise InputError(where, expected="images and folders that can be looked at", found=found) from None


def _looked_up(word: str, where: str, unread: set[str]) -> list[str]:
    folder = Path(word)
    if folder.is_dir():
        files = [file.as_posix() for file in folder.iterdir()]
        expected, place = "a folder of images", "in"
    elif _WILDCARDS.isdisjoint(word) or folder.exists():
        # Whether it is there is asked where images are looked at.
        return [word]
    else:
        files = glob.glob(word, recursive=True)  # noqa: PTH207 - as written
        expected, place = "a pattern that images have", "for"
    found = [file for file in files if _is_file(file, _IMAGES)]
    if not found:
        raise ConfigError(where, expected=f"{expected} ({_KINDS})", found=f"none {place} {word}")
    # Many cameras write a raw file and a JPEG: the photograph is there.
    stems = {Path(file).with_suffix("") for file in found}
    others = (file for file in files if _is_file(file, _UNREAD))
    unread.update(file for file in others if Path(file).with_suffix("") not in stems)
    for file in found:
        try:
            file.encode()
        # Old archives hold such names; plans and records cannot.
        except UnicodeEncodeError:
            raise InputError(
                where, expected="file names in UTF-8", found=ascii(file), fix="Rename it"
            ) from None
    return sorted(found)


def _is_file(name: str, endings: Set[str]) -> bool:
    """Whether it is a file with one of these endings, and not hidden."""
    file = Path(name)
    return file.suffix.lower() in endings and not file.name.startswith(".") and file.is_file()


def _left_out(unread: Set[str], where: str) -> Iterator[str]:
    """One warning for all images that folders and patterns do not give, if there are any."""
    if unread:
        # A log takes no name that is no UTF-8.
        first = min(unread).encode(errors="replace").decode()
        yield (
            f"{where}: {COMBINE}: folders and patterns give {_KINDS}; images of other kinds are left "
            f"out: {len(unread)}, the first {first}"
        )


def _at(place: str) -> Place:
    def written(keys: Sequence[object]) -> str:
        return ".".join(map(str, (place, *keys)))

    return written


def _either(place: str, settings: Mapping[str, Any], otherwise: Place) -> Place:
    """The place in the configuration for what is said there, else where the artwork was made."""

    def written(keys: Sequence[object]) -> str:
        node: Any = settings
        for key in keys:
            if not isinstance(node, Mapping) or key not in node:
                return otherwise(keys)
            node = node[key]
        return _at(place)(keys) if keys else otherwise(keys)

    return written
