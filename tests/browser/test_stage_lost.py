"""Pages that KVM loses, as its recordings show: ringed on the map, listed with cause and commit, and paused at once."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from mmuviz.studies.lost_pages import lost_document
from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

STORIES = ["G_lostdirty_base32_lazy__6.12", "G_clear_firstpage_of_2M_eager__6.1", "B_2m_ring_initset_lazy__6.12"]
FIRST = "mmuvizStage.stage.clock.once[0]"


def open_marked(page: Page, story: str) -> int:
    open_stage(page, f"/?story={story}&ps=0")
    page.wait_for_function("() => mmuvizStage.stage.clock.once.length > 0")
    return int(page.evaluate(FIRST))


@pytest.mark.parametrize("story", STORIES)
def test_playing_pauses_where_the_first_page_is_lost_and_tells_why(page: Page, story: str) -> None:
    ps = open_marked(page, story)
    note = page.locator(".lost-note:visible")
    expect(note).to_have_count(0)
    page.keyboard.press("Space")
    expect(note.first).to_be_visible(timeout=PATIENCE_MS)  # it plays for some seconds first
    assert page.evaluate("mmuvizStage.stage.clock.playing") is False
    assert page.evaluate("mmuvizStage.stage.clock.now") == ps
    mark = lost_document()[story][0]
    expect(note.first).to_contain_text(mark["cause"])
    expect(note.first).to_contain_text(f"{mark['gfns'][0]:#x}")
    if mark["commit"]:
        assert mark["commit"] in (note.first.locator("a").get_attribute("href") or "")
    shown = page.evaluate("(ps) => mmuvizStage.stage.panes[0].lost(ps)", ps)
    assert set(mark["gfns"]) <= set(shown)


def test_it_pauses_once_and_not_where_that_is_switched_off(page: Page) -> None:
    ps = open_marked(page, STORIES[0])
    page.keyboard.press("Space")
    page.wait_for_function("() => !mmuvizStage.stage.clock.playing && mmuvizStage.stage.clock.now > 0")
    page.locator(".lost-stop input:visible").first.uncheck()
    page.evaluate("() => mmuvizStage.stage.goTo(0)")
    page.locator("[data-mmuviz=play]").click()
    page.wait_for_function("(ps) => mmuvizStage.stage.clock.now > ps", arg=ps)


def test_a_story_that_loses_none_asks_for_none(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_stage(page)
    assert not [each for each in asked if "lost" in each]


SIZES = [(1280, 720), (800, 600), (360, 740), (640, 360)]
BOXES = """() => {
    const box = (node) => {
        const {left, right, top, bottom} = node.getBoundingClientRect();
        return {left, right, top, bottom};
    };
    const shown = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility()
        && node.getBoundingClientRect().height > 0);
    // In low windows, which have no charts, it covers the sentence.
    const others = innerHeight < 480 ? '' : ', .sentence, .badge, .caption, .figure';
    return [shown('.lost-note').map(box), shown(`.pane-head, .bar, #stage-transport${others}`).map(box)];
}"""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("story", ["recorded-lost-dirty-page", *STORIES])
def test_the_note_covers_neither_titles_nor_numbers_and_moves_nothing(
    page: Page, story: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    ps = open_marked(page, story)
    _, before = page.evaluate(BOXES)
    page.evaluate("(ps) => mmuvizStage.stage.goToPlace(ps)", ps)
    expect(page.locator(".lost-note:visible")).to_have_count(1)
    notes, texts = page.evaluate(BOXES)
    assert texts == before
    assert all(text["bottom"] <= size[1] for text in texts)
    assert page.locator(".lost-note:visible").evaluate("each => each.scrollHeight <= each.clientHeight")
    for note in notes:
        assert note["left"] >= 0
        assert note["right"] <= size[0]
        for text in texts:
            apart = note["bottom"] <= text["top"] + 0.5 or note["top"] >= text["bottom"] - 0.5
            assert apart or note["right"] <= text["left"] or note["left"] >= text["right"], (note, text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_summary_says_first_that_a_page_was_lost_and_why(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_marked(page, "recorded-lost-dirty-page")
    page.keyboard.press("End")
    summary = page.locator("#stage-summary")
    label = page.evaluate("mmuvizStage.stage.runs[0].label")
    mark = lost_document()["G_lostdirty_base32_lazy__6.12"][0]
    title = summary.locator(".summary-title").inner_text().replace("\u00a0", " ")
    assert title.startswith(f"{label} lost 1 page: written, never reported by GET_DIRTY_LOG.")
    expect(summary.locator(".summary-lost")).to_contain_text(mark["cause"])
    assert mark["commit"] in (summary.locator(".summary-lost a").get_attribute("href") or "")
    expect(summary.locator('[data-measure="lost-pages"] .summary-number')).to_have_text(["1page", "0pages"])
    expect(page.locator(".lost-note:visible")).to_have_count(0)
    card, transport = (page.locator(each).bounding_box() for each in (".summary", "#stage-transport"))
    assert card is not None
    assert transport is not None
    assert card["y"] + card["height"] <= transport["y"]
