"""A trained network on files: an image and its guidance channels in, painted rows and a record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import canvas, provenance
from pipeline.errors import InputError
from pipeline.feedforward.deviation import Deviation, compare, sample_boxes
from pipeline.feedforward.models import TrainedNetwork
from pipeline.feedforward.network import as_luma
from pipeline.feedforward.record import ApplicationRecord, DeviationRecord, Moments
from pipeline.feedforward.streaming import StreamedApplication
from pipeline.files import scratch_path
from pipeline.geometry import Box, Size
from pipeline.machine import Machine
from pipeline.rasters import Raster
from pipeline.transformations import STRIDE_PX, held_bytes, tile_for
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace, Workspace

_SAMPLE_PX = 128
_SAMPLES_ACROSS = 3
_SAFETY = 2.0
_NOTHING, _NOTEWORTHY = 0.002, 0.005
_MIB = 2**20


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """What a network is applied to.

    Attributes:
        image: Colours in sRGB, in a file that a stage wrote.
        guides: One band per region, of the image's size; None for a network of one region.
        channels: The place of each band's style among the network's; several bands may have one style. None:
            they are the network's regions in its order.
    """

    image: Path
    guides: Path | None
    channels: tuple[int, ...] | None = None


@final
class FileRaster:
    """A file's pixels as they are, read by boxes.

    Args:
        path: A file that a stage wrote.
        bands: How many of its first bands are read.
        luma: Whether colours are replaced by their Rec.601 luma in three equal channels.
    """

    def __init__(self, path: Path, bands: int, *, luma: bool = False) -> None:
        self.size = canvas.size_of(path)
        self._path = path
        self._bands = bands
        self._luma = luma

    def read(self, box: Box) -> Float[Tensor, "bands height width"]:
        """The values inside `box`."""
        pixels = torch.from_numpy(canvas.read(self._path, box)[..., : self._bands]).permute(2, 0, 1)
        return as_luma(pixels) if self._luma else pixels


@final
class GuideRaster:
    """Guidance channels of a network, each the sum of the bands of a file that have its style, 1 at most.

    Args:
        path: A file that a stage wrote.
        channels: The channel of each band.
        count: How many channels there are.
    """

    def __init__(self, path: Path, channels: Sequence[int], count: int) -> None:
        self.size = canvas.size_of(path)
        self._bands = FileRaster(path, len(channels))
        self._channels = torch.tensor(channels)
        self._count = count

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        bands = self._bands.read(box)
        return (
            bands.new_zeros(self._count, *bands.shape[1:]).index_add_(0, self._channels, bands).clamp(max=1)
        )


def paint(
    trained: TrainedNetwork,
    picture: Picture,
    output: Path,
    *,
    moments: Moments,
    thumbnail_px: int,
    memory_budget_mib: int,
    machine: Machine,
    layers_folder: Path,
    show: Callable[[int, int], None] = lambda *_: None,
) -> ApplicationRecord:
    """Paints a picture of any size into a tiled float TIFF, in memory that depends on the budget alone.

    A network of luminance is shown the image's luma, and what it gives is luma.

    Args:
        trained: The network.
        picture: What it is applied to.
        output: The painted image, nominally sRGB in [0, 1], never clipped.
        moments: `exact`, or `thumbnail` for those of a small copy, which spares all passes but the last.
        thumbnail_px: The square root of the thumbnail's area; an image no larger is painted with its own.
        memory_budget_mib: What tiles and held layers may take.
        machine: Device and precision.
        layers_folder: Where layers are held that do not fit; the caller deletes it.
        show: Told how many steps are done, and of how many.

    Raises:
        InputError: A file cannot be read, has other bands or another size than the network needs, or values
            that are not finite.
        ResourceError: The disk is full.
    """
    started = time.monotonic()
    network, luma = trained.network, trained.card.colour == "luminance"
    _check(trained, picture)
    image = FileRaster(picture.image, 3, luma=luma)
    tile_px = tile_for(network.layers, memory_budget_mib)

    def applied(picture: Picture) -> StreamedApplication:
        image, guides = FileRaster(picture.image, 3, luma=luma), _guide_raster(picture, network.guides)
        return StreamedApplication(network, image, guides, tile_px=tile_px, dtype=machine.dtype)

    def settle(streamed: StreamedApplication, size: Size, show: Callable[[int], None]) -> Workspace:
        workspace = _workspace(trained, size, memory_budget_mib, machine, layers_folder)
        streamed.settle(workspace, show)
        return workspace

    def settle_by(thumbnail: Size) -> Workspace:
        """Takes a small copy's moments over; what it held goes with it."""
        with ExitStack() as scratch:
            small = applied(_thumbnail(picture, thumbnail, output, scratch))
            workspace = settle(small, thumbnail, lambda _: None)
        streamed.moments.update(small.moments)
        workspace.keep(())
        return workspace

    streamed = applied(picture)
    thumbnail = image.size.of_area(thumbnail_px)
    own = thumbnail_px**2 >= image.size.area or _is_too_thin(trained, thumbnail)
    used: Moments = "exact" if own else moments
    deviation, to_settle = None, streamed.tiles_to_settle if used == "exact" else 0
    total = to_settle + len(streamed.boxes)
    if used == "exact":
        workspace = settle(streamed, image.size, lambda done: show(done, total))
    else:
        workspace = settle_by(thumbnail)
        boxes = sample_boxes(image.size, _SAMPLE_PX, _SAMPLES_ACROSS)
        reference = applied(picture)
        reference.sample(boxes)
        deviation = _told(compare(streamed, reference, boxes), boxes)
    if not all(bool(found.mean.isfinite().all()) for found in streamed.moments.values()):
        raise InputError(
            "the image", expected="finite colours, for a network of finite weights", found="NaN or infinity"
        )
    painted = _painted(streamed, lambda done: show(to_settle + done, total))
    canvas.write_boxes(output, image.size, 3, painted)
    seconds = time.monotonic() - started
    return ApplicationRecord(
        height_px=image.size.height,
        width_px=image.size.width,
        moments=used,
        deviation=deviation,
        tile_px=tile_px,
        row_borders=streamed.row_borders,
        column_borders=streamed.column_borders,
        store="files" if isinstance(workspace, FolderWorkspace) else "memory",
        seconds=seconds,
        megapixels_per_s=image.size.area / 1e6 / seconds,
        peak_memory_mib=provenance.peak_memory_mib(),
        precision=machine.precision,
        device=provenance.device_facts(str(machine.device)),
        versions=provenance.versions(),
    )


