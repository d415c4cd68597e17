"""The page-table walk beside the charts is never empty."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")


def test_without_a_vcpu_at_work_the_walk_is_that_of_the_first_page(page: Page) -> None:
    """The lazy run of an idle guest is over: neither its ioctl nor its vCPU is anywhere."""
    open_stage(page, "/?story=rfc-memslot&ps=5000000000000&memory[0].size=%224+GiB%22")
    loupe = page.locator("[data-mmuviz=loupe] canvas").first
    first = page.evaluate("window.mmuvizStage.stage.runs[0].firstGfn[0]")
    expect(loupe).to_have_attribute("aria-label", re.compile(rf"no vCPU is at a known page; .* gfn {first:#x};"))


def test_of_several_vcpus_the_first_at_a_known_page_counts(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.evaluate("""() => {
        const {stage} = window.mmuvizStage, [run] = stage.runs, before = run.vcpuGfn.bind(run);
        run.vcpuGfn = (ps, vcpu) => (vcpu < 2 ? -1 : before(ps, vcpu));
        stage.goToPlace(46e9);
    }""")
    expect(page.locator("[data-mmuviz=loupe] canvas").first).to_have_attribute(
        "aria-label", re.compile(r"vCPU 2 at gfn 0x")
    )


def test_of_two_panes_in_a_column_the_walk_is_that_of_the_one_entered_last(page: Page) -> None:
    open_stage(page, "/?policies=lazy,eager_at_enable,eager_in_clear,ring_lazy&ps=45000000000")
    labels = page.evaluate("window.mmuvizStage.stage.runs.map(({label}) => label)")
    loupes, panes = page.locator("[data-mmuviz=loupe] canvas"), page.locator("[data-mmuviz=pane]")
    for index in (2, 3, 0, 1):
        panes.nth(index).locator(".map-box, canvas").first.hover()
        label = re.compile(rf"^Page-table walk, {re.escape(labels[index])}: ")
        expect(loupes.nth(index % 2)).to_have_attribute("aria-label", label)
    panes.nth(3).locator("select").first.focus()
    expect(loupes.nth(1)).to_have_attribute("aria-label", re.compile(re.escape(labels[3])))
    expect(loupes.nth(0)).to_have_attribute("aria-label", re.compile(re.escape(labels[0])))
