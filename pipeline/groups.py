"""The processes that work on one image together, and what each of them does of a level.

Each optimises a strip of its own, an image with some rows of its neighbours around it. What all must know is
added up in the order of the processes, so that the same number of them gives the same bits; what only
neighbours must know, they tell each other. Alone is the group of one, to which nothing of this is any work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Box, Size
from pipeline.stores import Store
from pipeline.strips import Strip

Value = TypeVar("Value")
Borders = tuple[Tensor | None, Tensor | None]
"""Values of the border with the process above, and of that with the one below; None where there is nobody."""


class StoppedError(Exception):
    """The run was asked to stop; it ends with the state of its last completed iteration."""


def stop_if(should_stop: Callable[[], bool]) -> None:
    """Raises StoppedError if somebody asked this process to stop."""
    if should_stop():
        raise StoppedError


class Group(ABC):
    """Processes that take the same steps in the same order, each on its own part.

    Whatever one of them does by itself and may fail in, memory that runs out included, stands in a block of
    `together`: one that leaves the common order alone lets the others wait for it.

    Attributes:
        rank: This one's number, from 0; number 0 leads: it alone writes results and talks to the user.
        count: How many there are.
    """

    rank: int
    count: int

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and talks."""
        return self.rank == 0

    @abstractmethod
    def meet(self, device: torch.device) -> None:
        """All come with the devices that they will compute on, before anything lies there.

        Raises:
            ResourceError: Two have the same GPU.
        """

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """A block that ends in the same way for all: what one raises in it ends it for every one.

        Raises:
            StoppedError: One was asked to stop.
            ResourceError: One has ended.
            PipelineError: What another one raised.
        """

    @abstractmethod
    def sum(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The sum of what all have, added in their order."""

    @abstractmethod
    def largest(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The largest of what all have, value by value; NaN where any is."""

    @abstractmethod
    def gathered(self, value: Value) -> list[Value]:
        """What each has, in their order. Plain values."""

    @abstractmethod
    def collected(self, blocks: Iterable[Float[Tensor, "rows width 3"]]) -> Iterator[Tensor]:
        """The leader gets everyone's blocks, in their order; the others nothing. All must come to the end.

        Blocks are float32 on the CPU. The end is that of `together`: what making the blocks raised in one,
        all raise.
        """

    @abstractmethod
    def exchange(self, given: Borders, into: Borders) -> None:
        """Sends values to the processes above and below, and takes as much from them.

        Args:
            given: What is sent up and what down, contiguous; None where there is nobody.
            into: Where goes what comes from there, contiguous and of the same shapes and types.
        """

    @abstractmethod
    def folder(self, shared: Path) -> Path:
        """Where this one's files go, in a folder that all share."""


@final
class Alone(Group):
    """One process that has the whole image."""

    rank = 0
    count = 1

    def meet(self, device: torch.device) -> None:
        """Any device."""

    def together(self) -> AbstractContextManager[None]:
        """Any block."""
        return nullcontext()

    def sum(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The values."""
        return values

    def largest(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The values."""
        return values

    def gathered(self, value: Value) -> list[Value]:
        """The value alone."""
        return [value]

    def collected(self, blocks: Iterable[Float[Tensor, "rows width 3"]]) -> Iterator[Tensor]:
        """The blocks."""
        return iter(blocks)

    def exchange(self, given: Borders, into: Borders) -> None:
        """Nothing: there is nobody."""

    def folder(self, shared: Path) -> Path:
        """The folder itself."""
        return shared


@final
@dataclass(frozen=True, slots=True)
class Part:
    """What this process does of a level.

    Attributes:
        strip: Its rows.
        group: Those who have the others.
    """

    strip: Strip
    group: Group

    @classmethod
    def whole(cls, level: Size) -> Part:
        """All of a level, alone."""
        return cls(Strip.whole(level), Alone())

    def share(self, store: Store) -> None:
        """Lets the neighbours have this strip's border rows of a vector, and takes theirs as its halos."""
        self._pass_on(store, self.strip.borders(), store.write, self.strip.halos())

    def fold(self, store: Store) -> None:
        """Adds what the neighbours' halos gathered of its rows, from above first, and shares the sums."""
        self._pass_on(store, self.strip.halos(), store.add, self.strip.borders())
        self.share(store)

    def _pass_on(
        self,
        store: Store,
        given: tuple[Box | None, Box | None],
        take: Callable[[Box, Tensor], None],
        taken: tuple[Box | None, Box | None],
    ) -> None:
        above, below = given
        with self.group.together():
            sent = _values(store, above), _values(store, below)
            found = _room(sent[0]), _room(sent[1])
        self.group.exchange(sent, found)
        with self.group.together():
            for box, values in zip(taken, found, strict=True):
                if box is not None and values is not None:
                    take(box, values)


def _values(store: Store, box: Box | None) -> Tensor | None:
    return None if box is None else store.read(box).contiguous()


def _room(values: Tensor | None) -> Tensor | None:
    return None if values is None else torch.empty_like(values)
