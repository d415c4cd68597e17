"""Scripts that measure frames and latencies inside the page, and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

HZ: Final = 60
PANES: Final = "[data-mmuviz=pane]:not([hidden])"

# It runs before all scripts of the page, and wraps every animation-frame callback. The first callback of a frame is the
# start of its work; a message that it posts to itself arrives after the frame was painted. The frame after a key or a
# press shows its effect.
WATCH: Final = """(() => {
    const seen = { begins: [], works: [], answers: [], shift: 0, first: null };
    const channel = new MessageChannel();
    const resolvers = [];
    channel.port1.onmessage = () => resolvers.shift()();
    const afterPaint = (resolve) => { resolvers.push(resolve); channel.port2.postMessage(0); };
    const ask = window.requestAnimationFrame.bind(window);
    let last = -1;
    window.requestAnimationFrame = (callback) => ask((now) => {
        if (now !== last) {
            last = now;
            const begun = performance.now();
            seen.begins.push(now);
            afterPaint(() => seen.works.push(performance.now() - begun));
        }
        callback(now);
    });
    for (const kind of ["keydown", "pointerdown"]) {
        window.addEventListener(kind, (event) => ask(() => afterPaint(() => {
            seen.answers.push(performance.now() - event.timeStamp);
        })), { capture: true });
    }
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            seen.shift += entry.hadRecentInput ? 0 : entry.value;
        }
    }).observe({ type: "layout-shift", buffered: true });
    const watch = new MutationObserver(() => {
        if (document.querySelector("[data-mmuviz=pane]:not([hidden])")) {
            watch.disconnect();
            afterPaint(() => { seen.first = performance.now(); });
        }
    });
    watch.observe(document, { attributes: true, childList: true, subtree: true });
    window.watched = seen;
})()"""

SIZES: Final = """() => {
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return entries.map((entry) => entry.transferSize);
}"""


class Frames(NamedTuple):
    """Measurements during playback.

    Attributes:
        interval_ms: 95th percentile of the interval between frames, ms.
        dropped: share of the display's frames that were dropped.
        work_ms: 95th percentile of the time of script and paint of a frame, ms.
        frames: number of frames.
        requests: requests to the server meanwhile.
        moved_ps: simulated time that was played, ps.
    """

    interval_ms: float
    dropped: float
    work_ms: float
    frames: int
    requests: int
    moved_ps: int


class Load(NamedTuple):
    """Measurements of a cold load.

    Attributes:
        first_ms: time from its start to the end of the frame with the first map and charts, ms.
        shift: cumulative layout shift, some time later.
        sent: bytes transferred.
        requests: number of requests.
    """

    first_ms: float
    shift: float
    sent: int
    requests: int


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return float(np.percentile(values, 95))


def wait_for_stage(page: Page, patience_ms: int) -> None:
    """Wait until the panes are shown."""
    page.wait_for_selector(PANES, timeout=patience_ms)


def show(page: Page, changes: dict[str, Any], policies: list[str], speed: str, patience_ms: int) -> None:
    """Make the page play another guest.

    Args:
        page: a page that shows the stage.
        changes: changed fields of the default entry's Scenario, by dotted name.
        policies: two to four policies.
        speed: a value of the menu of speeds.
        patience_ms: longest time of the run, ms.
    """
    page.evaluate(
        """([set, policies, speed]) => {
            const { stage } = window.mmuvizStage;
            window.before = stage.runs;
            stage.ask({ ...stage.state, set, policies, speed, ps: null });
        }""",
        [changes, policies, speed],
    )
    page.wait_for_function("() => window.mmuvizStage.stage.runs !== window.before", timeout=patience_ms)


def moment(page: Page) -> int:
    """Return the position of the clock, ps."""
    return int(page.evaluate("() => Math.round(window.mmuvizStage.stage.clock.now)"))


def frames_while_playing(page: Page, settle_ms: int, play_ms: int) -> Frames:
    """Measure a page during playback.

    Args:
        page: a page with the script WATCH.
        settle_ms: time before the measurement, ms, in which garbage of loading is collected.
        play_ms: duration of the measurement, ms.

    Returns:
        The measurements.
    """
    page.wait_for_timeout(settle_ms)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin = moment(page)
    page.evaluate("() => { watched.begins.length = watched.works.length = 0; }")
    page.wait_for_timeout(play_ms)
    seen = page.evaluate("watched")
    intervals = np.diff(seen["begins"])
    wanted = play_ms * HZ / 1000
    return Frames(
        interval_ms=p95(intervals.tolist()),
        dropped=max(0.0, 1 - len(seen["begins"]) / wanted),
        work_ms=p95(seen["works"]),
        frames=len(seen["begins"]),
        requests=len(asked),
        moved_ps=moment(page) - begin,
    )


def cold_load(page: Page, patience_ms: int, later_ms: int = 2_000) -> Load:
    """Load the page with an empty cache.

    Args:
        page: a page of a new context, with a base address.
        patience_ms: longest time of the load, ms.
        later_ms: time after which the layout shift is read, ms.

    Returns:
        The measurements.
    """
    page.add_init_script(WATCH)
    page.goto("/", wait_until="commit")
    page.wait_for_function("() => window.watched && window.watched.first !== null", timeout=patience_ms)
    sizes = page.evaluate(SIZES)
    page.wait_for_timeout(later_ms)
    seen = page.evaluate("watched")
    return Load(seen["first"], seen["shift"], sum(sizes), len(sizes))


def keys(page: Page, presses: int = 40) -> float:
    """Measure the 95th percentile of the time from a key to the end of the frame that shows its effect, ms."""
    page.evaluate("() => { watched.answers.length = 0; }")
    for index in range(presses):
        page.keyboard.press(("]", ".", ".", ",", "[")[index % 5])
        page.wait_for_timeout(20)
    return p95(page.evaluate("watched.answers"))


def seeks(page: Page, presses: int = 40) -> float:
    """Measure the 95th percentile of the time from a press on the scrubber to the end of that frame, ms."""
    place = page.locator("[data-mmuviz=scrubber]").bounding_box()
    if place is None:
        raise RuntimeError("the page has no scrubber; it must show one")
    page.evaluate("() => { watched.answers.length = 0; }")
    for index in range(presses):
        part = 0.1 + 0.8 * (index * 0.618 % 1)
        page.mouse.click(place["x"] + part * place["width"], place["y"] + place["height"] / 2)
        page.wait_for_timeout(20)
    return p95(page.evaluate("watched.answers"))
