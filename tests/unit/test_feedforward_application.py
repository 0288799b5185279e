"""Painting files: whose moments a painting has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import make_image
from transformation_networks import SMALL, make_card, make_network

from pipeline import canvas
from pipeline.feedforward.application import Picture, paint
from pipeline.feedforward.models import TrainedNetwork
from pipeline.machine import Machine


@pytest.mark.parametrize(("thumbnail_px", "moments"), [(44, "thumbnail"), (45, "exact")])
def test_an_image_no_larger_than_the_thumbnail_has_its_own_moments(
    tmp_path: Path, thumbnail_px: int, moments: str
) -> None:
    """At 40x50 px, whose area is that of 44.7 px squared."""
    image = make_image(40, 50, 1, dtype=torch.float32)
    canvas.write(tmp_path / "image.tif", image.permute(1, 2, 0).contiguous().numpy())
    trained = TrainedNetwork(make_network(SMALL, 1), make_card(("everywhere",)))
    record = paint(
        trained,
        Picture(tmp_path / "image.tif", None),
        tmp_path / "painted.tif",
        moments="thumbnail",
        thumbnail_px=thumbnail_px,
        memory_budget_mib=512,
        machine=Machine(torch.device("cpu"), torch.float32, 1),
        layers_folder=tmp_path / "layers",
    )
    assert record.moments == moments
    assert (record.deviation is None) == (moments == "exact")
    off = canvas.read(tmp_path / "painted.tif") - trained.network(image[None])[0].permute(1, 2, 0).numpy()
    assert (float(np.abs(off).max()) < 1e-5) == (moments == "exact")
