from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from composites import Background, bicubic, coarse, portrait
from jaxtyping import Float
from numpy import ndarray
from pictures import save, truncate

from pipeline import canvas, matting
from pipeline.canvas import matte as matte_module
from pipeline.errors import InputError
from pipeline.geometry import Size

Plane = Float[ndarray, "height width"]

STEP = 1 / 255


def _save(path: Path, pixels: ndarray, tile_px: int = 256) -> Path:
    """A tiled TIFF as `prepare` writes them."""
    image = pyvips.Image.new_from_array(pixels)
    kind = {1: "b-w", 2: "b-w"}.get(pixels.shape[2], "srgb")
    if pixels.dtype == np.uint16:
        kind = {"b-w": "grey16", "srgb": "rgb16"}[kind]
    image = image.copy(interpretation=kind)
    image.tiffsave(str(path), tile=True, tile_width=tile_px, tile_height=tile_px, compression="deflate")
    return path


def _disc(height: int, width: int) -> Plane:
    """A soft disc in the middle, decided in its middle and in the corners."""
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None] - 0.5
    return np.asarray(np.clip(0.5 - (np.hypot(y, x) - 0.3) * 10, 0, 1))


def _picture(height: int, width: int, seed: int = 3) -> ndarray:
    """Noise, brighter within a disc that is a little smaller than the mask's."""
    noise = np.random.default_rng(seed).integers(0, 90, size=(height, width, 3))
    return np.asarray(noise + 150 * (_disc(height, width) > 0.7)[..., None]).astype(np.uint8)


def _matte(folder: Path, probability: Plane, pixels: ndarray, name: str = "image.tif") -> Plane:
    canvas.write_matte(probability, _save(folder / name, pixels), folder / "matte.tif")
    found = canvas.read(folder / "matte.tif")
    assert found.shape == (*pixels.shape[:2], 1)
    return np.asarray(found[..., 0])


# --- the file ----------------------------------------------------------------------------------------------


def test_the_matte_is_an_8_bit_tiled_tiff_of_the_image_s_size(tmp_path: Path) -> None:
    image = _save(tmp_path / "image.tif", _picture(300, 420))
    canvas.write_matte(_disc(48, 64), image, tmp_path / "masks" / "matte.tif")
    written = pyvips.Image.tiffload(str(tmp_path / "masks" / "matte.tif"))
    assert (written.width, written.height, written.bands, written.format) == (420, 300, 1, "uchar")
    assert written.interpretation == "b-w"
    assert (written.get("tile-width"), written.get("tile-height")) == (256, 256)
    assert (tmp_path / "masks" / "matte.tif").stat().st_size < 420 * 300 / 2
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["matte.tif"]


def test_what_is_decided_is_exactly_0_and_1(tmp_path: Path) -> None:
    found = _matte(tmp_path, _disc(64, 64), _picture(512, 512))
    assert (found[216:296, 216:296] == 1).all()
    for corner in (found[:80, :80], found[-80:, -80:]):
        assert (corner == 0).all()
    assert ((found > 0.1) & (found < 0.9)).any()


def test_the_edge_is_the_picture_s_not_the_coarse_mask_s(tmp_path: Path) -> None:
    pixels = np.full((256, 256, 3), 60, np.uint8)
    pixels[:, :131] = 190
    edge = np.clip(0.5 - (np.arange(32) + 0.5 - 16.0) / 2, 0, 1)
    found = _matte(tmp_path, np.broadcast_to(edge, (32, 32)), pixels)
    assert found[:, 130].min() > 0.9
    assert found[:, 131].max() < 0.1


# --- against plain numpy, and without seams ----------------------------------------------------------------


def _interpolated(plane: Plane, size: Size) -> Plane:
    for length in (size.height, size.width):
        position = np.clip((np.arange(length) + 0.5) * len(plane) / length - 0.5, 0, len(plane) - 1)
        below = np.floor(position).astype(int)
        share = (position - below)[:, None]
        above = np.minimum(below + 1, len(plane) - 1)
        plane = (plane[below] * (1 - share) + plane[above] * share).T
    return plane


def _random_matte(height: int, width: int) -> matting.Matte:
    random = np.random.default_rng(5)
    slope = random.normal(size=(height, width, 3))
    offset, doubt, prior = random.uniform(size=(3, height, width))
    return matting.Matte(slope, offset, doubt, prior)


@pytest.mark.parametrize(("height", "width"), [(301, 257), (40, 600), (12, 9)])
def test_a_matte_is_evaluated_as_its_equation_says(height: int, width: int) -> None:
    matte, size = _random_matte(12, 9), Size(height, width)
    colours = np.random.default_rng(6).uniform(size=(height, width, 3)).astype(np.float32)
    found = matte_module.evaluated(matte, pyvips.Image.new_from_array(colours)).numpy()
    value = _interpolated(matte.offset, size)
    for band in range(3):
        value = value + _interpolated(matte.slope[..., band], size) * colours[..., band]
    doubt = _interpolated(matte.doubt, size)
    expected = doubt * np.clip(value, 0, 1) + (1 - doubt) * _interpolated(matte.prior, size)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("block_px", [7, 64, 100, 256])
