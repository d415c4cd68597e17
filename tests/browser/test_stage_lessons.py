"""Lessons on the page: a question first, then what happens, then the explanation; by mouse, by keys and by link."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from mmuviz.studies.lessons import ORDER, lesson
from tests.browser.test_stage import open_stage
from tests.studies.test_lessons import values_of

pytestmark = pytest.mark.xdist_group("stage")

CARD = "#stage-lesson"
RIGHT = """([name, at]) => mmuvizStage.lessonRight(
    JSON.parse(document.querySelector(`[data-lesson="${name}"]`).dataset.stops)[at], mmuvizStage.stage.runs)"""
NOW = "mmuvizStage.stage.clock.now"


def at_ps(name: str, stop: int) -> int:
    return int(lesson(name).stops[stop].as_page_has_it()["at"])


def test_a_link_opens_a_stop_in_its_story_paused_where_it_asks(page: Page) -> None:
    open_stage(page, "/?lesson=lazy-or-eager.2")
    expect(page.locator(CARD)).to_contain_text(lesson("lazy-or-eager").stops[1].question)
    expect(page.locator(CARD)).not_to_contain_text(lesson("lazy-or-eager").stops[1].explanation[:40])
    assert page.evaluate(NOW) == at_ps("lazy-or-eager", 1)
    assert page.evaluate("mmuvizStage.stage.clock.playing") is False
    page.wait_for_url(re.compile("lesson=lazy-or-eager.2"))


def test_what_is_no_lesson_is_said_and_the_default_shown(page: Page) -> None:
    open_stage(page, "/?lesson=none.1")
    expect(page.locator("#stage-refused")).to_contain_text("lesson=none.1 is no stop of a lesson")
    expect(page.locator(CARD)).to_be_hidden()


def test_an_answer_plays_and_the_explanation_follows(page: Page) -> None:
    stop = lesson("lazy-or-eager").stops[0]
    open_stage(page, "/?lesson=lazy-or-eager")
    page.locator(f"{CARD} .lesson-answer").nth(1).click()
    expect(page.locator(CARD)).to_contain_text("You said: Eager")
    page.wait_for_function("() => mmuvizStage.stage.clock.playing")
    page.locator(f"{CARD} [data-show]").click()
    expect(page.locator(CARD)).to_contain_text("it is: Lazy")
    expect(page.locator(CARD)).to_contain_text(stop.explanation.strip()[:60])
    assert page.evaluate(NOW) == stop.as_page_has_it()["shows"]
    page.locator(f"{CARD} .lesson-answer").click()
    expect(page.locator(CARD)).to_contain_text("Stop 2 of 3")


def test_playing_stops_by_itself_where_the_answer_is_seen(page: Page) -> None:
    open_stage(page, "/?lesson=lazy-or-eager.3&speed=20000000000")
    page.locator(f"{CARD} .lesson-answer").first.click()
    expect(page.locator(CARD)).to_contain_text("Yes: under a tenth")
    assert page.evaluate(NOW) == lesson("lazy-or-eager").stops[2].as_page_has_it()["shows"]


def test_page_keys_go_from_stop_to_stop_in_presenter_type_only(page: Page) -> None:
    open_stage(page, "/?lesson=lazy-or-eager")
    page.keyboard.press("PageDown")
    expect(page.locator(CARD)).to_contain_text("Stop 1 of 3")
    page.keyboard.press("p")
    for key, stop in (("PageDown", 1), ("PageDown", 2), ("PageDown", 2), ("PageUp", 1)):
        page.keyboard.press(key)
        expect(page.locator(CARD)).to_contain_text(f"Stop {stop + 1} of 3")
        assert page.evaluate(NOW) == at_ps("lazy-or-eager", stop)


def test_the_menu_has_every_lesson_and_another_guest_ends_it(page: Page) -> None:
    open_stage(page)
    page.locator("#stage-story").click()
    items = page.locator("#stage-stories [data-lesson]")
    assert [items.nth(at).get_attribute("data-lesson") for at in range(items.count())] == list(ORDER)
    page.locator("#stage-stories summary", has_text="Lessons").click()
    items.first.click()
    expect(page.locator(CARD)).to_be_visible()
    page.locator('[data-mmuviz=control][data-field="workload.rate_hz"]').select_option("2000000")
    expect(page.locator(CARD)).to_be_hidden()
    page.wait_for_url(re.compile(r"^((?!lesson).)*$"))


@pytest.mark.parametrize("name", ["lazy-or-eager", "without-pml", "zap-or-split"])
def test_the_right_answer_is_the_recordings(page: Page, name: str) -> None:
    open_stage(page, f"/?lesson={name}")
    for at, stop in enumerate(lesson(name).stops):
        right = page.evaluate(RIGHT, [name, at])
        values = values_of(lesson(name).story, stop)
        if stop.pane is not None:
            assert right == sum(values[stop.pane] >= bound for bound in stop.limits())
        elif max(values) - min(values) <= stop.same_percent / 100 * max(values):
            assert right == "same"
        else:
            wanted = max(values) if stop.which == "most" else min(values)
            assert values[right] == wanted
