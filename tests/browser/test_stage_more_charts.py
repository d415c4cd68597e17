"""More charts, drawn by Plotly when they are first opened; the table behind each; the switch for what is to come."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mmuviz.recording.recording import Recording
from tests.browser.test_stage import PAUSED, open_stage, recordings

__all__ = ["recordings"]

pytestmark = pytest.mark.xdist_group("stage")

PS = 45_000_000_000
PANEL = "#stage-charts"


def open_charts(page: Page, path: str = PAUSED) -> None:
    open_stage(page, path)
    page.keyboard.press("c")
    page.wait_for_function("() => Number(document.querySelector('#stage-charts').dataset.drawn) > 5")


def values(page: Page, name: str) -> list[float]:
    found = page.locator(f'{PANEL} [data-name="{name}"]').get_attribute("data-values")
    assert found is not None
    return [float(each) for each in re.findall(r"[-\d.e+]+", found)]


def last(made: Recording, column: str, ps: int) -> int:
    """The state at the end of the last bin that is over."""
    whole = sum(min((each + 1) * made.header.bin_ps, made.header.end_ps) <= ps for each in range(made.header.bins))
    return int(getattr(made.bins, column)[whole - 1])


STATES: dict[str, str] = {
    "pages_1g": "pages_1g",
    "pages_2m": "pages_2m",
    "pages_4k": "pages_4k",
    "dirty": "dirty_pages",
}
SUMS: dict[str, Callable[[Recording], int]] = {
    "progress": lambda made: int(made.bins.accesses.sum()),
    "faults_fast": lambda made: int(made.totals["faults"]["fast"]),
    "faults_slow_protected": lambda made: int(made.totals["faults"]["slow_protected"]),
}


def test_charts_have_the_numbers_of_the_recordings(page: Page, recordings: list[Recording]) -> None:
    open_charts(page)
    ends = [min(PS, made.header.end_ps) for made in recordings]
    for name, column in STATES.items():
        expected = [last(made, column, end) for made, end in zip(recordings, ends, strict=True)]
        assert values(page, name) == pytest.approx(expected), name
    page.evaluate("() => mmuvizStage.stage.goTo(1e18)")
    for name, of in SUMS.items():
        page.wait_for_function("() => mmuvizStage.stage.clock.now === mmuvizStage.stage.clock.endPs")
        assert values(page, name) == pytest.approx([of(made) for made in recordings], abs=1), name


def test_plotly_is_fetched_when_charts_are_first_opened_and_from_our_own_host(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_stage(page)
    assert not [each for each in asked if "plotly" in each]
    page.keyboard.press("c")
    page.wait_for_function("() => Number(document.querySelector('#stage-charts').dataset.drawn) > 5")
    host = page.url.split("/")[2]
    assert [each.split("/")[2] for each in asked if "plotly" in each] == [host]


def test_charts_close_by_their_key_and_by_escape(page: Page) -> None:
    open_charts(page)
    page.keyboard.press("Escape")
    expect(page.locator(PANEL)).to_be_hidden()
    page.keyboard.press("c")
    expect(page.locator(PANEL)).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator(PANEL)).to_be_hidden()


def test_they_go_on_while_it_plays(page: Page) -> None:
    open_charts(page)
    before = values(page, "progress")
    page.keyboard.press("Space")
    page.wait_for_function("() => mmuvizStage.stage.clock.now > 60e9")
    page.keyboard.press("Space")
    assert all(np.array(values(page, "progress")) > np.array(before))


def test_a_table_has_the_chart_s_values_at_round_times(page: Page, recordings: list[Recording]) -> None:
    open_stage(page)
    page.locator(".figure[data-name=tables] .chart-tool:visible").first.click()
    table = page.locator("#stage-table table")
    expect(table).to_be_visible()
    rows = [row.split("\t") for row in table.inner_text().split("\n")]
    times = [float(row[0]) for row in rows[1:]]
    assert times == sorted(times)
    assert {round(made.header.end_ps / 1e9, 3) for made in recordings} <= set(times)
    at = times.index(40.0)
    for made, text in zip(recordings, rows[at + 1][1:], strict=True):
        added = last(made, "table_pages", 40_000_000_000) - (made.header.table_pages_at_enable or 0)
        assert float(text) == pytest.approx(max(added, 0) * 4096 / 2**20, abs=0.0006)
    page.keyboard.press("Escape")
    expect(table).to_be_hidden()


def test_what_is_to_come_is_shown_or_not_in_all_charts(page: Page) -> None:
    open_stage(page)
    future = "() => mmuvizStage.stage.charts.map((chart) => chart.future)"
    assert page.evaluate(future) == [True, True]
    page.keyboard.press("f")
    assert page.evaluate(future) == [False, False]
    assert "rest=off" in page.url
    open_stage(page, page.url)
    assert page.evaluate(future) == [False, False]
    expect(page.locator("#stage-rest")).to_have_text("off")
