"""An error in one part of the page is said, and keeps no other part from being drawn."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

BROKEN = "window.mmuvizStage.stage.parts.unshift({ %s() { throw new Error('no such place'); } })"
SAID = re.compile(r"A part of this page failed \(no such place\).* Reload the page\.")


@pytest.mark.parametrize("moment", ["shown", "resize", "started"])
def test_a_part_that_fails_is_said_and_the_others_are_drawn(page: Page, watch: Watch, moment: str) -> None:
    open_stage(page)
    page.evaluate(BROKEN % moment)
    page.evaluate("window.mmuvizStage.stage.chooseStory('read-mostly')")
    expect(page.locator("#stage-refused:visible")).to_contain_text(SAID)
    expect(page.locator("#stage-question")).to_have_text(re.compile("read", re.IGNORECASE))
    title = page.title()
    page.keyboard.press("End")
    page.wait_for_function("(before) => document.title !== before", arg=title)
    assert any("no such place" in complaint for complaint in watch.complaints)
    watch.complaints = [each for each in watch.complaints if "no such place" not in each]


def test_a_drawing_that_fails_is_said_too(page: Page, watch: Watch) -> None:
    open_stage(page)
    page.evaluate(
        "() => (window.mmuvizStage.stage.panes[0].map.draw = () => { throw new Error('no such place'); }, null)"
    )
    page.keyboard.press("End")
    expect(page.locator("#stage-refused:visible")).to_contain_text(SAID)
    watch.complaints = [each for each in watch.complaints if "no such place" not in each]
