"""An image cut into coarse parts, brought to its full size along its edges, by regions: one mask each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from pipeline import matting
from pipeline.canvas import _vips, matte
from pipeline.canvas.transform import clipped, resampled
from pipeline.files import scratch_path

_TRACE = 1e-3


def write_parts(
    parts: Sequence[Float[ndarray, "height width"]],
    image: Path,
    targets: Sequence[Path],
    *,
    unit: float = matte.UNIT,
) -> None:
    """Writes a mask for each part at the size of `image`, soft along its edges: 8-bit tiled TIFFs.

    Their levels sum to 255 at every pixel. Each is a matte as `write_matte` has it, divided by the sum of
    all; where no matte claims a pixel, the coarse parts decide. Memory grows with the image's width at most;
    as many bytes as all masks have lie beside the first one while they are written.

    Args:
        parts: Coarse masks in [0, 1] that sum to one, of any size: they are stretched over the image.
        image: A prepared image, grey or colour, 8 or 16 bits. Its alpha is ignored.
        targets: A TIFF for each part.
        unit: As `write_matte` has it.

    Raises:
        InputError: `image` cannot be read, or is damaged.
    """
    source = matte.colours_of(_vips.load(image))
    with _vips.reading(image):
        mattes = matte.fitted(parts, source, unit)
    levels = _levels(_shares(mattes, source))
    with scratch_path(targets[0], "parts") as joined:
        _vips.save_tiff(levels, joined, image, compression="deflate")
        together = _vips.load(joined)
        for band, target in enumerate(targets):
            alone = together.extract_band(band).copy(interpretation="b-w")
            _vips.save_tiff(alone, target, joined, compression="deflate")


def _shares(mattes: Sequence[matting.Matte], colours: _vips.Image) -> _vips.Image:
    """The mattes at full size, a band each, with a trace of the coarse parts: their sum is above 0."""

    def full(planes: Iterable[ndarray]) -> _vips.Image:
        grid = _vips.from_array(np.stack(list(planes), axis=-1).astype(np.float32))
        return resampled(grid, _vips.size(colours), "linear")

    value = full(one.offset for one in mattes)
    for band in range(3):
        value += full(one.slope[..., band] for one in mattes) * colours.extract_band(band)
    prior = full(one.prior for one in mattes)
    return (1 + _TRACE) * prior + full(one.doubt for one in mattes) * (clipped(value) - prior)


def _levels(shares: _vips.Image) -> _vips.Image:
    """Shares as integers whose sum is 255: rounded where each ends when they are laid end to end."""
    ends = shares.recomb(np.tri(shares.bands).tolist())
    relative = (255 * ends / ends.extract_band(shares.bands - 1)).rint()
    steps = np.eye(shares.bands) - np.eye(shares.bands, k=-1)
    return relative.recomb(steps.tolist()).cast("uchar")
