"""The operator's form: a guest and its link become a migration, and its answer one sentence with a report."""

from __future__ import annotations

import json
import shlex

import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.cli import main
from mmuviz.costs.hosts import PROFILES
from mmuviz.exports.migration_answer import migration_answer
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.guests import MIGRATING
from mmuviz.studies.requests import request_of
from tests.browser.conftest import Watch
from tests.browser.test_stage import forget_answers, open_stage

pytestmark = pytest.mark.xdist_group("stage")


def small_form(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.locator("#stage-guest").click()
    for field, text in (("vm.vcpus", "2"), ("memory[0].size", "64 MiB"), ("driver.multifd_channels", "0")):
        page.locator(f'#stage-guests [data-field="{field}"]').fill(text)
    page.locator('#stage-guests [data-field="memory[0].backing"]').select_option("thp")


def test_the_form_ends_in_the_sentence_that_python_says(page: Page) -> None:
    small_form(page)
    page.locator("#stage-guests [data-act=guest-answer]").click()
    card = page.locator("#stage-answer")
    expect(card).to_be_visible()
    asked = {
        "base": "running-guest",
        **page.evaluate("({set: mmuvizStage.stage.state.set, policies: mmuvizStage.stage.state.policies})"),
    }
    made_ = mmuviz.run(request_of(asked).scenarios[0])
    sentence = migration_answer(made_, packaged_evidence()["uncertainty"])["sentence"]
    expect(page.locator("#stage-answer-sentence")).to_have_text(sentence)
    assert "answer=on" in page.url
    assert len(page.url) <= 2000
    page.reload()
    expect(page.locator("#stage-answer-sentence")).to_have_text(sentence)
    report = page.evaluate("mmuvizStage.report(mmuvizStage.stage)")
    assert report.isascii()
    assert max(len(line) for line in report.splitlines()) <= 72
    plain = " ".join(report.split())
    assert " ".join(sentence.replace("±", "+-").replace("µ", "u").split()) in plain
    assert "mmuviz compare running-guest " in plain.replace("\\ ", "")


def test_the_report_s_command_computes_the_same(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    small_form(page)
    page.locator("#stage-guests [data-act=guest-answer]").click()
    expect(page.locator("#stage-answer")).to_be_visible()
    arguments = shlex.split(page.evaluate("mmuvizStage.compareLine(mmuvizStage.stage)"))
    assert arguments[:3] == ["mmuviz", "compare", "running-guest"]
    assert main([*arguments[1:], "--json"]) == 0
    hashes = [each["hash"] for each in json.loads(capsys.readouterr().out)]
    assert hashes == page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")


def test_presets_are_those_of_python_and_marked_where_extrapolated(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.locator("#stage-guest").click()
    presets = page.locator("#stage-guests [data-guest]")
    assert presets.all_inner_texts() == [each.title for each in MIGRATING]
    for index, guest in enumerate(MIGRATING):
        presets.nth(index).click()
        expect(page.locator("#stage-guest-says")).to_have_text(guest.description)
        wanted = page.evaluate("mmuvizStage.guestForm.wanted()")
        ours, theirs = (request_of({"base": "running-guest", **each}).scenarios for each in (wanted, guest.request()))
        assert [each.digest() for each in ours] == [each.digest() for each in theirs]
        assert ("Extrapolated" in guest.description) == PROFILES[ours[0].host.profile].extrapolated


@pytest.mark.parametrize(
    ("field", "typed", "rule"),
    [
        ("vm.vcpus", "0", "vm.vcpus"),
        ("memory[0].size", "lots", "memory[0].size"),
        ("driver.downtime_limit", "3", "driver.downtime_limit"),
        ("workload.hot_percent", "200", "workload.hot_percent"),
    ],
)
def test_the_form_refuses_at_its_field(page: Page, watch: Watch, field: str, typed: str, rule: str) -> None:
    small_form(page)
    box = page.locator(f'#stage-guests [data-field="{field}"]')
    box.fill(typed)
    box.press("Enter")
    row = page.locator("#stage-guests .guest-row", has=page.locator(f'[data-field="{field}"]'))
    expect(row.locator(".field-refused")).to_contain_text(rule)
    expect(page.locator("#stage-guests")).to_be_visible()
    expect(page.locator("#stage-answer")).to_be_hidden()
    forget_answers(watch)


@pytest.mark.parametrize("size", [(1280, 720), (360, 740)])
def test_the_form_says_how_far_its_migration_is_and_can_cancel_it(page: Page, size: tuple[int, int]) -> None:
    open_stage(page, "/?ps=45000000000")
    page.locator("#stage-guest").click()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    cancel = page.locator("#stage-guests [data-act=guest-cancel]")
    expect(cancel).to_be_hidden()
    page.locator("#stage-guests [data-act=guest-answer]").click()
    expect(page.locator("#stage-guest-said")).to_contain_text("Running")
    expect(page.locator("#stage-guest-said")).to_contain_text("s left")
    expect(cancel).to_be_visible()
    on_top = """(node) => {
        const {left, top, width, height} = node.getBoundingClientRect();
        return node.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    }"""
    assert cancel.evaluate(on_top)
    assert page.locator("#stage-guest-said").evaluate(on_top)
    cancel.click()
    expect(cancel).to_be_hidden()
    expect(page.locator("#stage-guest-said")).to_have_text("")
    expect(page.locator("#stage-guests")).to_be_visible()
    expect(page.locator("#stage-stale")).to_be_hidden()
