"""One value reads the same in panes, charts and summary of the stage: the same digits, and the same unit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chooser import chooser
from tests.browser.stage_charts import SETS, opened_charts
from tests.browser.stage_runs import recording_of
from tests.browser.stage_scripts import Stage
from tests.browser.test_stage import open_stage
from tests.browser.test_stage_charts import MAKE

pytestmark = pytest.mark.xdist_group("stage")


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_charts(chromium, repository) as stage:
        yield stage


BESIDE: Final = """times => times.map((ps) => {
    made.draw(ps);
    const stalls = runs.map((run) => S.said(S.numbers(run, ps, runs).stall));
    return [made.ends.map(({text}) => text), stalls, made.describe(ps)];
})"""


TIMELINE: Final = """() => {
    const {stage} = mmuvizStage, drawn = [];
    const context = document.querySelector(".timeline-canvas").getContext("2d"), {fillText} = context;
    context.fillText = (text, ...place) => {
        drawn.push(text);
        fillText.call(context, text, ...place);
    };
    stage.draw(stage.clock.now, true);
    const texts = (name) => stage.runs.map((run, at) => stage.panes[at].section.querySelector(name).textContent);
    const [values, units] = [texts("[data-number=stall]"), texts("[data-unit=stall]")];
    const tables = stage.runs.map((run) => mmuvizStage.bytesText(run.tablesAdded(stage.clock.now)));
    return [drawn, values.map((value, at) => `${value} ${units[at]}`), tables];
}"""


@pytest.mark.parametrize("names", SETS)
def test_the_number_at_a_line_s_end_is_that_of_the_pane_letter_for_letter(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    last = max(recording_of(name).header.end_ps for name in names)
    times = [0, last, *chooser("line and pane", *names).integers(0, last, 200).tolist()]
    for width, presenter in itertools.product((264, 784), (False, True)):
        stage.run(MAKE, ["chart", "stall", width, 160, presenter])
        for at_ends, in_panes, description in stage.run(BESIDE, times):
            assert at_ends == in_panes
            assert all(text in description for text in in_panes)
    # What the panes, the loupes and the report write of page tables.
    stage.run(MAKE, ["chart", "tables", 784, 160, False])
    script = "times => times.map(ps => (made.draw(ps), made.ends.map(({text, value}) => [text, S.bytesText(value)])))"
    assert all(text == size for ends in stage.run(script, times) for text, size in ends)


@pytest.mark.parametrize("names", SETS)
def test_the_summary_reads_as_the_panes_at_the_end(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    stage.run("() => document.body.replaceChildren(S.summary(runs))")
    found = stage.run(
        """() => [...document.querySelectorAll('.summary-cell')].map((cell) =>
            [cell.dataset.measure, Number(cell.dataset.run), cell.querySelector('.summary-number').innerText])"""
    )
    texts = {(measure, run): text for measure, run, text in found}
    end = max(recording_of(name).header.end_ps for name in names)
    for run, numbers in enumerate(stage.run("ps => runs.map(run => S.numbers(run, ps, runs))", end)):
        for measure, part in (("stalled", "stall"), ("ioctl", "ioctl")):
            assert texts[measure, run] == f"{numbers[part]['value']}{numbers[part]['unit']}"
    title = stage.run("document.querySelector('.summary-title').textContent").replace("\u00a0", " ")
    panes = stage.run("ps => runs.map(run => ['stall', 'ioctl'].map(name => S.paneTime(name, run, runs, ps)))", end)
    for name, both in zip(names, panes, strict=True):
        assert any(text in title for text in both) or f"{name}: nothing stalled" in title


@pytest.mark.parametrize("policies", ["", "&policies=lazy,eager_at_enable,eager_in_clear,ring_lazy"])
def test_the_timeline_s_numbers_are_those_of_the_panes(page: Page, policies: str) -> None:
    for ps in (21_000_000_000, 45_000_000_000, 60_000_000_000):
        open_stage(page, f"/?view=expert&ps={ps}{policies}")
        drawn, panes, tables = page.evaluate(TIMELINE)
        assert set(panes) | set(tables) <= set(drawn)
