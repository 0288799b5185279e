from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline import stores
from pipeline.errors import ResourceError
from pipeline.geometry import Box, Size
from pipeline.stores import FileStore, Store, TensorStore
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

CPU = torch.device("cpu")
# Not a multiple of the blocks' 16 px, so that blocks reach past the image.
SIZE = Size(50, 70)
BOXES = [
    Box(0, 0, 16, 16),
    Box(16, 32, 48, 64),
    Box(48, 64, 50, 70),
    Box(0, 0, 50, 70),
    Box(5, 3, 6, 4),
    Box(7, 11, 41, 69),
]


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, height, width, generator=generator)


def made(kind: str, folder: Path, dtype: torch.dtype = torch.float32) -> Store:
    if kind == "memory":
        return MemoryWorkspace(CPU).new("image", 3, SIZE, dtype)
    return FolderWorkspace(folder, CPU).new("image", 3, SIZE, dtype)


KINDS = ["memory", "file"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_read_as_they_were_written(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    store, expected = made(kind, tmp_path, dtype), noise(50, 70).to(dtype)
    store.fill(expected.clone())
    for seed, box in enumerate(BOXES):
        values = noise(box.size.height, box.size.width, seed + 1)
        rows, columns = box.slices
        expected[:, rows, columns] = values.to(dtype)
        store.write(box, values)
        for other in BOXES:
            rows, columns = other.slices
            found = store.read(other)
            assert found.dtype is dtype
            assert found.equal(expected[:, rows, columns])


@pytest.mark.parametrize("kind", KINDS)
def test_adding_starts_from_zero(kind: str, tmp_path: Path) -> None:
    store, expected = made(kind, tmp_path), torch.zeros(3, 50, 70)
    for seed, box in enumerate(BOXES):
        values = noise(box.size.height, box.size.width, seed)
        rows, columns = box.slices
        expected[:, rows, columns] += values
        store.add(box, values)
    assert store.read(Box.whole(SIZE)).equal(expected)


def test_a_memory_store_takes_a_tensor_over_and_reads_views() -> None:
    values = noise(50, 70)
    store = TensorStore(3, SIZE, torch.float32, CPU, CPU)
    store.fill(values)
    assert store.read(Box(1, 2, 5, 9)).data_ptr() == values[:, 1:, 2:].data_ptr()


def test_a_memory_store_that_was_never_written_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="nothing was written"):
        made("memory", Path()).read(Box(0, 0, 1, 1))


def test_a_file_store_keeps_its_values_for_the_next_process(tmp_path: Path) -> None:
    workspace, values = FolderWorkspace(tmp_path, CPU), noise(50, 70)
    store = workspace.new("image", 3, SIZE, torch.float32)
    store.fill(values)
    store.save()
    assert store.path.stat().st_size == store.file_bytes == 4 * 5 * 16 * 16 * 3 * 4
    again = FolderWorkspace(tmp_path, CPU).open(store.path.name, 3, SIZE, torch.float32)
    assert again.read(Box.whole(SIZE)).equal(values)


def test_bytes_of_files_are_counted_in_blocks(tmp_path: Path) -> None:
    store = made("file", tmp_path)
    block = 16 * 16 * 3 * 4
    store.write(Box(16, 16, 48, 32), noise(32, 16))
    assert (store.bytes_read, store.bytes_written) == (0, 2 * block)
    # Edges of the image end a block, too: nothing has to be read first.
    store.write(Box(32, 64, 50, 70), noise(18, 6))
    assert (store.bytes_read, store.bytes_written) == (0, 4 * block)
    store.read(Box(15, 15, 17, 17))
    assert (store.bytes_read, store.bytes_written) == (4 * block, 4 * block)
    store.add(Box(0, 0, 16, 16), noise(16, 16))
    assert (store.bytes_read, store.bytes_written) == (5 * block, 5 * block)


def test_bytes_of_memory_are_counted() -> None:
    store = made("memory", Path())
    store.write(Box(0, 0, 50, 70), noise(50, 70))
    store.read(Box(0, 0, 10, 10))
    store.add(Box(0, 0, 2, 2), noise(2, 2))
    assert (store.bytes_read, store.bytes_written) == (12 * 104, 12 * 3504)


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from pipeline.errors import ResourceError
from pipeline.geometry import Size
from pipeline.workspaces import FolderWorkspace

resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
workspace = FolderWorkspace(Path(sys.argv[1]), torch.device("cpu"))
workspace.new("small", 3, Size(256, 256), torch.float32)
try:
    workspace.new("large", 3, Size(512, 512), torch.float32)
except ResourceError as error:
    print(error)
"""


def test_a_disk_without_room_is_told_when_the_file_is_made(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == (
        f"{tmp_path / 'large-2.blocks'}: expected room for 3 MiB; found a full disk. "
        "Free some and start again: what was finished is kept."
    )


def test_a_file_that_finds_no_room_leaves_what_there_is_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(descriptor: int, _: int) -> int:
        os.pwrite(descriptor, bytes(2**16), 0)
        return errno.ENOSPC

    monkeypatch.setattr("pipeline.stores._allocate", fill_up)
    with pytest.raises(ResourceError, match="found a full disk"):
        FolderWorkspace(tmp_path, CPU).new("image", 3, SIZE, torch.float32)
    assert [file.stat().st_size for file in tmp_path.iterdir()] == [0]


@pytest.mark.parametrize(("call", "number"), [("pwrite", errno.ENOSPC), ("fsync", errno.EDQUOT)])
def test_a_disk_that_fills_up_later_is_told_as_well(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderWorkspace(tmp_path, CPU).new("image", 3, SIZE, torch.float32)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)

    def write() -> None:
        store.fill(noise(50, 70))
        store.save()

    with pytest.raises(ResourceError, match=r"image-1\.blocks: expected room for 1 MiB; found a full disk"):
        write()


def test_where_nothing_can_be_reserved_files_are_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.stores._allocate", lambda *_: errno.EOPNOTSUPP)
    store = made("file", tmp_path)
    store.add(Box(20, 20, 21, 21), torch.ones(3, 1, 1))
    assert store.read(Box.whole(SIZE)).sum() == 3.0


def test_the_place_of_a_file_is_reserved_and_not_written(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        refused = stores._allocate(file.fileno(), 2**20)
        if refused in {errno.EOPNOTSUPP, errno.ENOSYS}:
            pytest.skip(f"{tmp_path} lies on a file system that reserves nothing")
        assert refused == 0
        assert os.fstat(file.fileno()).st_size == 2**20
        assert os.fstat(file.fileno()).st_blocks * 512 >= 2**20
        assert stores._allocate(file.fileno(), 0) == errno.EINVAL
    assert stores._allocate(10**6, 1) == errno.EBADF


def test_short_reads_and_writes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, values = made("file", tmp_path), noise(50, 70)
    preadv, pwrite = os.preadv, os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:1000], offset))
    monkeypatch.setattr(os, "preadv", lambda fd, data, offset: preadv(fd, [data[0][:1000]], offset))
    store.fill(values)
    assert store.read(Box.whole(SIZE)).equal(values)


def test_a_file_that_is_too_short_or_missing_is_refused(tmp_path: Path) -> None:
    workspace = FolderWorkspace(tmp_path, CPU)
    store = workspace.new("image", 3, SIZE, torch.float32)
    assert isinstance(store, FileStore)
    os.truncate(store.path, 1000)
    with pytest.raises(ResourceError, match="expected a file of 61440 bytes; found a shorter one"):
        store.read(Box.whole(SIZE))
    with pytest.raises(
        ResourceError, match="gone: expected a file that can be read and written; found no such"
    ):
        workspace.open("gone", 3, SIZE, torch.float32)


def reopened(store: FileStore) -> FileStore:
    return FolderWorkspace(store.path.parent, CPU).open(store.path.name, 3, SIZE, store.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_written_has_the_checksum_of_what_is_read(dtype: torch.dtype, tmp_path: Path) -> None:
    store = made("file", tmp_path, dtype)
    assert isinstance(store, FileStore)
    checksums = [store.checksum()]
    for seed, box in enumerate(BOXES):
        call = store.add if seed % 2 else store.write
        call(box, noise(box.size.height, box.size.width, seed))
        if seed == 3:
            # Written to after it was saved: that is known from the file alone.
            store.save()
        checksums.append(store.checksum())
        assert reopened(store).checksum() == checksums[-1]
    assert len(set(checksums)) == len(checksums)
    store.clear()
    assert store.checksum() == checksums[0]
    assert reopened(store).checksum() == checksums[0]


def test_a_checksum_reads_nothing_of_what_this_store_has_written(tmp_path: Path) -> None:
    store = made("file", tmp_path)
    assert isinstance(store, FileStore)
    store.write(Box.whole(SIZE), noise(50, 70))
    store.save()
    store.checksum()
    assert store.bytes_read == 0


def test_no_checksums_are_taken_of_files_that_nobody_opens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderWorkspace(tmp_path, CPU, unnamed=True).new("layer", 3, SIZE, torch.float32)
    assert isinstance(store, FileStore)
    with monkeypatch.context() as without:
        without.setattr("pipeline.stores.block_checksums", pytest.fail)
        store.clear()
        store.fill(noise(50, 70))
        store.add(Box(0, 0, 5, 5), noise(5, 5))
        store.save()
    found = store.checksum()
    store.fill(noise(50, 70, 1))
    assert store.checksum() != found


def test_a_checksum_tells_every_flipped_bit_and_every_moved_block(tmp_path: Path) -> None:
    store = made("file", tmp_path)
    assert isinstance(store, FileStore)
    store.fill(noise(50, 70))
    content, expected = store.path.read_bytes(), store.checksum()
    length = 16 * 16 * 3 * 4

    def changed(number: int) -> bytes:
        flipped = bytearray(content)
        # All bits of a word of 64, in blocks and words all over the file.
        flipped[(number * 1013 * 8 + number // 8 % 8) % len(content)] ^= 1 << number % 8
        return bytes(flipped)

    signs = bytearray(content)
    for place in range(7, 2 * length, 8):
        signs[place] ^= 0x80
    others = [
        *(changed(number) for number in range(256)),
        bytes(signs),
        content[length : 2 * length] + content[:length] + content[2 * length :],
        bytes(length) + content[length:],
    ]
    for other in others:
        store.path.write_bytes(other)
        assert reopened(store).checksum() != expected
    store.path.write_bytes(content)
    assert reopened(store).checksum() == expected
