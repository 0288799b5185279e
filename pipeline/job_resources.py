"""What a collection's jobs ask of a scheduler: memory and devices, from the plans. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from pipeline.collection import Collection
from pipeline.formats import EXTENSIONS
from pipeline.machine import has_cuda_device

_IMAGE_STAGE_MIB = 1024
_NETWORK_STAGE_MIB = 2560
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


@final
@dataclass(frozen=True, slots=True)
class JobResources:
    """Memory and devices of a collection's jobs.

    Attributes:
        collection: Its artworks' plans.
    """

    collection: Collection

    @property
    def gpus(self) -> int:
        """Devices that one device job holds: none when the configuration says `cpu`."""
        return 0 if self.collection.config.compute.device == "cpu" else 1

    def target_gpus(self, *, local: bool) -> int:
        """Devices of style statistics: none on a machine without, where small jobs then run side by side.

        Args:
            local: Whether jobs run on this machine.
        """
        return 0 if local and not has_cuda_device() else self.gpus

    def image_memory_mib(self) -> int:
        """Memory of a raster stage, whatever the image's size: it streams."""
        return _IMAGE_STAGE_MIB

    def print_memory_mib(self, artwork: str, extension: str) -> int:
        """Memory of writing a print: that of a raster stage, and what the format's writer holds of it."""
        held = EXTENSIONS[extension].held_bytes_per_px * self.collection.plans[artwork].levels[-1].size.area
        return _IMAGE_STAGE_MIB + held // 2**20

    def segment_memory_mib(self, key: str) -> int:
        """Memory of finding this mask: that of its networks, which see images of about 1024 px."""
        return _SAM_STAGE_MIB[self.collection.masks[key].settings.sam]

    def partition_memory_mib(self, key: str) -> int:
        """Memory of cutting this image into parts: that of the network, and the parts at about 1024 px."""
        cut = self.collection.partitions[key]
        return _SAM_STAGE_MIB[cut.sam] + cut.parts * _PART_MIB

    def target_memory_mib(self) -> int:
        """Memory of style statistics, whatever the image's size: the network sees tiles."""
        return _NETWORK_STAGE_MIB
