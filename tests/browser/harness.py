"""The page's scripts without the page: an empty document that holds what draws, and bytes to feed it."""

from pathlib import Path
from typing import Any

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
DOCUMENT = (
    "<!doctype html><link rel=icon href=data:,><link rel=stylesheet href=/assets/tokens.css>"
    + "".join(f"<script src=/assets/{name}></script>" for name in SCRIPTS)
    + "<canvas id=map></canvas><canvas id=marks></canvas>"
)


class Harness:
    """One document for many tests; whatever it reads is served from memory."""

    def __init__(self, chromium: Browser, assets: Path) -> None:
        self.assets = assets
        self.page: Page = chromium.new_page()
        self.errors: list[str] = []
        self._bytes: list[bytes] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.route("**/*", self._answer)
        self.page.goto(f"{ORIGIN}/")

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path.startswith("/bytes/"):
            route.fulfill(body=self._bytes[int(path.removeprefix("/bytes/"))])
        elif path.startswith("/assets/"):
            route.fulfill(path=self.assets / path.removeprefix("/assets/"))
        else:
            route.fulfill(body=DOCUMENT, content_type="text/html")

    def serve(self, data: bytes) -> str:
        """Where the document can fetch these bytes."""
        self._bytes.append(data)
        return f"/bytes/{len(self._bytes) - 1}"

    def load(self, data: bytes, how: str = "decode") -> None:
        """Decode bytes into `window.read`, with decode or decodePair."""
        self.run(
            "async ([url, how]) => { window.read = window.mmuviz[how](await (await fetch(url)).arrayBuffer()); }",
            [self.serve(data), how],
        )

    def run(self, script: str, argument: Any = None) -> Any:  # noqa: ANN401 - whatever the script gives
        answer = self.page.evaluate(script, argument)
        assert self.errors == []
        return answer
