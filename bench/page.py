"""The page in a real browser: time to the first map, and frames while it plays."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

from bench.frames import SCENARIOS, Frames, first_map_ms, frames_while_playing, report
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.served import clean_environment, serve

SPEEDS = ("1", "16")
LOADS = 7


def run() -> str:
    """Load the default page cold, and play each scenario at each speed.

    Returns:
        A line and the table.
    """
    rows: list[tuple[str, Frames]] = []
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    with (
        serve(command, cwd=Path.cwd(), environment=clean_environment()) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=CHROMIUM_FLAGS)
        loads = []
        for _ in range(LOADS):
            context = browser.new_context(base_url=served.url)
            loads.append(first_map_ms(context.new_page()))
            context.close()
        for scenario, name in SCENARIOS.items():
            for speed in SPEEDS:
                page = browser.new_page(base_url=served.url)
                rows.append((f"{name}, speed {speed}", frames_while_playing(page, f"?scenario={scenario}", speed)))
                page.close()
        browser.close()
    first = f"first map of a cold load: median {median(loads) / 1000:.2f} s of {LOADS} (2.5 wanted)"
    return f"{first}\n{report(rows)}"
