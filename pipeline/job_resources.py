"""What a collection's jobs ask of a scheduler: memory, time, disk, devices and threads. Torch-free.

Images are as large as the plans say; a raster stage's memory does not depend on that, for it streams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from pipeline.budget import FORWARD_S_PER_MEGAPIXEL, PROCESS_MIB
from pipeline.collection import Collection
from pipeline.config.sections import NETWORKS
from pipeline.disk import (
    ASSEMBLED,
    COMBINED,
    GUIDE,
    MASK,
    PREPARED,
    RENDERED,
    SIZED,
    TILES,
    assembled_per_px,
    combining_per_px,
    file_mib,
    print_mib,
    rendering_mib,
)
from pipeline.formats import EXTENSIONS
from pipeline.geometry import Size
from pipeline.level_plans import BudgetedPlan
from pipeline.machine import has_cuda_device

_COPY_MIB = 256
# On a cluster two processes of Snakemake's stand around a command, of 160 MiB each as measured.
_AROUND_MIB = 400
_IMAGE_STAGE_MIB = 1024
_NETWORK_STAGE_MIB = 2560
# Of one artwork in the report; 0.2 was measured.
_REPORTED_MIB = 0.5
# vit_b was measured (4.8 GiB); of the others, what their larger weights and attention add to it.
_SAM_STAGE_MIB = {
    None: _NETWORK_STAGE_MIB,
    "vit_t": _NETWORK_STAGE_MIB,
    "vit_b": 5632,
    "vit_l": 9216,
    "vit_h": 13312,
}

# Six float32 planes of a part's matte, and what fitting it takes.
_PART_MIB = 64

# Measured: 14 to 24 for each pixel of a row of tiles.
_DEEPZOOM_BYTES_PER_PX = 24
# At most: the matrices of five layers, of 512 channels each.
_TARGETS_DISK_MIB = 64
_START_MIN = 10
# A gigapixel is read, changed and written in a minute; shared disks are slower, histograms read twice.
_RASTER_S_PER_MEGAPIXEL = 1.0
# The largest network on a slow processor, beside what the image's size adds.
_SEGMENT_MIN = 30
_MORE_PER_ATTEMPT = 0.5
_TRAINED_TO = ("relu4_3",)
# Values per pixel that a transformation network keeps for its backward pass.
_OWN_VALUES = {"narrow": 200, "wide": 400}
_PHOTOGRAPHS_MIB = 1024
_TRAINING_DISK_MIB = 64
# The picture of a validation: eight crops at most, and what was made of them, of three bytes.
_SHOWN_BYTES_PER_PX = 48
_STYLE_BYTES_PER_PX = 12
_STYLE_COPIES = 2
_TRAINING_S_PER_MEGAPIXEL = 40.0
# No GPU was measured. A level is given two seconds for each megapixel and iteration: two hundred times what
# the design aims at on the fastest (100 megapixel-iterations a second), and nearly twice what its 2.3 TFLOP
# take at 2 TFLOP/s, which small GPUs reach in float32.
_PROCESSORS_PER_GPU = 20


@final
@dataclass(frozen=True, slots=True)
class Need:
    """What one job asks for.

    Attributes:
        mib: Memory of its command, at its first attempt.
        minutes: Time, at its first attempt.
        disk_mib: Files that it makes, those included that it deletes again.
        gpus: Devices.
        threads: Of the processor.
    """

    mib: int
    minutes: int
    disk_mib: int
    gpus: int = 0
    threads: int = 1

    def memory_mib(self, attempt: int) -> int:
        """Memory of command and surroundings at an attempt, from 1: half of the first's more each time."""
        return _grown(self.mib + _AROUND_MIB, attempt)

    def runtime_min(self, attempt: int) -> int:
        """Time at an attempt, from 1: half of the first one's more each time."""
        return _grown(self.minutes, attempt)


