"""Tiles leave no seams: the gradient across their borders is that beside them; a wrong tiling is caught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from networks import SMALL, make_encoder
from torch.nn import functional

from pipeline.geometry import Size
from pipeline.losses import GramTerm, Loss
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.optimiser import Lbfgs, minimise
from pipeline.quality.seams import LEAST_SAMPLES, Seams, seams

SIZE = Size(480, 480)
CONTROL = Size(192, 192)
CORE_PX = 32


def _start() -> torch.Tensor:
    """Soft clouds with a little grain: what a photograph is to the optimiser."""
    generator = torch.Generator().manual_seed(5)
    clouds = torch.rand(1, 3, 20, 20, generator=generator)
    soft = functional.interpolate(clouds, size=(SIZE.height, SIZE.width), mode="bicubic")[0]
    return (0.2 + 0.6 * soft + 0.04 * torch.rand(3, SIZE.height, SIZE.width, generator=generator)).clamp(0, 1)


def _loss() -> Loss:
    """Gram terms with some target, the same for all."""
    layers = [SMALL.layer(name) for name in ("relu1_1", "relu2_1", "relu3_1")]
    generator = torch.Generator().manual_seed(4)
    terms = []
    for layer in layers:
        root = torch.randn(layer.channels, layer.channels, generator=generator)
        terms.append(GramTerm(layer, None, 1.0, root @ root.T / 10))
    return Loss(tuple(terms))


def _rendered(image: torch.Tensor, objective: TiledObjective | WholeObjective) -> torch.Tensor:
    return minimise(objective, image, Lbfgs(6, history=3)).image


def _measured(image: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> Seams:
    values = image.permute(1, 2, 0).numpy()
    found = seams(lambda box: values[box.slices], Size(*values.shape[:2]), rows, columns)
    assert found is not None
    assert found.samples >= LEAST_SAMPLES
    return found


def test_exact_tiles_leave_no_seam_and_tiles_by_themselves_do() -> None:
    torch.set_num_threads(1)
    encoder, start = make_encoder(dtype=torch.float32), _start()
    objective = TiledObjective(encoder, _loss(), SIZE, tile_px=CORE_PX)
    rows = {tile.core.top for tile in objective.tiles} - {0}
    columns = {tile.core.left for tile in objective.tiles} - {0}
    assert len(rows) == len(columns) == 14
    found = _measured(_rendered(start, objective), sorted(rows), sorted(columns))
    # Of 11,520 samples chance alone moves the ratio by about 0.011.
    assert abs(found.ratio - 1) < 0.02
    assert found.excess == 0
    assert found.standard_error < 0.02

    # The negative control: every tile has its own Gram matrices and sees nothing of its neighbours.
    corner = start[:, : CONTROL.height, : CONTROL.width]
    alone = torch.empty_like(corner)
    part = Size(CORE_PX, CORE_PX)
    for top in range(0, CONTROL.height, CORE_PX):
        for left in range(0, CONTROL.width, CORE_PX):
            where = (slice(None), slice(top, top + CORE_PX), slice(left, left + CORE_PX))
            alone[where] = _rendered(corner[where].contiguous(), WholeObjective(encoder, _loss(), part))
    caught = _measured(alone, *[range(CORE_PX, CONTROL.height, CORE_PX)] * 2)
    assert abs(caught.ratio - 1) > 0.1
    assert caught.excess > 0.05


@pytest.mark.parametrize("step", [0.05, -0.05])
def test_a_faint_step_at_every_border_is_caught(step: float) -> None:
    image = _start().permute(1, 2, 0).numpy().copy()
    for start in range(CORE_PX, SIZE.width, 2 * CORE_PX):
        image[:, start : start + CORE_PX] += step
    borders = range(CORE_PX, SIZE.width, CORE_PX)
    found = seams(lambda box: image[box.slices], SIZE, (), borders)
    assert found is not None
    assert found.excess > 0.05
    elsewhere = seams(lambda box: image[box.slices], SIZE, (), [border + 16 for border in borders])
    assert elsewhere is not None
    assert elsewhere.ratio < 1 < found.ratio


def test_images_without_borders_or_without_change_have_no_seams() -> None:
    values = np.full((100, 100, 3), 0.5)
    for borders in (range(16, 100, 16), [48], []):
        assert seams(lambda box: values[box.slices], Size(100, 100), borders, borders) is None
    ramp = np.repeat(np.arange(200.0)[:, None], 150, axis=1)[..., None]
    found = seams(lambda box: ramp[box.slices], Size(200, 150), [64, 128], [64, 128])
    assert found is not None
    # Rows 64 and 128 and column 64; column 128 has no 49 pixels behind it.
    assert (found.ratio, found.samples, found.excess) == (1.0, 500, 0.0)
