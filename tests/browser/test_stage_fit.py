"""Text that has to fit: sentences of the same size in all panes, and controls whose values are not cut."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.test_stage import SIZES, open_stage

pytestmark = pytest.mark.xdist_group("stage")

SENTENCE_SIZES = """() => [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden]) .sentence")].map((each) => {
    const {fontSize} = getComputedStyle(each);
    return [fontSize, each.scrollHeight <= each.clientHeight + 4];
})"""
CUT = """() => {
    const context = document.createElement("canvas").getContext("2d");
    const shown = [...document.querySelectorAll(".controls .control-select")].filter((each) => each.offsetParent);
    return shown.filter((each) => {
        const {font, letterSpacing} = getComputedStyle(each);
        context.font = font;
        context.letterSpacing = letterSpacing;
        const text = each.selectedOptions[0].textContent;
        return context.measureText(text).width > each.clientWidth;
    }).map((each) => each.selectedOptions[0].textContent);
}"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("policies", ["lazy,eager_at_enable", "lazy,eager_at_enable,eager_in_clear,ring_lazy"])
def test_sentences_of_all_panes_have_one_size_and_are_whole(page: Page, size: tuple[int, int], policies: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?ps=0&policies={policies}")
    for ps in (10_000_000_000, 25_000_000_000, 45_000_000_000, 70_000_000_000, 400_000_000_000):
        page.evaluate("(ps) => window.mmuvizStage.stage.goToPlace(ps)", ps)
        found = page.evaluate(SENTENCE_SIZES)
        assert len({font for font, _ in found}) == 1
        assert all(whole for _, whole in found)


@pytest.mark.parametrize("width", [1024, 1100, 1280, 1440])
def test_the_values_of_the_default_guest_s_controls_are_not_cut(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 768})
    open_stage(page)
    assert page.evaluate(CUT) == []
    page.evaluate("() => document.querySelector('.controls').classList.add('folded')")
    assert page.evaluate(CUT), "this measure finds what is cut"
