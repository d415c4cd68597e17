"""Refusals of typed values: one line at the field, said once, and the typed text stays until it is changed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from mmuviz.costs.hosts import PROFILES
from tests.browser.conftest import Watch
from tests.browser.test_stage import forget_answers, open_stage
from tests.browser.test_stage_migration import PATH as MIGRATION

pytestmark = pytest.mark.xdist_group("stage")

LINE = "#stage-refused"
LINES = """(line) => {
    const range = document.createRange();
    range.selectNodeContents(line);
    return new Set([...range.getClientRects()].map(({top}) => Math.round(top))).size;
}"""
BAD = (
    ("vm.vcpus", "4096"),
    ("vm.vcpus", "none"),
    ("vm.vcpus", "99999999999999999999"),
    ("vm.kernel", "none"),
    ("driver.lead", "3 parsec"),
    ("memory[0].size", "100 TiB"),
    ("vm.kernel", "7 GiB"),
    ("vm.kernel", "1.5"),
    ("vm.dirty_log_mode", "none"),
    ("vm.pml", "often"),
    ("driver.lead", "-3 ms"),
    ("host.profile", "-1"),
    ("host.profile", "none"),
    ("host.profile", "ampere_one"),
)


def box_of(page: Page, field: str) -> Locator:
    return page.locator(f'#stage-more .field-input[data-field="{field}"]')


def row_of(page: Page, field: str) -> Locator:
    return page.locator("#stage-more .field-row").filter(has=page.locator(f'.field-input[data-field="{field}"]'))


def more(page: Page) -> None:
    open_stage(page)
    page.locator("[data-act=more]").click()


def send(box: Locator, text: str) -> None:
    box.fill(text)
    box.press("Enter")


@pytest.mark.parametrize(("field", "typed"), BAD)
def test_a_typed_value_is_refused_in_one_line_and_stays(page: Page, watch: Watch, field: str, typed: str) -> None:
    more(page)
    before = page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")
    box = box_of(page, field)
    shown = box.inner_text()
    send(box, typed)
    line = row_of(page, field).locator(".field-refused")
    expect(line).to_contain_text(typed)
    assert line.evaluate(LINES) == 1
    assert line.evaluate("(line) => line.scrollWidth <= line.clientWidth")
    expect(page.locator("#stage-more .field-refused:visible")).to_have_count(1)
    expect(page.locator(LINE)).to_be_hidden()
    expect(box).to_have_text(typed)
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_attribute("aria-describedby", line.get_attribute("id") or "")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)") == before
    page.locator("#stage-more [data-act=close-more]").click()
    page.locator("[data-act=more]").click()
    expect(box).to_have_text(shown)
    expect(box).not_to_have_attribute("aria-invalid", "true")
    expect(line).to_be_hidden()
    forget_answers(watch)


def test_a_number_that_is_too_large_is_not_taken_for_no_limit(page: Page, watch: Watch) -> None:
    more(page)
    before = page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")
    send(box_of(page, "workload.rate_hz"), "1e400")
    expect(row_of(page, "workload.rate_hz").locator(".field-refused")).to_have_text(
        re.compile("must be a whole number")
    )
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)") == before
    forget_answers(watch)


def test_a_run_over_the_limit_is_refused_in_one_line_with_its_estimate(page: Page, watch: Watch) -> None:
    more(page)
    send(box_of(page, "driver.tail"), "50 min")
    line = row_of(page, "driver.tail").locator(".field-refused")
    expect(line).to_have_text(re.compile(r"GiB of memory and \d+ s, over the limit of 5 min; give less"))
    assert line.evaluate(LINES) == 1
    forget_answers(watch)


def test_a_typed_kernel_is_text(page: Page) -> None:
    """6.8 is not a number."""
    more(page)
    send(box_of(page, "vm.kernel"), "6.8")
    page.wait_for_function("() => mmuvizStage.stage.runs[0].header.scenario.vm.kernel === '6.8'")


def test_the_line_in_the_bar_points_at_the_changed_control(page: Page, watch: Watch) -> None:
    """The server names a field without a control in the row."""
    open_stage(page, "/?ps=45000000000&policies=ring_lazy,ring_eager")
    page.locator('.controls select[data-field="vm.kernel"]').select_option('"5.15"')
    expect(page.locator(LINE)).to_have_text(re.compile("the parameter first exists in 5.18"))
    expect(page.locator(LINE)).to_have_class(re.compile(r"\bpoints\b"))
    expect(page.locator(".control-frame.wrong")).to_have_count(1)
    expect(page.locator(".control-frame.wrong select[data-field='vm.kernel']")).to_be_visible()
    forget_answers(watch)


def test_a_refused_text_stays_until_it_is_changed_while_other_fields_change(page: Page, watch: Watch) -> None:
    more(page)
    box = box_of(page, "vm.vcpus")
    send(box, "4096")
    expect(box).to_have_attribute("aria-invalid", "true")
    send(box_of(page, "driver.tail"), "soon")
    expect(box_of(page, "driver.tail")).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_attribute("aria-invalid", "true")
    send(box_of(page, "driver.tail"), "50 ms")
    page.wait_for_function("() => mmuvizStage.stage.runs[0].header.scenario.driver.tail === 50e6")
    expect(box_of(page, "driver.tail")).not_to_have_attribute("aria-invalid", "true")
    expect(box).to_have_text("4096")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.press("End")
    box.press("Backspace")
    expect(box).not_to_have_attribute("aria-invalid", "true")
    expect(row_of(page, "vm.vcpus").locator(".field-refused")).to_be_hidden()
    send(box, "2")
    page.wait_for_function("() => mmuvizStage.stage.runs[0].vcpus === 2")
    expect(box).to_have_text("2")
    forget_answers(watch)


def test_the_line_is_at_the_field_that_was_typed_into(page: Page, watch: Watch) -> None:
    """The server names the field that the host contradicts."""
    open_stage(page, "/?ps=45000000000&vm.vcpus=97&host.profile=%22tdp_eager_416%22")
    page.locator("[data-act=more]").click()
    send(box_of(page, "host.profile"), "tdp_eager")
    line = row_of(page, "host.profile").locator(".field-refused")
    expect(line).to_contain_text("vm.vcpus=97 must be at most 96")
    assert line.evaluate(LINES) == 1
    expect(page.locator("#stage-more .field-refused:visible")).to_have_count(1)
    forget_answers(watch)


def test_the_range_of_vcpus_is_that_of_the_host(page: Page) -> None:
    open_stage(page)
    rule = page.locator("#stage-more [data-threads]")
    expect(rule).to_have_text(f"1 to {PROFILES['tdp_eager']['cpus']} on tdp_eager; default 1")
    page.locator('.controls select[data-field="host.profile"]').select_option('"skylake_2021"')
    expect(rule).to_have_text(f"1 to {PROFILES['skylake_2021']['cpus']} on skylake_2021; default 1")


def test_the_migration_sheet_says_a_refusal_once_and_keeps_the_text(page: Page, watch: Watch) -> None:
    open_stage(page, MIGRATION)
    page.locator("#stage-migration-open").click()
    box = page.locator('#stage-migration .field-input[data-field="driver.link"]')
    shown = box.inner_text()
    send(box, "ten")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_text("ten")
    expect(page.locator(LINE)).to_be_hidden()
    page.keyboard.press("Escape")
    page.locator("[data-act=theme]").first.click()  # outside: the sheet closes
    page.locator("#stage-migration-open").click()
    expect(box).to_have_text(shown)
    expect(box).not_to_have_attribute("aria-invalid", "true")
    forget_answers(watch)


def test_the_form_says_a_refusal_once(page: Page, watch: Watch) -> None:
    open_stage(page)
    page.locator("#stage-guest").click()
    box = page.locator('#stage-guests .field-input[data-field="vm.vcpus"]')
    send(box, "0")
    row = page.locator("#stage-guests .field-row").filter(has=page.locator('[data-field="vm.vcpus"]'))
    expect(row.locator(".field-refused")).to_contain_text("vm.vcpus")
    expect(page.locator("#stage-guest-said")).to_have_text("")
    expect(page.locator(LINE)).to_be_hidden()
    forget_answers(watch)


def test_a_refused_control_of_the_row_is_marked_and_the_line_is_in_the_bar(page: Page, watch: Watch) -> None:
    open_stage(page, "/?ps=45000000000&vm.vcpus=96")
    page.locator("[data-act=more-vcpus]").click()
    expect(page.locator(LINE)).to_have_text(re.compile("vm.vcpus=97 must be at most 96"))
    expect(page.locator(".control-frame.wrong")).to_have_count(1)
    page.locator("[data-act=more]").click()
    expect(page.locator("#stage-more .field-refused:visible")).to_have_count(0)
    forget_answers(watch)
