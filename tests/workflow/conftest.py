"""The tiny collection's inputs, and checkouts that start from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflows import Checkout, write_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files that the tiny collection's configuration names; nobody writes there."""
    folder = tmp_path_factory.mktemp("collection")
    write_inputs(folder)
    return folder / "inputs"


@pytest.fixture
def fresh(inputs: Path, tmp_path: Path) -> Checkout:
    """A checkout with these inputs, and nothing made yet."""
    checkout = Checkout.make(tmp_path)
    shutil.copytree(inputs, tmp_path / "inputs")
    return checkout


@pytest.fixture
def warm(fresh: Checkout) -> Checkout:
    """The same, whose jobs start without importing torch anew each."""
    return Checkout(fresh.folder, warm=True)
