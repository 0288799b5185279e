"""Whether an output is still what its record says: hashes of outputs, inputs, model files; settings.

The record is `provenance.json`, written beside a print by the stage that made it. Torch-free.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

from pydantic import ValidationError

from pipeline import canvas, provenance, weights
from pipeline.config.models import Config
from pipeline.config.reading import load
from pipeline.config.sections import Model
from pipeline.errors import InputError, PipelineError
from pipeline.network_files import NetworkFiles
from pipeline.plan import read_plan

RECORD = "provenance.json"
_NOTHING = object()
_NOWHERE = "nothing says where it lies"


@final
class _File(Model, extra="ignore", strict=True):
    """What a record says of a file."""

    path: str
    bytes: int
    sha256: str


@final
class _ModelFile(Model, extra="ignore", strict=True):
    """What a record says of a model file."""

    name: str
    sha256: str


@final
class _Model(Model, extra="ignore", strict=True):
    """What a record says of a transformation network's file."""

    sha256: str


@final
class _Network(Model, extra="ignore", strict=True):
    """What a record says of a transformation network's settings."""

    name: str
    settings: dict[str, Any]


@final
class _Painting(Model, extra="ignore", strict=True):
    """What a record says of a painting; an earlier version of the program wrote no settings."""

    model: _Model
    network: _Network | None = None


