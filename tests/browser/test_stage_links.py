"""The address of the page: it follows every step, and a wrong one shows the default story with a reason."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.test_stage import PAUSED, forget_answers, open_stage

pytestmark = pytest.mark.xdist_group("stage")

WRONG = (
    "policies=lazy,foo",
    "policies=a,b,c,d,e",
    "vm.vcpus=0",
    "vm.vcpus=many",
    "vm.nothing=1",
    "zoom=0x1:5",
    "zoom=1",
    "ps=-1",
    "ps=99999999999999999",
    "speed=0",
    "speed=fast",
    "theme=pink",
    "view=all",
    "align=left",
    "story=none",
    "lesson=none.1",
    "%00=1",
)
RULES = (
    ("ps=-1", "ps=-1 must be a time in ps from 0"),
    ("ps=99999999999999999", "must be a time in ps from 0"),
    ("speed=0", "must be auto, event, or ps a second from 1"),
    ("policies=a,b,c,d,e", "must be one to four names of policies"),
    ("workload.rate_hz=1e400", "is too large a number"),
    ("%00=1", r"\u{0}=1 is nothing that this page knows"),
    ("x%0A%1B%E2%80%AE=1", r"x\u{a}\u{1b}\u{202e}=1 is nothing"),
)


@pytest.mark.parametrize("key", ["]", "[", ".", ",", "ArrowRight", "ArrowLeft", "step", "back"])
def test_each_step_is_in_the_address_and_the_title(page: Page, key: str) -> None:
    open_stage(page)
    before = page.title()
    if key in {"step", "back"}:
        page.locator(f".transport [data-act={key}]").first.click()
    else:
        page.keyboard.press(key)
    shown = page.locator("[data-mmuviz=time]").get_attribute("data-ps")
    assert shown != "45000000000"
    assert parse_qs(urlsplit(page.url).query)["ps"] == [shown]
    assert page.evaluate("mmuvizStage.stage.address.title()") == page.title()
    if key in {"]", "["}:  # events are nearer than what a title can tell apart
        assert page.title() != before


def test_a_held_key_ends_in_the_address_without_a_complaint_of_the_browser(page: Page) -> None:
    open_stage(page)
    for _ in range(250):
        page.keyboard.press(".")
    shown = page.locator("[data-mmuviz=time]").get_attribute("data-ps")
    page.wait_for_function("(ps) => new URLSearchParams(location.search).get('ps') === ps", arg=shown, timeout=20_000)


@pytest.mark.parametrize("part", WRONG)
def test_a_wrong_part_of_a_link_shows_the_default_story_and_says_why(page: Page, watch: Watch, part: str) -> None:
    open_stage(page, f"/?{part}")
    expect(page.locator("#stage.ready")).to_be_visible()
    expect(page.locator("[data-mmuviz=pane]:not([hidden])")).to_have_count(2)
    expect(page.locator("#stage-waiting")).to_be_hidden()
    expect(page.locator("#stage-refused")).to_be_visible()
    expect(page.locator("#stage-refused")).to_have_text(re.compile(r"\w"))
    forget_answers(watch)


@pytest.mark.parametrize(("part", "rule"), RULES)
def test_a_wrong_part_of_a_link_is_told_its_rule(page: Page, part: str, rule: str) -> None:
    open_stage(page, f"/?{part}")
    expect(page.locator("#stage-refused")).to_contain_text(rule)
    said = page.locator("#stage-refused").inner_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", said)


def test_a_policy_that_is_none_keeps_the_theme(page: Page, watch: Watch) -> None:
    open_stage(page, f"{PAUSED}&policies=lazy,foo&theme=dark")
    expect(page.locator("#stage-refused")).to_have_text(re.compile(r"(; h|[.?] H)ere is the default story\."))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    forget_answers(watch)


def test_the_help_says_previous_and_when_a_key_does_nothing(page: Page) -> None:
    open_stage(page)
    page.keyboard.press("?")
    said = page.locator("#stage-help").inner_text()
    for text in ("previous event", "previous call", "previous phase", "fields of the migration, if the guest migrates"):
        assert text in said
    assert not re.search(r"^last (event|call|phase|stop)", said, re.MULTILINE)


def test_a_run_that_is_not_over_is_not_said_to_be_complete(page: Page) -> None:
    open_stage(page)
    said = """(job) => {
        mmuvizStage.stage.asking.progress(job);
        return document.getElementById("stage-stale-text").textContent;
    }"""
    assert "99 %, finishing" in page.evaluate(said, {"share": 1, "eta_s": 0})
    assert "99 %, about 1 s left" in page.evaluate(said, {"share": 0.999, "eta_s": 0.3})
    assert "12 %, about 7 s left" in page.evaluate(said, {"share": 0.129, "eta_s": 6.2})
    expect(page.get_by_text("Zooming in")).to_have_count(0)  # it has a message of its own, for its own run
