"""Frames of the page while it plays: how regular they are, and what script and paint take of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from bench.report import table
from mmuviz.web.stage_app import OLD_PAGE

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLAY_MS: Final = 6_000
HZ: Final = 60
READY_MS: Final = 120_000
SCENARIOS: Final = {"random": "64 MiB", "1.5tib": "1.5 TiB"}
"""Scenarios that are measured, by their name in the address."""

# Stands before any script of the page. Every callback of a frame is wrapped; the first of a frame begins its work, and
# a message that it posts to itself comes after the frame was painted.
WATCH: Final = """(() => {
    const seen = { begins: [], works: [] };
    const channel = new MessageChannel();
    let last = -1;
    let begun = 0;
    channel.port1.onmessage = () => seen.works.push(performance.now() - begun);
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (callback) => ask((now) => {
        if (now !== last) {
            last = now;
            begun = performance.now();
            seen.begins.push(now);
            channel.port2.postMessage(0);
        }
        callback(now);
    });
    window.watchedFrames = seen;
})()"""


# The frame in which the story first stands on the page; a message posted in it comes after the frame was painted.
WATCH_FIRST: Final = """(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { window.firstMapMs = performance.now(); };
    const watch = new MutationObserver(() => {
        if (document.querySelector("#story[data-ready='yes']")) {
            watch.disconnect();
            channel.port2.postMessage(0);
        }
    });
    const begin = () => watch.observe(document.documentElement, { attributes: true, childList: true, subtree: true });
    document.addEventListener("readystatechange", begin, { once: true });
})()"""


class Frames(NamedTuple):
    """What was seen while the page played.

    Attributes:
        interval_ms: 95th percentile of the time from one frame to the next.
        dropped: share of the display's frames that did not come.
        work_ms: 95th percentile of script and paint of a frame.
        frames: how many were seen.
        ticks: how far the story went.
    """

    interval_ms: float
    dropped: float
    work_ms: float
    frames: int
    ticks: int


def first_map_ms(page: Page) -> float:
    """Load the default page and find when its map was first painted.

    Args:
        page: of a context that was never here, with a base address.

    Returns:
        Milliseconds from the beginning of the navigation to the end of the frame.
    """
    page.add_init_script(WATCH_FIRST)
    page.goto(OLD_PAGE, wait_until="commit")
    # Seen late, for charts are drawn meanwhile: so the page notes the time itself.
    page.wait_for_selector("#story[data-ready='yes']", state="attached", timeout=READY_MS)
    page.wait_for_selector(".chart-frame .cursor:not([hidden])", state="attached", timeout=READY_MS)
    return float(page.evaluate("firstMapMs"))


def frames_while_playing(page: Page, query: str, speed: str, play_ms: int = PLAY_MS) -> Frames:
    """Open a scenario, play it from its opening, and watch the frames.

    Args:
        page: a browser's page whose context has a base address.
        query: of the page's address.
        speed: value of the speed list.
        play_ms: how long to watch.

    Returns:
        The figures.
    """
    page.add_init_script(WATCH)
    page.goto(f"/{query}")
    page.wait_for_selector("#story[data-ready='yes']", state="attached", timeout=READY_MS)
    page.wait_for_selector("#story[data-playing='yes']", state="attached", timeout=READY_MS)
    page.wait_for_selector(".chart-frame .cursor:not([hidden])", state="attached", timeout=READY_MS)
    page.select_option("#speed", speed)
    page.wait_for_timeout(1_000)  # what loading left behind is collected
    begin = int(page.get_attribute("#story", "data-t") or "0")
    page.evaluate("watchedFrames.begins.length = watchedFrames.works.length = 0")
    page.wait_for_timeout(play_ms)
    seen = page.evaluate("watchedFrames")
    end = int(page.get_attribute("#story", "data-t") or "0")
    intervals = np.diff(seen["begins"])
    wanted = (seen["begins"][-1] - seen["begins"][0]) * HZ / 1000
    return Frames(
        interval_ms=float(np.percentile(intervals, 95)),
        dropped=max(0.0, 1 - len(intervals) / wanted),
        work_ms=float(np.percentile(seen["works"], 95)),
        frames=len(intervals),
        ticks=end - begin,
    )


def report(rows: Sequence[tuple[str, Frames]]) -> str:
    """The table of what was measured.

    Args:
        rows: what was played, and its frames.

    Returns:
        Text.
    """
    header = ["playing", "interval p95 ms", "dropped %", "script and paint p95 ms", "frames", "ticks"]
    cells = [
        [
            name,
            f"{each.interval_ms:.1f}",
            f"{100 * each.dropped:.1f}",
            f"{each.work_ms:.1f}",
            str(each.frames),
            f"{each.ticks:,}",
        ]
        for name, each in rows
    ]
    return table(header, cells)
