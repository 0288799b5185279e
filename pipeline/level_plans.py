"""What is made at one level, as values: what is optimised, mixed from two styles, or painted by a network."""

from __future__ import annotations

from typing import Literal, Self, final

from pipeline.config.masks import ContentMask
from pipeline.config.models import Compute
from pipeline.config.sections import Model, Network, Optimiser
from pipeline.geometry import Size
from pipeline.shared_plans import Area


class BudgetedPlan(Model):
    """Abstract: an image that is optimised, how it is cut, and what its job asks for.

    Attributes:
        height: Of its files, in pixels.
        width: Of its files, in pixels.
        iterations: Of the optimiser.
        network: The network with the layers in use.
        tile_core_px: Side of a tile's core, or None when the whole image fits.
        halo_px: Pixels around a core that are computed but not owned.
        keep_tiles: How many tiles keep their activations from one pass to the next.
        store: Where the optimiser's vectors are: in the device's memory, in the host's, or in files.
        device_mib: What each computing device holds.
        memory_mib: What the job will use, its processes themselves included.
        disk_mib: Files that the job makes and deletes again.
        runtime_min: What the job asks of a scheduler on a processor; on a GPU it asks for less.
        processes: How many share the image, each with a device and a strip of its own.
    """

    height: int
    width: int
    iterations: int
    network: Network
    tile_core_px: int | None
    halo_px: int
    keep_tiles: int
    store: Literal["memory", "host", "files"]
    device_mib: int
    memory_mib: int
    disk_mib: int
    runtime_min: int
    processes: int

    @property
    def size(self) -> Size:
        """Height and width of its files."""
        return Size(self.height, self.width)

    def without_costs(self) -> Self:
        """The same without what the job asks for, which its pixels do not depend on."""
        return self.model_copy(update={"device_mib": 0, "memory_mib": 0, "disk_mib": 0, "runtime_min": 0})


@final
class MixPlan(BudgetedPlan):
    """A style image mixed from a coarse and a fine one at one level: `results/shared/mixed/{key}.tif`.

    Attributes:
        start: Key of the coarse image at this level, for the lowest; else of the mixture one level below.
        lowest: Which of the two `start` is.
        fine: Key of the image whose fine structure is taken, at its size for this level.
        up_to_layer: The deepest layer whose Gram matrix is taken from the fine image; the network's style
            layers are those that are taken.
        optimiser: The optimiser.
        compute: Device, precision and threads.
    """

    start: str
    lowest: bool
    fine: str
    up_to_layer: str
    optimiser: Optimiser
    compute: Compute


@final
class WeightedTarget(Model):
    """One style of a region: the key of its statistics, and its share."""

    target: str
    weight: float


@final
class RegionPlan(Model):
    """One region of a level and its styles.

    Attributes:
        label: Its name.
        where: As the configuration has it.
        weight: Of its style loss.
        content_weight: alpha inside it, or None for the level's.
        targets: Its styles, each the part of its image that counts.
        whole: Its styles' whole images, and what each weighs in the whole image's Gram matrix; none where the
            guidance has no such matrix.
    """

    label: str
    where: ContentMask
    weight: float
    content_weight: float | None
    targets: tuple[WeightedTarget, ...]
    whole: tuple[WeightedTarget, ...]


@final
class LevelPlan(BudgetedPlan):
    """One level: everything that stylise or refine needs beside files.

    Attributes:
        level_px: Its name.
        content_weight: alpha at this level.
        style_weight: beta at this level.
        tv_weight: Of total variation.
        content: Key of the content image.
        regions: The regions and their styles.
    """

    level_px: int
    content_weight: float
    style_weight: float
    tv_weight: float
    content: str
    regions: tuple[RegionPlan, ...]

    @property
    def whole(self) -> tuple[WeightedTarget, ...]:
        """The styles of the whole image's Gram matrix, where the guidance has one."""
        return tuple(target for region in self.regions for target in region.whole)

    @property
    def targets(self) -> tuple[str, ...]:
        """The keys of all style statistics that the level needs, without repeats."""
        weighted = [*self.whole, *(target for region in self.regions for target in region.targets)]
        return tuple(dict.fromkeys(target.target for target in weighted))


@final
class PaintingPlan(Model):
    """What a trained network makes of a level's content: the result, or what the level starts from.

    Attributes:
        network: Key of the network.
        level_px: The level.
        content: Key of the content image, in colours.
        luma: Where luma alone is kept of what it paints: everywhere when empty, nowhere when None.
        channels: The network's style of each region, in the regions' order; none where it knows one alone.
        styles: Key of the prepared style image of each region.
        moments: Where the normalisations' means and variances come from.
        compute: Device, precision and threads.
        budget_mib: What tiles and held layers may take.
        store: Where layers are held.
        memory_mib: What the job will use, the process itself included.
        disk_mib: Files that the job makes and deletes again.
        runtime_min: What the job asks of a scheduler on a processor; on a GPU it asks for less.
    """

    network: str
    level_px: int
    content: str
    luma: tuple[Area, ...] | None
    channels: tuple[str, ...]
    styles: tuple[str, ...]
    moments: Literal["exact", "thumbnail"]
    compute: Compute
    budget_mib: int
    store: Literal["memory", "files"]
    memory_mib: int
    disk_mib: int
    runtime_min: int
