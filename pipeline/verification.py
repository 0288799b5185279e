"""Whether an output is still what its record says: hashes of outputs, inputs, model files; settings.

The record is `provenance.json`, written beside a print by the stage that made it. Torch-free.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

from pipeline import canvas, provenance, weights
from pipeline.config.models import Config
from pipeline.config.reading import load
from pipeline.errors import InputError, PipelineError
from pipeline.plan import read_plan

RECORD = "provenance.json"
_NOTHING = object()
_NAMED = {"outputs": list, "inputs": list, "weights": list, "settings": dict, "versions": dict}


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one comparison.

    Attributes:
        what: What was compared: `output print.tif`, `setting colour.mode`.
        state: Whether it is as recorded; `unknown` where there was nothing to compare with, and `noted` for a
            difference that does not touch this output.
        told: What was recorded and what was found; empty when it matches.
    """

    what: str
    state: Literal["matches", "differs", "unknown", "noted"]
    told: str = ""


def find_record(output: Path) -> Path:
    """The record of an output: the file itself when it is a record, else the one beside it or in the folder.

    Raises:
        InputError: There is none.
    """
    if output.suffix == ".json" and output.is_file():
        return output
    found = (output if output.is_dir() else output.parent) / RECORD
    if not found.is_file():
        raise InputError(output, expected=f"an output with its record {RECORD} beside it", found="no record")
    if not output.exists():
        raise InputError(output, expected="an output", found="no such file")
    return found


def read_provenance(path: Path) -> dict[str, Any]:
    """The record in the file at `path`.

    Raises:
        InputError: It is no provenance record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(record[key], kind) for key, kind in _NAMED.items()):
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(path, expected="a provenance record", found="something else")


@final
class Verifier:
    """Verifies one record after the other; what many of them name is read once.

    Args:
        config_file: The configuration, or None to leave settings alone.
        weights_dir: Where model files are.
    """

    def __init__(self, config_file: Path | None, weights_dir: Path) -> None:
        self._config_file = config_file
        self._weights_dir = weights_dir
        self._digests: dict[tuple[str, str, int, int], str] = {}

    def verify(self, record_file: Path) -> Iterator[Finding]:
        """Compares everything that the record names with what is there now, in this order.

        The outputs beside the record, and the record inside each image; the inputs, where the plan beside the
        record or the record itself says they are; the model files; the settings of the artwork in the
        configuration; the versions of the packages, which are only noted: pixels that are there stay as they
        are.

        Args:
            record_file: From `find_record`.

        Raises:
            InputError: The record is none.
            PipelineError: The configuration is wrong.
        """
        record = read_provenance(record_file)
        for entry in record["outputs"]:
            path = record_file.parent / entry["path"]
            finding = self._file(f"output {entry['path']}", path, entry)
            yield finding
            if finding.state == "matches" and path.suffix == ".tif":
                yield _inside(path, record)
        places = _places(record_file)
        for entry in record["inputs"]:
            yield self._file(f"input {entry['path']}", places.get(entry["path"], Path(entry["path"])), entry)
        for entry in record["weights"]:
            yield self._weights(entry, self._weights_dir / f"{entry['name']}.safetensors")
        if self._config_file is not None:
            yield from _settings(record, self._config, self._config_file)
        for name, recorded in record["versions"].items():
            found = self._versions.get(name, "none")
            told = "" if found == recorded else f"recorded {recorded}, here {found}"
            yield Finding(f"version of {name}", "noted" if told else "matches", told)

    @cached_property
    def _config(self) -> Config:
        assert self._config_file is not None
        return load(self._config_file)

    @cached_property
    def _versions(self) -> Mapping[str, str]:
        return provenance.versions()

    def _file(self, what: str, path: Path, entry: Mapping[str, Any]) -> Finding:
        if not path.exists():
            return Finding(what, "differs", f"it is not there (looked for {path})")
        size = path.stat().st_size
        if path.is_file() and size != entry["bytes"]:
            return Finding(what, "differs", f"recorded {entry['bytes']} bytes, found {size}")
        return self._compared(what, path, entry, provenance.file_sha256)

    def _weights(self, entry: Mapping[str, Any], path: Path) -> Finding:
        what = f"weights {entry['name']}"
        if not path.exists():
            return Finding(what, "unknown", f"no file at {path}")
        return self._compared(what, path, entry, lambda file: weights.load(file).tensors_sha256)

    def _compared(
        self, what: str, path: Path, entry: Mapping[str, Any], digest: Callable[[Path], str]
    ) -> Finding:
        """Of a file's digest with the recorded one; `what` begins with the word for how it is had."""
        facts = path.stat()
        seen = (what.partition(" ")[0], str(path), facts.st_mtime_ns, facts.st_size)
        try:
            found = self._digests[seen] = self._digests.get(seen) or digest(path)
        except PipelineError as error:
            return Finding(what, "differs", str(error))
        if found == entry["sha256"]:
            return Finding(what, "matches")
        return Finding(what, "differs", f"recorded sha256 {entry['sha256']}, found {found}")


def _inside(path: Path, record: Mapping[str, Any]) -> Finding:
    """The record that the image holds, which cannot name the image's own hash."""
    what = f"record inside {path.name}"
    try:
        inside = json.loads(canvas.read_description(path))
    except (ValueError, InputError):
        return Finding(what, "differs", "it holds none")
    differing = sorted(key for key in {*inside, *record} - {"outputs"} if inside.get(key) != record.get(key))
    if not differing:
        return Finding(what, "matches")
    return Finding(what, "differs", f"other than in {RECORD}: {', '.join(differing)}")


def _places(record_file: Path) -> dict[str, Path]:
    """Where inputs lie, by the names that a record has for them: the plan beside it has their whole paths."""
    with contextlib.suppress(InputError):
        plan = read_plan(record_file.with_name("plan.json"))
        return {provenance.as_written(path): path for path in plan.inputs}
    return {}


def _settings(record: Mapping[str, Any], config: Config, config_file: Path) -> Iterator[Finding]:
    artwork = config.artworks.get(record["artwork"])
    if artwork is None:
        yield Finding("settings", "unknown", f"{config_file} has no artwork {record['artwork']}")
        return
    now = provenance.plain(artwork.model_dump(mode="json"))
    differing = list(_differences(record["settings"], now))
    for key, recorded, found in differing:
        told = f"recorded {_shown(recorded)}, {config_file} has {_shown(found)}"
        # An earlier version of the program did not have the key.
        unheard = recorded is _NOTHING
        yield Finding(f"setting {key}", "noted" if unheard else "differs", told)
    if all(recorded is _NOTHING for _, recorded, _ in differing):
        yield Finding("settings", "matches")


def _differences(recorded: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each key at which the two say different things, with what they say."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*recorded, *now]):
            yield from _differences(
                recorded.get(name, _NOTHING), now.get(name, _NOTHING), f"{key}.{name}".strip(".")
            )
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for index, (one, other) in enumerate(zip(recorded, now, strict=True)):
            yield from _differences(one, other, f"{key}.{index}")
    elif recorded != now:
        yield key, recorded, now


def _shown(value: Any) -> str:
    return "nothing" if value is None or value is _NOTHING else json.dumps(value, ensure_ascii=False)
