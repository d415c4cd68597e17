"""The screenshot at the top of the README: the first screen, paused at 45 ms."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS, PATIENCE_MS
from tests.served import clean_environment, serve

PICTURE: Final = Path("docs/pictures/stage.png")
VIEW: Final = {"width": 1280, "height": 720}
ADDRESS: Final = "/?ps=45000000000&theme=light"
"""A moment at which eager splitting is clearing dirty bits, and with lazy splitting the vCPUs stall at every page."""


def main() -> None:
    """Serve the page, open it, and take the screenshot."""
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    with serve(command, cwd=Path.cwd(), environment=clean_environment()) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=CHROMIUM_FLAGS)
        page = browser.new_page(base_url=served.url, viewport=VIEW)  # type: ignore[arg-type]  # Playwright's own name
        page.goto(ADDRESS)
        page.locator(".stage.ready").wait_for(timeout=PATIENCE_MS)
        page.screenshot(path=PICTURE, animations="disabled")
        browser.close()


if __name__ == "__main__":
    main()
