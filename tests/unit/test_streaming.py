from __future__ import annotations

import threading
from functools import partial

import pytest
import torch

from pipeline.streaming import Streaming, to_device, to_host

CPU = torch.device("cpu")


class Diary:
    """What happened in which order, and by which thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.threads: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, item: int) -> int:
        with self._lock:
            self.lines.append(f"{kind} {item}")
            self.threads.setdefault(kind, set()).add(threading.current_thread().name)
        return item

    def index(self, line: str) -> int:
        return self.lines.index(line)


def test_items_come_in_order_with_what_was_read_of_them() -> None:
    with Streaming(CPU) as stream:
        assert list(stream.ahead(range(5), lambda n: n * n)) == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]
        assert list(stream.ahead([], lambda n: n)) == []


def test_each_kind_of_work_has_a_thread_of_its_own_and_its_order() -> None:
    diary = Diary()
    with Streaming(CPU) as stream:
        for item, _ in stream.ahead(range(6), partial(diary.note, "read")):
            diary.note("compute", item)
            stream.behind(partial(diary.note, "write", item))
    for kind in ("read", "compute", "write"):
        own = [line for line in diary.lines if line.startswith(kind)]
        assert own == [f"{kind} {item}" for item in range(6)]
        assert len(diary.threads[kind]) == 1
    assert len(set.union(*diary.threads.values())) == 3


def test_one_item_is_read_while_the_one_before_is_used_and_no_more() -> None:
    diary, reading = Diary(), [threading.Event() for _ in range(5)]

    def read(item: int) -> int:
        reading[item].set()
        return diary.note("read", item)

    with Streaming(CPU) as stream:
        for item, _ in stream.ahead(range(5), read):
            # Without reading ahead this would never come.
            if item < 4:
                assert reading[item + 1].wait(10)
            assert not any(event.is_set() for event in reading[item + 2 :])


def test_one_write_is_under_way_while_the_next_is_computed_and_no_more() -> None:
    diary, gate = Diary(), threading.Event()

    def write(item: int) -> None:
        assert gate.wait(10)
        diary.note("write", item)

    with Streaming(CPU) as stream:
        stream.behind(partial(write, 0))
        diary.note("compute", 1)
        gate.set()
        stream.behind(partial(write, 1))
        assert diary.index("write 0") > diary.index("compute 1")
    assert diary.lines[-1] == "write 1"


def fail(item: int) -> int:
    if item == 2:
        raise OSError(f"item {item}")
    return item


def test_what_reading_raises_comes_where_the_item_would() -> None:
    seen: list[int] = []

    def loop() -> None:
        with Streaming(CPU) as stream:
            seen.extend(item for item, _ in stream.ahead(range(5), fail))

    with pytest.raises(OSError, match="item 2"):
        loop()
    assert seen == [0, 1]


def test_what_writing_raises_comes_with_the_next_write_or_at_the_end() -> None:
    begun = []

    def loop() -> None:
        with Streaming(CPU) as stream:
            for item in range(5):
                begun.append(item)
                stream.behind(partial(fail, item))

    with pytest.raises(OSError, match="item 2"):
        loop()
    assert begun == [0, 1, 2, 3]
    with pytest.raises(OSError, match="item 2"), Streaming(CPU) as stream:
        stream.behind(partial(fail, 2))


def test_an_error_in_the_loop_ends_both_threads_and_is_the_one_that_is_told() -> None:
    diary, before = Diary(), threading.active_count()

    def loop() -> None:
        with Streaming(CPU) as stream:
            for item, _ in stream.ahead(range(9), partial(diary.note, "read")):
                stream.behind(partial(fail, 2))
                raise KeyError(item)

    with pytest.raises(KeyError, match="0"):
        loop()
    assert threading.active_count() == before
    assert set(diary.lines) <= {"read 0", "read 1"}


def test_on_the_cpu_values_are_where_they_were() -> None:
    values = torch.rand(3, 4, 5)[:, 1:3, 2:]
    assert to_device(values, CPU) is values
    assert to_host(values) is values
