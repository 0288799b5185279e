"""Reading ahead and writing behind: tiles are fetched and put away while the one between is computed.

One thread reads, one writes, each in the caller's order and at most one tile from it, so memory holds one
tile ahead and one behind, and the order of additions is that of the loop. What a thread raises is raised in
the caller. On a CUDA device each thread has a stream of its own, and host memory is pinned on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from types import TracebackType
from typing import Any, Self, TypeVar, final

import torch
from jaxtyping import Shaped
from torch import Tensor

Item = TypeVar("Item")
Value = TypeVar("Value")


@final
class Streaming:
    """The two threads of one loop over tiles; leaving the block waits for both.

    When the block ends in order, everything is written. When it ends by an error, what was begun is finished
    and nothing more is begun.

    Args:
        device: The device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._reader = _Lane("reader", device)
        self._writer = _Lane("writer", device)
        self._unsettled: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._settle()
        finally:
            self._reader.close()
            self._writer.close()

    def ahead(self, items: Iterable[Item], read: Callable[[Item], Value]) -> Iterator[tuple[Item, Value]]:
        """Each item with what `read` makes of it; while it is used, the next is read.

        Args:
            items: Tiles, say.
            read: Gives tensors, or tuples, lists, mappings or dataclasses of them. Called by the reader.
        """
        waiting: tuple[Item, Future[Any]] | None = None
        for item in items:
            begun = item, self._reader.begin(partial(read, item))
            if waiting is not None:
                yield waiting[0], self._reader.finish(waiting[1])
            waiting = begun
        if waiting is not None:
            yield waiting[0], self._reader.finish(waiting[1])

    def behind(self, write: Callable[[], object], *values: Tensor) -> None:
        """Lets the writer do this, once it has done what it was given before; raises what that raised.

        Args:
            write: What to do.
            *values: The tensors that it uses; they must not change any more.
        """
        self._settle()
        self._unsettled = self._writer.begin(write, values)

    def _settle(self) -> None:
        if self._unsettled is not None:
            begun, self._unsettled = self._unsettled, None
            self._writer.finish(begun)


@final
class _Lane:
    """A thread that does one thing after another, on a CUDA device in a stream of its own.

    A stream waits for what its caller's stream was given before; the caller's waits for it in `finish`.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._device, self._stream = device, None
        if device.type != "cuda":
            self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"impasto-{name}")
            return
        index = torch.cuda.current_device() if device.index is None else device.index
        self._stream = _stream(name, index)
        # A new thread is on the first device, and would take memory there for nothing.
        self._threads = ThreadPoolExecutor(1, f"impasto-{name}", torch.cuda.set_device, (index,))

    def begin(self, work: Callable[[], Any], uses: tuple[Tensor, ...] = ()) -> Future[Any]:
        if self._stream is None:
            return self._threads.submit(work)
        ready = torch.cuda.current_stream(self._device).record_event()
        return self._threads.submit(self._in_stream, self._stream, ready, work, uses)

    def finish(self, begun: Future[Any]) -> Any:
        found = begun.result()
        if self._stream is None:
            return found
        value, done = found
        current = torch.cuda.current_stream(self._device)
        current.wait_event(done)
        for tensor in _tensors(value):
            # Its memory belongs to the lane's stream, which must not use it again before this one has.
            tensor.record_stream(current)
        return value

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _in_stream(
        stream: torch.cuda.Stream, ready: torch.cuda.Event, work: Callable[[], Any], uses: tuple[Tensor, ...]
    ) -> tuple[Any, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            stream.wait_event(ready)
            for tensor in uses:
                if tensor.is_cuda:
                    tensor.record_stream(stream)
            return work(), stream.record_event()


@cache
def _stream(name: str, index: int) -> torch.cuda.Stream:  # noqa: ARG001 - the cache has it
    """A reader's or writer's stream: the same for every loop, because freed memory stays with its stream."""
    return torch.cuda.Stream(index)  # type: ignore[no-untyped-call]


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors on a CUDA device in what a reader gave."""
    if isinstance(value, Tensor):
        if value.is_cuda:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))


def to_device(values: Shaped[Tensor, ...], device: torch.device) -> Shaped[Tensor, ...]:
    """The values on the device: those of the host go to a GPU by way of pinned memory, without waiting."""
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values).to(device, non_blocking=True)


def to_host(values: Shaped[Tensor, ...]) -> Shaped[Tensor, ...]:
    """The values in host memory; those of a GPU come by way of pinned memory, and this stream alone waits."""
    if not values.is_cuda:
        return values
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    pinned.copy_(values, non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return pinned
