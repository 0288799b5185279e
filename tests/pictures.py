"""Small picture files whose pixels are known, and files that only pretend to be pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from pipeline import canvas
from pipeline.canvas import _vips

Pixels = UInt8[ndarray, "height width 3"]


def gradient(height: int, width: int) -> Pixels:
    """Red grows downwards, green to the right, blue is 128."""
    red = np.linspace(0, 255, height).round()[:, None].repeat(width, axis=1)
    green = np.linspace(0, 255, width).round()[None, :].repeat(height, axis=0)
    return np.stack([red, green, np.full_like(red, 128)], axis=-1).astype(np.uint8)


def noise(height: int, width: int, seed: int) -> Pixels:
    """Coarse and fine noise: something with texture at every scale."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 128, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, axis=0).repeat(8, axis=1)
    fine = random.integers(0, 128, (height, width, 3))
    return (coarse[:height, :width] + fine).astype(np.uint8)


def left_half(height: int, width: int) -> UInt8[ndarray, "height width 1"]:
    """A mask: the left half is light."""
    mask = np.zeros((height, width, 1), np.uint8)
    mask[:, : width // 2] = 255
    return mask


def save_guides(path: Path, channels: Float[ndarray, "height width regions"]) -> None:
    """Writes channels in [0, 1] (clipped) as a 16-bit TIFF: one band per region, steps of 1/65535."""
    _save_unit(path, channels, bits=16)


def save_mask(path: Path, light: Float[ndarray, "height width"]) -> None:
    """Writes one channel in [0, 1] (clipped) as an 8-bit TIFF: steps of 1/255."""
    _save_unit(path, light[..., None], bits=8)


def _save_unit(path: Path, array: Float[ndarray, "height width bands"], bits: int) -> None:
    levels = _vips.as_levels(_vips.from_array(np.asarray(array, dtype=np.float32)), bits)
    _vips.save_tiff(levels, path, path, compression="deflate")


def save(path: Path, pixels: UInt8[ndarray, "height width bands"]) -> Path:
    """Writes a PNG and gives its path back."""
    canvas.write_png(path, pixels)
    return path


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cuts a file's end off."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def broken_pictures(folder: Path, size: tuple[int, int] = (96, 96)) -> dict[str, Path]:
    """What users hand in by mistake, by kind: each must end in one line. `size` is the truncated one's."""
    text = folder / "notes.jpg"
    text.write_text("These are not pixels.\n" * 40, encoding="utf-8")
    empty = folder / "empty.png"
    empty.touch()
    return {
        "missing": folder / "missing.png",
        "truncated": truncate(save(folder / "truncated.png", noise(*size, seed=1))),
        "text": text,
        "empty": empty,
        "folder": folder,
    }
