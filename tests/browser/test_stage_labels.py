"""Names of runs on the page are never cut so that two of them would be equal, on small screens too."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from mmuviz.studies.packaged_scenarios import ORDER
from tests.browser.conftest import PATIENCE_MS
from tests.served import Served

pytestmark = pytest.mark.xdist_group("stage")

SIZES: Final = ((800, 600), (360, 740), (640, 360), (1024, 768), (1280, 720))
LARGE: Final = ("rfc-memslot", "perf-test-96", "small-writer", "sync-of-1-tib", "ring-or-bitmap-migration")
"""Their runs take long, and are called as those of others are."""
FOUND: Final = """() => {
    const seen = (node) => node.getClientRects().length > 0;
    const names = [...document.querySelectorAll('.policy-name')].filter(seen);
    const {stage} = mmuvizStage;
    return {
        titles: names.map((node) => node.textContent),
        cut: names.filter((node) => node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1
            || node.getBoundingClientRect().bottom > node.closest('.pane-head').getBoundingClientRect().bottom + 4
            || node.getBoundingClientRect().right > node.closest('.pane').getBoundingClientRect().right).length,
        over: names.filter((node) => {
            const figures = node.closest('.pane-head').querySelector('.numbers').getBoundingClientRect();
            return figures.left < node.getBoundingClientRect().right - 1 || figures.right > window.innerWidth;
        }).length,
        ribbon: stage.ribbon.rowNames,
        ends: stage.charts.flatMap(({labels}) => labels.map(({text}) => text)).filter((text) => text.includes('…')),
        tab: document.title,
        labels: stage.runs.map(({label}) => label),
    };
}"""


@pytest.fixture(scope="module")
def opened(chromium: Browser, server: Served) -> Page:
    page = chromium.new_page(base_url=server.url)
    page.set_default_timeout(PATIENCE_MS)
    return page


def show(page: Page, query: str) -> None:
    page.goto(f"/?{query}")
    expect(page.locator(".stage.ready")).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.parametrize("name", [name for name in ORDER if name not in LARGE])
def test_no_name_is_cut_at_any_size(opened: Page, name: str) -> None:
    opened.set_viewport_size({"width": 1280, "height": 720})
    show(opened, f"story={name}&ps=0")
    for width, height in SIZES:
        opened.set_viewport_size({"width": width, "height": height})
        opened.evaluate("() => mmuvizStage.stage.resize()")
        found = opened.evaluate(FOUND)
        where = f"{name} at {width}x{height}: {found}"
        assert found["cut"] == found["over"] == 0, where
        assert [title.replace("\N{NO-BREAK SPACE}", " ") for title in found["titles"]] == found["labels"], where
        assert found["ribbon"] == found["labels"], where
        assert found["ends"] == [], where
        assert all(label in found["tab"] for label in found["labels"]), where


SENTENCES: Final = """() => [...document.querySelectorAll('.pane:not([hidden]) .sentence')].map((node) => {
    const link = node.querySelector('.kernel-function');
    const box = node.getBoundingClientRect();
    const last = link && link.getBoundingClientRect();
    return {text: node.textContent, high: box.height, link: link && link.textContent, href: link && link.href,
        whole: !link || (last.bottom <= box.bottom + 3 && last.right <= box.right + 1)};
})"""


@pytest.mark.parametrize("query", ["", "view=expert", "story=amd-without-pml", "story=recorded-initially-set"])
def test_each_pane_has_its_sentence_with_the_function_at_every_size(opened: Page, query: str) -> None:
    opened.set_viewport_size({"width": 1280, "height": 720})
    show(opened, f"{query}&ps=45000000000")
    end = opened.evaluate("() => mmuvizStage.stage.clock.endPs")
    for width, height in SIZES:
        opened.set_viewport_size({"width": width, "height": height})
        opened.evaluate("() => mmuvizStage.stage.resize()")
        for part in (0.05, 0.2, 0.5, 0.9):
            opened.evaluate("ps => mmuvizStage.stage.goTo(ps)", int(part * end))
            for each in opened.evaluate(SENTENCES):
                assert each["high"] > 0, (width, height, each)
                assert each["whole"], (width, height, each)
                if each["link"]:
                    assert each["link"].endswith("()"), each
                    assert each["link"] in each["text"]


CONTROLS: Final = """() => [...document.querySelectorAll('.controls > *')]
    .filter((node) => node.getClientRects().length > 0)
    .map((node) => {
        const {left, right} = node.getBoundingClientRect();
        const fields = [...node.querySelectorAll('[data-field]')].map((each) => each.dataset.field);
        return {name: node.textContent.slice(0, 20), left, right, fields};
    })"""
FIELDS: Final = {
    *("memory[0].size", "memory[0].backing", "vm.vcpus", "workload.write_percent", "workload.pattern"),
    *("workload.rate_hz", "vm.kernel", "vm.dirty_log_mode", "vm.pml", "host.profile", "driver.kind"),
}


@pytest.mark.parametrize("story", ["running-guest", "clear-in-chunks", "amd-without-pml", "zap-or-split-on-fault"])
def test_every_control_is_in_the_row(opened: Page, story: str) -> None:
    opened.set_viewport_size({"width": 1280, "height": 720})
    show(opened, f"story={story}&ps=0")
    for width, height in ((1280, 720), (1024, 768)):
        opened.set_viewport_size({"width": width, "height": height})
        opened.evaluate("() => mmuvizStage.stage.resize()")
        row = opened.evaluate(CONTROLS)
        assert {field for each in row for field in each["fields"]} == FIELDS
        assert all(each["right"] <= width for each in row), row
        assert all(one["right"] <= other["left"] + 0.5 for one, other in pairwise(row)), row