@final
@dataclass(frozen=True, slots=True)
class JobResources:
    """What a collection's jobs need.

    Attributes:
        collection: Its artworks' plans.
    """

    collection: Collection

    def prepare(self, key: str) -> Need:
        """Of decoding a user's image."""
        return _raster(self.collection.sizes[key], PREPARED)

    def crop(self, key: str) -> Need:
        """Of cutting a print's part out of a content image."""
        return _raster(self.collection.sizes[key], PREPARED)

    def crop_mask(self, key: str) -> Need:
        """Of cutting the same part out of a mask."""
        mask = self.collection.mask_crops[key]
        return _raster(Size(mask.height, mask.width), COMBINED)

    def segment(self, key: str) -> Need:
        """Of finding a mask: its networks see images of about 1024 px, its matte the whole image."""
        mask = self.collection.masks[key]
        matte = _raster(self.collection.sizes[mask.prepared], MASK)
        minutes = matte.minutes + _SEGMENT_MIN
        return Need(_SAM_STAGE_MIB[mask.settings.sam], minutes, matte.disk_mib, threads=self._threads)

    def partition(self, key: str) -> Need:
        """Of cutting an image into parts, which lie in one file before they have one each."""
        cut = self.collection.partitions[key]
        mattes = _raster(self.collection.sizes[cut.prepared], 2 * MASK * cut.parts, passes=cut.parts)
        mib = _SAM_STAGE_MIB[cut.sam] + cut.parts * _PART_MIB
        return Need(mib, mattes.minutes + _SEGMENT_MIN, mattes.disk_mib, threads=self._threads)

    def combine(self, key: str) -> Need:
        """Of making a mask from others."""
        mask = self.collection.combinations[key]
        return _raster(Size(mask.height, mask.width), COMBINED + combining_per_px(mask))

    def recolour(self, key: str) -> Need:
        """Of an image at a level's size and colours."""
        image = self.collection.images[key]
        bytes_per_px = RENDERED if image.recolourings else SIZED
        return _raster(Size(image.height, image.width), bytes_per_px, passes=1 + len(image.recolourings))

    def guide(self, artwork: str, level: str | int) -> Need:
        """Of a level's guidance channels."""
        channels = self.collection.plans[artwork].settings.guidance_channels
        return _raster(self.collection.level(artwork, level).size, GUIDE * channels, passes=channels)

    def targets(self, key: str) -> Need:
        """Of style statistics: the network sees tiles, whatever the image's size."""
        image = self.collection.targets[key].image
        known = self.collection.mixes.get(image) or self.collection.images[image]
        megapixels = known.height * known.width / 1e6
        minutes = _START_MIN + math.ceil(2 * FORWARD_S_PER_MEGAPIXEL * megapixels / 60)
        return Need(_NETWORK_STAGE_MIB, minutes, _TARGETS_DISK_MIB, self._gpus(1))

    def target_gpus(self, *, local: bool) -> int:
        """Devices of style statistics: none on a machine without, where small jobs then run side by side.

        Args:
            local: Whether jobs run on this machine.
        """
        return 0 if local and not has_cuda_device() else self._gpus(1)

    def mix(self, key: str) -> Need:
        """Of a mixture."""
        return self._optimised(self.collection.mixes[key])

    def level(self, artwork: str, level: str | int) -> Need:
        """Of rendering a level."""
        return self._optimised(self.collection.level(artwork, level))

    def upsample(self, artwork: str, level: str | int) -> Need:
        """Of enlarging a level to this one."""
        return _raster(self.collection.level(artwork, level).size, RENDERED)

    def print(self, artwork: str, extension: str) -> Need:
        """Of writing a print: some formats' writers hold all of it."""
        plan = self.collection.plans[artwork]
        assert plan.print is not None
        sheet = plan.print.layout.sheet.size
        held_mib = EXTENSIONS[extension].held_bytes_per_px * sheet.area // 2**20
        once = _raster(sheet, 0, passes=2)
        return Need(once.mib + held_mib, once.minutes, print_mib(plan))

    def train(self, key: str) -> Need:
        """Of a network's training: a batch through both networks, styles, photographs.

        Twice what devices take. One that is ended for want of time goes on at the next attempt.
        """
        settings = self.collection.networks[key].settings
        layers = NETWORKS[settings.network].up_to(_TRAINED_TO)
        values = 3 * sum(layer.channels / layer.stride_px**2 for layer in layers)
        held = 4 * settings.batch * settings.size_px**2 * (values + _OWN_VALUES[settings.architecture])
        # All of them are held while the first is measured, which takes a copy in luma and one of whole tiles.
        styles = _STYLE_BYTES_PER_PX * settings.style_px**2 * (len(settings.styles) + _STYLE_COPIES)
        mib = math.ceil(PROCESS_MIB + _PHOTOGRAPHS_MIB + (held + styles) / 2**20)
        megapixels = settings.iterations * settings.batch * settings.size_px**2 / 1e6
        minutes = self._minutes(_START_MIN + round(2 * megapixels * _TRAINING_S_PER_MEGAPIXEL / 60))
        validations = math.ceil(settings.iterations / settings.validate_every)
        pictures_mib = math.ceil(validations * _SHOWN_BYTES_PER_PX * settings.size_px**2 / 2**20)
        # They lie with the state as well, until it is finished.
        disk_mib = _TRAINING_DISK_MIB + 2 * pictures_mib
        return Need(mib, minutes, disk_mib, self._gpus(1), self._threads)

    def export_network(self) -> Need:
        """Of a network's file to be handed on, and its training's page."""
        return Need(_IMAGE_STAGE_MIB, _START_MIN, _TRAINING_DISK_MIB)

    def apply(self, artwork: str) -> Need:
        """Of painting an artwork's level with a trained network."""
        painting = self.collection.plans[artwork].painting
        if painting is None:
            raise KeyError(f"no network paints {artwork}")
        size = self.collection.level(artwork, painting.level_px).size
        disk_mib = painting.disk_mib + file_mib(size, RENDERED)
        minutes = self._minutes(painting.runtime_min, size)
        return Need(painting.memory_mib, minutes, disk_mib, self._gpus(1), self._threads)

    def panels(self, artwork: str) -> Need:
        """Of writing panels, one after the other: what the largest of their formats holds of a print."""
        forms = self.collection.plans[artwork].settings.print.forms
        return max((self.print(artwork, form.extension) for form in forms), key=lambda need: need.mib)

    def deepzoom(self, artwork: str) -> Need:
        """Of a deep-zoom image: rows of tiles of all its levels are held, and what is read meanwhile."""
        plan = self.collection.plans[artwork]
        top = plan.levels[-1].size
        held_mib = top.width * plan.settings.deepzoom.tile_px * _DEEPZOOM_BYTES_PER_PX // 2**20
        once = _raster(top, TILES)
        return Need(once.mib + held_mib, once.minutes, once.disk_mib)

    def assemble(self, artwork: str) -> Need:
        """Of the assembled image."""
        plan = self.collection.plans[artwork]
        return _raster(plan.levels[-1].size, assembled_per_px(plan), passes=2)

    def finish(self, artwork: str) -> Need:
        """Of what is made of the assembled image as a whole: the proof, the preview."""
        top = self.collection.plans[artwork].levels[-1]
        return _raster(top.size, ASSEMBLED, passes=2)

    def assess(self, artwork: str) -> Need:
        """Of measuring quality: the network sees tiles; the image is shrunk to each level's size in turn."""
        plan = self.collection.plans[artwork]
        once = _raster(plan.levels[-1].size, RENDERED, passes=1 + len(plan.levels))
        minutes = once.minutes + len(plan.levels) * max(1, len(plan.targets))
        return Need(_NETWORK_STAGE_MIB, minutes, once.disk_mib, self._gpus(1), self._threads)

    def record(self) -> Need:
        """Of an artwork's record, which hashes its inputs and weights."""
        return Need(_IMAGE_STAGE_MIB, _START_MIN, 1)

    def deliver(self, file: str) -> Need:
        """Of copying a finished file to storage; a copy of it lies here meanwhile."""
        artwork = file.partition("/")[0]
        if artwork not in self.collection.plans:
            return Need(_COPY_MIB, _START_MIN, self.report().disk_mib)
        return Need(_COPY_MIB, _START_MIN, print_mib(self.collection.plans[artwork]))

    def report(self) -> Need:
        """Of the report, which grows with the collection."""
        artworks = len(self.collection.plans)
        mib = _IMAGE_STAGE_MIB + math.ceil(_REPORTED_MIB * artworks)
        return Need(mib, _START_MIN + artworks // 60, artworks + 1)

    def _optimised(self, plan: BudgetedPlan) -> Need:
        gpus, threads = self._gpus(plan.processes), plan.processes * self._threads
        minutes = self._minutes(plan.runtime_min, plan.size)
        return Need(plan.memory_mib, minutes, rendering_mib(plan), gpus, threads)

    def _minutes(self, processor_min: int, size: Size | None = None) -> int:
        """Time of a job that takes so long on a processor, at the pace of the device that it asks for.

        Args:
            processor_min: Its start included.
            size: Of the image that it reads and writes, which no GPU makes quicker.
        """
        if self._gpus(1) == 0:
            return processor_min
        computing_min = math.ceil((processor_min - _START_MIN) / _PROCESSORS_PER_GPU)
        return computing_min + (_START_MIN if size is None else _raster(size, RENDERED).minutes)

    def _gpus(self, processes: int) -> int:
        """Devices that a device job holds: none when the configuration says `cpu`."""
        return 0 if self.collection.config.compute.device == "cpu" else processes

    @property
    def _threads(self) -> int:
        return self.collection.config.compute.threads


def _raster(size: Size, bytes_per_px: int, passes: int = 1) -> Need:
    """Of a raster stage, whose memory does not depend on the image's size: it streams."""
    seconds = passes * _RASTER_S_PER_MEGAPIXEL * size.area / 1e6
    return Need(_IMAGE_STAGE_MIB, _START_MIN + math.ceil(seconds / 60), file_mib(size, bytes_per_px))


def _grown(first: int, attempt: int) -> int:
    return math.ceil(first * (1 + _MORE_PER_ATTEMPT * (attempt - 1)))
