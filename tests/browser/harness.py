"""The page's scripts without the page: an empty document that holds what draws, and bytes to feed it."""

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, Page, Route

ORIGIN = "http://harness.test"
# In the order in which Dash loads them.
SCRIPTS = (
    "counts.js",
    "map-looks.js",
    "map-marks.js",
    "map-painter.js",
    "map-tables.js",
    "map-view.js",
    "page-map.js",
    "recording.js",
    "timeline.js",
)
# A typed array keeps its type, so that a million small numbers stay small.
PACKED = """window.packed = (numbers) => {
    const column = ArrayBuffer.isView(numbers) ? numbers : Float64Array.from(numbers);
    const bytes = new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
    let text = '';
    for (let at = 0; at < bytes.length; at += 4096) {
        text += String.fromCharCode(...bytes.subarray(at, at + 4096));
    }
    return `${column.constructor.name} ${btoa(text)}`;
};"""
DTYPES = {"Float64Array": "<f8", "Int32Array": "<i4", "Uint32Array": "<u4", "Uint16Array": "<u2", "Uint8Array": "u1"}
DOCUMENT = (
    "<!doctype html><link rel=icon href=data:,><link rel=stylesheet href=/assets/tokens.css>"
    f"<script>{PACKED}</script>"
    + "".join(f"<script src=/assets/{name}></script>" for name in SCRIPTS)
    + "<canvas id=map></canvas><canvas id=marks></canvas>"
)


class Harness:
    """One document for many tests; whatever it reads is served from memory."""

    def __init__(self, chromium: Browser, assets: Path) -> None:
        self.assets = assets
        self.page: Page = chromium.new_page()
        self.errors: list[str] = []
        self._data = b""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.route("**/*", self._answer)
        self.page.goto(f"{ORIGIN}/")

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/bytes":
            route.fulfill(body=self._data)
        elif path.startswith("/assets/"):
            route.fulfill(path=self.assets / path.removeprefix("/assets/"))
        else:
            route.fulfill(body=DOCUMENT, content_type="text/html")

    def give(self, data: bytes) -> None:
        """Put bytes into `window.buffer`; they travel compressed, since the way into the browser is narrow."""
        self._data = zlib.compress(data, 1)
        self.run(
            """async () => {
                const {body} = await fetch('/bytes', {cache: 'no-store'});
                window.buffer = await new Response(body.pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();
            }"""
        )

    def run(self, script: str, argument: Any = None) -> Any:  # noqa: ANN401 - whatever the script gives
        answer = self.page.evaluate(script, argument)
        assert self.errors == []
        return answer

    def numbers(self, script: str, argument: Any = None) -> npt.NDArray[Any]:  # noqa: ANN401 - the same
        """What a script gives as a list, however long."""
        return unpacked(self.run(f"argument => window.packed(({script})(argument))", argument))


def unpacked(text: str) -> npt.NDArray[Any]:
    """What `window.packed` made."""
    kind, data = text.split(" ")
    return np.frombuffer(base64.b64decode(data), dtype=DTYPES[kind])
