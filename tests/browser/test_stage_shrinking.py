"""Page tables that shrink below what they were at the enable: said with a minus sign, and drawn below 0."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.run import run
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

STORY = "recorded-lost-dirty-page"
CHART = """ps => {
    const {stage} = mmuvizStage;
    stage.goTo(ps);
    const chart = stage.charts[1];
    return {values: chart.ends.map(({value}) => value), texts: chart.labels.map(({text}) => text), zero: chart.yAt(0),
        ys: chart.ends.map(({y}) => y), top: chart.plot.top, bottom: chart.plot.bottom,
        said: stage.panes.filter(({run}) => run).map(({section}) =>
            section.querySelector('[data-mmuviz=tables]').dataset.value)};
}"""


def test_tables_that_shrink_are_said_and_drawn_below_nothing(page: Page) -> None:
    read = read_scenario(STORY)
    assert isinstance(read, Comparison)
    open_stage(page, f"/?story={STORY}&ps=0")
    shrank = 0
    for index, made in enumerate(map(run, read.scenarios)):
        before = made.header.table_pages_at_enable
        assert before is not None
        for frame in range(made.header.bins):
            ps = min((frame + 1) * made.header.bin_ps, made.header.end_ps)
            added = (int(made.bins.table_pages[frame]) - before) * PAGE_BYTES
            if added >= 0 or ps <= int(made.calls.end_ps[0]):
                continue
            found = page.evaluate(CHART, ps)
            assert found["values"][index] == added == int(found["said"][index])
            assert any("\N{MINUS SIGN}" in text for text in found["texts"]), found
            assert found["top"] <= found["zero"] < found["ys"][index] <= found["bottom"] + 0.5
            shrank += 1
            if shrank % 3 == 0:
                break
    assert shrank


def test_a_size_that_is_negative_has_the_digits_of_the_positive_one(page: Page) -> None:
    open_stage(page, f"/?story={STORY}&ps=0")
    for amount in (1, 4096, 8192, 1_000_000, 1 << 40):
        negative, positive = page.evaluate("n => [-n, n].map((each) => mmuvizStage.bytesText(each))", amount)
        assert negative == f"\N{MINUS SIGN}{positive}"
