"""What a run's main process hands to the jobs that it sends to other machines: the collection as it found it.

Such a job starts Snakemake anew, which would read the configuration, its sheets and folders and every image's
header again, and plan all artworks to run one command of one of them. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from pipeline.collection import Collection, gathered
from pipeline.config.models import Artwork, Config, WeightsSource
from pipeline.config.sections import Model
from pipeline.errors import InputError, ResourceError
from pipeline.files import atomic_path
from pipeline.geometry import Size
from pipeline.plan import Plan

_FOLDER = Path(".snakemake")
_WHOLE, _KEYS = "collection.json", "keys.json"
_PLANNED, _REFUSED = "planned/", "refused/"
_SHARED = (
    "sources",
    "crops",
    "mask_crops",
    "masks",
    "partitions",
    "combinations",
    "images",
    "mixes",
    "targets",
    "networks",
)
"""What artworks share by key, as collections and plans call it."""


@final
class _Planned(Model):
    """An artwork that can be made.

    Attributes:
        plan: Its plan.
        sizes: Of its images, by key.
    """

    plan: Plan
    sizes: dict[str, Size]


@final
class _Refused(Model):
    """An artwork that cannot be made.

    Attributes:
        settings: What the configuration says of it.
        line: Why.
    """

    settings: Artwork
    line: str


@final
class _Whole(Model):
    """What belongs to no artwork.

    Attributes:
        config: The configuration without its artworks.
        weights: The model files and where the user has them from.
    """

    config: dict[str, Any]
    weights: dict[str, WeightsSource | None]


def handover_file(config_files: Iterable[Path], overrides: Mapping[str, Any]) -> Path:
    """Where a run leaves its collection for its jobs, in the working directory: main process and jobs agree.

    Args:
        config_files: Those named on the command line.
        overrides: What the command line says beside them. Runs that differ in either do not meet.
    """
    said = json.dumps([[str(file) for file in config_files], {**overrides}], sort_keys=True, default=str)
    return _FOLDER / f"impasto-{hashlib.sha256(said.encode()).hexdigest()[:16]}.zip"


def hand_over(collection: Collection, file: Path) -> None:
    """Writes the collection to `file`, each artwork to be read by itself.

    Raises:
        ResourceError: Nothing can be written there.
    """
    config = collection.config
    whole = _Whole(
        config=config.model_dump(mode="json", exclude={"artworks"}),
        weights={**collection.weights},
    )
    try:
        with atomic_path(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_WHOLE, whole.model_dump_json())
            archive.writestr(_KEYS, json.dumps(_artworks_by_key(collection.plans)))
            for name, settings in config.artworks.items():
                if name in collection.plans:
                    plan = collection.plans[name]
                    sizes = {key: collection.sizes[key] for key in plan.sources}
                    planned = _Planned(plan=plan, sizes=sizes)
                    archive.writestr(f"{_PLANNED}{name}", planned.model_dump_json())
                else:
                    refused = _Refused(settings=settings, line=collection.refused[name])
                    archive.writestr(f"{_REFUSED}{name}", refused.model_dump_json())
    except OSError as error:
        raise ResourceError(
            file.parent,
            expected="a folder with room for what jobs are told",
            found=(error.strerror or str(error)).lower(),
        ) from None


def taken_over(file: Path, words: Sequence[str]) -> Collection | None:
    """What a run left in `file` of the artworks that a job needs; None where there is nothing to be read.

    Args:
        file: From `handover_file`.
        words: The command line of the job's Snakemake, which names what it is to make.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _read(archive, _wildcards(words))
    # Another version's, or half a file: everything is read anew.
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError):
        return None


def _read(archive: zipfile.ZipFile, wildcards: Sequence[Mapping[str, str]]) -> Collection:
    whole = _Whole.model_validate_json(archive.read(_WHOLE))
    kept = _kept(archive, wildcards)
    planned = {
        member.removeprefix(_PLANNED): _Planned.model_validate_json(archive.read(member))
        for member in kept
        if member.startswith(_PLANNED)
    }
    refused = {
        member.removeprefix(_REFUSED): _Refused.model_validate_json(archive.read(member))
        for member in kept
        if member.startswith(_REFUSED)
    }
    artworks = {name: entry.plan.settings for name, entry in planned.items()}
    artworks |= {name: entry.settings for name, entry in refused.items()}
    return gathered(
        Config.model_validate({**whole.config, "artworks": artworks}),
        {name: entry.plan for name, entry in planned.items()},
        {name: InputError.stating(entry.line) for name, entry in refused.items()},
        {key: size for entry in planned.values() for key, size in entry.sizes.items()},
        whole.weights,
    )


def _kept(archive: zipfile.ZipFile, wildcards: Sequence[Mapping[str, str]]) -> list[str]:
    """The artworks of a job with these wildcards, in the collection's order: all, where they do not tell."""
    everything = [member for member in archive.namelist() if member.startswith((_PLANNED, _REFUSED))]
    by_key = json.loads(archive.read(_KEYS)) if any("key" in each for each in wildcards) else {}
    names: set[str] = set()
    for each in wildcards:
        if "artwork" in each:
            names.add(each["artwork"])
        elif each.get("key") in by_key:
            names.update(by_key[each["key"]])
        else:
            return everything
    found = [member for member in everything if member.partition("/")[2] in names]
    return found if len(found) == len(names) and found else everything


def _artworks_by_key(plans: Mapping[str, Plan]) -> dict[str, list[str]]:
    """The artworks from which a collection has what artworks share, by key: of several, the last."""
    found: dict[str, list[str]] = {}
    for kind in _SHARED:
        last = {key: name for name, plan in plans.items() for key in getattr(plan, kind)}
        for key, name in last.items():
            found.setdefault(key, [])
            if name not in found[key]:
                found[key].append(name)
    return found


def _wildcards(words: Sequence[str]) -> list[dict[str, str]]:
    """The wildcards of each job that Snakemake is told to run: `--target-jobs RULE:NAME=VALUE,...`."""
    found = []
    for word in _behind("--target-jobs", words):
        pairs = (pair.partition("=") for pair in word.partition(":")[2].split(",") if pair)
        found.append({name: value for name, _, value in pairs})
    return found


def _behind(option: str, words: Sequence[str]) -> list[str]:
    """The values of an option, up to the next."""
    if option not in words:
        return []
    found: list[str] = []
    for word in words[words.index(option) + 1 :]:
        if word.startswith("--"):
            break
        found.append(word)
    return found
