"""The stage's scripts without its page: an empty document that holds them, and bytes to feed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, Page, Route

from tests.browser.packed import PACKED, unpacked
from tests.browser.stage_runs import recording_of

ORIGIN: Final = "http://harness.test"
SCRIPTS: Final = (
    "auto-speed.js",
    "axis.js",
    "cell-history.js",
    "clock.js",
    "guest-ram.js",
    "lane-shares.js",
    "moments.js",
    "recording.js",
    "run.js",
    "sentence-text.js",
)
DOCUMENT: Final = (
    f"<!doctype html><link rel=icon href=data:,><script>{PACKED}</script>"
    "<script>const S = window.mmuvizStage = {};</script>"
    + "".join(f"<script src=/assets/{name}></script>" for name in SCRIPTS)
)


class Stage:
    """One document with the scripts, which are handed bytes and asked for numbers."""

    def __init__(self, page: Page, assets: Path) -> None:
        self.page, self.assets = page, assets
        self.errors: list[str] = []
        self._data = b""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route("**/*", self._answer)
        page.goto(f"{ORIGIN}/")

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/bytes":
            route.fulfill(body=self._data)
        elif path.startswith("/assets/"):
            route.fulfill(path=self.assets / path.removeprefix("/assets/"))
        else:
            route.fulfill(body=DOCUMENT, content_type="text/html")

    def run(self, script: str, argument: Any = None) -> Any:  # noqa: ANN401 - whatever the script gives
        answer = self.page.evaluate(script, argument)
        assert self.errors == []
        return answer

    def give(self, data: bytes) -> None:
        """Put bytes into `window.buffer`."""
        self._data = data
        self.run("async () => { window.buffer = await (await fetch('/bytes', {cache: 'no-store'})).arrayBuffer(); }")

    def open(self, *names: str) -> None:
        """Put the Runs of Recordings into `window.runs`, and the first one into `window.r`."""
        self.run("() => { window.runs = []; }")
        for name in names:
            self.give(recording_of(name).content())
            self.run("label => { runs.push(new S.Run(S.decode(buffer), {label, policy: label})); }", name)
        self.run("() => { window.r = runs[0]; }")

    def numbers(self, expression: str, times: npt.ArrayLike) -> npt.NDArray[Any]:
        """Evaluate an expression of `ps` at each time: one row per time, with columns if it returns several values."""
        script = f"times => packed(times.flatMap(ps => {expression}))"
        given = np.asarray(times).tolist()
        found = unpacked(self.run(script, given)).reshape(len(given), -1)
        return found[:, 0] if found.shape[1] == 1 else found


@contextmanager
def opened_stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    """A Stage in a browser context of its own."""
    context = chromium.new_context(reduced_motion="no-preference")
    yield Stage(context.new_page(), repository / "assets" / "stage")
    context.close()
