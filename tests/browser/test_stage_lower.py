"""Charts and page-table walks below the panes on small screens: some at a time, all of them in reach."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

SHOWN = """() => [...document.querySelectorAll(".lower .figure")].filter((each) => each.offsetParent).map((each) => {
    const canvas = each.querySelector("canvas"), box = each.getBoundingClientRect();
    const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    const transport = document.querySelector(".transport").getBoundingClientRect();
    const whole = box.left >= 0 && box.right <= innerWidth && box.bottom <= transport.top + 1;
    return [each.dataset.name, whole && data.some((value, at) => at % 4 === 3 && value > 0)];
})"""
CAPTIONS = """() => [...document.querySelectorAll(".lower .figure")].filter((each) => each.offsetParent).map((each) => {
    const tools = each.querySelector(".chart-tools").getBoundingClientRect();
    const unit = each.querySelector(".figure-unit");
    return unit === null || unit.getBoundingClientRect().right <= tools.left + 4;
})"""
PHONE = [["stall"], ["tables"], ["loupe-0"], ["loupe-1"]]
SMALL = [["stall", "tables"], ["loupe-0", "loupe-1"]]


def shown(page: Page) -> list[str]:
    found: list[tuple[str, bool]] = page.evaluate(SHOWN)
    assert all(drawn for _, drawn in found), found
    assert all(page.evaluate(CAPTIONS))
    return [name for name, _ in found]


@pytest.mark.parametrize(
    ("size", "key", "sets"),
    [
        ((360, 740), "", PHONE),
        ((800, 600), "", SMALL),
        ((800, 600), "p", PHONE[:2]),
        ((360, 740), "p", PHONE[:2]),
    ],
)
def test_each_chart_and_walk_is_reached_by_a_key_and_by_a_button(
    page: Page, size: tuple[int, int], key: str, sets: list[list[str]]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, "/?ps=45000000000")
    if key:
        page.keyboard.press(key)
    for names in [*sets, sets[0]]:
        assert shown(page) == names
        page.keyboard.press("n")
    for names in [*sets[1:], sets[0], sets[1]]:
        assert shown(page) == names
        page.locator(".figure-next:visible").click()


def test_a_larger_window_shows_all_of_them_at_once(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    open_stage(page, "/?ps=45000000000")
    page.keyboard.press("n")
    assert shown(page) == ["tables"]
    page.set_viewport_size({"width": 1280, "height": 720})
    expect(page.locator(".figure-next:visible")).to_have_count(0)
    assert shown(page) == ["loupe-0", "stall", "tables", "loupe-1"]
    page.set_viewport_size({"width": 800, "height": 600})
    expect(page.locator(".figure-next:visible")).to_have_count(1)
    assert len(shown(page)) == 2
