"""The real VGG-16 for tests of claims that only a trained network can keep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from running import Impasto

from pipeline import weights
from pipeline.errors import WeightsError

CACHE = "IMPASTO_TEST_CACHE"


def cache_folder() -> Path:
    """Where fetched files stay between runs: the folder in IMPASTO_TEST_CACHE, else the user's cache."""
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "impasto-tests"


def fetch_vgg16() -> Path:
    """The model file of VGG-16, fetched once a machine as a user does; skips the test where it cannot be."""
    path = cache_folder() / "vgg16.safetensors"
    try:
        weights.load(path)
    except WeightsError:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            pytest.skip(f"the real network cannot be kept: {error}; {CACHE} names another folder")
        done = Impasto(path.parent).run("fetch-weights", "vgg16", "--output", path.name)
        if done.returncode == 2:
            pytest.skip(f"the real network cannot be had: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return path
