"""A real server and a real Chromium for every test of the page."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.served import Served, clean_environment, serve

# A bound on hanging, not on speed: the machine may have much else to do.
PATIENCE_MS = 90_000
expect.set_options(timeout=PATIENCE_MS)

# No sandbox, since tests may run as root; the rest keeps Chromium from speaking to its maker.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Served]:
    with serve(
        [sys.executable, "-m", "mmuviz", "serve", "--port", "0"], cwd=repository, environment=clean_environment()
    ) as served:
        yield served


@pytest.fixture(scope="session")
def chromium(repository: Path) -> Iterator[Browser]:
    found = subprocess.run(
        ["sh", "tools/find-browser.sh", "--no-install"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Watch:
    """Notes what a page must not do: complain, fail, or ask another host."""

    def __init__(self, context: BrowserContext, own_host: str) -> None:
        self.complaints: list[str] = []
        self._own_host = own_host
        context.on("console", lambda m: self._note(m.type in {"error", "warning"}, f"{m.type}: {m.text}"))
        context.on("weberror", lambda e: self._note(wrong=True, what=f"uncaught: {e.error}"))
        # A page that is closed or left gives up what it still asked for.
        context.on(
            "requestfailed", lambda r: self._note(r.failure != "net::ERR_ABORTED", f"failed: {r.url} {r.failure}")
        )
        context.on("request", self._note_request)

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        foreign = address.scheme in {"http", "https", "ws", "wss"} and address.netloc != self._own_host
        self._note(foreign, f"foreign: {request.url}")

    def _note(self, wrong: bool, what: str) -> None:  # noqa: FBT001 - reads as "note if wrong"
        if wrong:
            self.complaints.append(what)


@pytest.fixture
def context(chromium: Browser, server: Served) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=server.url)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def watch(context: BrowserContext, server: Served) -> Watch:
    return Watch(context, urlsplit(server.url).netloc)


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A page that fails its test when it complains, fails, or asks another host."""
    yield context.new_page()
    assert watch.complaints == []
