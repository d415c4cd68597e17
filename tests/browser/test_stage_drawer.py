"""The drawer of details and published dots on the page: they open, ask once, and lead to their moment."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

import mmuviz
from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.costs.ledger import COSTS, lookup
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.evidence import model_hash, packaged_evidence
from mmuviz.studies.glossary import glossary
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.stage_runs import frame_times
from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")


def test_the_drawer_opens_by_a_key_and_the_page_goes_on(page: Page) -> None:
    open_stage(page, "/")
    drawer, opener = page.locator("#stage-details"), page.locator(".bar [data-act=details]")
    page.keyboard.press("d")
    expect(drawer).to_be_visible()
    expect(page.locator("#details-tab-calls")).to_be_focused()
    assert page.evaluate("mmuvizStage.stage.clock.playing")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#details-counters")).to_be_visible()
    expect(page.locator("#details-tab-counters")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator("#details-tab-glossary")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    opener.click()
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()


def test_what_scrolls_keeps_the_keys_that_scroll(page: Page) -> None:
    open_stage(page)
    page.evaluate("mmuvizStage.stage.act('details-evidence')")
    expect(page.locator("#details-evidence a").first).to_be_visible()
    page.evaluate("document.querySelector('#details-evidence a').focus()")
    before = page.locator("[data-mmuviz=time]").get_attribute("data-ps")
    for key in ("End", "Home", "Space"):
        page.keyboard.press(key)
    assert page.locator("[data-mmuviz=time]").get_attribute("data-ps") == before
    assert not page.evaluate("mmuvizStage.stage.clock.playing")


def test_it_asks_the_server_once_and_never_while_it_plays(page: Page) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url:
            asked.append(request.url.rpartition("/")[2])

    open_stage(page)
    page.on("request", note)
    assert asked == []
    for act in ("details-origins", "details-ledger", "details-evidence", "close-details", "details-ledger"):
        page.evaluate("act => mmuvizStage.stage.act(act)", act)
        if act == "details-evidence":
            expect(page.locator("#details-evidence .evidence-table").first).to_be_visible()
    expect(page.locator("#details-ledger [data-cost]").first).to_be_visible()
    assert sorted(asked) == ["evidence.json", "ledger.json"]
    page.evaluate("mmuvizStage.stage.act('details-counters'); mmuvizStage.stage.act('play')")
    page.wait_for_function("() => mmuvizStage.stage.clock.now > 60e9")
    assert len(asked) == 2


def test_counters_on_the_page_are_those_of_the_recordings(page: Page) -> None:
    found = read_scenario("running-guest")
    assert isinstance(found, Comparison)
    made = [mmuviz.run(each) for each in found.scenarios]
    end = frame_times(made[0])[60]
    open_stage(page, f"/?ps={end}")
    page.evaluate("mmuvizStage.stage.act('details-counters')")
    for column in (
        "faults_fast",
        "faults_slow_protected",
        "slow_write_ps",
        "pml_full_exits",
        "splits_enable",
        "pages_4k",
    ):
        row = page.locator(f"#details-counters tr[data-counter={column}] td")
        for index, each in enumerate(made):
            stored = each.bins[column].astype(np.int64)
            at = int(np.searchsorted(frame_times(each)[1:], end))
            expected = stored[at] if column.startswith("pages") else stored[: at + 1].sum()
            assert int(row.nth(index).get_attribute("data-value") or -1) == expected, column
    hidden = page.locator("#details-counters tr[data-counter=ring_full_exits]")
    expect(hidden).to_be_hidden()
    page.get_by_label("show what stays 0").check()
    expect(hidden).to_be_visible()
    expect(page.locator("#details-counters")).to_contain_text("slow, not mapped")
    expect(page.locator("#details-counters")).to_contain_text("slow, write-protected")


def test_a_call_s_row_leads_to_its_begin(page: Page) -> None:
    open_stage(page)
    page.evaluate("mmuvizStage.stage.act('details-calls')")
    row = page.locator("#details-calls .call-row", has_text="enable logging").nth(1)
    row.locator("td").nth(2).click()
    expect(page.locator("[data-mmuviz=time]")).to_have_attribute("data-ps", row.get_attribute("data-start-ps") or "")


def test_the_ledger_lists_every_cost_of_what_is_shown(page: Page) -> None:
    open_stage(page)
    page.evaluate("mmuvizStage.stage.act('details-ledger')")
    expect(page.locator("#details-ledger [data-cost]").first).to_be_visible()
    rows = page.evaluate(
        """() => [...document.querySelectorAll('#details-ledger tr[data-cost]')].map((row) =>
            [row.dataset.cost, row.cells[1].textContent, row.cells[4].textContent])"""
    )
    assert sorted(name for name, _, _ in rows) == sorted([*MEANING, *COSTS])
    host = PROFILES["tdp_eager"]
    for name, value, source in rows:
        shown = float(value.replace(",", ""))
        assert shown == (host[name] if name in MEANING else lookup(name, (6, 12)).value), name
        assert source
        if name in MEANING:
            assert source.startswith("fitted to" if name in host.fitted else "assumption")


def test_the_evidence_is_measured_beside_modelled(page: Page) -> None:
    evidence = packaged_evidence()
    covered = [row for row in evidence["rows"] if row["modelled"] is not None]
    open_stage(page)
    page.locator("[data-mmuviz=badge]").first.click()
    panel = page.locator("#details-evidence")
    expect(panel).to_contain_text("1,036 of 1,036 recordings exact")
    expect(panel.locator("[data-id='rfc-1.5TB']")).to_contain_text("30 s")
    kinds = page.evaluate(
        """() => [...document.querySelectorAll('#details-evidence tr[data-id]')].map((row) =>
            [row.dataset.id, row.dataset.kind, row.cells[4].textContent])"""
    )
    assert len(kinds) == len(covered)
    fitted = {row["id"]: row["fitted"] for row in covered}
    for name, kind, text in kinds:
        assert kind == text == ("fitted" if fitted[name] else "predicted"), name
    uncovered = [row for row in evidence["rows"] if row["modelled"] is None]
    reasons = panel.locator("[data-table='not covered']").text_content() or ""
    assert all(row["id"] in reasons and row["reason"] in reasons for row in uncovered)
    same = evidence["model"] == model_hash()
    expect(panel).to_contain_text("the one that runs here." if same else "an earlier state of the one that runs here")


def test_a_word_says_on_the_spot_what_it_means(page: Page) -> None:
    open_stage(page)
    page.evaluate("mmuvizStage.stage.act('details-counters')")
    terms = page.evaluate("[...document.querySelectorAll('#details-counters .term')].map((each) => each.dataset.term)")
    meanings = {each.name.lower(): each.description for each in glossary()}
    assert len(terms) > 10
    assert {term.lower() for term in terms} <= set(meanings)
    page.locator("#details-counters .term[data-term='PML-full exit']").click()
    note = page.locator("#stage-meaning")
    expect(note).to_contain_text(meanings["pml-full exit"])
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(page.locator("#stage-details")).to_be_visible()


def test_the_help_lists_the_terms_that_are_needed_first(page: Page) -> None:
    open_stage(page)
    page.keyboard.press("?")
    for each in glossary():
        if each.needed_first:
            expect(page.locator("#stage-help")).to_contain_text(each.description)


def test_the_rfc_s_thirty_seconds_stand_on_the_chart(page: Page) -> None:
    open_stage(page, "/?story=rfc-memslot&ps=15000000000000")
    dot = page.locator(".published-dot")
    expect(dot).to_have_count(1)
    expect(dot).to_have_attribute("data-published", "rfc-1.5TB")
    started = page.evaluate("mmuvizStage.stage.runs[1].enablePs")
    assert int(dot.get_attribute("data-ps") or 0) == started + 30 * 10**12
    place = page.evaluate(
        """() => {
            const [chart, dot] = [mmuvizStage.stage.charts[1], document.querySelector('.published-dot')];
            const [inside, box] = [chart.canvas.getBoundingClientRect(), dot.getBoundingClientRect()];
            return [box.x + box.width / 2 - inside.x - chart.xAt(Number(dot.dataset.ps)),
                box.y + box.height / 2 - inside.y - chart.yAt(Number(dot.dataset.value)), chart.to];
        }"""
    )
    assert [abs(each) < 1 for each in place[:2]] == [True, True]
    assert place[2] >= started + 30 * 10**12
    expect(dot).to_have_attribute("aria-label", re.compile("took 30 s.*Matlack"))
    assert page.evaluate("mmuvizStage.stage.ribbon.dots.map(({id}) => id)") == ["rfc-1.5TB"]
    dot.click()
    expect(page.locator("#details-evidence .shown-now")).to_have_attribute("data-id", "rfc-1.5TB")


@pytest.mark.parametrize("story", ["rfc-memslot", "perf-test-96"])
def test_charts_with_published_dots_show_the_same_times(page: Page, story: str) -> None:
    open_stage(page, f"/?story={story}&ps=0")
    for share in (0, 0.1, 0.5, 0.9, 1):
        windows = page.evaluate(
            """(share) => {
                const {charts, clock} = mmuvizStage.stage;
                return charts.map((chart) => chart.windowAt(share * clock.endPs));
            }""",
            share,
        )
        assert windows[0] == windows[1]


def test_where_nothing_was_published_there_is_no_dot(page: Page) -> None:
    open_stage(page)
    expect(page.locator(".published-dot")).to_have_count(0)
    assert page.evaluate("mmuvizStage.stage.ribbon.dots.length") == 0


def test_a_recorded_story_says_so_and_fits(page: Page) -> None:
    open_stage(page, "/?story=recorded-2m&ps=300000000")
    badge = page.locator("[data-mmuviz=badge]").first
    expect(badge).to_contain_text("counts: recorded on kernel 6.12.95, exact · times: modelled, host")
    assert badge.evaluate("each => each.scrollWidth <= each.clientWidth && each.offsetHeight < 24")


def test_a_changed_recording_is_not_said_to_be_recorded(page: Page) -> None:
    open_stage(page, "/?story=recorded-random&ps=1000000000&vm.kernel=%226.1%22")
    badges = page.locator(".badge:visible")
    for at in range(2):
        expect(badges.nth(at)).to_contain_text("counts: modelled, as no recording has this change")
