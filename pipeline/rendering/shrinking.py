"""When the device is out of memory: tiles of half the side, and on from where the optimiser is."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, final

import torch

from pipeline.errors import ResourceError
from pipeline.geometry import Size, align_down
from pipeline.groups import Alone, Group
from pipeline.layers import STRIDE_PX
from pipeline.machine import is_out_of_memory
from pipeline.objective import LateTrial, Objective, Trial
from pipeline.rasters import Raster
from pipeline.stores import Store

Found = TypeVar("Found")


@final
class Shrinking:
    """An objective that is made anew with tiles of half the side whenever its device is out of memory.

    The pass that failed is begun again, so the optimiser loses nothing. Smaller tiles give the same loss and
    gradient up to rounding.

    Args:
        make: Gives the objective with tile cores of this side at most, or of the whole image for None.
        size: Of the images it judges.
        tile_px: What to begin with.
        smallest_px: The side below which no tile shrinks.
        device: Whose memory it is, for errors.
        on_shrunk: Called with each new side.
        group: Those who have other parts of the images, and shrink with this one.
    """

    def __init__(
        self,
        make: Callable[[int | None], Objective],
        size: Size,
        tile_px: int | None,
        *,
        smallest_px: int,
        device: torch.device,
        on_shrunk: Callable[[int], None],
        group: Group | None = None,
    ) -> None:
        self.size = size
        self.group = group or Alone()
        self._make = make
        self._tile_px = tile_px
        self._smallest_px = smallest_px
        self._device = device
        self._on_shrunk = on_shrunk
        self._made: Objective | None = None

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> Trial:
        """The loss at this image.

        Raises:
            ResourceError: There is no memory for the smallest tiles either, here or in the gradient.
        """
        trial = self.retried(lambda: self.begin(image, gradient_follows))
        found = None if gradient_follows else (trial.loss, trial.terms)
        return _ShrinkingTrial(found, self, image, [trial])

    def begin(self, image: Raster, gradient_follows: bool) -> Trial:
        """The trial of this image with the tiles of now."""
        if self._made is None:
            self._made = self._make(self._tile_px)
        return self._made.forward(image, gradient_follows=gradient_follows)

    def retried(self, attempt: Callable[[], Found]) -> Found:
        """What `attempt` gives, once there is memory enough for it."""
        while True:
            try:
                return attempt()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here is the error gone, and with it the frames that hold the tensors of what failed.
            self._shrink()

    def _shrink(self) -> None:
        # Strips differ in height, and what is saved is one tile for all.
        side_px = self._tile_px or max(self.group.gathered(max(self.size.height, self.size.width)))
        smaller_px = max(align_down(side_px // 2, STRIDE_PX), self._smallest_px)
        if smaller_px >= side_px:
            raise ResourceError(
                f"the memory of {self._device}",
                expected=f"room for a tile of {side_px} px, the smallest",
                found="too little",
                fix="End what else uses it, or choose shallower layers",
            )
        self._made = None
        self._tile_px = smaller_px
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._on_shrunk(smaller_px)


@final
@dataclass(eq=False, slots=True)
class _ShrinkingTrial(LateTrial):
    """A trial that is taken again where its gradient is out of memory."""

    _objective: Shrinking
    _image: Raster
    _unspent: list[Trial]

    def write_gradient(self, into: Store) -> None:
        self._objective.retried(lambda: self._attempt(into))

    def _attempt(self, into: Store) -> None:
        if not self._unspent:
            # The tiles are others now: their sums are new, and what the old ones added must go.
            with self._objective.group.together():
                into.clear()
            self._unspent.append(self._objective.begin(self._image, gradient_follows=True))
        # Popped, so that no name keeps the trial while smaller tiles are tried.
        trial = self._unspent.pop()
        trial.write_gradient(into)
        self._found = self._found or (trial.loss, trial.terms)
