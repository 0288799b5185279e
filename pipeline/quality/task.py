"""What is judged, as the workflow says it: an artwork's files, level by level."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pipeline.config.sections import Model


@final
class StyleTask(Model):
    """A style of a region: its image at a level, the part of it that counts, and its share.

    Attributes:
        image: As the level used it.
        mask: `FILE` or `not:FILE`, or None for all of it.
        weight: Relative to the region's other styles.
        area_px: The square root of the area that the image is brought to first; None leaves it as it is.
    """

    image: Path
    mask: str | None
    weight: float
    area_px: int | None = None


@final
class RegionTask(Model):
    """A region of a level: its name and its styles."""

    label: str
    styles: tuple[StyleTask, ...]


@final
class LevelTask(Model):
    """A level.

    Attributes:
        level_px: Its name.
        content: The content image as the level used it.
        result: What it rendered.
        record: What was recorded of that.
        guides: The regions' guidance channels in their order, or None when one style covers everything.
        regions: The regions.
        painted: Whether a trained network painted it, and the record is one of that.
    """

    level_px: int
    content: Path
    result: Path
    record: Path
    guides: Path | None
    regions: tuple[RegionTask, ...]
    painted: bool = False


@final
class Task(Model):
    """An artwork.

    Attributes:
        artwork: Its name.
        content: The prepared content image.
        levels: Lowest first.
    """

    artwork: str
    content: Path
    levels: tuple[LevelTask, ...]
