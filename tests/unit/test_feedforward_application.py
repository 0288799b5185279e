"""Painting files: whose moments a painting has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import make_image
from transformation_networks import SMALL, make_card, make_network

from pipeline import canvas
from pipeline.errors import InputError
from pipeline.feedforward import application
from pipeline.feedforward.application import Picture, paint
from pipeline.feedforward.deviation import sample_boxes
from pipeline.feedforward.models import TrainedNetwork
from pipeline.feedforward.record import ApplicationRecord, Moments
from pipeline.feedforward.streaming import StreamedApplication
from pipeline.geometry import Box, Size
from pipeline.machine import Machine
from pipeline.transformations import TransformationArchitecture
from pipeline.workspaces import FolderWorkspace


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


def save_image(folder: Path, height: int, width: int) -> Picture:
    image = make_image(height, width, 1, dtype=torch.float32)
    canvas.write(folder / "image.tif", image.permute(1, 2, 0).contiguous().numpy())
    return Picture(folder / "image.tif", None)


def held_files(folder: Path) -> int:
    """How many files of a folder this process has open: they have no names any more."""
    links = Path("/proc/self/fd").iterdir()
    return sum(link.resolve().is_relative_to(folder.resolve()) for link in links)


def test_files_of_layers_are_counted_without_their_names(tmp_path: Path) -> None:
    workspace = FolderWorkspace(tmp_path, torch.device("cpu"), unnamed=True)
    stores = [workspace.new("layer", 1, Size(4, 4), torch.float32) for _ in range(2)]
    assert held_files(tmp_path) == 2
    del stores
    assert held_files(tmp_path) == 0


def test_a_small_part_between_the_squares_keeps_to_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chequered part of a soft image, which no square sees and which is grey in the thumbnail."""
    monkeypatch.setattr(application, "_SAMPLE_PX", 48)
    rows, columns = torch.meshgrid(torch.arange(300), torch.arange(400), indexing="ij")
    soft = 0.5 + 0.2 * torch.sin(rows / 11) * torch.sin(columns / 13)
    image = torch.stack([soft, 0.9 * soft, 0.3 + 0.5 * soft])
    part = Box(80, 100, 116, 136)
    assert not any(_meet(part, box) for box in sample_boxes(Size(300, 400), 48, 3))
    image[:, *part.slices] = ((rows + columns) % 2)[part.slices].float()
    canvas.write(tmp_path / "image.tif", image.permute(1, 2, 0).contiguous().numpy())
    network = make_network(SMALL, 1)
    record = paint(
        TrainedNetwork(network, make_card(("everywhere",))),
        Picture(tmp_path / "image.tif", None),
        tmp_path / "painted.tif",
        moments="thumbnail",
        thumbnail_px=100,
        memory_budget_mib=512,
        machine=Machine(torch.device("cpu"), torch.float32, 1),
        layers_folder=tmp_path / "layers",
    )
    off = canvas.read(tmp_path / "painted.tif") - network(image[None])[0].permute(1, 2, 0).numpy()
    assert record.deviation is not None
    assert 1 < 255 * float(np.square(off, dtype=np.float64).mean() ** 0.5) <= record.deviation.bound


def _meet(one: Box, other: Box) -> bool:
    return max(one.top, other.top) < min(one.bottom, other.bottom) and max(one.left, other.left) < min(
        one.right, other.right
    )


def test_layers_of_a_thumbnail_are_held_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 1 MiB holds those of 241 px squared at most, by a network that takes 9 bytes of each pixel."""
    trained = TrainedNetwork(make_network(SMALL, 1), make_card(("everywhere",)))
    picture = save_image(tmp_path, 250, 250)
    files: list[int] = []
    folder = tmp_path / "layers"
    kept = StreamedApplication.painted_boxes

    def noted(streamed: StreamedApplication) -> Iterator[tuple[Box, torch.Tensor]]:
        files.append(held_files(folder))
        return kept(streamed)

    monkeypatch.setattr(StreamedApplication, "painted_boxes", noted)
    monkeypatch.setattr(application, "sample_boxes", lambda *_: (Box(0, 0, 32, 32),))
    for thumbnail_px, store in ((100, "memory"), (245, "files")):
        record = paint(
            trained,
            picture,
            tmp_path / "painted.tif",
            moments="thumbnail",
            thumbnail_px=thumbnail_px,
            memory_budget_mib=1,
            machine=Machine(torch.device("cpu"), torch.float32, 1),
            layers_folder=folder,
        )
        assert (record.moments, record.store) == ("thumbnail", store)
        # What the thumbnail held goes before the picture is painted; a folder that nothing needs is not made.
        assert folder.exists() == (store == "files")
        assert set(files) == {0}


def test_pictures_that_a_network_cannot_reflect_are_refused(tmp_path: Path) -> None:
    architecture = TransformationArchitecture("thin", 3, 1, reflected=True, bounded=False)
    trained = TrainedNetwork(make_network(architecture, 1), make_card(("everywhere",)))

    def painted(picture: Picture, moments: Moments = "exact") -> ApplicationRecord:
        return paint(
            trained,
            picture,
            tmp_path / "painted.tif",
            moments=moments,
            thumbnail_px=64,
            memory_budget_mib=64,
            machine=Machine(torch.device("cpu"), torch.float32, 1),
            layers_folder=tmp_path / "layers",
        )

    for height, width in ((4, 40), (40, 3), (1, 1)):
        with pytest.raises(InputError, match=f"more than 4 px a side, .*; found {height}x{width} px"):
            painted(save_image(tmp_path, height, width))
    assert painted(save_image(tmp_path, 5, 5)).moments == "exact"
    # A thumbnail of 3x1365 px could not be reflected either.
    assert painted(save_image(tmp_path, 6, 2730), "thumbnail").moments == "exact"


def test_a_picture_with_a_hole_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[20, 20] = np.nan
    canvas.write(tmp_path / "image.tif", pixels)
    with pytest.raises(InputError, match=r"the image: expected finite colours, .*; found NaN or infinity"):
        paint(
            TrainedNetwork(make_network(SMALL, 1), make_card(("everywhere",))),
            Picture(tmp_path / "image.tif", None),
            tmp_path / "painted.tif",
            moments="exact",
            thumbnail_px=64,
            memory_budget_mib=64,
            machine=Machine(torch.device("cpu"), torch.float32, 1),
            layers_folder=tmp_path / "layers",
        )
    assert not (tmp_path / "painted.tif").exists()
