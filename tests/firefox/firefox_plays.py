"""The page in Debian's Firefox, driven by Mozilla's own library: `make firefox`. No part of `make test`."""

from __future__ import annotations

import base64
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from marionette_driver.keys import Keys
from marionette_driver.marionette import Marionette

from bench import thresholds
from tests.served import Served, clean_environment, serve

# The library leaves sockets open while it waits for Firefox.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

VIEW: Final = (1280, 720)
PATIENCE_S: Final = 90
PLAY_S: Final = 4
PREFERENCES: Final = {"privacy.reduceTimerPrecision": False, "ui.systemUsesDarkTheme": 0}
# What the page writes into Firefox's console, and what Firefox writes there about the page.
LISTEN: Final = """
globalThis.complaints = [];
globalThis.listener = { observe(message) {
    if (message instanceof Ci.nsIScriptError && (message.sourceName || "").startsWith("http")) {
        globalThis.complaints.push(`${message.category}: ${message.errorMessage} ${message.sourceName}`);
    }
} };
Services.console.registerListener(globalThis.listener);
"""
WATCH: Final = """
window.begins = [];
const next = (now) => { window.begins.push(now); window.requestAnimationFrame(next); };
window.requestAnimationFrame(next);
"""


class Firefox:
    """One window with the page in it."""

    def __init__(self, url: str) -> None:
        """Start it.

        Args:
            url: of the page.
        """
        program = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
        assert program, "no Firefox found; apt-get install firefox-esr, or name one: FIREFOX=/path/to/firefox"
        self.driver = Marionette(bin=program, headless=True, prefs=PREFERENCES, gecko_log=os.devnull)
        self.driver.start_session()
        with self.driver.using_context("chrome"):
            self.driver.execute_script(LISTEN, sandbox="system", new_sandbox=False)
        self.driver.navigate(url)
        wide, high = self.run("return [outerWidth - innerWidth, outerHeight - innerHeight];")
        self.driver.set_window_rect(width=VIEW[0] + wide, height=VIEW[1] + high)

    def run(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """Run a script in the page."""
        return self.driver.execute_script(script, sandbox=None)

    def open(self, url: str) -> None:
        """Open an address, and wait until something plays or stands there."""
        self.driver.navigate(url)
        self.until("return Boolean(document.querySelector('[data-mmuviz=pane]:not([hidden])'));")

    def until(self, script: str) -> None:
        """Wait until a script returns a value."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(script):
            assert time.monotonic() < end, script
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press a key."""
        self.driver.actions.sequence("key", "keyboard").send_keys(key).perform()

    def click(self, x: float, y: float) -> None:
        """Click somewhere, CSS px."""
        mouse = self.driver.actions.sequence("pointer", "mouse", {"pointerType": "mouse"})
        mouse.pointer_move(round(x), round(y)).pointer_down().pointer_up().perform()

    def ps(self) -> int:
        """Return the time that the page shows."""
        return int(self.run("return document.querySelector('[data-mmuviz=time]').dataset.ps;"))

    def complaints(self) -> list[str]:
        """Return the console messages of the page."""
        with self.driver.using_context("chrome"):
            found: list[str] = self.driver.execute_script(
                "return globalThis.complaints;", sandbox="system", new_sandbox=False
            )
        return found

    def picture(self) -> bytes:
        """The window, as PNG."""
        return base64.b64decode(self.driver.screenshot(full=False))


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Served]:
    command = [sys.executable, "-m", "mmuviz", "serve", "--port", "0"]
    with serve(command, cwd=repository, environment=clean_environment()) as served:
        yield served


@pytest.fixture(scope="module")
def firefox(server: Served) -> Iterator[Firefox]:
    browser = Firefox(server.url)
    yield browser
    browser.driver.quit()
    browser.driver.cleanup()


@pytest.fixture(autouse=True)
def silent(firefox: Firefox) -> Iterator[None]:
    yield
    assert firefox.complaints() == []


def test_it_opens_playing_and_fits(firefox: Firefox, server: Served) -> None:
    firefox.open(server.url)
    firefox.until("return Number(document.querySelector('[data-mmuviz=time]').dataset.ps) > 1e9;")
    assert firefox.run("return [innerWidth, innerHeight];") == list(VIEW)
    assert firefox.run("return document.documentElement.scrollHeight <= innerHeight;")
    assert firefox.run("return document.documentElement.scrollWidth <= innerWidth;")
    firefox.press(" ")
    firefox.until("return document.querySelector('[data-mmuviz=play]').getAttribute('aria-label') === 'Play';")


def test_it_seeks(firefox: Firefox, server: Served) -> None:
    firefox.open(f"{server.url}?ps=45000000000")
    assert firefox.ps() == 45_000_000_000
    box = firefox.driver.find_element("css selector", "[data-mmuviz=scrubber]").rect
    firefox.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    firefox.until("return Number(document.querySelector('[data-mmuviz=time]').dataset.ps) !== 45000000000;")
    end_ps = firefox.run("return window.mmuvizStage.stage.clock.endPs;")
    assert end_ps / 2 < firefox.ps() < end_ps
    firefox.press(Keys.HOME)
    firefox.until("return document.querySelector('[data-mmuviz=time]').dataset.ps === '0';")


def test_it_plays_at_sixty_frames_a_second(firefox: Firefox, server: Served) -> None:
    firefox.open(f"{server.url}?speed=10000000000")
    time.sleep(2)
    before = firefox.ps()
    firefox.run(WATCH)
    time.sleep(PLAY_S)
    intervals = np.diff(firefox.run("return window.begins;"))
    assert firefox.ps() > before
    p95 = float(np.percentile(intervals, 95))
    print(f"{len(intervals) / PLAY_S:.1f} frames a second, p95 of the interval {p95:.1f} ms")  # noqa: T201 - a figure
    assert p95 <= thresholds.FRAME_MS
    if place := os.environ.get("PICTURE"):
        Path(place).write_bytes(firefox.picture())
