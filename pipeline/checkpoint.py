"""What makes a run resumable: a folder of vectors, and a manifest that says which of them belong together.

Vectors are written to files of new names and never changed once the manifest names them; replacing the
manifest is what saves a state. So however a process ends, the folder holds the last state that was saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, final

import torch

from pipeline.errors import CheckpointError, ResourceError
from pipeline.files import atomic_path, sync_folder
from pipeline.geometry import Size
from pipeline.groups import Alone, Group
from pipeline.stores import FileStore, RasterStore, Store
from pipeline.workspaces import FolderWorkspace

MANIFEST = "checkpoint.json"
_FORMAT = 5
_PAUSE_TO_SAVE = 19  # so that saving takes at most a twentieth of the time


@final
@dataclass(frozen=True, slots=True)
class Saved:
    """A state as it was saved: vectors by name, and everything else as plain JSON."""

    numbers: dict[str, Any]
    vectors: dict[str, FileStore]


@final
class Checkpoint:
    """The saved state of one run.

    A state whose vectors are files of the folder is saved by naming them. The vectors of one in memory are
    copied, those that have not changed since the last time excepted.

    Args:
        files: The folder, which belongs to this run alone.
        key: Stands for everything that the run's pixels depend on; a state of another key is refused.
        tile_px: The side of the objective's tiles, None for the whole image.
        store: Where the vectors are, as the plan says: for people who look at the manifest.
        every_s: Least time between two saves of a state in memory; more where saving is slow. 0 is always.
        group: Those who save their parts of one state together: the leader's manifest names all of them.
        folder: Where the manifest is, if not in the folder of `files`; of a group, the folder that all share.

    Attributes:
        tile_px: The side of the tiles that the saved state was computed with, or else the one given; saved
            with the next state.

    Raises:
        CheckpointError: The folder holds another run's state, or a damaged one.
    """

    def __init__(
        self,
        files: FolderWorkspace,
        key: str,
        *,
        tile_px: int | None = None,
        store: Literal["memory", "host", "files"] = "memory",
        every_s: float = 60.0,
        group: Group | None = None,
        folder: Path | None = None,
    ) -> None:
        self._files = files
        self._group = group or Alone()
        self._folder = folder or files.folder
        self._path = self._folder / MANIFEST
        self._key = key
        self._store = store
        self._every_s = every_s
        self._saved_at_s = time.monotonic()
        self._saving_s = 0.0
        self._copies: weakref.WeakKeyDictionary[Store, tuple[int, FileStore]] = weakref.WeakKeyDictionary()
        manifest = self._manifest()
        self.tile_px: int | None = manifest["tile_px"] if manifest else tile_px

    def load(self, check: Callable[[], None] = lambda: None) -> Saved | None:
        """The state that was saved last, or None; deletes the files that do not belong to it.

        All of its files are read once, to see whether they are as they were written.

        Args:
            check: Called again and again meanwhile; may raise to end it.

        Raises:
            CheckpointError: It is another run's, or damaged.
        """
        manifest = self._manifest()
        if manifest is None:
            self._files.keep(())
            return None
        entries = manifest["vectors"][self._group.rank]
        vectors = {name: self._open(entry, check) for name, entry in entries.items()}
        self._files.keep(vectors.values())
        return Saved(manifest["numbers"], vectors)

    def due(self, vectors: Mapping[str, Store]) -> bool:
        """Whether to save a state of these vectors now: always when they are files, else when it is time.

        An image that is only read where it is need not be saved. On a slow disk it is time less often.
        """
        in_files = all(
            isinstance(store, RasterStore) or self._files.holds(store) for store in vectors.values()
        )
        # One clock for all.
        pause_s = max(self._every_s, _PAUSE_TO_SAVE * self._saving_s) if self._every_s > 0 else 0.0
        return self._group.gathered(in_files or time.monotonic() - self._saved_at_s >= pause_s)[0]

    def save(self, numbers: Mapping[str, Any], vectors: Mapping[str, Store]) -> None:
        """Makes this the saved state; deletes the files of the one before.

        Raises:
            ResourceError: The disk is full; the state saved before is still there.
        """
        began_s = time.monotonic()
        with self._group.together():
            held = {name: self._held(name, store) for name, store in vectors.items()}
            for store in held.values():
                store.save()
            sync_folder(self._files.folder)
        entries = self._group.gathered({name: self._entry(store) for name, store in held.items()})
        with self._group.together():
            if self._group.leads:
                self._write(dict(numbers), entries)
        self._files.keep(held.values())
        self._saved_at_s = time.monotonic()
        self._saving_s = self._saved_at_s - began_s

    def _write(self, numbers: dict[str, Any], vectors: list[dict[str, Any]]) -> None:
        manifest = {
            "format": _FORMAT,
            "key": self._key,
            "versions": _versions(),
            "tile_px": self.tile_px,
            "store": self._store,
            "numbers": numbers,
            "vectors": vectors,
        }
        try:
            with atomic_path(self._path) as partial, partial.open("w", encoding="utf-8") as file:
                json.dump({"sha256": _digest(manifest), **manifest}, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._folder)
        except OSError as error:
            raise ResourceError(
                self._path,
                expected="a file that can be written",
                found=str(error.strerror).lower(),
                fix="Start again when it can: what was saved before is kept",
            ) from None

    def discard(self) -> None:
        """Forgets the saved state, once its result is safe elsewhere."""
        with self._group.together():
            if self._group.leads:
                self._path.unlink(missing_ok=True)
        with self._group.together():
            self._files.keep(())

    def _held(self, name: str, store: Store) -> FileStore:
        if self._files.holds(store):
            return self._files.hold(name, store)
        written, copy = self._copies.get(store, (-1, None))
        if copy is None or written != store.bytes_written:
            copy = self._files.hold(name, store)
            self._copies[store] = (store.bytes_written, copy)
        return copy

    def _open(self, entry: dict[str, Any], check: Callable[[], None]) -> FileStore:
        path = self._folder / entry["file"]
        found = path.stat().st_size if path.is_file() else None
        if found != entry["bytes"]:
            what = "none" if found is None else f"one of {found}"
            raise self._refusal(f"its file {path.name} of {entry['bytes']} bytes", what)
        size = Size(entry["height"], entry["width"])
        store = self._files.open(path.name, entry["channels"], size, getattr(torch, entry["dtype"]))
        if store.checksum(check) != entry["checksum"]:
            raise self._refusal(f"its file {path.name} as it was written", "a damaged one")
        return store

    def _manifest(self) -> dict[str, Any] | None:
        """What the manifest says, or None where there is none."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise self._refusal("a checkpoint", "a file that cannot be read") from None
        try:
            manifest = json.loads(text)
            digest = manifest.pop("sha256")
        except (ValueError, AttributeError, KeyError, TypeError):
            raise self._refusal("a checkpoint", "something else") from None
        if digest != _digest(manifest):
            raise self._refusal("a checkpoint as it was written", "a damaged one")
        if manifest["key"] != self._key:
            raise self._refusal("a checkpoint of these settings", "one of other settings")
        if (manifest["format"], manifest["versions"]) != (_FORMAT, _versions()):
            told = [
                " and ".join(f"{name} {version}" for name, version in versions.items())
                for versions in (_versions(), manifest["versions"])
            ]
            raise self._refusal(f"a checkpoint by {told[0]}", f"one by {told[1]}")
        count, found = self._group.count, len(manifest["vectors"])
        if count != found:
            raise self._refusal(
                f"a checkpoint of {count} processes",
                f"one of {found}",
                f"Start {found}, or delete its folder",
            )
        return dict(manifest)

    def _refusal(self, expected: str, found: str, fix: str = "Delete its folder") -> CheckpointError:
        return CheckpointError(
            self._path, expected=expected, found=found, fix=f"{fix} to start from the beginning"
        )

    def _entry(self, store: FileStore) -> dict[str, Any]:
        return {
            "file": store.path.relative_to(self._folder).as_posix(),
            "channels": store.channels,
            "height": store.size.height,
            "width": store.size.width,
            "dtype": str(store.dtype).removeprefix("torch."),
            "bytes": store.file_bytes,
            "checksum": store.checksum(),
        }


def _versions() -> dict[str, str]:
    """What a run's bits depend on besides its key."""
    return {"impasto": metadata.version("impasto"), "torch": torch.__version__}


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode("utf-8")).hexdigest()
