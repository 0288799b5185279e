from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.errors import ResourceError
from pipeline.geometry import Box, Size
from pipeline.rasters import TensorRaster
from pipeline.stores import TensorStore
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

CPU = torch.device("cpu")


def noise(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))


def test_a_workspace_never_gives_a_file_twice(tmp_path: Path) -> None:
    first, second = FolderWorkspace(tmp_path, CPU), FolderWorkspace(tmp_path, CPU)
    stores = [space.new("image", 1, Size(1, 1), torch.float32) for space in (first, second, first, second)]
    assert len({store.path for store in stores}) == 4


def test_keep_deletes_all_other_files_and_nothing_else(tmp_path: Path) -> None:
    workspace = FolderWorkspace(tmp_path / "made", CPU)
    stores = [workspace.new(name, 1, Size(1, 1), torch.float32) for name in "abc"]
    (tmp_path / "made" / "manifest.json").touch()
    workspace.keep([stores[1], TensorStore.of(noise(1, 1))])
    assert {path.name for path in (tmp_path / "made").iterdir()} == {stores[1].path.name, "manifest.json"}


def test_files_without_names_go_with_the_process(tmp_path: Path) -> None:
    workspace = FolderWorkspace(tmp_path, CPU, unnamed=True)
    first, second = (workspace.new("image", 3, Size(30, 20), torch.float32) for _ in range(2))
    assert not list(tmp_path.iterdir())
    values = noise(30, 20)
    first.fill(values)
    second.fill(-values)
    workspace.keep([first])
    assert first.read(Box.whole(first.size)).equal(values)
    assert second.read(Box.whole(second.size)).equal(-values)


def test_memory_is_held_where_it_is_and_copied_into_a_folder(tmp_path: Path) -> None:
    values = noise(300, 20)
    memory, folder = MemoryWorkspace(CPU), FolderWorkspace(tmp_path, CPU)
    store = TensorStore.of(values)
    assert memory.hold("image", store) is store
    copy = folder.hold("image", store)
    assert copy.read(Box.whole(store.size)).equal(values)
    assert folder.hold("image", copy) is copy


def test_a_successor_is_another_file_but_the_same_memory(tmp_path: Path) -> None:
    store = TensorStore.of(noise(4, 4))
    assert MemoryWorkspace(CPU).successor("image", store) is store
    folder = FolderWorkspace(tmp_path, CPU)
    file = folder.hold("image", store)
    successor = folder.successor("image", file)
    assert successor.path != file.path
    assert (successor.size, successor.dtype) == (file.size, file.dtype)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="expected a folder that can be made; found"):
        FolderWorkspace(tmp_path / "file" / "folder", CPU)


def test_rasters_are_copied_into_either(tmp_path: Path) -> None:
    values = noise(530, 20).double()
    for workspace in (MemoryWorkspace(CPU), FolderWorkspace(tmp_path, CPU)):
        store = workspace.hold("image", TensorRaster(values))
        assert (store.channels, store.size, store.dtype) == (3, Size(530, 20), torch.float64)
        assert store.read(Box.whole(store.size)).equal(values)


def test_files_are_read_into_memory(tmp_path: Path) -> None:
    file = FolderWorkspace(tmp_path, CPU).hold("image", TensorRaster(noise(30, 20)))
    store = MemoryWorkspace(CPU).hold("image", file)
    assert isinstance(store, TensorStore)
    assert store.read(Box.whole(store.size)).equal(noise(30, 20))


def test_what_lies_beside_the_device_never_lies_on_it_whole() -> None:
    values, boxes = noise(900, 1200), []

    class Counted:
        size = Size(900, 1200)

        def read(self, box: Box) -> Tensor:
            boxes.append(box)
            return TensorRaster(values).read(box)

    workspace = MemoryWorkspace(torch.device("cpu", 0), CPU)
    store = workspace.hold("image", Counted())
    assert max(box.size.area for box in boxes) < 900 * 1200 / 3
    assert store.read(Box.whole(store.size)).equal(values)
    assert workspace.hold("image", store) is store
