"""Scripts that watch the page from inside, and what they saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

HZ: Final = 60
PANES: Final = "[data-mmuviz=pane]:not([hidden])"

# Stands before any script of the page. Every callback of a frame is wrapped; the first of a frame begins its work, and
# a message that it posts to itself comes after the frame was painted. Keys and presses are answered in the next frame.
WATCH: Final = """(() => {
    const seen = { begins: [], works: [], answers: [], shift: 0, first: null };
    const channel = new MessageChannel();
    const told = [];
    channel.port1.onmessage = () => told.shift()();
    const afterPaint = (tell) => { told.push(tell); channel.port2.postMessage(0); };
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
    """What was seen while the page played.

    Attributes:
        interval_ms: 95th percentile of the time from one frame to the next.
        dropped: share of the display's frames that did not come.
        work_ms: 95th percentile of script and paint of a frame.
        frames: how many were seen.
        requests: what was asked of the server meanwhile.
        moved_ps: how far the clock went.
    """

    interval_ms: float
    dropped: float
    work_ms: float
    frames: int
    requests: int
    moved_ps: int


class Load(NamedTuple):
    """A cold load.

    Attributes:
        first_ms: from its beginning to the end of the frame with the first map and charts.
        shift: cumulative layout shift, some time later.
        sent: bytes that travelled.
        requests: files and answers that were asked for.
    """

    first_ms: float
    shift: float
    sent: int
    requests: int


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(values, 95))


def wait_for_stage(page: Page, patience_ms: int) -> None:
    """Until the panes are shown."""
    page.wait_for_selector(PANES, timeout=patience_ms)


def show(page: Page, changes: dict[str, Any], policies: list[str], speed: str, patience_ms: int) -> None:
    """Have the page play another guest.

    Args:
        page: the stage is shown.
        changes: fields of the default story, by dotted name.
        policies: two to four.
        speed: as in the list of speeds.
        patience_ms: how long the run may take.
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
    """Where the clock is, ps."""
    return int(page.evaluate("() => Math.round(window.mmuvizStage.stage.clock.now)"))


def frames_while_playing(page: Page, settle_ms: int, play_ms: int) -> Frames:
    """Watch a page that plays.

    Args:
        page: with WATCH in it.
        settle_ms: what is not counted before: what loading left behind is collected.
        play_ms: how long to watch.

    Returns:
        The figures.
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
    """Load the page where nothing is kept.

    Args:
        page: of a context that was never here, with a base address.
        patience_ms: how long it may take.
        later_ms: until shifts of the layout are looked at.

    Returns:
        The figures.
    """
    page.add_init_script(WATCH)
    page.goto("/", wait_until="commit")
    page.wait_for_function("() => window.watched && window.watched.first !== null", timeout=patience_ms)
    sizes = page.evaluate(SIZES)
    page.wait_for_timeout(later_ms)
    seen = page.evaluate("watched")
    return Load(seen["first"], seen["shift"], sum(sizes), len(sizes))


def keys(page: Page, presses: int = 40) -> float:
    """95th percentile from a key to the end of the frame that shows what it did, ms."""
    page.evaluate("() => { watched.answers.length = 0; }")
    for index in range(presses):
        page.keyboard.press(("]", ".", ".", ",", "[")[index % 5])
        page.wait_for_timeout(20)
    return p95(page.evaluate("watched.answers"))


def seeks(page: Page, presses: int = 40) -> float:
    """The same from a press on the scrubber."""
    place = page.locator("[data-mmuviz=scrubber]").bounding_box()
    if place is None:
        raise RuntimeError("the page has no scrubber; it must show one")
    page.evaluate("() => { watched.answers.length = 0; }")
    for index in range(presses):
        part = 0.1 + 0.8 * (index * 0.618 % 1)
        page.mouse.click(place["x"] + part * place["width"], place["y"] + place["height"] / 2)
        page.wait_for_timeout(20)
    return p95(page.evaluate("watched.answers"))
