"""Pages that KVM loses, as its recordings show: ringed on the map, listed with cause and commit, and paused at once."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from mmuviz.studies.lost_pages import lost_document
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
    expect(note.first).to_be_visible()
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
