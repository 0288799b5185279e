"""Parts of images and of masks as files of their own, to the pixel; and where the eye goes first."""

from __future__ import annotations

from pathlib import Path

from pipeline.canvas import _vips, masks
from pipeline.canvas.transform import resampled
from pipeline.geometry import Box, Size

_LOOK_PX = 512


def crop(source: Path, target: Path, box: Box) -> None:
    """Writes a part of a prepared image, pixel for pixel, as a prepared image of its own.

    Raises:
        InputError: `source` cannot be read.
        ValueError: The box does not lie inside the image.
    """
    image = _vips.load(source)
    _vips.save_tiff(_part(image, box), target, source, compression="deflate")


def crop_mask(source: Path, target: Path, size: Size, box: Box) -> None:
    """Writes the part of a mask that belongs to a part of its image, as a 16-bit tiled TIFF.

    The mask comes to its image's size first: what is cut out of it is what the whole image would have there.

    Args:
        source: A mask of any size.
        target: The TIFF, of the box's size.
        size: The whole image's.
        box: The part, in its pixels.

    Raises:
        InputError: The mask cannot be read, or holds numbers that are not finite or not between 0 and 1.
        ValueError: The box does not lie inside the image.
    """
    part = _part(masks.channel(source, False, size), box)
    _vips.save_tiff(_vips.as_levels(part, 16), target, source, compression="deflate")


def find_focus(source: Path, size: Size) -> tuple[float, float]:
    """The point that draws the eye, by libvips' `smartcrop`: edges, saturated colours, skin.

    Args:
        source: A prepared image.
        size: Of the part that will be cut out around the point.

    Returns:
        (x, y) as shares of the image's width and height.

    Raises:
        InputError: `source` cannot be read.
    """
    image = _vips.load(source)
    scale = min(1.0, _LOOK_PX / max(image.width, image.height))
    small = Size(max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    colours = _vips.as_unit_float(image.extract_band(0, n=3))
    with _vips.reading(source):
        # In memory: to be looked at several times.
        look = _vips.as_levels(resampled(colours, small, "lanczos3"), 8).copy_memory()
    height = min(small.height, max(1, round(size.height * scale)))
    width = min(small.width, max(1, round(size.width * scale)))
    _, found = look.copy(interpretation="srgb").smartcrop(
        width, height, interesting="attention", attention_x=True, attention_y=True
    )
    return found["attention_x"] / small.width, found["attention_y"] / small.height


def _part(image: _vips.Image, box: Box) -> _vips.Image:
    size = _vips.size(image)
    if not box.lies_within(size):
        raise ValueError(f"{box} does not lie inside an image of {size} px")
    return image.crop(box.left, box.top, box.size.width, box.size.height)
