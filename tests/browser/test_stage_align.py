"""Panes at the same work: call by call, each at a time of its own."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import PAUSED, open_stage

pytestmark = pytest.mark.xdist_group("stage")

ALIGNED = f"{PAUSED}&align=work"
AXIS = "mmuvizStage.stage.clock.axis"


def calls(page: Page, kind: str) -> list[list[int]]:
    script = """(kind) => mmuvizStage.stage.runs.map((run) =>
        run.calls.filter((call) => call.kind === kind).map((call) => [call.startPs, call.endPs]))"""
    return [np.array(each).ravel().tolist() for each in page.evaluate(script, kind)]


def test_a_call_begins_and_ends_at_the_same_place_in_all_panes(page: Page) -> None:
    open_stage(page, ALIGNED)
    found = calls(page, "enable")
    assert found[0] != found[1]
    for edge in (0, 1):
        places = page.evaluate(
            f"(times) => times.map((ps, run) => {AXIS}.placeOf(run, ps))", [each[edge] for each in found]
        )
        assert places[0] == pytest.approx(places[1], abs=2)
        back = page.evaluate(f"(at) => [0, 1].map((run) => {AXIS}.timeOf(run, at))", places[0])
        assert back == pytest.approx([each[edge] for each in found], abs=2)


def test_no_pane_goes_back_nor_faster_than_time(page: Page) -> None:
    open_stage(page, "/?ps=0&story=clear-in-chunks&align=work")
    end = page.evaluate(f"{AXIS}.end")
    places = np.linspace(0, end, 2000)
    times = np.array(
        page.evaluate(f"(all) => all.map((at) => [0, 1].map((run) => {AXIS}.timeOf(run, at)))", places.tolist())
    )
    steps = np.diff(times, axis=0)
    assert (steps >= 0).all()
    assert (steps <= np.diff(places)[:, np.newaxis] + 2).all()
    assert times[0].tolist() == [0, 0]
    assert times[-1].tolist() == page.evaluate("mmuvizStage.stage.runs.map((run) => run.endPs)")


def test_each_pane_says_its_own_time_and_the_clock_says_the_work(page: Page) -> None:
    open_stage(page, ALIGNED)
    said = page.locator(".pane-time:visible")
    expect(said).to_have_count(2)
    assert said.nth(0).get_attribute("data-ps") != said.nth(1).get_attribute("data-ps")
    expect(page.locator("[data-mmuviz=time]")).to_contain_text("% of enable")
    page.keyboard.press("w")
    expect(said).to_have_count(0)
    expect(page.locator("[data-mmuviz=time]")).to_contain_text("ms")


def test_it_plays_to_the_end_of_all(page: Page) -> None:
    open_stage(page, ALIGNED)
    page.evaluate("() => mmuvizStage.stage.goToPlace(mmuvizStage.stage.clock.endPs)")
    ends = page.evaluate("mmuvizStage.stage.runs.map((run) => run.endPs)")
    said = page.locator(".pane-time:visible")
    assert [int(said.nth(at).get_attribute("data-ps") or -1) for at in (0, 1)] == ends
