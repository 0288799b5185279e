from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline import machine
from pipeline.errors import ResourceError
from pipeline.machine import (
    cpu_has_bfloat16,
    give_back_freed_memory,
    keep_freed_memory,
    prepare_machine,
    shortage_told,
    stop_requests,
)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    reduced = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    deterministic, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    yield
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = reduced
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


def test_a_run_is_made_reproducible() -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    found = prepare_machine("cpu", "float32", 3)
    assert (found.device, found.dtype, found.threads) == (torch.device("cpu"), torch.float32, 3)
    assert found.precision == "float32"
    assert torch.get_num_threads() == 3
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark


def test_bfloat16_can_be_asked_for_anywhere() -> None:
    assert prepare_machine("cpu", "bfloat16", 1).precision == "bfloat16"


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_native(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr(machine, "cpu_has_bfloat16", lambda: native)
    assert prepare_machine("cpu", "auto", 1).precision == precision


def test_a_missing_cuda_device_is_refused_and_auto_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert prepare_machine("auto", "float32", 1).device.type == "cpu"
    with pytest.raises(ResourceError) as caught:
        prepare_machine("cuda", "float32", 1)
    assert str(caught.value) == (
        "compute.device: expected a CUDA device; found none. Set compute.device to auto or cpu."
    )


def test_a_gpu_has_its_number_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setenv("LOCAL_RANK", "5")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: chosen[-1])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert prepare_machine("auto", "float32", 1).device == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags : fpu avx512f avx512_bf16 sse", True),
        ("flags : fpu amx_bf16", True),
        ("Features : fp asimd bf16", True),
        ("flags : fpu avx512f avx512_bf16x avx2", False),
        ("", False),
    ],
)
def test_what_a_cpu_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, native: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "cpuinfo")
    assert cpu_has_bfloat16() is native


def test_a_system_that_says_nothing_has_no_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "none")
    assert not cpu_has_bfloat16()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_allocator_is_left_alone_where_it_is_another(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    asked: list[tuple[object, int]] = []

    class Library:
        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

        def malloc_trim(self, kept: int) -> int:
            asked.append(("trim", kept))
            return 1

    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("ctypes.CDLL", lambda _: Library())
    keep_freed_memory()
    give_back_freed_memory()
    assert asked == ([(-3, 2**30), (-1, 2**31 - 1), (-8, 1), ("trim", 0)] if platform == "linux" else [])


def test_an_allocator_that_refuses_so_high_a_threshold_maps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Older:
        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return int(option != -3)

    monkeypatch.setattr("ctypes.CDLL", lambda _: Older())
    keep_freed_memory()
    assert asked == [(-3, 2**30), (-4, 0), (-1, 2**31 - 1), (-8, 1)]


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    keep_freed_memory()
    give_back_freed_memory()


def test_waiting_threads_sleep_after_a_moment_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    machine.share_processors()
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    machine.share_processors()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_a_shortage_of_memory_is_told_and_nothing_else_is() -> None:
    with pytest.raises(ResourceError) as caught, shortage_told("out.tif", "Lower --batch"):
        torch.empty(2**50)
    assert str(caught.value) == (
        "out.tif: expected memory for what lies in it whole; found too little. Lower --batch."
    )
    for error in (RuntimeError("a bug"), ResourceError.stating("no room"), KeyError("memory")):
        with pytest.raises(type(error)) as passed, shortage_told("out.tif", "Lower --batch"):
            raise error
        assert passed.value is error


@pytest.mark.parametrize("in_company", [False, True])
def test_a_request_to_stop_that_comes_late_ends_no_process_of_several(
    monkeypatch: pytest.MonkeyPatch, in_company: bool
) -> None:
    if in_company:
        monkeypatch.setenv("LOCAL_RANK", "1")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with stop_requests() as asked:
            pass
        if in_company:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        found = {number: signal.getsignal(number) for number in before}
        assert (asked(), found == before) == (in_company, not in_company)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
