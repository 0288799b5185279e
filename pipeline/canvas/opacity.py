"""Images with opacity, as they look on white paper."""

from __future__ import annotations

from pipeline.canvas import _vips
from pipeline.canvas.transform import clipped


def on_white(image: _vips.Image) -> _vips.Image:
    """The image's colours limited to [0, 1], with white where it has no opacity: as it is printed.

    Limiting comes first, so that what is averaged afterwards are the colours of the print.

    Args:
        image: In float, one band of grey or three of colours, and one more where there is opacity.
    """
    image = clipped(image)
    colour_bands = 3 if image.bands > 2 else 1
    if image.bands == colour_bands:
        return image
    return laid_on_white(image.extract_band(0, n=colour_bands), image.extract_band(colour_bands))


def laid_on_white(colours: _vips.Image, opacity: _vips.Image) -> _vips.Image:
    """Colours in [0, 1], with white where a band in [0, 1] has no opacity."""
    return colours * opacity + (1.0 - opacity)
