"""The page, opened and whole."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS

PAUSED = "?scenario=legacy&step=9000"


def open_page(page: Page, query: str = PAUSED, cursors: int = 3) -> None:
    """Open the page and wait for all of it: maps, charts and details."""
    page.goto(f"/{query}")
    expect(page.locator("#story[data-ready='yes']")).to_be_attached(timeout=PATIENCE_MS)
    expect(page.locator(".chart-frame .cursor:not([hidden])")).to_have_count(cursors, timeout=PATIENCE_MS)
    expect(page.locator("#ops")).to_be_attached(timeout=PATIENCE_MS)
