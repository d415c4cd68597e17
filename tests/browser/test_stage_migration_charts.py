"""Charts of a migration, and what was sent on the map: the numbers are those of Python's Recordings."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, FULL_SHARE
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_stage import open_stage
from tests.browser.test_stage_migration import PATH, PS, STORY, made

__all__ = ["made"]

pytestmark = pytest.mark.xdist_group("stage")

WINDOW_PS = 100_000_000_000


def at(made_: Recording, column: npt.NDArray[Any], ps: float) -> float:
    """A sum over bins at a time: a bin's part rises evenly."""
    header = made_.header
    edges = np.minimum(np.arange(header.bins + 1) * header.bin_ps, header.end_ps).astype(float)
    return float(np.interp(ps, edges, np.concatenate([[0], np.cumsum(column)])))


def window_rate(made_: Recording, column: npt.NDArray[Any], ps: int) -> float:
    """A sum's rise a second over the whole bins that end in the 100 ms before the last bin's end."""
    header = made_.header
    last = header.bins if ps >= header.end_ps else ps // header.bin_ps
    first = max(0, last - max(1, round(WINDOW_PS / header.bin_ps)))
    took = min(last * header.bin_ps, header.end_ps) - first * header.bin_ps
    return float(column[first:last].sum()) / took * 1e12 if took > 0 else 0.0


def left_at(made_: Recording, ps: int) -> float:
    """Compute the bytes left: those after the last sync, less those sent since."""
    rounds, ended = made_.rounds, made_.header.migration
    assert ended is not None
    begun = np.flatnonzero(rounds.start_ps <= ps)
    if ps >= ended.end_ps or not len(begun):
        return 0.0
    row = int(begun[-1])
    sent = made_.bins.bytes_sent
    start, whole = at(made_, sent, rounds.start_ps[row]), at(made_, sent, rounds.end_ps[row])
    share = (at(made_, sent, ps) - start) / (whole - start) if whole > start else 0.0
    return float(rounds.remaining_pages[row] - min(share, 1.0) * rounds.pages_sent[row]) * PAGE_BYTES


def values(page: Page, name: str) -> list[float]:
    found = page.locator(f'#stage-charts [data-name="{name}"]').get_attribute("data-values")
    assert found is not None
    return [float(each) for each in re.findall(r"[-\d.e+]+", found)]


def open_charts(page: Page, path: str = PATH) -> None:
    open_stage(page, path)
    page.keyboard.press("c")
    page.wait_for_function("() => Number(document.querySelector('#stage-charts').dataset.drawn) > 5")


@pytest.mark.parametrize("ps", [0, 100_000_000_000, PS, 10**18])
def test_charts_have_the_numbers_of_the_recordings(page: Page, made: list[Recording], ps: int) -> None:
    open_charts(page)
    page.evaluate("ps => mmuvizStage.stage.goTo(ps)", ps)
    now = page.evaluate("mmuvizStage.stage.clock.now")
    ends = [min(now, each.header.end_ps) for each in made]
    both = list(zip(made, ends, strict=True))
    page.wait_for_function("() => mmuvizStage.moreCharts.charts[0].place.dataset.values !== undefined")
    expected = {
        "sent": [at(each, each.bins.bytes_sent, end) for each, end in both],
        "remaining": [left_at(each, end) for each, end in both],
        "rates": [window_rate(each, each.bins.dirtied_pages, end) * PAGE_BYTES for each, end in both],
    }
    for name, numbers in expected.items():
        assert values(page, name) == pytest.approx(numbers, rel=1e-9, abs=1), name
    sending = page.evaluate(
        "ps => mmuvizStage.stage.runs.map((run) => mmuvizStage.sendRate(run, Math.min(ps, run.endPs)))", now
    )
    assert sending == pytest.approx([window_rate(each, each.bins.bytes_sent, end) for each, end in both])