@final
class Provenance(Model, extra="ignore", strict=True):
    """What is read of a record; another version of the program may have written more.

    Attributes:
        artwork: Its name.
        outputs: The files made, by their names beside the record.
        inputs: The files read, as they were written, but for the folders of absolute paths.
        weights: The model files that took part.
        painting: What a transformation network painted, where one took part.
        settings: The artwork's, defaults filled in.
        versions: Of packages.
    """

    artwork: str
    outputs: list[_File]
    inputs: list[_File]
    weights: list[_ModelFile]
    painting: _Painting | None = None
    settings: dict[str, Any]
    versions: dict[str, str]


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
        InputError: There is none; it is damaged; or it does not name the output.
    """
    if output.suffix == ".json" and output.is_file():
        read_provenance(output)
        return output
    is_folder = output.is_dir()
    found = (output if is_folder else output.parent) / RECORD
    if not found.is_file():
        raise InputError(output, expected=f"an output with its record {RECORD} beside it", found="no record")
    named = [entry.path for entry in read_provenance(found).outputs]
    if not is_folder and output.name not in named:
        raise InputError(
            output,
            expected=f"an output that {found} names ({', '.join(named) or 'it names none'})",
            found="a file that it does not name" if output.exists() else "no such file",
        )
    return found


def read_provenance(path: Path) -> Provenance:
    """The record in the file at `path`.

    Raises:
        InputError: It is no provenance record, or a damaged one.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Provenance, Mapping[str, Any]]:
    """What is read of a record, and all that it says."""
    try:
        text = path.read_text(encoding="utf-8")
        return Provenance.model_validate_json(text), json.loads(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = f"{first['msg'].lower()} at {key or 'its start'}"
    except (OSError, UnicodeDecodeError) as error:
        found = (getattr(error, "strerror", None) or "bytes that are no text").lower()
    raise InputError(path, expected="a provenance record made by `impasto record`", found=found)


@final
class Verifier:
    """Verifies one record after the other; what many of them name is read once.

    Args:
        config_file: The configuration, or None to leave settings alone.
        weights_dir: Where model files are, or None to leave them alone.
    """

    def __init__(self, config_file: Path | None, weights_dir: Path | None) -> None:
        self._config_file = config_file
        self._weights_dir = weights_dir
        self._digests: dict[tuple[str, str, int, int], str] = {}

    def verify(self, record_file: Path) -> Iterator[Finding]:
        """Compares everything that the record names with what is there now, in this order.

        The outputs beside the record, and the record inside each TIFF; the inputs, where the plan beside the
        record or the record itself says they are; the model files; the transformation network, where the plan
        says it is; the settings of the artwork and of its network in the configuration; the versions of the
        packages, which are only noted: pixels that are there stay as they are.

        Args:
            record_file: From `find_record`.

        Raises:
            InputError: The record is none.
            PipelineError: The configuration is wrong.
        """
        record, whole = _read(record_file)
        for entry in record.outputs:
            path = record_file.parent / entry.path
            finding = self._file(f"output {entry.path}", path, entry)
            yield finding
            if finding.state == "matches" and path.suffix == ".tif":
                yield _inside(path, whole)
        for entry, place in zip(record.inputs, _places(record_file, record.inputs), strict=True):
            what = f"input {entry.path}"
            yield (
                Finding(what, "unknown", place) if isinstance(place, str) else self._file(what, place, entry)
            )
        if self._weights_dir is not None:
            for model_file in record.weights:
                yield self._weights(model_file, self._weights_dir / f"{model_file.name}.safetensors")
        if record.painting is not None:
            yield self._network(record.painting, record_file)
        if self._config_file is not None:
            yield from _settings(record, self._config, self._config_file)
        for name, recorded in record.versions.items():
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

    def _file(self, what: str, path: Path, entry: _File) -> Finding:
        if not path.exists():
            return Finding(what, "differs", f"it is not there (looked for {path})")
        size = path.stat().st_size
        if path.is_file() and size != entry.bytes:
            return Finding(what, "differs", f"recorded {entry.bytes} bytes, found {size}")
        return self._compared(what, path, entry.sha256, provenance.file_sha256)

    def _weights(self, entry: _ModelFile, path: Path) -> Finding:
        what = f"weights {entry.name}"
        if not path.exists():
            return Finding(what, "unknown", f"no file at {path}")
        return self._compared(what, path, entry.sha256, lambda file: weights.identify(file).tensors_sha256)

    def _network(self, painting: _Painting, record_file: Path) -> Finding:
        what = "network" if painting.network is None else f"network {painting.network.name}"
        try:
            plan = read_plan(record_file.with_name("plan.json"))
        except InputError:
            plan = None
        if plan is None or plan.painting is None:
            return Finding(what, "unknown", f"{_NOWHERE}: there is no plan.json of this record beside it")
        shared = record_file.absolute().parent.parent / "shared"
        path = Path(NetworkFiles(shared.as_posix(), plan.networks).file(plan.painting.network))
        if not path.exists():
            return Finding(what, "unknown", f"no file at {path}")
        return self._compared(what, path, painting.model.sha256, provenance.file_sha256)

    def _compared(self, what: str, path: Path, recorded: str, digest: Callable[[Path], str]) -> Finding:
        """Of a file's digest with the recorded one; `what` begins with the word for how it is had."""
        facts = path.stat()
        seen = (what.partition(" ")[0], str(path), facts.st_mtime_ns, facts.st_size)
        try:
            found = self._digests[seen] = self._digests.get(seen) or digest(path)
        except PipelineError as error:
            return Finding(what, "differs", str(error))
        if found == recorded:
            return Finding(what, "matches")
        return Finding(what, "differs", f"recorded sha256 {recorded}, found {found}")


def _inside(path: Path, record: Mapping[str, Any]) -> Finding:
    """The record that the image holds, which cannot name the image's own hash."""
    what = f"record inside {path.name}"
    try:
        inside = json.loads(canvas.read_description(path))
    except (ValueError, InputError, RecursionError):
        inside = None
    if not isinstance(inside, dict):
        return Finding(what, "differs", "it holds none")
    differing = sorted(key for key in {*inside, *record} - {"outputs"} if inside.get(key) != record.get(key))
    if not differing:
        return Finding(what, "matches")
    return Finding(what, "differs", f"other than in {RECORD}: {', '.join(differing)}")


def _places(record_file: Path, inputs: Sequence[_File]) -> list[Path | str]:
    """Where each input lies, or why that cannot be told.

    The plan beside the record has whole paths, in the order in which they were recorded: several may have one
    name in the record, which cuts absolute paths to their last part.
    """
    planned: dict[str, list[Path]] = {}
    with contextlib.suppress(InputError):
        for path in read_plan(record_file.with_name("plan.json")).inputs:
            planned.setdefault(provenance.as_written(path), []).append(path)
    recorded = Counter(entry.path for entry in inputs)
    seen: Counter[str] = Counter()
    found: list[Path | str] = []
    for name in (entry.path for entry in inputs):
        paths = planned.get(name, [])
        if len(paths) == recorded[name]:
            found.append(paths[seen[name]])
        elif recorded[name] == 1 and ("/" in name or Path(name).exists()):
            found.append(Path(name))
        else:
            found.append(f"{_NOWHERE}: there is no plan.json of this record beside it")
        seen[name] += 1
    return found


def _settings(record: Provenance, config: Config, config_file: Path) -> Iterator[Finding]:
    artwork = config.artworks.get(record.artwork)
    if artwork is None:
        yield Finding("settings", "unknown", f"{config_file} has no artwork {record.artwork}")
        return
    now = provenance.plain(artwork.model_dump(mode="json"))
    differing = list(_differences(record.settings, now))
    network = None if record.painting is None else record.painting.network
    if network is not None:
        known = config.networks.get(network.name)
        told = _NOTHING if known is None else provenance.plain(known.model_dump(mode="json"))
        differing += _differences(network.settings, told, f"networks.{network.name}")
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
