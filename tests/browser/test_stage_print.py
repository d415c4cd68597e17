"""Print: the paused page is one sheet, whatever the window's shape is."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

FOUR: Final = "&policies=lazy,eager_at_enable,eager_in_clear,ring_lazy"
DRAWN: Final = {
    "": ['[data-name="stall"] canvas', '[data-name="tables"] canvas'],
    "&view=expert": [".timeline-canvas"],
}
LEAST_PX: Final = 30
ONE_CHART: Final = 700
"""Narrower windows have one chart at a time, and print that one."""


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (800, 600), (360, 740)])
@pytest.mark.parametrize("panes", ["", FOUR])
@pytest.mark.parametrize("view", DRAWN)
def test_a_paused_page_prints_on_one_sheet(page: Page, width: int, height: int, panes: str, view: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_stage(page, f"/?ps=45000000000{panes}{view}")
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1
    page.emulate_media(media="print")
    maps = page.locator("[data-mmuviz=pane]:not([hidden]) .map")
    expect(maps).to_have_count(4 if panes else 2)
    figures = DRAWN[view][: 1 if width < ONE_CHART else None]
    for drawn in [*maps.all(), page.locator(".ribbon"), *(page.locator(each) for each in figures)]:
        expect(drawn).to_be_visible()
        assert (drawn.bounding_box() or {"height": 0})["height"] >= LEAST_PX
    for tool in ("[data-mmuviz=play]", "[data-mmuviz=share]", ".controls"):
        expect(page.locator(tool).first).to_be_hidden()
