"""Files of tensors: whole or not at all, and what the system refuses is told as it says it."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.tensor_files import save_tensors


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may have more than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_readable_for_all(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {"x": np.arange(3)}, {"who": "me"})
    assert load_file(tmp_path / "a.safetensors")["x"].tolist() == [0, 1, 2]
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("small_disk")
def test_a_file_that_finds_no_room_is_an_error_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": np.zeros(3)}, {})
    with pytest.raises(OSError, match="File too large") as caught:
        save_tensors(path, {"x": np.zeros(9999)}, {})
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert load_file(path)["x"].shape == (3,)
    assert list(tmp_path.iterdir()) == [path]
