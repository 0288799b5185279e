"""A headless Chromium of the system's, one for all tests; where there is none they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Tab, opened
from playwright.sync_api import Browser, sync_playwright
from real_weights import cache_folder

from pipeline import viewer

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"there is no {', '.join(_NAMES)} on this machine")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work as root in a container; the pages are ours.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def openseadragon() -> Path:
    """The viewer; where it cannot be had, the test is skipped."""
    path = cache_folder() / viewer.FILE
    reason = "" if viewer.is_here(path) else viewer.fetch(path)
    if reason:
        pytest.skip(reason)
    return path


@pytest.fixture(params=["desktop light", "phone dark"])
def tab(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Tab]:
    """A fresh tab on a desktop and on a phone; nothing may have been complained of in the end."""
    yield from opened(chromium, request.param)


@pytest.fixture
def desktop(chromium: Browser) -> Iterator[Tab]:
    """A fresh tab on a desktop; nothing may have been complained of in the end."""
    yield from opened(chromium, "desktop light")
