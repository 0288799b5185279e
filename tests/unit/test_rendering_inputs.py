"""Files as the engine reads them: by boxes what it reads at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import save_guides

from pipeline import canvas
from pipeline.errors import InputError
from pipeline.geometry import Box, Size
from pipeline.machine import Machine, prepare_machine
from pipeline.rendering.inputs import FileRaster, read_padded


@pytest.fixture(scope="module")
def machine() -> Machine:
    return prepare_machine("cpu", "float32", 1)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), data=st.data())
def test_a_box_of_a_file_is_what_reading_it_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int, data: st.DataObject
) -> None:
    machine = prepare_machine("cpu", "float32", 1)
    path = tmp_path_factory.mktemp("raster") / "image.tif"
    canvas.write(path, np.random.default_rng(seed).random((height, width, 3), np.float32))
    whole, raster = read_padded(path, None, 3, machine), FileRaster(path, None, 3, machine)
    assert raster.size == Size(*whole.shape[1:])
    top = data.draw(st.integers(0, raster.size.height - 1))
    left = data.draw(st.integers(0, raster.size.width - 1))
    bottom = data.draw(st.integers(top + 1, raster.size.height))
    right = data.draw(st.integers(left + 1, raster.size.width))
    assert torch.equal(raster.read(Box(top, left, bottom, right)), whole[:, top:bottom, left:right])


def test_guides_of_16_bits_are_read_by_boxes_too(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "guides.tif"
    save_guides(path, np.random.default_rng(1).random((40, 33, 2)))
    raster = FileRaster(path, Size(40, 33), 2, machine)
    box = Box(16, 16, 48, 48)
    assert torch.equal(raster.read(box), read_padded(path, None, 2, machine)[:, 16:48, 16:48])
    # Sums meet the values in the same order wherever a box lies.
    inside, beyond = (raster.read(Box(start, start, start + 16, start + 16)) for start in (0, 32))
    assert inside.stride() == beyond.stride() == (256, 16, 1)


def test_what_is_not_as_planned_is_refused_before_it_is_read(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "image.tif"
    canvas.write(path, np.zeros((20, 30, 3), np.float32))
    with pytest.raises(InputError, match=r"expected 20x31 px \(height x width\) as planned; found 20x30"):
        FileRaster(path, Size(20, 31), 3, machine)
    with pytest.raises(InputError, match="expected an image of 2 bands; found 3"):
        FileRaster(path, Size(20, 30), 2, machine)
