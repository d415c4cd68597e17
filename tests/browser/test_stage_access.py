"""Requirements of WCAG 2.2 AA that a program can check, in every theme, at every size, with dialogs open and closed."""

from __future__ import annotations

from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS
from tests.served import Served

pytestmark = pytest.mark.xdist_group("stage")

SIZES: Final = [(1280, 720), (800, 600), (360, 740), (640, 360), (1024, 768), (1920, 1080)]
THEMES: Final = ("light", "dark", "projector")
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
AXE: Final = Axe()


def found(page: Page) -> list[str]:
    """Return the violations that axe finds: rule and element."""
    answer = AXE.run(page, options=RULES).response
    return [f"{each['id']}: {node['html'][:120]}" for each in answer["violations"] for node in each["nodes"]]


@pytest.fixture(scope="module")
def opened(chromium: Browser, server: Served) -> Page:
    page = chromium.new_page(base_url=server.url)
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/?ps=45000000000")
    expect(page.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)
    return page


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_axe_finds_nothing(opened: Page, theme: str, size: tuple[int, int]) -> None:
    opened.set_viewport_size({"width": size[0], "height": size[1]})
    opened.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    assert found(opened) == []


@pytest.mark.parametrize("act", ["expert", "share", "play-menu", "help", "more", "details", "presenter"])
def test_axe_finds_nothing_in_what_opens(opened: Page, act: str) -> None:
    opened.set_viewport_size({"width": 1280, "height": 720})
    opened.evaluate("() => { document.documentElement.dataset.theme = 'light'; }")
    opened.evaluate("act => mmuvizStage.stage.act(act)", act)
    opened.wait_for_function("() => document.getAnimations().every(each => each.playState !== 'running')")
    assert found(opened) == []
    opened.reload()
    expect(opened.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def taught(chromium: Browser, server: Served) -> Page:
    page = chromium.new_page(base_url=server.url)
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/?lesson=without-pml.2")
    expect(page.locator("#stage-lesson")).to_be_visible(timeout=PATIENCE_MS)
    return page


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_axe_finds_nothing_in_a_lesson_beside_four_panes(taught: Page, theme: str, size: tuple[int, int]) -> None:
    taught.set_viewport_size({"width": size[0], "height": size[1]})
    taught.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    assert found(taught) == []
