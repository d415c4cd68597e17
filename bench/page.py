"""The page in a real browser: time to the first map, and frames while it plays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.frames import SCENARIOS, Frames, frames_while_playing, report
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.served import clean_environment, serve

SPEEDS = ("1", "16")


def run() -> str:
    """Play each scenario at each speed.

    Returns:
        The table.
    """
    rows: list[tuple[str, Frames]] = []
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    with (
        serve(command, cwd=Path.cwd(), environment=clean_environment()) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=CHROMIUM_FLAGS)
        for scenario, name in SCENARIOS.items():
            for speed in SPEEDS:
                page = browser.new_page(base_url=served.url)
                rows.append((f"{name}, speed {speed}", frames_while_playing(page, f"?scenario={scenario}", speed)))
                page.close()
        browser.close()
    return report(rows)
