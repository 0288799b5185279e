"""The group of processes that torchrun has started: torch.distributed, gloo on the CPU and NCCL on GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, final

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import PipelineError, ResourceError
from pipeline.groups import Alone, Group, StoppedError
from pipeline.machine import is_out_of_memory

Value = TypeVar("Value")

# A process that has ended is noticed at once. This is for one that hangs: longer than any pass should take.
_PATIENCE = timedelta(minutes=30)

_FINE, _SHORT, _STOPPED, _REFUSED, _BROKEN = range(5)
"""How a block may end for one process: when several end in other ways, the last in this row is all's."""


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Group]:
    """The group that this process belongs to by its environment, as torchrun sets it; alone without one.

    Raises:
        ResourceError: The others cannot be reached.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Alone()
        return
    on_gpus = torch.cuda.is_available()
    group = Ranks(int(environment["RANK"]), count)
    group.reaching(
        lambda: dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=_PATIENCE)
    )
    yield group
    # After an error the others may be gone: the end of the process lets go of them.
    dist.destroy_process_group()


@final
class Ranks(Group):
    """This process among those that have been started with it.

    Args:
        rank: Its number.
        count: How many there are.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank = rank
        self.count = count

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that ends in the same way for all."""
        own: Exception | None = None
        try:
            yield
        except Exception as error:
            own = error
        ends = self.gathered((_end_of(own), str(own)))
        worst = max(end for end, _ in ends)
        if worst == _FINE:
            return
        if own is not None and _end_of(own) == worst:
            raise own
        rank, text = next((rank, text) for rank, (end, text) in enumerate(ends) if end == worst)
        if worst == _SHORT:
            raise torch.OutOfMemoryError(f"process {rank}: {text}")
        if worst == _STOPPED:
            raise StoppedError
        if worst == _REFUSED:
            raise PipelineError.stating(f"process {rank} of {self.count}: {text}")
        raise self._lost(f"an error in process {rank}")

    def sum(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The sum of what all have, added in their order."""
        first, *others = self._all(values)
        for each in others:
            first += each
        return first

    def largest(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The largest of what all have, value by value."""
        return torch.stack(self._all(values)).amax(dim=0)

    def gathered(self, value: Value) -> list[Value]:
        """What each has, in their order."""
        found: list[Value | None] = [None] * self.count
        self.reaching(lambda: dist.all_gather_object(found, value))
        return found  # type: ignore[return-value]

    def collected(self, blocks: Iterable[Float[Tensor, "rows width 3"]]) -> Iterator[Tensor]:
        """The leader gets everyone's blocks, in their order; the others nothing."""
        own = iter(blocks)
        if not self.leads:
            for block in own:
                self._send(torch.tensor(block.shape[:2]))
                self._send(block.contiguous())
            self._send(torch.tensor([0, 0]))
            return
        yield from own
        for rank in range(1, self.count):
            while (shape := self._received(torch.empty(2, dtype=torch.int64), rank).tolist())[0]:
                yield self._received(torch.empty(*shape, 3), rank)

    def exchanged(
        self, above: Float[Tensor, ...] | None, below: Float[Tensor, ...] | None
    ) -> tuple[Float[Tensor, ...] | None, Float[Tensor, ...] | None]:
        """What the processes above and below sent: as much as is sent to them."""
        operations: list[dist.P2POp] = []
        found: list[Tensor | None] = []
        for values, rank in ((above, self.rank - 1), (below, self.rank + 1)):
            if values is None:
                found.append(None)
                continue
            into = torch.empty_like(values, memory_format=torch.contiguous_format)
            found.append(into)
            # As bytes: not every backend knows every type.
            operations.append(dist.P2POp(dist.isend, _bytes(values.contiguous()), rank))
            operations.append(dist.P2POp(dist.irecv, _bytes(into), rank))

        def run() -> None:
            for work in dist.batch_isend_irecv(operations):
                work.wait()

        self.reaching(run)
        return found[0], found[1]

    def folder(self, shared: Path) -> Path:
        """A folder of this process's own."""
        return shared / f"process-{self.rank}"

    def reaching(self, call: Callable[[], Value]) -> Value:
        """What a call to the others gives.

        Raises:
            ResourceError: One of them has ended, or does not answer.
        """
        try:
            return call()
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise self._lost("one that has ended or does not answer") from error

    def _lost(self, found: str) -> ResourceError:
        return ResourceError(
            f"process {self.rank} of {self.count}",
            expected="all processes to go on",
            found=found,
            fix="Start them again: they go on from the last completed iteration",
        )

    def _all(self, values: Tensor) -> list[Tensor]:
        values = values.contiguous()
        found = [torch.empty_like(values) for _ in range(self.count)]
        self.reaching(lambda: dist.all_gather(found, values))
        return found

    def _send(self, values: Tensor) -> None:
        self.reaching(lambda: dist.send(values, 0))

    def _received(self, into: Tensor, rank: int) -> Tensor:
        self.reaching(lambda: dist.recv(into, rank))
        return into


def _end_of(error: Exception | None) -> int:
    if error is None:
        return _FINE
    if isinstance(error, StoppedError):
        return _STOPPED
    if isinstance(error, PipelineError):
        return _REFUSED
    return _SHORT if is_out_of_memory(error) else _BROKEN


def _bytes(values: Tensor) -> Tensor:
    return values.view(torch.uint8).flatten()
