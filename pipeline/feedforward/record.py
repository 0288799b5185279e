"""What painting with a network leaves behind beside its image: cost, device, the network. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, final

from pipeline import record_files
from pipeline.config.sections import Model
from pipeline.provenance import LevelRecord

Moments = Literal["exact", "thumbnail"]


@final
class DeviationRecord(Model):
    """How far a result with a thumbnail's moments is from one with the image's own, in grey levels of 255.

    Measured on sampled squares of the image, against the moments of what lies under all of them.

    Attributes:
        rms: The root of the mean square difference there.
        largest: The largest difference there.
        bound: Twice `rms`: what the whole image's may be expected to stay below. An estimate, no proof.
        sampled_px: How many pixels were sampled.
    """

    rms: float
    largest: float
    bound: float
    sampled_px: int


@final
class ApplicationRecord(Model):
    """How a painted image came about.

    Attributes:
        height_px: Of the image.
        width_px: Of the image.
        moments: Where the normalisations' means and variances come from: the image, or a thumbnail of it.
        deviation: What the thumbnail changes; None for exact moments.
        tile_px: Side of the tiles.
        row_borders: Rows at which the painting goes on in another piece, or by another tile of what was held,
            from the top.
        column_borders: Columns at which it does, from the left.
        store: Where layers were held.
        seconds: All told.
        megapixels_per_s: Pixels of the image over that.
        peak_memory_mib: Of the process.
        precision: `bfloat16` or `float32`.
        device: What computed it.
        versions: Of the packages that computed it.
    """

    height_px: int
    width_px: int
    moments: Moments
    deviation: DeviationRecord | None
    tile_px: int
    row_borders: tuple[int, ...]
    column_borders: tuple[int, ...]
    store: Literal["memory", "files"]
    seconds: float
    megapixels_per_s: float
    peak_memory_mib: float
    precision: str
    device: dict[str, Any]
    versions: dict[str, str]


@final
class PaintingRecord(Model):
    """A painted image's record.

    Attributes:
        application: Size, cost, device.
        colour: `painted`, `content` where the content's chroma came back, or `luma` where that alone was
            kept.
        model: The network: the sha256 of its file, and its card.
        warnings: What the user should know, one sentence each.
    """

    application: ApplicationRecord
    colour: Literal["painted", "content", "luma"]
    model: dict[str, Any]
    warnings: tuple[str, ...]

    def as_level(self, level_px: int) -> LevelRecord:
        """The same as the record of a level that took no iterations and has no loss."""
        found = self.application
        return LevelRecord(
            level_px=level_px,
            height_px=found.height_px,
            width_px=found.width_px,
            tile_px=found.tile_px,
            iterations=0,
            passes=0,
            loss_first=None,
            loss_last=None,
            seconds=found.seconds,
            peak_memory_mib=found.peak_memory_mib,
        )


def read_painting(path: Path) -> PaintingRecord:
    """The record in the file at `path`.

    Raises:
        InputError: There is none, or it is no record of this version.
    """
    return record_files.read(path, PaintingRecord, "apply")
