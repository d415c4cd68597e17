"""Benchmarks of the page in a real browser: a cold load, frames while it plays, latency of keys, memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from bench import thresholds
from bench.report import table
from bench.watch import WATCH, Frames, Load, cold_load, frames_while_playing, keys, seeks, show, wait_for_stage
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.served import clean_environment, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOADS: Final = 7
PLAY_MS: Final = 6_000
SETTLE_MS: Final = 3_000
PATIENCE_MS: Final = 900_000
MEMORY_S: Final = 240
VIEW: Final = {"width": 1280, "height": 720}
TWO: Final = ["manual_lazy", "eager_at_enable"]
FOUR: Final = [*TWO, "eager_in_clear", "ring_lazy"]
TIB: Final = 1 << 40
LARGE: Final = [{"base": (8 + 8 * each) * TIB, "size": 6 * TIB, "backing": "hugetlb_1g"} for each in (0, 1)]
GUESTS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "64 MiB": ({"memory[0].size": "64 MiB", "memory[0].backing": "hugetlb_2m"}, "10000000000"),
    "4 GiB": ({}, "10000000000"),
    "1.5 TiB": ({"memory[0].size": "1536 GiB"}, "100000000000"),
    "12 TiB": ({"memory": LARGE}, "1000000000000"),
}
"""Fields that differ from the default entry's Scenario, and the speed of playback: simulated ps per second."""


def run() -> str:
    """Run these benchmarks.

    Returns:
        Their tables as text.
    """
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    with TemporaryDirectory() as results, sync_playwright() as playwright:
        environment = clean_environment(
            MMUVIZ_RESULTS_DIR=results, MMUVIZ_RUN_MEMORY="16 GiB", MMUVIZ_RUN_SECONDS="900"
        )
        with serve(command, cwd=Path.cwd(), environment=environment) as served:
            browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=CHROMIUM_FLAGS)
            loads = [_load(browser, served.url) for _ in range(LOADS + 1)][1:]  # without the server's first
            page = _opened(browser, served.url)
            frames = {
                f"{name}, {len(policies)} panes": _played(page, changes, policies, speed)
                for name, (changes, speed) in GUESTS.items()
                for policies in (TWO, FOUR)
            }
            show(page, {}, TWO, "auto", PATIENCE_MS)
            frames["4 GiB, 2 panes, auto speed"] = frames_while_playing(page, SETTLE_MS, PLAY_MS)
            page.keyboard.press(" ")
            answers = keys(page), seeks(page)
            grown = _grown(page)
            browser.close()
    return f"{loads_table(loads, answers, grown)}\n\n{frames_table(frames)}"


def _load(browser: Browser, url: str) -> Load:
    context = browser.new_context(base_url=url, viewport=VIEW)  # type: ignore[arg-type]  # Playwright's own name for it
    found = cold_load(context.new_page(), PATIENCE_MS)
    context.close()
    return found


def _opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(base_url=url, viewport=VIEW)  # type: ignore[arg-type]  # the same
    page.add_init_script(WATCH)
    page.goto("/")
    wait_for_stage(page, PATIENCE_MS)
    return page


def _played(page: Page, changes: dict[str, Any], policies: list[str], speed: str) -> Frames:
    show(page, changes, policies, speed, PATIENCE_MS)
    return frames_while_playing(page, SETTLE_MS, PLAY_MS)


def _grown(page: Page) -> float:
    """Estimate the growth of the heap in MiB per hour, from some minutes in which the run is played repeatedly."""
    page.evaluate(
        """() => {
            const { clock } = window.mmuvizStage.stage;
            clock.speed = 1e11;
            clock.loop(0, clock.endPs);
            clock.play();
        }"""
    )
    devtools = page.context.new_cdp_session(page)
    used = []
    for wait_s in (30, MEMORY_S):  # the first laps fill caches
        page.wait_for_timeout(1_000 * wait_s)
        devtools.send("HeapProfiler.collectGarbage")
        used.append(devtools.send("Runtime.getHeapUsage")["usedSize"])
    return float(used[1] - used[0]) / 2**20 * 3600 / MEMORY_S


def met(value: float, most: float) -> str:
    """Return the table cell of a value that is within its threshold or not."""
    return "yes" if value <= most else "NO"


def loads_table(loads: list[Load], answers: tuple[float, float], grown: float) -> str:
    """Make the table of all results except frames."""
    first, shift = median(each.first_ms for each in loads), max(each.shift for each in loads)
    rows = [
        ("first map and charts of a cold load, ms, median", f"{first:.0f}", first, thresholds.FIRST_MS),
        ("layout shift of a load, worst", f"{shift:.3f}", shift, thresholds.SHIFT),
        ("sent until it plays, bytes", f"{loads[-1].sent:,}", loads[-1].sent, thresholds.BYTES),
        ("key to paint, ms, p95", f"{answers[0]:.0f}", answers[0], thresholds.KEY_MS),
        ("seek to paint, ms, p95", f"{answers[1]:.0f}", answers[1], thresholds.KEY_MS),
        ("growth of the heap in an hour, MiB, extrapolated", f"{grown:.1f}", grown, thresholds.MIB_AN_HOUR),
    ]
    cells = [[name, text, f"{most:,g}", met(value, most)] for name, text, value, most in rows]
    cells.append(["requests until it plays", str(loads[-1].requests), "", ""])
    return table(["the page", "measured", "at most", "met"], cells)


def frames_table(frames: dict[str, Frames]) -> str:
    """Make the table of frames during playback."""
    header = ["playing", "interval p95 ms", "dropped %", "script and paint p95 ms", "requests", "frames", "met"]
    cells = []
    for name, each in frames.items():
        pairs = (
            (each.interval_ms, thresholds.FRAME_MS),
            (each.dropped, thresholds.DROPPED),
            (each.work_ms, thresholds.WORK_MS),
            (each.requests, thresholds.REQUESTS),
        )
        row = [name, f"{each.interval_ms:.1f}", f"{100 * each.dropped:.1f}", f"{each.work_ms:.1f}", str(each.requests)]
        cells.append([*row, str(each.frames), "yes" if all(value <= most for value, most in pairs) else "NO"])
    return table(header, cells)
