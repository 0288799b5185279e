"""The tiny collection, rendered once for all tests that look at what came of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflows import CONFIG, Checkout, RenderedCollection, write_inputs


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> RenderedCollection:
    """The collection, rendered from nothing; a test that changes a thing changes it back."""
    checkout = Checkout.make(tmp_path_factory.mktemp("checkout"))
    write_inputs(checkout.folder)
    checkout.configure(CONFIG)
    return RenderedCollection.render(checkout)


@pytest.fixture
def fresh(rendered: RenderedCollection, tmp_path: Path) -> Checkout:
    """A checkout with the same inputs, and nothing made yet."""
    checkout = Checkout.make(tmp_path)
    shutil.copytree(rendered.checkout.folder / "inputs", tmp_path / "inputs")
    return checkout
