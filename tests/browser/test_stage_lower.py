"""Charts and page-table walks below the panes on small screens: some at a time, all of them in reach."""

from __future__ import annotations

from itertools import pairwise

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
WALKS = """() => [...document.querySelectorAll(".lower .figure.loupe, .pane-loupe")]
    .filter((each) => each.getClientRects().length > 0)
    .map((each) => each.querySelector("canvas").getAttribute("aria-label").match(/^Page-table walk, (.*?): /)[1])"""

ROWS = """() => {
    const {labels, namePx} = window.mmuvizStage.stage.ribbon;
    return [labels.map(({centre}) => centre), namePx];
}"""


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
        ((640, 360), "", [[], *PHONE]),
        ((640, 360), "p", [[], *PHONE[:2]]),
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
        if names:
            page.locator(".figure-next:visible").click()
        else:
            page.evaluate("mmuvizStage.stage.act('next-figure')")


@pytest.mark.parametrize("panes", [3, 4])
def test_in_presenter_type_a_phone_shows_a_chart_in_the_place_of_many_panes(page: Page, panes: int) -> None:
    policies = ",".join(["lazy", "eager_at_enable", "eager_in_clear", "ring_lazy"][:panes])
    page.set_viewport_size({"width": 360, "height": 740})
    open_stage(page, f"/?ps=45000000000&policies={policies}")
    page.keyboard.press("p")
    for names in ([], ["stall"], ["tables"], []):
        assert shown(page) == names
        heights = page.evaluate("mmuvizStage.stage.charts.map(({canvas}) => canvas.clientHeight)")
        assert len([height for height in heights if height > 400]) == len(names)
        page.keyboard.press("n")
    rows, px = page.evaluate(ROWS)
    assert px >= 16
    assert min(below - above for above, below in pairwise(rows[:panes])) >= px


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


@pytest.mark.parametrize("size", [(1280, 720), (1280, 600), (1024, 768), (800, 600), (360, 740), (640, 360)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_walk_of_each_pane_is_reached(page: Page, size: tuple[int, int], count: int) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    policies = ",".join(("lazy", "eager_at_enable", "eager_in_clear", "ring_lazy")[:count])
    open_stage(page, f"/?policies={policies}&ps=45000000000")
    labels = set(page.evaluate("window.mmuvizStage.stage.runs.map(({label}) => label)"))
    seen: set[str] = set()
    for _ in range(count + 3):
        seen |= set(page.evaluate(WALKS))
        page.keyboard.press("n")
    assert seen == labels


@pytest.mark.parametrize("size", [(1280, 720), (1280, 600), (1024, 768), (800, 600)])
def test_of_three_panes_the_charts_take_the_place_of_a_fourth(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, "/?policies=lazy,eager_at_enable,ring_lazy&ps=45000000000")
    lower, third = page.locator(".lower").bounding_box(), page.locator("[data-mmuviz=pane]").nth(2).bounding_box()
    assert lower
    assert third
    assert lower["x"] > third["x"] + third["width"] - 1
    assert lower["y"] < third["y"] + 20
    assert shown(page) == ["stall", "tables"]
    page.locator(".figure[data-name=stall] .chart-tool:visible").last.click()
    expect(page.locator("#stage-charts")).to_be_visible()
