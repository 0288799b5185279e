"""Where images are read from: what a box holds does not depend on the box."""

from __future__ import annotations

import torch

from pipeline.geometry import Box, Size
from pipeline.rasters import Cutout, Noise, TensorRaster


def test_noise_is_the_same_however_it_is_read() -> None:
    noise = Noise(Size(40, 50), 7, torch.device("cpu"))
    whole = noise.read(Box.whole(noise.size))
    assert torch.equal(noise.read(Box(3, 11, 20, 49)), whole[:, 3:20, 11:49])
    assert whole.shape == (3, 40, 50)
    assert 0 <= float(whole.min()) < 0.01
    assert 0.99 < float(whole.max()) < 1
    assert abs(float(whole.mean()) - 0.5) < 0.02
    # No row is another one, and no seed's rows are another's.
    rows = {tuple(row.tolist()) for row in whole[0]}
    for seed in (8, 7 + 2**32):
        other = Noise(noise.size, seed, torch.device("cpu")).read(Box.whole(noise.size))
        assert len(rows | {tuple(row.tolist()) for row in other[0]}) == 80


def test_a_part_of_a_raster_is_a_raster() -> None:
    whole = torch.arange(3 * 40 * 50).view(3, 40, 50)
    part = Cutout(TensorRaster(whole), Box(16, 4, 36, 50))
    assert part.size == Size(20, 46)
    assert torch.equal(part.read(Box(1, 2, 20, 46)), whole[:, 17:36, 6:50])
