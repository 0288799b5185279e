"""Parts at full size: one at every pixel, soft along edges, as mattes are."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from pictures import save_guides, truncate

from pipeline import canvas, matting
from pipeline.errors import InputError

HEIGHT, WIDTH = 120, 160
COLOURS = np.array([[0.9, 0.2, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.8]])


def thirds(height: int, width: int, edges: tuple[float, float]) -> ndarray:
    """Three parts side by side, as (part, height, width), 0 or 1."""
    x = (np.arange(width) + 0.5) / width
    bounds = [0, *edges, 2]
    row = np.stack([(x >= low) & (x < high) for low, high in itertools.pairwise(bounds)])
    return np.broadcast_to(row[:, None], (3, height, width)).astype(float)


def write_photograph(path: Path, bits: int = 8) -> Path:
    """Three coloured thirds with a little noise; the edges are at 0.30 and 0.65 of the width."""
    parts = thirds(HEIGHT, WIDTH, (0.30, 0.65))
    noise = np.random.default_rng(0).normal(0, 0.02, (HEIGHT, WIDTH, 3))
    image = np.clip(np.einsum("phw,pc->hwc", parts, COLOURS) + noise, 0, 1)
    if bits == 8:
        canvas.write_png(path, (image * 255).round().astype(np.uint8))
    else:
        save_guides(path, image)
    return path


def written(parts: ndarray, image: Path, folder: Path) -> ndarray:
    """The masks as levels of 0 to 255: (height, width, part)."""
    targets = [folder / f"{number}.tif" for number in range(len(parts))]
    canvas.write_parts(list(parts), image, targets)
    found = np.concatenate([canvas.read(target) for target in targets], axis=2) * 255
    assert np.array_equal(found, found.round())
    return np.asarray(found)


@pytest.mark.parametrize("bits", [8, 16])
def test_parts_sum_to_one_everywhere_and_find_the_true_edges(tmp_path: Path, bits: int) -> None:
    image = write_photograph(tmp_path / ("image.png" if bits == 8 else "image.tif"), bits)
    # The coarse parts have their edges 0.01 of the width beside the true ones.
    found = written(thirds(60, 80, (0.31, 0.64)), image, tmp_path)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert (found.sum(axis=2) == 255).all()
    truth = np.moveaxis(thirds(HEIGHT, WIDTH, (0.30, 0.65)), 0, -1)
    coarse = np.moveaxis(thirds(HEIGHT, WIDTH, (0.31, 0.64)), 0, -1)
    error, before = np.abs(found / 255 - truth).mean(), np.abs(coarse - truth).mean()
    assert error < before / 2
    # Far from the edges all is decided.
    columns = (np.arange(WIDTH) + 0.5) / WIDTH
    far = (np.abs(columns - 0.3) > 0.1) & (np.abs(columns - 0.65) > 0.1)
    assert np.array_equal(found[:, far], 255 * truth[:, far])


def test_two_parts_are_a_matte_and_what_it_leaves(tmp_path: Path) -> None:
    image = write_photograph(tmp_path / "image.png")
    left = thirds(HEIGHT, WIDTH, (0.31, 0.64))[0]
    found = written(np.stack([left, 1 - left]), image, tmp_path)
    canvas.write_matte(left, image, tmp_path / "matte.tif")
    matte = canvas.read(tmp_path / "matte.tif")[..., 0] * 255
    assert np.abs(found[..., 0] - matte).max() <= 2
    assert (found.sum(axis=2) == 255).all()


def test_many_parts_and_empty_ones_sum_to_one(tmp_path: Path) -> None:
    image = write_photograph(tmp_path / "image.png")
    random = np.random.default_rng(1)
    labels = random.integers(0, 15, (8, 10)).repeat(8, axis=0).repeat(8, axis=1)
    found = written(np.stack([labels == number for number in range(16)]), image, tmp_path)
    assert (found.sum(axis=2) == 255).all()
    assert (found[..., 15] == 0).all()
    assert len(np.unique(found)) > 10


def test_where_no_matte_claims_a_pixel_the_coarse_parts_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(prior: ndarray, colours: ndarray, _unit_px: float) -> matting.Matte:
        plane = np.zeros_like(prior, dtype=float)
        return matting.Matte(np.zeros_like(colours, dtype=float), plane - 1, plane + 1, prior)

    monkeypatch.setattr(matting, "fit", nothing)
    coarse = thirds(HEIGHT, WIDTH, (0.25, 0.75))
    found = written(coarse, write_photograph(tmp_path / "image.png"), tmp_path)
    assert np.array_equal(found, 255 * np.moveaxis(coarse, 0, -1))


def test_a_grey_photograph_has_parts_too(tmp_path: Path) -> None:
    grey = (np.linspace(0, 255, 50)[None].repeat(40, axis=0)).astype(np.uint8)
    canvas.write_png(tmp_path / "grey.png", grey[..., None])
    found = written(thirds(4, 5, (0.5, 0.9)), tmp_path / "grey.png", tmp_path)
    assert found.shape == (40, 50, 3)
    assert (found.sum(axis=2) == 255).all()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    written(thirds(12, 16, (0.3, 0.6)), write_photograph(tmp_path / "image.png"), tmp_path / "masks")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["0.tif", "1.tif", "2.tif"]


def test_a_damaged_photograph_is_told(tmp_path: Path) -> None:
    image = truncate(write_photograph(tmp_path / "image.png"))
    with pytest.raises(InputError, match=r"image\.png: expected a complete image"):
        written(thirds(12, 16, (0.3, 0.6)), image, tmp_path)
