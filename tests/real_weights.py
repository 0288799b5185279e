"""Real model files for tests of claims that only trained networks can keep."""

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


def real_weights(name: str) -> Path:
    """The model file of this name, fetched once a machine as users do; skips the test where it cannot be."""
    path = cache_folder() / f"{name}.safetensors"
    try:
        weights.load(path)
    except WeightsError:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            pytest.skip(f"the real network cannot be kept: {error}; {CACHE} names another folder")
        done = Impasto(path.parent).run("fetch-weights", name, "--output", path.name)
        if done.returncode == 2:
            pytest.skip(f"the real network cannot be had: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return path
