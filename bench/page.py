"""Benchmarks of the page in a real browser: a cold load, frames while it plays, latency of keys, zooming, memory.

`python -m bench.page MINUTES` measures only the memory, while the default entry is played for so long.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from bench import thresholds
from bench.report import table
from bench.watch import (
    WATCH,
    Frames,
    Load,
    Memory,
    cold_load,
    frames_while_playing,
    keys,
    memory,
    play_repeatedly,
    seeks,
    show,
    wait_for_stage,
    zooms,
)
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.served import clean_environment, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOADS: Final = 7
PLAY_MS: Final = 6_000
SETTLE_MS: Final = 3_000
PATIENCE_MS: Final = 900_000
WARM_S: Final = 30
"""Time before memory is measured first, s: the first laps fill caches."""
MEMORY_S: Final = 240
SAMPLES: Final = 12
CLICKS: Final = 5
PS_PER_SECOND: Final = 1e11
VIEW: Final = {"width": 1280, "height": 720}
TWO: Final = ["manual_lazy", "eager_at_enable"]
FOUR: Final = [*TWO, "eager_in_clear", "ring_lazy"]
MIB: Final = 1 << 20
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
            show(page, {"memory[0].size": "64 GiB"}, TWO, "auto", PATIENCE_MS)
            page.evaluate("() => window.mmuvizStage.stage.clock.pause()")
            zoom_ms = median(zooms(page, CLICKS, PATIENCE_MS))
            browser.close()
    return f"{loads_table(loads, answers, zoom_ms, grown)}\n\n{frames_table(frames)}"


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
    first, last = (each for _, each in _sampled(page, MEMORY_S, 1))
    return (last.heap - first.heap) / MIB * 3600 / MEMORY_S


def _sampled(page: Page, seconds: float, samples: int) -> list[tuple[float, Memory]]:
    """Measure the memory during playback, after WARM_S and then at equal intervals: pairs of seconds and Memory."""
    play_repeatedly(page, PS_PER_SECOND)
    page.wait_for_timeout(1_000 * WARM_S)
    found = [(0.0, memory(page))]
    for sample in range(1, samples + 1):
        page.wait_for_timeout(1_000 * seconds / samples)
        found.append((seconds * sample / samples, memory(page)))
    return found


def play_for(minutes: float) -> str:
    """Play the default entry repeatedly, and measure the memory of the page.

    Args:
        minutes: duration of the measurement.

    Returns:
        A table, and the growth of the heap in an hour, which is extrapolated if `minutes` is less.
    """
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    environment = clean_environment()
    with serve(command, cwd=Path.cwd(), environment=environment) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=CHROMIUM_FLAGS)
        samples = _sampled(_opened(browser, served.url), 60 * minutes, SAMPLES)
        browser.close()
    return memory_table(samples)


def memory_table(samples: list[tuple[float, Memory]]) -> str:
    """Make the table of the page's memory over time.

    Args:
        samples: pairs of seconds and Memory, at least two.
    """
    header = ["minutes", "heap MiB", "DOM nodes", "listeners", "process MiB"]
    rows = [
        [f"{s / 60:.1f}", f"{m.heap / MIB:.1f}", f"{m.nodes:,}", f"{m.listeners:,}", f"{m.process / MIB:.0f}"]
        for s, m in samples
    ]
    (begin_s, first), (end_s, last) = samples[0], samples[-1]
    grown = (last.heap - first.heap) / MIB * 3600 / (end_s - begin_s)
    kept = met(grown, thresholds.MIB_AN_HOUR)
    return f"{table(header, rows)}\n\nheap, MiB in an hour: {grown:.1f}, at most {thresholds.MIB_AN_HOUR:g}: {kept}"


def met(value: float, most: float) -> str:
    """Return the table cell of a value that is within its threshold or not."""
    return "yes" if value <= most else "NO"


def loads_table(loads: list[Load], answers: tuple[float, float], zoom_ms: float, grown: float) -> str:
    """Make the table of all results except frames."""
    first, shift = median(each.first_ms for each in loads), max(each.shift for each in loads)
    rows = [
        ("first map and charts of a cold load, ms, median", f"{first:.0f}", first, thresholds.FIRST_MS),
        ("layout shift of a load, worst", f"{shift:.3f}", shift, thresholds.SHIFT),
        ("sent until it plays, bytes", f"{loads[-1].sent:,}", loads[-1].sent, thresholds.BYTES),
        ("key to paint, ms, p95", f"{answers[0]:.0f}", answers[0], thresholds.KEY_MS),
        ("seek to paint, ms, p95", f"{answers[1]:.0f}", answers[1], thresholds.KEY_MS),
        ("zoom of 64 GiB to pages, ms, median", f"{zoom_ms:.0f}", zoom_ms, thresholds.ZOOM_MS),
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


def main(arguments: list[str]) -> None:
    """Measure the memory while the page plays.

    Args:
        arguments: the duration, minutes.

    Raises:
        SystemExit: there is not just one positive number.
    """
    text = " ".join(arguments)
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise SystemExit(f"MINUTES={text!r} must be a number of minutes above 0, e.g. 60")
    print(play_for(minutes))


if __name__ == "__main__":
    main(sys.argv[1:])
