"""Where new vectors go: into memory, or into the files of a folder."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeGuard, TypeVar, final

import torch

from pipeline.errors import ResourceError
from pipeline.geometry import Box, Size, align_up
from pipeline.rasters import Raster
from pipeline.stores import BLOCK_PX, FileStore, RasterStore, Store, TensorStore

AnyStore = TypeVar("AnyStore", bound=Store)

_SUFFIX = ".blocks"
_STRIP_PX = 2**18


class Workspace(ABC):
    """Where new vectors go."""

    @abstractmethod
    def new(self, name: str, channels: int, size: Size, dtype: torch.dtype) -> Store:
        """A store with nothing in it; the name is for people who look at its file."""

    @abstractmethod
    def hold(self, name: str, image: Raster) -> Store:
        """A store here with the values of an image: the image itself if it is one."""

    @abstractmethod
    def borrow(self, name: str, image: Raster) -> Store:
        """A store with the values of an image that outlives the run; it must never be written."""

    @abstractmethod
    def successor(self, name: str, store: Store) -> Store:
        """Where the next values of `store` go: elsewhere, if it must stay as it is until `keep`."""

    @abstractmethod
    def keep(self, stores: Iterable[Store]) -> None:
        """Lets go of all other vectors."""


@final
class MemoryWorkspace(Workspace):
    """Vectors in memory, which go when nobody uses them.

    Args:
        device: The device that computes with them.
        memory: The device in whose memory they lie, by default the same.
    """

    def __init__(self, device: torch.device, memory: torch.device | None = None) -> None:
        self._device = device
        self._memory = memory or device

    def new(self, name: str, channels: int, size: Size, dtype: torch.dtype) -> TensorStore:  # noqa: ARG002
        """A store in memory."""
        return TensorStore(channels, size, dtype, self._memory, self._device)

    def hold(self, name: str, image: Raster) -> TensorStore:
        """The image as a store in memory: itself if it is one, or else all that is read of it."""
        if isinstance(image, TensorStore):
            return image
        if self._memory != self._device:
            # A computing device may have no room for all of it.
            return _copied(image, name, self.new)
        values = image.read(Box.whole(image.size))
        store = self.new(name, len(values), image.size, values.dtype)
        store.fill(values)
        return store

    def borrow(self, name: str, image: Raster) -> TensorStore:
        """What `hold` gives."""
        return self.hold(name, image)

    def successor(self, name: str, store: Store) -> Store:  # noqa: ARG002
        """The store itself."""
        return store

    def keep(self, stores: Iterable[Store]) -> None:
        """Nothing to do."""


@final
class FolderWorkspace(Workspace):
    """Vectors in files of one folder, which stay until `keep` is called without them.

    Args:
        folder: Made when it is missing.
        device: The device that computes with them.
        unnamed: Whether files lose their names as soon as they are open: a process that is killed leaves
            none, and nobody opens them again.

    Raises:
        ResourceError: The folder cannot be made.
    """

    def __init__(self, folder: Path, device: torch.device, *, unnamed: bool = False) -> None:
        self.folder = folder
        self._unnamed = unnamed
        self._device = device
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                folder, expected="a folder that can be made", found=str(error.strerror).lower()
            ) from None
        self._serial = 0

    def new(self, name: str, channels: int, size: Size, dtype: torch.dtype) -> FileStore:
        """A store in a new file."""
        self._serial += 1
        while (path := self.folder / f"{name}-{self._serial}{_SUFFIX}").exists():
            self._serial += 1
        store = FileStore(path, channels, size, dtype, self._device, new=True, summed=not self._unnamed)
        if self._unnamed:
            # Some network file systems keep the names of open files; the folder's owner deletes it.
            with contextlib.suppress(OSError):
                path.unlink()
        return store

    def holds(self, store: Store) -> TypeGuard[FileStore]:
        """Whether the store is a file of this folder."""
        return isinstance(store, FileStore) and store.path.parent == self.folder

    def hold(self, name: str, image: Raster) -> FileStore:
        """The image as a file of this folder: itself if it is one, or else a copy, made strip by strip."""
        if isinstance(image, FileStore) and self.holds(image):
            return image
        return _copied(image, name, self.new)

    def borrow(self, name: str, image: Raster) -> Store:  # noqa: ARG002
        """The image where it is: it would take as much of the disk again."""
        return image if isinstance(image, Store) else RasterStore(image, self._device)

    def successor(self, name: str, store: Store) -> FileStore:
        """A store in a new file."""
        return self.new(name, store.channels, store.size, store.dtype)

    def open(self, name: str, channels: int, size: Size, dtype: torch.dtype) -> FileStore:
        """The store in a file of this name."""
        return FileStore(self.folder / name, channels, size, dtype, self._device, new=False)

    def keep(self, stores: Iterable[Store]) -> None:
        """Deletes the files of all others."""
        kept = {store.path.name for store in stores if isinstance(store, FileStore)}
        for path in self.folder.glob(f"*{_SUFFIX}"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _copied(image: Raster, name: str, new: Callable[[str, int, Size, torch.dtype], AnyStore]) -> AnyStore:
    """A new store with the values of an image, which is read strip by strip."""
    size = image.size
    rows = align_up(_STRIP_PX // size.width, BLOCK_PX) or BLOCK_PX
    copy: AnyStore | None = None
    for top in range(0, size.height, rows):
        box = Box(top, 0, min(top + rows, size.height), size.width)
        values = image.read(box)
        copy = copy or new(name, len(values), size, values.dtype)
        copy.write(box, values)
    if copy is None:
        raise ValueError("an image has at least one row")
    return copy
