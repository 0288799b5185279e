"""Pictures of an image while it is optimised: what they show and when."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import canvas
from pipeline.geometry import Box, Size
from pipeline.groups import Part, StoppedError
from pipeline.rendering.previewing import Previews, own_rows, shrunk
from pipeline.stores import TensorStore

PADDED = Size(16, 32)


def test_an_image_is_shrunk_by_boxes_and_what_is_left_of_them_at_the_edges() -> None:
    image = np.zeros((5, 7, 3))
    image[0:2, 0:2] = [[[0.2] * 3, [0.4] * 3], [[0.6] * 3, [0.84] * 3]]
    # From afar a mid grey: they print as black and white.
    image[0:2, 2:4] = [[[3.0] * 3, [-1.0] * 3], [[-0.5] * 3, [1.2] * 3]]
    image[4, 6] = [0.1, 0.2, 2.0]
    image[4, 0:2] = -1
    picture = shrunk([image[:3], image[3:]], Size(5, 7), 4)
    assert picture.shape == (3, 4, 3)
    assert picture[0, 0].tolist() == [130, 130, 130]
    assert picture[0, 1].tolist() == [128, 128, 128]
    assert picture[2, 3].tolist() == [26, 51, 255]
    assert picture[2, 0].tolist() == [0, 0, 0]
    assert not picture[1].any()


def test_an_image_that_fits_keeps_its_pixels() -> None:
    image = np.random.default_rng(0).random((6, 4, 3))
    assert (shrunk([image], Size(6, 4), 6) == np.rint(image * 255)).all()


def test_while_some_rows_are_used_the_next_are_read() -> None:
    begun = [threading.Event() for _ in range(3)]

    class Slow:
        size = Size(608, 32)

        def read(self, box: Box) -> Tensor:
            begun[box.top // 256].set()
            return torch.full((3, box.size.height, box.size.width), box.top)

    # The last 8 rows and the last 2 columns are padding.
    rows = own_rows(Slow(), Size(600, 30), Part.whole(Slow.size))
    first = next(rows)
    assert (first.shape, begun[1].wait(10), begun[2].is_set()) == ((256, 30, 3), True, False)
    assert [(block.shape, block[0, 0, 0].item()) for block in rows] == [
        ((256, 30, 3), 256),
        ((88, 30, 3), 512),
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_picture_is_written_when_it_is_time_and_removed_in_the_end(
    tmp_path: Path, clock: list[float]
) -> None:
    image = TensorStore.of(torch.full((3, 16, 32), 0.6))
    previews = Previews(tmp_path / "new" / "now.png", every_s=60)

    def there(after_s: float) -> bool:
        clock[0] += after_s
        # Rows and columns beyond the image's own size are padding.
        previews.show(image, Size(10, 30), Part.whole(PADDED))
        return previews.path.exists()

    assert [there(0), there(59), there(1)] == [False, False, True]
    pixels = np.rint(canvas.read(previews.path) * 255)
    assert pixels.shape == (10, 30, 3)
    assert (pixels == 153).all()
    previews.path.unlink()
    assert [there(59), there(1)] == [False, True]
    previews.discard()
    previews.discard()
    assert list(previews.path.parent.iterdir()) == []


def test_a_picture_for_which_there_is_no_time_is_left_out(tmp_path: Path) -> None:
    image, asked = TensorStore.of(torch.zeros(3, 600, 32)), 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked >= 2:
            raise StoppedError

    previews = Previews(tmp_path / "now.png", every_s=0)
    previews.show(image, image.size, Part.whole(image.size), check)
    # Rows are read ahead: another may have been asked for before the stop is met.
    assert asked in (2, 3)
    assert not previews.path.exists()


def test_a_picture_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    previews = Previews(tmp_path / "file" / "now.png", every_s=0)
    previews.show(TensorStore.of(torch.zeros(3, 16, 32)), PADDED, Part.whole(PADDED))
    previews.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
