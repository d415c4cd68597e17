"""Scripts that measure frames and latencies inside the page, and their results."""

from __future__ import annotations

from pathlib import Path
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

# The time from a click to the end of the frame in which the zoomed maps appear.
ZOOM: Final = """() => {
    const bar = document.querySelector(".zoom-bar");
    let clicked = null;
    window.zoomed = null;
    window.addEventListener("click", (event) => { clicked = event.timeStamp; }, { capture: true, once: true });
    const watch = new MutationObserver(() => {
        if (!bar.hidden) {
            watch.disconnect();
            requestAnimationFrame(() => setTimeout(() => { window.zoomed = performance.now() - clicked; }));
        }
    });
    watch.observe(bar, { attributes: true });
}"""

CELL: Final = """(share) => {
    const { map } = window.mmuvizStage.stage.panes[0];
    const { x, y, pitch, dpr } = map.layout;
    const cell = Math.floor(share * map.run.cells);
    const box = map.canvas.getBoundingClientRect();
    return [box.left + (x[cell] + pitch / 2) / dpr, box.top + (y[cell] + pitch / 2) / dpr];
}"""

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


class Memory(NamedTuple):
    """Memory of a page, after a garbage collection.

    Attributes:
        heap: JavaScript's heap, bytes.
        nodes: number of DOM nodes.
        listeners: number of event listeners.
        process: memory of the browser's process of the page, bytes: heap, DOM, canvases, code.
    """

    heap: int
    nodes: int
    listeners: int
    process: int


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


def zooms(page: Page, clicks: int, patience_ms: int) -> list[float]:
    """Measure the time from a click on a cell of a map to the end of the frame with its pages, ms.

    Args:
        page: a page that shows the stage, paused and not zoomed.
        clicks: number of clicks, each on another part of memory.
        patience_ms: longest time of a zoom, ms.

    Returns:
        The time of each.
    """
    found = []
    for click in range(clicks):
        page.evaluate(ZOOM)
        page.mouse.click(*page.evaluate(CELL, (click + 0.5) / clicks))
        page.wait_for_function("() => window.zoomed !== null", timeout=patience_ms)
        found.append(float(page.evaluate("window.zoomed")))
        page.evaluate("() => window.mmuvizStage.stage.zooming.go(null)")
    return found


def play_repeatedly(page: Page, ps_per_second: float) -> None:
    """Make a page play its run from begin to end, again and again.

    Args:
        page: a page that shows the stage.
        ps_per_second: simulated ps in a second.
    """
    page.evaluate(
        """(speed) => {
            const { clock } = window.mmuvizStage.stage;
            clock.speed = speed;
            clock.loop(0, clock.endPs);
            clock.play();
        }""",
        ps_per_second,
    )


def memory(page: Page) -> Memory:
    """Measure the memory of a page of Chromium on Linux, without garbage."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    heap = int(devtools.send("Runtime.getHeapUsage")["usedSize"])
    counters = devtools.send("Memory.getDOMCounters")
    devtools.detach()
    browser = page.context.browser
    if browser is None:
        raise RuntimeError("the page belongs to no browser; open it by launch()")
    system = browser.new_browser_cdp_session()
    processes = system.send("SystemInfo.getProcessInfo")["processInfo"]
    system.detach()
    renderer = max((each for each in processes if each["type"] == "renderer"), key=lambda each: float(each["cpuTime"]))
    status = Path(f"/proc/{renderer['id']}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))
    return Memory(heap, int(counters["nodes"]), int(counters["jsEventListeners"]), resident)


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
