"""What people found wrong on an earlier page and what no other test of the page holds.

Words that only an author knows, sums beside wall times, guests that stand still while logging is enabled, splits that
are not drawn.
"""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

WRONG_WORDS: Final = (
    "written, not yet told of",
    "told by the last GET",
    "KVM hears of it",
    "listed page",
    "armed",
    "as the system has it",
    "faults so far, log on",
    "faults: slow path",
    "its part of this access is done",
    "as dirty_log_perf_test does",
)
EVERY_TEXT: Final = """() => {
    const said = [document.body.textContent];
    for (const node of document.querySelectorAll("[aria-label], [title]")) {
        said.push(node.getAttribute("aria-label") ?? "", node.getAttribute("title") ?? "");
    }
    return said.join("\\n");
}"""
STORIES: Final = ("running-guest", "recorded-initially-set", "recorded-2m", "ring-without-pml", "disable-and-recover")


@pytest.mark.parametrize("story", STORIES)
def test_no_words_that_only_an_author_knows(page: Page, story: str) -> None:
    open_stage(page, f"/?story={story}&ps=0")
    for share in (0.1, 0.4, 0.7, 1):
        page.evaluate("(share) => mmuvizStage.stage.goToPlace(mmuvizStage.stage.clock.endPs * share)", share)
        text = page.evaluate(EVERY_TEXT)
        assert len(text) > 5000
        assert [words for words in WRONG_WORDS if words in text] == []


def test_one_vcpu_is_no_plural(page: Page) -> None:
    open_stage(page, "/?story=recorded-2m&ps=0")
    assert page.evaluate("mmuvizStage.stage.runs.every(({vcpus}) => vcpus === 1)")
    for share in (0.2, 0.5, 0.8, 1):
        page.evaluate("(share) => mmuvizStage.stage.goToPlace(mmuvizStage.stage.clock.endPs * share)", share)
        for said in page.locator("[data-mmuviz=sentence]:visible").all_text_contents():
            assert not re.search(r"\bvCPUs (stop|wait|write|split)", said), said


def test_stalls_are_per_vcpu_and_apart_from_the_ioctl_s_wall_time(page: Page) -> None:
    open_stage(page)
    expect(page.locator(".number-stall .number-label:visible").first).to_have_text("stall per vCPU")
    page.keyboard.press("End")
    summary = page.locator("[data-mmuviz=summary]").inner_text().lower()
    for part in ("every vcpu stalled", "slower writes", "one ioctl took", "page tables"):
        assert part in summary


def test_the_guest_runs_while_logging_is_enabled(page: Page) -> None:
    """In the middle of the long ioctl the eager guest makes progress."""
    open_stage(page)
    lazy, eager = page.locator("[data-number=speed]:visible").all_text_contents()
    assert 0 < int(lazy) < 50 < int(eager) <= 100
    assert page.evaluate("mmuvizStage.stage.runs[1].calls.some((call) => call.startPs < 45e9 && call.endPs > 45e9)")


def test_clear_is_asked_for_gib_by_gib_beside_one_for_all(page: Page) -> None:
    open_stage(page, "/?story=clear-in-chunks&ps=0")
    counts = page.evaluate("""() => mmuvizStage.stage.runs.map((run) => ({
        clears: run.calls.filter(({kind}) => /clear/.test(kind)).length,
        longest: Math.max(...run.calls.filter(({kind}) => /clear/.test(kind)).map((call) => call.endPs - call.startPs)),
    }))""")
    one, many = sorted(counts, key=lambda each: int(each["clears"]))[:: len(counts) - 1]
    assert one["clears"] < many["clears"]
    assert many["longest"] < one["longest"] / 4


def test_splitting_is_told_apart_from_walking_4k_entries(page: Page) -> None:
    open_stage(page)
    expect(page.locator("[data-mmuviz=sentence]").nth(1)).to_contain_text("Splitting took")
    expect(page.locator("[data-mmuviz=sentence]").nth(1)).to_contain_text("clears dirty bits")


def test_a_split_is_drawn_entry_by_entry_and_its_table_is_counted(page: Page) -> None:
    """Inside the split of one entry the new table has as many entries as are made, and afterwards one more table."""
    open_stage(page)
    found = page.evaluate("""() => {
        const {stage} = mmuvizStage, [, loupe] = stage.loupes, run = stage.runs[1];
        const call = run.calls.find(({startPs, endPs}) => endPs - startPs > 1e9);
        const filled = new Set();
        for (let ps = call.startPs; ps < call.startPs + 4e8; ps += 1e6) {
            loupe.draw(ps);
            const target = loupe.targetAt(ps);
            if (target.splits && target.cell >= 0) {
                filled.add(loupe.filled(target));
            }
        }
        const tables = (ps) => Math.round(run.tablesAdded(ps) / 4096);
        return {filled: [...filled], before: tables(call.startPs), after: tables(call.endPs)};
    }""")
    assert len(found["filled"]) > 20
    assert min(found["filled"]) < 100 < max(found["filled"])
    assert found["before"] == 0
    assert found["after"] > 0


@pytest.mark.parametrize("size", [(1280, 720), (800, 600)])
def test_the_name_of_a_call_leads_to_its_begin(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    start, x, y = page.evaluate("""() => {
        const {ribbon, runs} = mmuvizStage.stage;
        const {x, width, y, height} = ribbon.labels.find(({text}) => text === "enable logging");
        const box = document.querySelector("[data-mmuviz=scrubber]").getBoundingClientRect();
        const start = runs[0].calls.find(({kind}) => kind === "enable").startPs;
        return [start, box.left + x + 0.8 * width, box.top + y + height / 2];
    }""")
    page.mouse.click(x, y)
    page.wait_for_function("(ps) => mmuvizStage.stage.clock.now === ps", arg=start)


def test_a_run_that_is_over_has_no_guest_speed(page: Page) -> None:
    open_stage(page, "/?ps=473000000000")
    assert page.locator("[data-number=speed]:visible").all_text_contents()[0] == "ended"


def test_nothing_stalls_before_logging_is_enabled_however_long_a_bin_is(page: Page) -> None:
    """Two guests that differ in their downtime limit alone, with bins of different length."""
    open_stage(page, "/?story=never-converges&ps=19999000000")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.binPs > 19999e6)") == [True, False]
    for stall in page.locator("[data-mmuviz=pane]:visible [data-mmuviz=stall]").all():
        assert stall.get_attribute("data-value") == "0"


@pytest.mark.parametrize("story", ["running-guest", "rfc-memslot"])
def test_the_sentence_and_the_tables_of_a_pane_count_the_same_splits(page: Page, story: str) -> None:
    """While eager splitting goes on each split makes a table; the sentence counts those that the pane counts."""
    open_stage(page, f"/?story={story}&ps=0")
    pairs = page.evaluate("""() => {
        const {stage} = mmuvizStage, found = [];
        for (const run of stage.runs.filter(({header: {scenario: {vm}}}) => vm.eager_page_split || vm.split_chunk)) {
            const call = run.calls.find(({kind, splits}) => kind === "enable" && splits > 0);
            for (let part = 0; call && part < 40; part += 1) {
                const ps = call.startPs + (call.endPs - call.startPs) * part / 40;
                const count = / ([0-9,]+) of /.exec(mmuvizStage.sentence(run, ps).text);
                if (count) {
                    found.push([Number(count[1].replaceAll(",", "")), run.tablesAdded(ps) / 4096]);
                }
            }
        }
        return found;
    }""")
    assert len(pairs) > 3
    assert all(abs(said - tables) <= 0.02 * tables + 2 for said, tables in pairs), pairs
