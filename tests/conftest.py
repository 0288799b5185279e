"""Lies here so that tests of every folder can import the helpers beside it, such as `networks`."""

import os

# Before torch is imported. The tensors of tests are tiny: on a busy machine two threads that wait for one
# another take five times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from real_weights import real_weights
from running import REPOSITORY

# A busy machine is no reason to fail: tests have a time limit of their own.
settings.register_profile("impasto", deadline=None)
settings.load_profile("impasto")


@pytest.fixture(scope="session")
def real_vgg16() -> Path:
    """The model file of the real VGG-16; where it cannot be had, the test is skipped."""
    return real_weights("vgg16")


LONGEST = (
    "slurm/test_slurm.py",
    "workflow/test_rendering.py",
    "workflow/test_controls.py",
    "properties/test_scale_control.py",
    "commands/test_stylise.py",
    "properties/test_guidance_works.py",
    "properties/test_feedforward_works.py",
    "workflow/test_failures.py",
    "workflow/test_prints.py",
    "workflow/test_feedforward.py",
    "workflow/test_segments.py",
    "unit/test_distributed.py",
    "commands/test_train.py",
    "workflow/test_masks.py",
)
"""Files that take a minute or more, the longest first."""


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors: jobs of Slurm, sleeps and disks are waited for."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the longest files begin first, so that none is left alone at the end; skips what needs a GPU."""
    places = {REPOSITORY / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device on this machine"))
