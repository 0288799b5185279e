"""A page in a browser, and everything it complains of or asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import axe_playwright_python
from playwright.sync_api import Browser, BrowserContext, Page

_AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")


@final
@dataclass
class Tab:
    """A page in the browser, and everything it complained of or asked for.

    Attributes:
        page: Playwright's page.
        complaints: Errors and warnings in the console, and requests that left the disk.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        self.page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asked for {url}")

    def _failed(self, url: str, why: str | None) -> None:
        # A tile that is no longer wanted is let go of.
        if why != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {url}: {why}")

    def open(self, path: Path) -> Page:
        """Opens a page from the disk."""
        self.page.goto(path.as_uri())
        return self.page

    def inaccessible(self) -> list[Any]:
        """What axe finds wrong with the page as it is now."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        # Its preloading would ask for the style sheet once more, which the page's own policy forbids.
        found = self.page.evaluate("axe.run({preload: false})")["violations"]
        return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def opened(chromium: Browser, what: str) -> Iterator[Tab]:
    """A fresh tab on a `desktop` or a `phone`, `light` or `dark`; nothing may be complained of in the end."""
    phone, dark = "phone" in what, "dark" in what
    context: BrowserContext = chromium.new_context(
        viewport={"width": 390, "height": 844} if phone else {"width": 1440, "height": 900},
        has_touch=phone,
        color_scheme="dark" if dark else "light",
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = Tab(context.new_page())
    yield tab
    context.close()
    assert not tab.complaints, tab.complaints
