"""Where the vectors of an optimiser live: in device memory, in host memory or in files, behind one interface.

A vector is an array of channels x height x width that is read and written by boxes of pixels, so that it may
be larger than memory. Which kind of store it lives in changes no bit of what is computed from it.

A file holds blocks of 16 x 16 pixels, row of blocks after row of blocks, each block with all its channels.
The blocks that a box touches in one row of blocks lie side by side: a haloed tile is read in one piece per 16
rows, whatever the sizes of tiles, and wastes nothing where tiles lie on multiples of 16. Files are read and
written by calls, not mapped: none of their pages counts as this process's memory, and a full disk is an
error, not a signal.

Past 400 lines, for the kinds of store must agree call by call, and are compared by reading them together.
"""

from __future__ import annotations

import ctypes
import errno
import os
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

from pipeline.checksums import block_checksums
from pipeline.errors import ResourceError
from pipeline.geometry import Box, Size, align_down, align_up
from pipeline.rasters import Raster
from pipeline.streaming import to_device, to_host

BLOCK_PX = 16
_MIB = 2**20
_CHECKED_BYTES = 4 * _MIB
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class Store(ABC):
    """A vector. Its values are undefined until they are written, except that `add` starts from zero.

    Attributes:
        channels: How many.
        size: Height and width.
        dtype: Of the values.
        device: The device that computes with them.
        bytes_read: Read since the store was made; of a file, in whole blocks.
        bytes_written: Written since then.
    """

    def __init__(self, channels: int, size: Size, dtype: torch.dtype, device: torch.device) -> None:
        self.channels = channels
        self.size = size
        self.dtype = dtype
        self.device = device
        self.bytes_read = 0
        self.bytes_written = 0

    @abstractmethod
    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box` on the computing device. They may be a view: change a copy, never them."""

    @abstractmethod
    def write(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Replaces the values inside `box`, rounded to the store's type."""

    @abstractmethod
    def add(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Adds to the values inside `box`."""

    @abstractmethod
    def clear(self) -> None:
        """Forgets all values: `add` starts from zero again."""

    def fill(self, values: Float[Tensor, "channels height width"]) -> None:
        """Replaces all values. A store in memory may keep the tensor itself, which must not change then."""
        self.write(Box.whole(self.size), values)

    def nbytes(self, box: Box) -> int:
        """Bytes of the values inside `box`."""
        return self.channels * box.size.area * self.dtype.itemsize


@final
class TensorStore(Store):
    """A vector in memory, which is not taken before the first value is written.

    Args:
        channels: How many.
        size: Height and width.
        dtype: Of the values.
        memory: The device in whose memory they lie.
        device: The device that computes with them.
    """

    def __init__(
        self, channels: int, size: Size, dtype: torch.dtype, memory: torch.device, device: torch.device
    ) -> None:
        super().__init__(channels, size, dtype, device)
        self._memory = memory
        self._values: Tensor | None = None

    @classmethod
    def of(cls, values: Float[Tensor, "channels height width"]) -> TensorStore:
        """The store that is this tensor, where it lies."""
        size = Size(*values.shape[1:])
        store = cls(len(values), size, values.dtype, values.device, values.device)
        store._values = values
        return store

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`: a view, where they lie on the computing device."""
        if self._values is None:
            raise ValueError("nothing was written to this store yet")
        rows, columns = box.slices
        self.bytes_read += self.nbytes(box)
        return to_device(self._values[:, rows, columns], self.device)

    def write(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Replaces the values inside `box`."""
        if self._values is None:
            self._values = torch.empty(
                self.channels, self.size.height, self.size.width, dtype=self.dtype, device=self._memory
            )
        rows, columns = box.slices
        self._values[:, rows, columns] = self._here(values)
        self.bytes_written += self.nbytes(box)

    def add(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Adds to the values inside `box`."""
        if self._values is None:
            self._values = torch.zeros(
                self.channels, self.size.height, self.size.width, dtype=self.dtype, device=self._memory
            )
        rows, columns = box.slices
        self._values[:, rows, columns] += self._here(values)
        self.bytes_read += self.nbytes(box)
        self.bytes_written += self.nbytes(box)

    def clear(self) -> None:
        """Forgets all values, and gives their memory back."""
        self._values = None

    def fill(self, values: Float[Tensor, "channels height width"]) -> None:
        """Replaces all values; keeps the tensor itself where its type and memory are the store's."""
        self._values = self._here(values).to(self.dtype)
        self.bytes_written += self.nbytes(Box.whole(self.size))

    def _here(self, values: Float[Tensor, "channels height width"]) -> Float[Tensor, "channels height width"]:
        return to_host(values) if self._memory.type == "cpu" else values.to(self._memory)


@final
class FileStore(Store):
    """A vector in a file.

    Args:
        path: The file. A new one is reserved in full at once; it reads as zeros.
        channels: How many.
        size: Height and width.
        dtype: Of the values.
        device: The device that computes with them.
        new: Whether to make the file, or to open one that is there.
        summed: Whether to take checksums of what is written: of use only where the file outlives the store.

    Raises:
        ResourceError: The disk is full, or the file cannot be made or opened.
    """

    def __init__(
        self,
        path: Path,
        channels: int,
        size: Size,
        dtype: torch.dtype,
        device: torch.device,
        *,
        new: bool,
        summed: bool = True,
    ) -> None:
        super().__init__(channels, size, dtype, device)
        self.path = path
        self._blocks = Size(-(-size.height // BLOCK_PX), -(-size.width // BLOCK_PX))
        self._block_bytes = channels * BLOCK_PX**2 * dtype.itemsize
        self._unsaved = new
        self._summed = summed
        # Of each block until the file is saved, and then of the file. A block of zeros has zero.
        self._sums: UInt32[np.ndarray, "rows columns"] | None = self._no_sums() if new and summed else None
        self._checksum: int | None = None
        try:
            self._descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if new else 0), 0o644)
            # Closes when the last user of the store lets go of it.
            weakref.finalize(self, os.close, self._descriptor)
            if new:
                _reserve(self._descriptor, self.file_bytes)
        except OSError as error:
            raise self._failure(error) from None

    @property
    def file_bytes(self) -> int:
        """The size of the file: that of whole blocks."""
        return self._blocks.area * self._block_bytes

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        outer = self._outer(box)
        rows, columns = box.relative_to(outer).slices
        return to_device(self._read(outer)[:, rows, columns], self.device)

    def write(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Replaces the values inside `box`; reads first what shares a block with them."""
        outer, values = self._outer(box), to_host(values)
        if self._trimmed(outer) == box:
            self._write(outer, values)
            return
        whole = self._read(outer)
        rows, columns = box.relative_to(outer).slices
        whole[:, rows, columns] = values
        self._write(outer, whole)

    def add(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:
        """Adds to the values inside `box`."""
        outer = self._outer(box)
        whole = self._read(outer)
        rows, columns = box.relative_to(outer).slices
        whole[:, rows, columns] += to_host(values)
        self._write(outer, whole)

    def clear(self) -> None:
        """Makes all values zero."""
        try:
            os.ftruncate(self._descriptor, 0)
            _reserve(self._descriptor, self.file_bytes)
        except OSError as error:
            raise self._failure(error) from None
        self._unsaved = True
        self._sums, self._checksum = self._no_sums() if self._summed else None, None

    def save(self) -> None:
        """Returns when the disk holds what was written.

        Raises:
            ResourceError: It cannot.
        """
        if self._unsaved:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise self._failure(error) from None
            self._unsaved = False
        if self._sums is not None:
            self._checksum, self._sums = zlib.crc32(self._sums.data), None

    def checksum(self, check: Callable[[], None] = lambda: None) -> int:
        """A number of what was written last, 32 bits: another one if a block of the file changes or moves.

        It costs next to nothing where this store has written the file, and one reading where it has not.

        Args:
            check: Called before each few MiB that are read; may raise to end it.
        """
        if self._checksum is None:
            sums = self._found_sums(check) if self._sums is None else self._sums
            self._checksum = zlib.crc32(sums.data)
        return self._checksum

    def _no_sums(self) -> UInt32[np.ndarray, "rows columns"]:
        return np.zeros((self._blocks.height, self._blocks.width), np.uint32)

    def _found_sums(self, check: Callable[[], None] = lambda: None) -> UInt32[np.ndarray, "rows columns"]:
        """The sums of the blocks as the file has them."""
        sums, all_rows = self._no_sums(), self._blocks.height
        rows = max(1, _CHECKED_BYTES // (self._blocks.width * self._block_bytes))
        for top in range(0, all_rows, rows):
            check()
            bottom = min(top + rows, all_rows)
            sums[top:bottom] = block_checksums(self._packed(Box(top, 0, bottom, self._blocks.width)))
        return sums

    def _outer(self, box: Box) -> Box:
        """The whole blocks that `box` touches, which may reach past the image."""
        return Box(
            align_down(box.top, BLOCK_PX),
            align_down(box.left, BLOCK_PX),
            align_up(box.bottom, BLOCK_PX),
            align_up(box.right, BLOCK_PX),
        )

    def _trimmed(self, outer: Box) -> Box:
        return outer.grown(0, within=self.size)

    def _read(self, outer: Box) -> Float[Tensor, "channels height width"]:
        packed = self._packed(outer.divided(BLOCK_PX))
        return packed.permute(2, 0, 3, 1, 4).reshape(self.channels, *_shape(outer))

    def _packed(self, blocks: Box) -> Float[Tensor, "rows columns channels block block"]:
        """The blocks inside `blocks`, which counts in blocks, as the file has them."""
        shape = (blocks.size.height, blocks.size.width, self.channels, BLOCK_PX, BLOCK_PX)
        packed = torch.empty(shape, dtype=self.dtype)
        for offset, piece in self._pieces(blocks, packed):
            done = 0
            while done < len(piece):
                try:
                    count = os.preadv(self._descriptor, [piece[done:]], offset + done)
                except OSError as error:
                    raise self._failure(error) from None
                if count == 0:
                    raise ResourceError(
                        self.path, expected=f"a file of {self.file_bytes} bytes", found="a shorter one"
                    )
                done += count
        self.bytes_read += packed.nbytes
        return packed

    def _write(self, outer: Box, values: Float[Tensor, "channels height width"]) -> None:
        blocks = outer.divided(BLOCK_PX)
        packed = torch.empty(
            blocks.size.height, blocks.size.width, self.channels, BLOCK_PX, BLOCK_PX, dtype=self.dtype
        )
        unpacked = packed.permute(2, 0, 3, 1, 4)
        if values.shape[1:] != _shape(outer):
            padded = torch.zeros(self.channels, *_shape(outer), dtype=self.dtype)
            padded[:, : values.shape[1], : values.shape[2]] = values
            values = padded
        unpacked.copy_(values.reshape(unpacked.shape))
        self._checksum = None
        if self._summed:
            if self._sums is None:
                # What was saved, or opened, is changed after all: of the other blocks nothing else is known.
                self._sums = self._found_sums()
            rows, columns = blocks.slices
            self._sums[rows, columns] = block_checksums(packed)
        for offset, piece in self._pieces(blocks, packed):
            done = 0
            while done < len(piece):
                try:
                    done += os.pwrite(self._descriptor, piece[done:], offset + done)
                except OSError as error:
                    raise self._failure(error) from None
        self._unsaved = True
        self.bytes_written += packed.nbytes

    def _pieces(self, blocks: Box, packed: Tensor) -> Iterable[tuple[int, memoryview]]:
        """Each row of `blocks` as its place in the file and the bytes of its part of `packed`."""
        content = packed.view(torch.uint8).numpy().data.cast("B")
        row_bytes = blocks.size.width * self._block_bytes
        for index in range(blocks.size.height):
            first = (blocks.top + index) * self._blocks.width + blocks.left
            yield first * self._block_bytes, content[index * row_bytes : (index + 1) * row_bytes]

    def _failure(self, error: OSError) -> ResourceError:
        if error.errno in _NO_ROOM:
            return ResourceError(
                self.path,
                expected=f"room for {-(-self.file_bytes // _MIB)} MiB",
                found="a full disk",
                fix="Free some and start again: what was finished is kept",
            )
        found = (error.strerror or str(error)).lower()
        return ResourceError(self.path, expected="a file that can be read and written", found=found)


@final
class RasterStore(Store):
    """An image that is only read, where it is: no bytes of its own.

    Args:
        image: What is read.
        device: The device that computes with it.
    """

    def __init__(self, image: Raster, device: torch.device) -> None:
        pixel = image.read(Box(0, 0, 1, 1))
        super().__init__(len(pixel), image.size, pixel.dtype, device)
        self._image = image

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        self.bytes_read += self.nbytes(box)
        return to_device(self._image.read(box), self.device)

    def write(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:  # noqa: ARG002
        """Refused."""
        raise TypeError("this image is only read")

    def add(self, box: Box, values: Float[Tensor, "channels height width"]) -> None:  # noqa: ARG002
        """Refused."""
        raise TypeError("this image is only read")

    def clear(self) -> None:
        """Refused."""
        raise TypeError("this image is only read")


def _shape(box: Box) -> tuple[int, int]:
    return box.size.height, box.size.width


def _reserve(descriptor: int, count: int) -> None:
    """Gives the file its size, and its place on the disk where the file system can do that."""
    refused = _allocate(descriptor, count)
    if refused in _CANNOT_RESERVE:
        os.ftruncate(descriptor, count)
    elif refused != 0:
        # What the disk had left by then is there again for others.
        os.ftruncate(descriptor, 0)
        raise OSError(refused, os.strerror(refused))


def _allocate(descriptor: int, count: int) -> int:
    """Linux's fallocate: 0, or why not, as errno has it.

    glibc's posix_fallocate, which is Python's, writes to every 4 KiB where the file system cannot reserve,
    as of NFS before 4.2: all of a file that is written in a moment anyway.
    """
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        return errno.ENOSYS
    while fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(count)) != 0:
        refused = ctypes.get_errno()
        if refused != errno.EINTR:
            return refused
    return 0
