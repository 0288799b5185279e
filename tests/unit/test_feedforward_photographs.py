from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import noise, save, truncate

from pipeline import canvas
from pipeline.errors import InputError
from pipeline.feedforward.photographs import Damage, Photographs

SIDE = 32


def folder(path: Path, count: int = 5) -> list[Path]:
    """Photographs whose red says which one it is, whose green and blue say where in it a pixel lies."""
    found = []
    for index in range(count):
        rows, columns = np.mgrid[:40, :48]
        pixels = np.stack([np.full_like(rows, 40 * index), 5 * rows, 5 * columns], axis=-1)
        found.append(save(path / f"{index}.png", pixels.astype(np.uint8)))
    return found


def whose(crop: torch.Tensor) -> int:
    return round(float(crop[0, 0, 0]) * 255) // 40


def test_every_round_shows_every_photograph_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    photographs = Photographs(folder(tmp_path), SIDE, seed=0)
    assert len(photographs) == 5
    order = [whose(photographs.crop(number)) for number in range(20)]
    rounds = [order[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_crops_lie_anywhere_and_half_are_mirrored(tmp_path: Path) -> None:
    photographs = Photographs(folder(tmp_path), SIDE, seed=0)
    places, mirrored = set(), 0
    for number in range(60):
        crop = (255 * photographs.crop(number)).round() / 5
        assert crop.shape == (3, SIDE, SIDE)
        step = float(crop[2, 0, 1] - crop[2, 0, 0])
        assert abs(step) == 1
        mirrored += step < 0
        places.add((int(crop[1, 0, 0]), int(crop[2].min())))
    # 9 x 17 places.
    assert len(places) > 30
    assert {top for top, _ in places} == set(range(9))
    assert 15 < mirrored < 45


def test_a_crop_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    paths = folder(tmp_path)
    once, again, other = (Photographs(paths, SIDE, seed) for seed in (3, 3, 4))
    forwards = [once.crop(number) for number in range(12)]
    backwards = [again.crop(number) for number in reversed(range(12))][::-1]
    assert all(torch.equal(*pair) for pair in zip(forwards, backwards, strict=True))
    assert not all(torch.equal(crop, other.crop(number)) for number, crop in enumerate(forwards))


@pytest.mark.parametrize("workers", [1, 5])
def test_workers_change_nothing(tmp_path: Path, workers: int) -> None:
    photographs = Photographs(folder(tmp_path), SIDE, seed=0)
    with contextlib.closing(photographs.batches(3, 2, workers)) as batches:
        found = torch.cat(list(itertools.islice(batches, 4)))
    expected = torch.stack([photographs.crop(number) for number in range(6, 14)])
    assert torch.equal(found, expected)


def test_a_damaged_photograph_is_replaced_and_told(tmp_path: Path) -> None:
    paths = folder(tmp_path)
    damaged = truncate(save(paths[2], noise(40, 48, seed=0)))
    photographs = Photographs(paths, SIDE, seed=0)
    order = [whose(photographs.crop(number)) for number in range(10)]
    assert set(order) == {0, 1, 3, 4}
    assert list(photographs.damaged) == [damaged]
    assert photographs.damaged[damaged].told.startswith(f"{damaged}: expected a complete image")
    # As from the start, in another order of asking.
    again = Photographs(paths, SIDE, seed=0)
    assert [whose(again.crop(number)) for number in reversed(range(10))] == order[::-1]
    assert again.damaged == photographs.damaged
    with pytest.raises(InputError, match="expected a complete image"):
        again.middle(2)


def test_a_damaged_photograph_belongs_to_the_first_crop_that_would_have_shown_it(tmp_path: Path) -> None:
    """However far workers look ahead, and whoever found it."""
    paths = folder(tmp_path)
    sound = Photographs(paths, SIDE, seed=0)
    order = [whose(sound.crop(number)) for number in range(10)]
    damaged = truncate(save(paths[order[3]], noise(40, 48, seed=0)))
    photographs, again = Photographs(paths, SIDE, seed=0), order.index(order[3], 5)
    photographs.crop(again)
    assert photographs.damaged[damaged].first_crop == again
    with contextlib.closing(photographs.batches(1, 1, 5)) as batches:
        for _ in range(3):
            next(batches)
    assert photographs.damaged[damaged].first_crop == 3
    photographs.learn({damaged: Damage(told="by another", first_crop=4)})
    assert photographs.damaged[damaged].first_crop == 3
    other = Photographs(paths, SIDE, seed=0)
    other.learn(photographs.damaged)
    assert other.damaged == photographs.damaged


def test_when_all_are_damaged_it_ends(tmp_path: Path) -> None:
    paths = [truncate(save(tmp_path / f"{index}.png", noise(40, 48, seed=index))) for index in range(2)]
    photographs = Photographs(paths, SIDE, seed=0)
    with pytest.raises(
        InputError, match="expected photographs that can be decoded; found 2 that are damaged"
    ):
        photographs.crop(0)
    with (
        pytest.raises(InputError, match="found 2 that are damaged"),
        contextlib.closing(photographs.batches(0, 2, 2)) as batches,
    ):
        next(batches)


def test_large_photographs_are_shrunk_and_the_middle_is_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((160, 320, 3), np.uint8)
    pixels[:, 160:] = 200
    path = save(tmp_path / "wide.png", pixels)
    # 1.25 times 32 px.
    assert canvas.read_shrunk(path, 40).shape == (40, 80, 3)
    middle = Photographs([path], SIDE, seed=0).middle(0)
    assert float(middle[:, :, 0].max()) < 0.05
    assert float(middle[:, :, -1].min()) == pytest.approx(200 / 255, abs=0.02)


def test_a_full_cache_changes_nothing(tmp_path: Path) -> None:
    paths = folder(tmp_path)
    full, empty = Photographs(paths, SIDE, seed=0), Photographs(paths, SIDE, seed=0, cache_mib=0)
    assert all(torch.equal(full.crop(number), empty.crop(number)) for number in range(10))


def test_small_copies_keep_the_sizes_of_small_ones_and_know_grey_and_alpha(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", np.full((20, 30, 1), 77, np.uint8))
    assert np.array_equal(canvas.read_shrunk(grey, 64), np.full((20, 30, 3), 77, np.uint8))
    clear = save(tmp_path / "clear.png", np.dstack([noise(20, 30, 0), np.zeros((20, 30), np.uint8)]))
    assert np.array_equal(canvas.read_shrunk(clear, 64), noise(20, 30, 0))
    floats = tmp_path / "floats.tif"
    canvas.write(floats, np.full((20, 30, 3), 0.5, np.float32))
    assert np.array_equal(canvas.read_shrunk(floats, 64), np.full((20, 30, 3), 128, np.uint8))
