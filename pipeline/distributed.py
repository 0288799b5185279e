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
from pipeline.groups import Alone, Borders, Group, StoppedError
from pipeline.machine import is_out_of_memory, process_count

Value = TypeVar("Value")

# A process that has ended is noticed at once, in all that goes over gloo. This is for one that hangs: longer
# than any pass should take.
_PATIENCE = timedelta(minutes=30)

_FINE, _SHORT, _STOPPED, _REFUSED, _BROKEN = range(5)
"""How a block may end for one process: when several end in other ways, the last in this row is all's."""


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Group]:
    """The group that this process belongs to by its environment, as torchrun sets it; alone without one.

    Raises:
        ResourceError: The others cannot be reached.
    """
    count = process_count(environment)
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

    def meet(self, device: torch.device) -> None:
        """All come with their devices, each with a GPU of its own, and are connected from then on."""
        if device.type != "cuda":
            return
        gpus = set(self.gathered(str(torch.cuda.get_device_properties(device).uuid)))
        if len(gpus) < self.count:
            raise ResourceError(
                f"{self.count} processes",
                expected="a GPU for each of them",
                found=str(len(gpus)),
                fix="Start as many as there are GPUs",
            )
        # NCCL connects at the first message, and takes memory for it.
        self.sum(torch.zeros(1, device=device))

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
        # In place: nothing here may run out of memory in one process alone.
        first, *others = self._all(values)
        for each in others:
            first += each
        return first

    def largest(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """The largest of what all have, value by value."""
        first, *others = self._all(values)
        for each in others:
            torch.maximum(first, each, out=first)
        return first

    def gathered(self, value: Value) -> list[Value]:
        """What each has, in their order."""
        found: list[Value | None] = [None] * self.count
        self.reaching(lambda: dist.all_gather_object(found, value))
        return found  # type: ignore[return-value]

    def collected(self, blocks: Iterable[Float[Tensor, "rows width 3"]]) -> Iterator[Tensor]:
        """The leader gets everyone's blocks, in their order; the others nothing."""
        with self.together():
            if self.leads:
                yield from self._taken(blocks)
            else:
                self._give(blocks)

    def _give(self, blocks: Iterable[Float[Tensor, "rows width 3"]]) -> None:
        """Sends the blocks to the leader, and whatever happens their end: that it waits for."""
        try:
            for block in blocks:
                values = block.contiguous()
                self._send(torch.tensor(block.shape[:2]))
                self._send(values)
        finally:
            self._send(torch.tensor([0, 0]))

    def _taken(self, own: Iterable[Float[Tensor, "rows width 3"]]) -> Iterator[Tensor]:
        """The leader's own blocks and everyone's; the others', who wait for that, are taken in any case."""
        failed: Exception | None = None
        try:
            yield from own
        except Exception as error:
            failed = error
        for rank in range(1, self.count):
            while (shape := self._received(torch.empty(2, dtype=torch.int64), rank).tolist())[0]:
                block = self._received(torch.empty(*shape, 3), rank)
                if failed is None:
                    yield block
        if failed is not None:
            raise failed

    def exchange(self, given: Borders, into: Borders) -> None:
        """Sends values to the processes above and below, and takes as much from them."""
        operations: list[dist.P2POp] = []
        for sent, found, rank in zip(given, into, (self.rank - 1, self.rank + 1), strict=True):
            if sent is not None and found is not None:
                # As bytes: not every backend knows every type.
                operations.append(dist.P2POp(dist.isend, _bytes(sent), rank))
                operations.append(dist.P2POp(dist.irecv, _bytes(found), rank))

        def run() -> None:
            for work in dist.batch_isend_irecv(operations):
                work.wait()

        self.reaching(run)

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
            # As a shortage of memory it would be taken for one that the others know of.
            short = is_out_of_memory(error)
            found = "too little memory to reach them" if short else "one that has ended or does not answer"
            raise self._lost(found) from error

    def _lost(self, found: str) -> ResourceError:
        return ResourceError(
            f"process {self.rank} of {self.count}",
            expected="all processes to go on",
            found=found,
            fix="Start them again: they go on from the last completed iteration",
        )

    def _all(self, values: Tensor) -> list[Tensor]:
        with self.together():
            own = values.contiguous()
            found = [torch.empty_like(own) for _ in range(self.count)]
        self.reaching(lambda: dist.all_gather(found, own))
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
