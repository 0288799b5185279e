"""Where masks lie, and what must be there before one can be read: a function of their plans. No torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline.combination import EVERYTHING, mapped, to_plain
from pipeline.geometry import Size
from pipeline.shared_plans import Area, CombinationPlan, MaskCropPlan, MaskPlan, PartitionPlan


@final
@dataclass(frozen=True, slots=True)
class MaskFiles:
    """The masks of a collection as files.

    Attributes:
        folder: Where all of them lie.
        masks: Automatic masks by key.
        partitions: Images cut into parts by key.
        combinations: Combinations by key.
        crops: Parts of masks of the user's by key.
    """

    folder: str
    masks: Mapping[str, MaskPlan]
    partitions: Mapping[str, PartitionPlan]
    combinations: Mapping[str, CombinationPlan]
    crops: Mapping[str, MaskCropPlan]

    def file(self, key: str) -> str:
        """The automatic mask of this key, the part of an image or of a mask, or the combination."""
        folder = ""
        if key in self.combinations:
            folder = "combined/"
        elif key in self.crops:
            folder = "cropped/"
        elif self._is_part(key):
            folder = "parts/"
        return f"{self.folder}/{folder}{key}.tif"

    def partition_folder(self, key: str) -> str:
        """The folder of an image's parts."""
        return f"{self.folder}/parts/{key}"

    def word(self, area: Area) -> str:
        """An area as commands take it: its mask's file, with `not:` before it where that is inverted."""
        file = self.file(area.key) if area.key is not None else Path(area.file or "").as_posix()
        return f"{'not:' if area.inverted else ''}{file}"

    def inputs(self, areas: Iterable[Area]) -> list[str]:
        """What must be there before the areas can be read, once each: of parts, the folder of all."""
        return list(dict.fromkeys(self._input(area) for area in areas))

    def may_be_empty(self, area: Area) -> bool:
        """Whether there may be nothing in an area because nobody, or no such segment, is in the image."""
        key = area.key or ""
        found = self.combinations[key].leaves if key in self.combinations else (key,)
        return any(key in self.masks or self._is_part(key) for key in found)

    def combine_inputs(self, key: str) -> list[str]:
        """What must be there before a combination can be made."""
        leaves = (leaf for leaf in self.combinations[key].leaves if leaf != EVERYTHING)
        return list(dict.fromkeys(self._leaf_input(leaf) for leaf in leaves))

    def combine_options(self, key: str) -> str:
        """`impasto combine`'s options for this combination."""
        plan = self.combinations[key]
        expression = mapped(plan.expression, self._leaf_file, lambda length: length)
        size = Size(plan.height, plan.width)
        return shlex.join(["--expression", json.dumps(to_plain(expression)), "--size", str(size)])

    def _is_part(self, key: str) -> bool:
        return key.partition("/")[0] in self.partitions

    def _input(self, area: Area) -> str:
        return self._leaf_input(area.key or Path(area.file or "").as_posix())

    def _leaf_file(self, leaf: str) -> str:
        known = any(leaf in each for each in (self.masks, self.combinations, self.crops))
        return self.file(leaf) if known or self._is_part(leaf) else leaf

    def _leaf_input(self, leaf: str) -> str:
        if self._is_part(leaf):
            return self.partition_folder(leaf.partition("/")[0])
        return Path(self._leaf_file(leaf)).as_posix()
