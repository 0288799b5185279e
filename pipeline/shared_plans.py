"""What artworks can share, as values: images at a level's size, masks, style statistics. Their keys.

A key holds a hash of everything the thing depends on, so that equal work has one name and is done once.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, final

from pipeline.combination import leaves
from pipeline.config.masks import ResolvedMask
from pipeline.config.models import Compute
from pipeline.config.networks import TrainedNetwork
from pipeline.config.sections import Masks, Model, Network
from pipeline.geometry import Size


@final
class Area(Model):
    """A part of an image.

    Attributes:
        mask: Key of an automatic mask, of a partition, of a combination or of a mask's part, or None.
        part: Of a partition, the number of the part.
        file: A mask of the user's, or None.
        inverted: Whether what the mask leaves is meant.
    """

    mask: str | None = None
    part: int | None = None
    file: Path | None = None
    inverted: bool = False

    @property
    def key(self) -> str | None:
        """What names its mask among all masks; None for a file of the user's."""
        return self.mask if self.mask is None or self.part is None else part_key(self.mask, self.part)


@final
class Recolouring(Model):
    """What happens to an image's colours on its way to a level, all over or in one area.

    Attributes:
        mode: `keep`, `linear` (colours of the reference) or `luma` (three equal channels).
        transform: How colours are matched, for `linear`.
        reference: Key of the prepared image whose colours or luma are matched.
        luma_match: For `luma` with a reference.
        area: The part of the image whose statistics count.
        reference_area: The part of the reference whose statistics count.
        everywhere: Whether the colours change outside the area as well.
        measured_everywhere: Whether all of the image counts, though its colours change in the area alone.
    """

    mode: Literal["keep", "linear", "luma"] = "keep"
    transform: Literal["pca", "chol", "sym", "histogram"] | None = None
    reference: str | None = None
    luma_match: Literal["mean", "deviation"] | None = None
    area: Area | None = None
    reference_area: Area | None = None
    everywhere: bool = False
    measured_everywhere: bool = False

    @property
    def areas(self) -> tuple[Area, ...]:
        """Every area that it looks at."""
        return tuple(area for area in (self.area, self.reference_area) if area is not None)


@final
class ImagePlan(Model):
    """A content or style image at one level: `results/shared/images/{key}.tif`.

    Attributes:
        prepared: Key of the prepared image.
        height: Of the file, in pixels.
        width: Of the file, in pixels.
        recolourings: What happens to its colours; several are blended by their areas, none keeps them.
    """

    prepared: str
    height: int
    width: int
    recolourings: tuple[Recolouring, ...]


@final
class CropPlan(Model):
    """The part of a prepared content image that is rendered: `results/shared/cropped/{key}.tif`.

    Attributes:
        prepared: Key of the prepared image.
        height: Of the part, in pixels.
        width: Of the part, in pixels.
        focus: What is as near to its middle as can be, as (x, y) in shares of the image; or to be found.
    """

    prepared: str
    height: int
    width: int
    focus: tuple[float, float] | Literal["smart"]

    @property
    def size(self) -> Size:
        """Height and width of the part."""
        return Size(self.height, self.width)


@final
class MaskCropPlan(Model):
    """The same part of a mask of the user's: `results/shared/masks/cropped/{key}.tif`.

    Attributes:
        file: The mask, of the whole image.
        crop: Key of the part of the image.
        height: Of the part, in pixels of the image.
        width: Of the part, in pixels of the image.
    """

    file: Path
    crop: str
    height: int
    width: int


@final
class MaskPlan(Model):
    """An automatic mask of a content image: `results/shared/masks/{key}.tif`."""

    prepared: str
    settings: Masks


@final
class PartitionPlan(Model):
    """An image cut into parts by segment-anything: `results/shared/masks/parts/{key}/{number}.tif`.

    Attributes:
        prepared: Key of the prepared image.
        parts: How many there are; the last is what the others leave.
        sam: The network.
    """

    prepared: str
    parts: int
    sam: str

    @property
    def weights(self) -> str:
        """The model file that this needs, by name."""
        return f"sam_{self.sam}"


def part_key(partition: str, number: int) -> str:
    """What names a part of a partition among masks."""
    return f"{partition}/{number}"


@final
class CombinationPlan(Model):
    """Masks combined into one: `results/shared/masks/combined/{key}.tif`.

    Attributes:
        height: Of the file, in pixels: that of the image that it is a mask of.
        width: Of the file, in pixels.
        expression: Its leaves are `everything`, mask files, which have a suffix, and keys of automatic masks,
            of parts and of masks' parts, which have none; its lengths are in px.
    """

    height: int
    width: int
    expression: ResolvedMask

    @property
    def leaves(self) -> tuple[str, ...]:
        """Every mask that it is made of, without repeats."""
        return tuple(dict.fromkeys(leaves(self.expression)))


@final
class TargetPlan(Model):
    """The style statistics of an image: `results/shared/targets/{key}.safetensors`.

    Attributes:
        image: Key of the image, or of the mixture.
        mask: The part of it that counts.
        network: The network and its style layers.
        precision: Of the convolutions.
        propagation: How the mask reaches a layer.
        grow_units: By how many units it grows there.
    """

    image: str
    mask: Area | None
    network: Network
    precision: Literal["auto", "bfloat16", "float32"]
    propagation: Literal["simple", "cubic", "all", "inside"]
    grow_units: int


@final
class NetworkPlan(Model):
    """A transformation network: `results/shared/networks/{key}.safetensors`, or a file of the user's.

    Attributes:
        name: As the configuration calls it.
        settings: As the configuration has them.
        compute: Device, precision and threads of its training.
    """

    name: str
    settings: TrainedNetwork
    compute: Compute


def make_key(stem: str, depends_on: Any) -> str:
    """A readable name with a hash of everything the thing depends on: ASCII letters, digits, hyphens."""
    text = json.dumps(depends_on, sort_keys=True)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:60].strip("-") or "image"
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
