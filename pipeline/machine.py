"""What a job asks of the machine: device, precision, threads, allocator, and to end with its parent.

torch is imported only inside the functions that need it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal, final

from pipeline.errors import ResourceError

if TYPE_CHECKING:
    import torch

END_WITH_PARENT = "--end-with-parent"
"""The option before a command that asks for `end_with_parent`."""
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD = -1
_CUDA_FILES = ("nvidia[0-9]*", "dxg", "nvhost-gpu")  # of the driver, of Windows' Linux, of boards
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_REFUSED = (
    *("can't allocate memory", "std::bad_alloc", "CUDA error: out of memory", "ALLOC_FAILED"),
    *("ALLOCATION_FAILED", "unable to find an engine", "Unable to find a valid cuDNN"),
)
"""What errors that have no type of their own say: of the CPU's allocator and libraries, of the driver's, and
of convolutions, which try one algorithm after the other and do not say that there was no memory for any."""


@final
@dataclass(frozen=True, slots=True)
class Machine:
    """What was resolved for a job.

    Attributes:
        device: `cpu` or `cuda`.
        dtype: Of the convolutions.
        threads: CPU threads of one operation.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int

    @property
    def precision(self) -> str:
        """The convolutions' precision by name: `bfloat16` or `float32`."""
        return str(self.dtype).removeprefix("torch.")


def prepare_machine(
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "bfloat16", "float32"],
    threads: int,
) -> Machine:
    """Fixes threads, kernels and the allocator for a reproducible run; says what was resolved.

    `auto` takes a CUDA device where there is one, and bfloat16 where the device computes it natively. TF32 is
    off and deterministic kernels are asked for, so that the same machine gives the same pixels.

    Raises:
        ResourceError: CUDA was asked for and there is none.
    """
    import torch  # noqa: PLC0415 - planning and raster stages must start without torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "compute.device", expected="a CUDA device", found="none", fix="Set compute.device to auto or cpu"
        )
    if device != "cpu" and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        # One of several that torchrun has started on this machine, each with a GPU of its own.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    resolved = torch.device("cpu")
    if device != "cpu" and torch.cuda.is_available():
        # By its number: in a new thread the current device is the first one.
        resolved = torch.device("cuda", torch.cuda.current_device())
    native = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if resolved.type == "cuda"
        else cpu_has_bfloat16()
    )
    use_bfloat16 = precision == "bfloat16" or (precision == "auto" and native)
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # By default a long product of bfloat16 matrices may add its parts in bfloat16.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    keep_freed_memory()
    return Machine(resolved, torch.bfloat16 if use_bfloat16 else torch.float32, threads)


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers in one instruction (AVX-512 BF16, AMX, or Arm's BF16)."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            words = set(file.read().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def has_cuda_device() -> bool:
    """Whether this machine seems to have a CUDA device: told from its device files, without loading torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return False
    return any(file for pattern in _CUDA_FILES for file in Path("/dev").glob(pattern))


def process_count(environment: Mapping[str, str]) -> int:
    """How many processes torchrun has started beside this one; 1 without it.

    Operators and users set WORLD_SIZE as well, for processes that have nothing to do with one another.
    """
    return int(environment.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in environment else 1


def keep_freed_memory() -> None:
    """Stops glibc from handing every large tensor back to the kernel after use; elsewhere does nothing.

    Page faults on memory that is asked for again at once cost 1.3 to 1.8 times the time of an evaluation.
    All threads share what is kept: memory that a reading thread has freed is there for the computing one.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return
    if not mallopt(_M_MMAP_THRESHOLD, 1 << 30):
        # Older ones refuse so high a threshold.
        mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Hands the kernel all memory that is free now; where there is no glibc does nothing.

    What `keep_freed_memory` keeps comes apart: pieces of it serve small tensors, and large ones then need new
    memory. Over two hundred tiles that came to 1.4 GiB beyond the 2.8 of the first. Handing all of it back
    every few tiles begins anew, and what is asked for again costs page faults once, not for every tensor.
    """
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host refused memory; torch's allocator on the CPU has no error of its own."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    import torch  # noqa: PLC0415 - as above

    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _REFUSED)


@contextmanager
def shortage_told(where: object, fix: str) -> Iterator[None]:
    """A block in which a shortage of memory is a mistake that is told, and no bug.

    Args:
        where: What there was too little memory for.
        fix: What to lower, as a sentence without its full stop.

    Raises:
        ResourceError: A device or the host refused memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            where, expected="memory for what lies in it whole", found="too little", fix=fix
        ) from None


def share_processors() -> None:
    """Makes threads that wait for one another sleep after a moment; call it before torch is imported.

    By default GNU OpenMP lets them spin for milliseconds. That gains 3 % on an idle machine; on one with a
    busy neighbour it makes an evaluation take 3 to 4 times as long (2 cores, 0.07 megapixels: 2.4 s against
    0.7 s), because the spinning thread holds the processor that the thread it waits for needs.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked this process to stop, by SIGTERM or SIGINT, within the block.

    Work that asks in between can end in good order: a scheduler sends SIGTERM some time before it kills. The
    second request of the same kind ends the process as it would outside the block. It does not among several
    that torchrun has started, neither then nor after the block: a scheduler tells every process, torchrun
    passes on what it is told, and one that has heard it late must not be missing where all end in good order.
    """
    asked = False
    passed_on = "LOCAL_RANK" in os.environ

    def remember(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if not passed_on:
            signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            if not passed_on:
                signal.signal(number, handler)


def end_with_parent() -> None:
    """Asks the kernel to kill this process when the one that started it ends; outside Linux does nothing.

    A workflow that is killed leaves no orphan that writes behind it. Exits at once if the parent is gone.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"impasto: the process that started this one ({parent}) has ended")
