"""What a network is trained on: crops of photographs, each determined by the seed and its number alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from pipeline import canvas
from pipeline.config.sections import Model
from pipeline.errors import InputError

_MARGIN = 1.25
_MIB = 2**20
_ORDER, _PLACE = 0, 1


@final
class Damage(Model):
    """A photograph that cannot be decoded.

    Attributes:
        told: Why, in one line.
        first_crop: The number of the first crop that would have been its own.
    """

    told: str
    first_crop: int


@final
class Photographs:
    """Crops of photographs, endlessly: in an order of its own each time round, at any place, mirrored or not.

    A crop depends on the seed, its number and the files alone, so any number of workers gives the same
    crops and an interrupted training goes on with those it would have had. A photograph that turns out to be
    damaged is replaced by the one after it in that round's order.

    Args:
        paths: Photographs whose shorter sides have `side_px` at least.
        side_px: The side of a crop; photographs are shrunk before until their shorter side is 1.25 times it.
        seed: Another seed is another order and other crops.
        cache_mib: Shrunk photographs are kept in memory up to this.
    """

    def __init__(self, paths: Sequence[Path], side_px: int, seed: int, cache_mib: int = 1024) -> None:
        self._paths = tuple(paths)
        self._side_px = side_px
        self._seed = seed
        self._room = cache_mib * _MIB
        self._cache: dict[Path, UInt8[ndarray, "height width 3"]] = {}
        self._damaged: dict[Path, Damage] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def damaged(self) -> dict[Path, Damage]:
        """The photographs that could not be decoded so far.

        Workers decode ahead: which of them crops up to a number would have shown does not depend on how far
        they are, and `first_crop` tells.
        """
        with self._lock:
            return dict(self._damaged)

    def learn(self, damaged: Mapping[Path, Damage]) -> None:
        """Takes over what another process has found damaged, or this training before it was interrupted."""
        with self._lock:
            for path, found in damaged.items():
                known = self._damaged.get(path, found)
                self._damaged[path] = min(known, found, key=lambda each: each.first_crop)

    def crop(self, number: int) -> Float[Tensor, "3 side side"]:
        """The crop of this number; sRGB in [0, 1].

        Raises:
            InputError: No photograph can be decoded.
        """
        pixels = self._picture(number)
        random = np.random.default_rng([self._seed, _PLACE, number])
        top = random.integers(0, pixels.shape[0] - self._side_px, endpoint=True)
        left = random.integers(0, pixels.shape[1] - self._side_px, endpoint=True)
        cut = pixels[top : top + self._side_px, left : left + self._side_px]
        if random.random() < 0.5:
            cut = cut[:, ::-1]
        return _as_tensor(cut)

    def middle(self, index: int) -> Float[Tensor, "3 side side"]:
        """The middle of a photograph, the same each time; sRGB in [0, 1].

        Raises:
            InputError: It cannot be decoded.
        """
        pixels = self._decoded(self._paths[index])
        top, left = ((length - self._side_px) // 2 for length in pixels.shape[:2])
        return _as_tensor(pixels[top : top + self._side_px, left : left + self._side_px])

    def batches(
        self, first: int, batch: int, workers: int, rank: int = 0, count: int = 1
    ) -> Generator[Float[Tensor, "share 3 side side"]]:
        """Batches from the one of this number on, endlessly; workers decode those to come meanwhile.

        Args:
            first: The number of the first batch.
            batch: Crops in it.
            workers: Threads.
            rank: Which share of each batch is wanted.
            count: Of how many equal shares.

        Raises:
            InputError: No photograph can be decoded.
        """
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[list[Future[Tensor]]] = deque()
            share = batch // count
            number = first * batch + rank * share
            try:
                while True:
                    # Two batches ahead at least, and work for every worker.
                    while len(waiting) < 2 + workers // share:
                        waiting.append([pool.submit(self.crop, number + place) for place in range(share)])
                        number += batch
                    yield torch.stack([future.result() for future in waiting.popleft()])
            finally:
                for futures in waiting:
                    for future in futures:
                        future.cancel()

    def _picture(self, number: int) -> UInt8[ndarray, "height width 3"]:
        count = len(self._paths)
        order = np.random.default_rng([self._seed, _ORDER, number // count]).permutation(count)
        for step in range(count):
            path = self._paths[order[(number + step) % count]]
            known = self._damaged.get(path)
            if known is not None:
                told = known.told
            else:
                try:
                    return self._decoded(path)
                except InputError as error:
                    told = str(error)
            self.learn({path: Damage(told=told, first_crop=number)})
        raise InputError(
            self._paths[0],
            expected="photographs that can be decoded",
            found=f"{count} that are damaged",
            fix="Copy or export them again",
        )

    def _decoded(self, path: Path) -> UInt8[ndarray, "height width 3"]:
        with self._lock:
            known = self._cache.get(path)
        if known is not None:
            return known
        pixels = canvas.read_shrunk(path, round(_MARGIN * self._side_px))
        with self._lock:
            if path not in self._cache and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._cache[path] = pixels
        return pixels


def _as_tensor(pixels: UInt8[ndarray, "height width 3"]) -> Float[Tensor, "3 height width"]:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255