def test_blocks_of_any_size_give_the_same_matte(block_px: int) -> None:
    colours = np.random.default_rng(6).uniform(size=(330, 290, 3)).astype(np.float32)
    image = matte_module.evaluated(_random_matte(13, 11), pyvips.Image.new_from_array(colours))
    whole = image.numpy()
    for top in range(0, 330, block_px):
        for left in range(0, 290, block_px):
            height, width = min(block_px, 330 - top), min(block_px, 290 - left)
            block = image.crop(left, top, width, height).numpy()
            expected = whole[top : top + height, left : left + width]
            np.testing.assert_allclose(block.reshape(expected.shape), expected, atol=1e-5)


def test_how_the_image_file_is_cut_into_tiles_leaves_no_trace(tmp_path: Path) -> None:
    pixels, probability = _picture(400, 500), _disc(64, 64)
    first = _matte(tmp_path, probability, pixels)
    for tile_px in (64, 128, 512):
        canvas.write_matte(probability, _save(tmp_path / "b.tif", pixels, tile_px), tmp_path / "m.tif")
        assert np.abs(canvas.read(tmp_path / "m.tif")[..., 0] - first).max() <= STEP


# --- every kind of prepared image --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (20, 30), (1, 300), (300, 1), (1, 1), (3, 1000), (200, 48)]
)
def test_images_of_any_shape_have_a_matte(tmp_path: Path, height: int, width: int) -> None:
    for probability in (_disc(64, 64), _disc(48, 128), np.random.default_rng(0).uniform(size=(64, 64))):
        found = _matte(tmp_path, probability, _picture(height, width))
        assert found.min() >= 0
        assert found.max() <= 1


def test_a_mask_larger_than_the_image_is_averaged_down(tmp_path: Path) -> None:
    pixels = np.full((24, 24, 3), 128, np.uint8)
    found = _matte(tmp_path, np.kron(_disc(24, 24), np.ones((8, 8))), pixels)
    np.testing.assert_allclose(found.mean(), _disc(24, 24).mean(), atol=0.02)


def test_16_bits_give_the_matte_of_8(tmp_path: Path) -> None:
    pixels = _picture(200, 180)
    first = _matte(tmp_path, _disc(64, 64), pixels)
    second = _matte(tmp_path, _disc(64, 64), pixels.astype(np.uint16) * 257)
    assert np.abs(first - second).max() <= STEP


def test_alpha_is_ignored(tmp_path: Path) -> None:
    pixels = _picture(200, 180)
    alpha = np.random.default_rng(1).integers(0, 256, size=(200, 180, 1)).astype(np.uint8)
    first = _matte(tmp_path, _disc(64, 64), pixels)
    second = _matte(tmp_path, _disc(64, 64), np.concatenate([pixels, alpha], axis=2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("bands", [1, 2])
def test_grey_is_three_equal_bands(tmp_path: Path, bands: int) -> None:
    grey = _picture(200, 180)[..., :1]
    first = _matte(tmp_path, _disc(64, 64), grey.repeat(bands, axis=2))
    np.testing.assert_array_equal(first, _matte(tmp_path, _disc(64, 64), grey.repeat(3, axis=2)))


def test_a_damaged_image_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    image = truncate(save(tmp_path / "image.png", _picture(600, 600)))
    with pytest.raises(InputError) as caught:
        canvas.write_matte(_disc(64, 64), image, tmp_path / "matte.tif")
    assert str(caught.value).startswith(f"{image}: expected")
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


# --- hair --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("background", "whole", "band"),
    [("smooth", 0.15, 0.15), ("busy", 0.25, 0.25), ("dark hair", 0.25, 0.25)],
)
def test_hair_is_followed_where_bicubic_upsampling_blurs_it(
    tmp_path: Path, background: Background, whole: float, band: float
) -> None:
    truth = portrait(1024, background, seed=1, strands=2000)
    probability = coarse(truth.alpha, seed=1)
    found = _matte(tmp_path, probability, np.rint(truth.image * 255).astype(np.uint8))
    upsampled = bicubic(probability, 1024)
    error, before = np.abs(found - truth.alpha), np.abs(upsampled - truth.alpha)
    unknown = (upsampled > 0.02) & (upsampled < 0.98)
    assert error.mean() <= whole * before.mean()
    assert error[unknown].mean() <= band * before[unknown].mean()


# --- memory ------------------------------------------------------------------------------------------------

# getrusage would count what the parent held when it forked.
_PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from pipeline import canvas
ramp = np.clip(np.linspace(-2, 3, 128), 0, 1)
canvas.write_matte(np.broadcast_to(ramp, (128, 128)), Path(sys.argv[1]), Path(sys.argv[2]))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image_s_height(tmp_path: Path) -> None:
    peaks = []
    for height in (2048, 16384):
        band = pyvips.Image.gaussnoise(2048, height, sigma=40, mean=128, seed=1).cast("uchar")
        image = tmp_path / f"{height}.tif"
        band.bandjoin([band, band]).copy(interpretation="srgb").tiffsave(
            str(image), tile=True, tile_width=256, tile_height=256
        )
        command = [sys.executable, "-c", _PEAK, str(image), str(tmp_path / "matte.tif")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    small_kib, large_kib = peaks
    assert large_kib < 1.1 * small_kib