def _is_too_thin(trained: TrainedNetwork, size: Size) -> bool:
    """Whether the network reflects a layer of such an image that has nothing to be reflected."""
    return trained.network.architecture.reflected and min(size.height, size.width) <= STRIDE_PX


def _check(trained: TrainedNetwork, picture: Picture) -> None:
    """Raises an InputError unless the picture has what the network reads."""
    names, guides = trained.card.names, trained.network.guides
    if (picture.guides is not None) != bool(guides):
        raise InputError(
            "the guidance channels",
            expected=f"one for each of {', '.join(names)}" if guides else "none, for a network of one region",
            found="some" if picture.guides else "none",
        )
    if canvas.bands_of(picture.image) < 3:
        raise InputError(picture.image, expected="an image of 3 bands", found="fewer")
    size = canvas.size_of(picture.image)
    if _is_too_thin(trained, size):
        raise InputError(
            "the image",
            expected=f"more than {STRIDE_PX} px a side, for a network that reflects its borders",
            found=f"{size} px (height x width)",
        )
    if picture.guides is None:
        return
    found, wanted = canvas.bands_of(picture.guides), picture.channels or range(guides)
    if found != len(wanted):
        named = [names[index] for index in wanted]
        raise InputError(
            picture.guides, expected=f"a band for each of {', '.join(named)}", found=f"{found} bands"
        )
    guided = canvas.size_of(picture.guides)
    if guided != size:
        raise InputError(
            picture.guides, expected=f"{size} px (height x width) as the image", found=f"{guided} px"
        )


def _workspace(
    trained: TrainedNetwork, size: Size, budget_mib: int, machine: Machine, folder: Path
) -> Workspace:
    """Memory where what is held takes half the budget at most, else files."""
    held = held_bytes(trained.network.layers, size, machine.dtype.itemsize)
    if held <= budget_mib * _MIB / 2:
        return MemoryWorkspace(machine.device)
    return FolderWorkspace(folder, machine.device, unnamed=True)


def _guide_raster(picture: Picture, guides: int) -> Raster | None:
    if picture.guides is None:
        return None
    return GuideRaster(picture.guides, picture.channels or range(guides), guides)


def coverage_warnings(trained: TrainedNetwork, picture: Picture) -> tuple[str, ...]:
    """What a network will make of regions that are not as in its training: a sentence for each kind.

    Raises:
        InputError: The picture does not have what the network reads.
    """
    _check(trained, picture)
    names = trained.card.names
    if picture.guides is None:
        return ()
    shares = dict.fromkeys(names, 0.0)
    for index, mean in zip(
        picture.channels or range(len(names)), canvas.band_means(picture.guides), strict=True
    ):
        shares[names[index]] += mean
    found = [
        f"nothing of the image is to have the style {name}: the network sees only where regions differ, and "
        "may mix the others' styles"
        for name, share in shares.items()
        if share < _NOTHING
    ]
    total = sum(shares.values())
    if abs(total - 1) > _NOTEWORTHY:
        found.append(
            f"the regions cover {total:.1%} of the image: the network was trained where they cover it once"
        )
    return tuple(found)


def _thumbnail(picture: Picture, size: Size, output: Path, scratch: ExitStack) -> Picture:
    image = scratch.enter_context(scratch_path(output, "thumbnail"))
    canvas.resize(picture.image, image, size)
    if picture.guides is None:
        return Picture(image, None)
    shrunk = scratch.enter_context(scratch_path(output, "thumbnail-guides"))
    canvas.resize(picture.guides, shrunk, size, "linear", canvas.bands_of(picture.guides))
    return Picture(image, shrunk, picture.channels)


def _told(found: Deviation, boxes: Sequence[Box]) -> DeviationRecord:
    return DeviationRecord(
        rms=found.rms,
        largest=found.largest,
        bound=_SAFETY * found.rms,
        sampled_px=sum(box.size.area for box in boxes),
    )


def _painted(
    streamed: StreamedApplication, show: Callable[[int], None]
) -> Iterator[tuple[Box, Float[np.ndarray, "height width 3"]]]:
    for done, (box, values) in enumerate(streamed.painted_boxes(), start=1):
        pixels = values.permute(1, 2, 0).cpu().numpy()
        # Before it is handed over: who takes the last box asks for no other.
        show(done)
        yield box, pixels
