"""Several images into one: guidance channels from masks, a result with its alpha; and back into pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.canvas import _vips, masks
from pipeline.canvas.transform import resampled
from pipeline.errors import InputError
from pipeline.files import atomic_path
from pipeline.geometry import Size


def compose_guides(regions: Sequence[tuple[Path, bool]], target: Path, size: Size) -> None:
    """Writes a level's guidance channels: one 16-bit band per mask, soft at the edges, within [0, 1].

    Args:
        regions: Mask files of any size, each with whether it is taken inverted, as `Mask` has them.
        target: A tiled TIFF.
        size: The level's height and width.

    Raises:
        InputError: A mask cannot be read, or holds numbers that are not finite or not between 0 and 1.
    """
    channels = [masks.channel(path, inverted, size) for path, inverted in regions]
    first, *others = channels
    joined = first.bandjoin(others) if others else first
    _vips.save_tiff(
        _vips.as_levels(joined, 16), target, *(path for path, _ in regions), compression="deflate"
    )


def band_means(path: Path) -> list[float]:
    """The mean of each band on the [0, 1] scale: of guidance channels, the share each region covers."""
    image = _vips.as_unit_float(_vips.load(path))
    with _vips.reading(path):
        # One pass over all bands. Its first row is of them together; the fifth of its columns is the mean.
        rows = image.stats().numpy()[1:]
    return [float(row[4]) for row in rows]


def add_alpha(image: Path, content: Path, target: Path) -> None:
    """Writes `image` with the alpha of `content`, if it has any, resampled to its size as a fourth band.

    Raises:
        InputError: A file cannot be read.
    """
    colours = _vips.as_unit_float(_vips.load(image)).extract_band(0, n=3)
    prepared = _vips.load(content)
    if prepared.bands > 3:
        alpha = _vips.as_unit_float(prepared.extract_band(3))
        colours = colours.bandjoin(resampled(alpha, _vips.size(colours), "linear"))
    _vips.save_tiff(colours, target, image, content)


def export_masks(guides: Path, targets: Sequence[Path], max_side_px: int) -> None:
    """Writes each guidance channel as an 8-bit grey PNG whose longer side is at most `max_side_px`.

    Raises:
        InputError: `guides` cannot be read, or has not as many bands as there are targets.
    """
    image = _vips.as_unit_float(_vips.load(guides))
    if image.bands != len(targets):
        raise InputError(guides, expected=f"{len(targets)} guidance channels", found=f"{image.bands}")
    scale = min(1.0, max_side_px / max(image.width, image.height))
    size = Size(max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    with _vips.reading(guides):
        # In memory: the file holds all bands of a pixel together, and would be decoded for each picture.
        pictures = _vips.as_levels(resampled(image, size, "linear"), 8).copy_memory()
    for band, target in enumerate(targets):
        with atomic_path(target) as partial, _vips.reading(guides):
            pictures.extract_band(band).copy(interpretation="b-w").pngsave(str(partial))
