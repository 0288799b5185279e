"""Starts torchrun on this machine's devices: the same command in several processes that share its work."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Collection, Sequence

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from pipeline.errors import ResourceError, ToldError

# A process that was asked to stop ends its tile first and saves its state; a scheduler's patience is shorter.
_PATIENCE_S = 600
_MISTAKE = 2
EXIT_STOPPED = 128 + signal.SIGTERM
"""The exit code of who was asked to stop and kept its state, as a shell says it."""


def check_devices(count: int, device: torch.device) -> None:
    """Returns when each of `count` processes can have a device of its own; a CPU serves any number.

    Raises:
        ResourceError: There are fewer GPUs.
    """
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise ResourceError(
            "compute.devices",
            expected=f"{count} CUDA devices on this machine, as planned",
            found=str(torch.cuda.device_count()),
            fix="Ask the scheduler for as many, or lower compute.devices, or the artwork's own devices",
        )


def run_shared(count: int, words: Sequence[str]) -> int:
    """Runs a command in `count` processes of one group; the exit code when they have ended, 0 or 143.

    A SIGTERM or SIGINT is passed on to them, and ends this process when they have ended.

    Args:
        count: How many.
        words: The command and its arguments. It must not read standard input.

    Raises:
        ToldError: They were refused what they asked for; their leader has told why.
        ResourceError: One of them was killed.
    """
    # What it has to say of its processes is said here, in one line.
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_PATIENCE_S))
    # They are all here, and need no network: a machine may have none, and no name that anybody knows.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory(prefix="impasto-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, words[0])(*words[1:])
        except SignalException as asked:
            return 128 + asked.sigval
        except ChildFailedError as failed:
            return _failed(count, failed.failures.values())
    return 0


def _failed(count: int, failures: Collection[ProcessFailure]) -> int:
    """What becomes of a group of which some have failed; the others were ended by SIGTERM."""
    codes = [failure.exitcode for failure in failures]
    for failure in failures:
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
            raise ResourceError(
                f"process {failure.local_rank} of {count}",
                expected="all processes to go on",
                found=f"it ended by {failure.signal_name()}",
                fix="Start the command again: it goes on from the last completed iteration. Where memory was "
                "short, lower compute.memory_budget_mib",
            )
    if EXIT_STOPPED in codes:
        return EXIT_STOPPED
    if _MISTAKE in codes:
        raise ToldError
    return max(codes, default=1) if max(codes, default=1) > 0 else 1