def test_the_last_clear_is_the_latency_that_is_shown(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    kind = CALL_KINDS.index("clear")
    expected = []
    for each in made:
        rows = np.flatnonzero((each.calls.kind == kind) & (each.calls.end_ps <= PS))
        expected.append(int((each.calls.end_ps - each.calls.start_ps)[rows[-1]]) if len(rows) else 0)
    assert values(page, "clears") == pytest.approx(expected)


def crossing(made_: Recording) -> int | None:
    """The end of the bin from which on less becomes dirty than is sent, until the guest stops."""
    header, ended = made_.header, made_.header.migration
    assert ended is not None
    stop = ended.stop_ps if ended.stop_ps is not None else 0
    found: int | None = None
    for frame in range(int(made_.rounds.start_ps[0]) // header.bin_ps + 1, header.bins + 1):
        ps = min(frame * header.bin_ps, header.end_ps)
        if ps > stop:
            break
        dirty = window_rate(made_, made_.bins.dirtied_pages, ps) * PAGE_BYTES
        if dirty >= window_rate(made_, made_.bins.bytes_sent, ps):
            found = None
        elif found is None:
            found = ps
    return found


@pytest.mark.parametrize("story", [STORY, "migration-too-hot"])
def test_the_crossing_of_dirty_rate_and_bandwidth_is_marked(page: Page, story: str) -> None:
    source = read_scenario(story)
    assert isinstance(source, Comparison)
    expected = [crossing(mmuviz.run(each)) for each in source.scenarios]
    open_charts(page, f"/?story={story}&ps={PS}")
    shown = page.evaluate("mmuvizStage.stage.runs.map((run) => mmuvizStage.rateCrossing(run)?.ps ?? null)")
    assert shown == expected
    marks = page.evaluate(
        "mmuvizStage.moreCharts.charts.find(({measure}) => measure.name === 'rates').plotPlace.data"
        ".filter(({mode}) => mode === 'markers').map(({x}) => x[0])"
    )
    assert marks == [each for each in expected if each is not None]


def test_progress_stands_beside_that_of_the_same_guest_without_migration(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    page.wait_for_function("() => mmuvizStage.stage.runs.every((run) => run.without)", timeout=PATIENCE_MS)
    document = made[0].header.document()["scenario"]
    longest = max(each.header.end_ps for each in made)
    document["driver"] = {"kind": "without_logging", "duration": -(-longest // 1000)}
    alone = mmuviz.run(mmuviz.Scenario.model_validate(document))
    shown = page.evaluate("ps => mmuvizStage.stage.runs.map((run) => run.without.accesses(ps))", PS)
    assert shown == pytest.approx([at(alone, alone.bins.accesses, PS)] * len(made))
    expect(page.locator('#stage-charts [data-name="progress"] .more-also')).to_contain_text("without migration")


def test_the_table_behind_what_is_left_is_that_of_the_rounds(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    page.locator('#stage-charts [data-name="remaining"] .chart-tool').click()
    rows = page.locator("#stage-table tbody tr")
    assert rows.count() == sum(len(each.rounds.round) for each in made)
    shown = rows.evaluate_all(
        "all => all.map((row) => [...row.querySelectorAll('[data-value]')].map(({dataset}) => Number(dataset.value)))"
    )
    expected = [
        [
            int(each.rounds.round[row]),
            int(each.rounds.start_ps[row]),
            int(each.rounds.bytes_sent[row]),
            int(each.rounds.resent_pages[row]) * PAGE_BYTES,
            int(each.rounds.new_dirty_pages[row]) * PAGE_BYTES,
            int(each.rounds.remaining_pages[row]) * PAGE_BYTES,
            int(each.rounds.dirty_rate_pps[row]) * PAGE_BYTES,
            int(each.rounds.bandwidth_bytes_per_s[row]),
            int(each.rounds.threshold_bytes[row]),
            int(each.rounds.expected_downtime_ps[row]),
        ]
        for each in made
        for row in range(len(each.rounds.round))
    ]
    assert shown == expected


# The map


@pytest.mark.parametrize("ps", [0, 300_000_000_000, PS, 880_000_000_000])
def test_cells_show_what_the_recording_says_was_sent(page: Page, made: list[Recording], ps: int) -> None:
    open_stage(page, f"/?story={STORY}&ps={ps}")
    for index, each in enumerate(made):
        frame = each.header.bins if ps >= each.header.end_ps else ps // each.header.bin_ps
        shares = np.zeros((len(each.cell_map.pages), 2), dtype=int)
        for row in range(int(each.sent_cells.frame_start[frame + 1])):
            shares[each.sent_cells.cell[row]] = each.sent_cells.shares[row]
        shown = page.evaluate(
            "([index, ps]) => { const run = mmuvizStage.stage.runs[index];"
            " const found = mmuvizStage.sentAt(run, Math.min(ps, run.endPs));"
            " return [[...found.sent], [...found.again]]; }",
            [index, ps],
        )
        assert shown == [shares[:, 0].tolist(), shares[:, 1].tolist()]


def test_a_strip_never_hides_a_dirty_page(page: Page) -> None:
    """Where the lowest dot of a column of a cell is dirty, no strip lies on it."""
    open_stage(page, PATH)
    strip = "([geometry, sent, again, dirty]) => mmuvizStage.sentStrip(geometry, sent, again, dirty)"
    for dots, step in ((2, 3), (5, 3), (8, 3)):
        geometry = {"dots": dots, "step": step, "tile": dots * step - 1}
        for dirty in range(FULL_SHARE + 1):
            dirty_dots = page.evaluate("([share, dots]) => mmuvizStage.dotsOf(share, dots)", [dirty, dots * dots])
            found = page.evaluate(strip, [geometry, FULL_SHARE, FULL_SHARE, dirty])
            assert found["from"] == dirty_dots // dots * step


def test_what_the_colours_mean_stands_under_the_map(page: Page) -> None:
    open_stage(page, PATH)
    expect(page.locator(".map-key:visible").first).to_contain_text("sent again")
    page.goto("/?ps=45000000000")
    expect(page.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".map-key")).to_have_count(0)


def test_the_legend_stays_when_a_pane_is_taken_away(page: Page) -> None:
    """Of three and four panes in a small window the last one that is shown has it."""
    page.set_viewport_size({"width": 800, "height": 600})
    open_stage(page, f"{PATH}&policies=lazy,eager_at_enable,eager_in_clear,ring_lazy")
    key = page.locator(".map-key:visible")
    expect(key).to_have_count(1)
    page.evaluate("mmuvizStage.stage.act('remove-pane')")
    expect(page.locator("[data-mmuviz=pane]:not([hidden])")).to_have_count(3)
    expect(key).to_have_count(1)
    page.evaluate("mmuvizStage.stage.act('remove-pane')")
    expect(page.locator("[data-mmuviz=pane]:not([hidden])")).to_have_count(2)
    expect(key).to_have_count(2)


def test_after_a_migration_its_guest_is_said_to_run_at_the_destination(page: Page) -> None:
    open_stage(page, "/?story=never-converges&ps=3000000000000")
    sentence = page.locator("[data-mmuviz=pane] .sentence").nth(1)
    expect(sentence).to_have_text("The guest is stopped: what is left is sent, then it goes on at the destination.")
    ended = page.evaluate("mmuvizStage.stage.runs[1].header.migration.end_ps")
    page.evaluate("(ps) => mmuvizStage.stage.goToPlace(ps)", ended)
    expect(sentence).to_have_text("Migrated: the guest runs at the destination.")
    page.evaluate("(ps) => mmuvizStage.stage.goToPlace(ps)", ended + 10**12)
    expect(sentence).to_have_text(re.compile(r"^Migrated at [\d.]+ s: the guest runs at the destination\.$"))
    given_up = page.locator("[data-mmuviz=pane] .sentence").nth(0)
    page.evaluate("mmuvizStage.stage.goToPlace(mmuvizStage.stage.clock.endPs)")
    expect(given_up).not_to_contain_text("destination")
