"""Sees whether tiles are read ahead and written behind: where they follow one another, it waits in vain."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Literal, final

import pytest

from pipeline.stores import Store

TIMEOUT_S = 10.0

Kind = Literal["read", "compute", "write"]


@final
class Overlap:
    """A pass over tiles that can only end if they overlap.

    Computing a tile waits until the next one is being read, writing it until the next one is being computed.

    Args:
        tiles: How many there are.
        patch: Undoes what is changed of stores.
    """

    def __init__(self, tiles: int, patch: pytest.MonkeyPatch) -> None:
        self._tiles = tiles
        self._patch = patch
        self._changed = threading.Condition()
        self._begun: Counter[Kind] = Counter()

    def watch(self, store: Store, method: Literal["read", "write", "add"]) -> None:
        """Takes each call of a store's method for a tile's reading or writing."""
        kind: Kind = "read" if method == "read" else "write"
        called = getattr(store, method)

        def watched(*arguments: Any) -> Any:
            self._begin(kind)
            return called(*arguments)

        self._patch.setattr(store, method, watched)

    def compute(self, *_: object) -> None:
        """To be called before each tile is computed."""
        self._begin("compute")

    def begun(self) -> Counter[Kind]:
        """How many tiles were begun of each kind; counts anew from here."""
        found, self._begun = self._begun, Counter()
        return found

    def _begin(self, kind: Kind) -> None:
        before: dict[Kind, Kind] = {"compute": "read", "write": "compute"}
        with self._changed:
            self._begun[kind] += 1
            self._changed.notify_all()
            tile = self._begun[kind]
            if kind in before and tile < self._tiles:
                other = before[kind]
                assert self._changed.wait_for(lambda: self._begun[other] > tile, TIMEOUT_S), (
                    f"tile {tile} waits in vain to {kind} while another is begun to {other}"
                )
