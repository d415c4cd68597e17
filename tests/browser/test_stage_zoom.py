"""Zooming into memory: each page's entry and bit at any instant are those of the events, and Back leads out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import PRESENT, TABLE, WRITABLE
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.chooser import chooser
from tests.browser.test_stage import PAUSED, SIZES, open_stage
from tests.engine.fold import SHIFTS, Fold

pytestmark = pytest.mark.xdist_group("stage")

FIRST, PAGES, WINDOW = 0x118000, 512, 16_384
ZOOMED = f"{PAUSED}&zoom=0x{FIRST:x}:{PAGES}"
SHOWN = "() => mmuvizStage.stage.zooming.folds !== null"


@pytest.fixture(scope="module")
def focused() -> list[Recording]:
    """Recordings of the default entry's Scenarios, with the Focus that the page requests."""
    found = read_scenario("running-guest")
    assert isinstance(found, Comparison)
    return [mmuviz.run(each, mmuviz.Focus(first_gfn=FIRST, pages=WINDOW)) for each in found.scenarios]


def folded(made: Recording, ps: int) -> list[list[int]]:
    """Of each page of the window: level of its leaf, whether it can be written, whether it is in the dirty log."""
    events, fold = made.events, Fold(FIRST, WINDOW)
    for row in range(int(np.searchsorted(events.time_ps, ps, side="right"))):
        gfns = events.gfn[row] + events.stride[row] * np.arange(events.entries[row])
        kind, level, old, new = (int(events[name][row]) for name in ("kind", "level", "old", "new"))
        fold.take(kind, level, old, new, gfns)
    found = []
    for gfn in range(FIRST, FIRST + PAGES):
        walk = [(each, int(fold.entries[each][(gfn >> SHIFTS[each]) - (FIRST >> SHIFTS[each])])) for each in (3, 2, 1)]
        level, bits = next((each, entry) for each, entry in walk if not entry & TABLE)
        found.append([level if bits & PRESENT else 0, int(bool(bits & WRITABLE)), int(fold.dirty[gfn - FIRST])])
    return found


def test_each_page_is_what_the_events_say(page: Page, focused: list[Recording]) -> None:
    open_stage(page, ZOOMED)
    page.wait_for_function(SHOWN)
    known = [made.events.time_ps[-1] for made in focused]
    for at, made in enumerate(focused):
        assert made.header.focus is not None
        assert page.evaluate("(at) => mmuvizStage.stage.zooming.folds[at].rows", at) == len(made.events.time_ps)
        times = chooser(at).integers(0, int(known[at]), 12).tolist()
        for ps in [*times, times[0]]:  # back too
            shown = page.evaluate(
                """([at, ps, first, pages]) => {
                    const fold = mmuvizStage.stage.zooming.folds[at].seek(ps);
                    return Array.from({length: pages}, (_, nth) => {
                        const { level, bits } = fold.leaf(first + nth);
                        return [level, Number((bits & 2) !== 0), Number(fold.isDirty(first + nth))];
                    });
                }""",
                [at, ps, FIRST, PAGES],
            )
            assert shown == folded(made, ps), (at, ps)


INSIDE = """() => mmuvizStage.stage.panes.filter(({run}) => run).map(({canvas, box, sentence, map}) => {
    const [inner, outer, below] = [canvas, box, sentence].map((each) => each.getBoundingClientRect());
    const inside = inner.bottom <= outer.bottom + 9 && map.height + canvas.offsetTop <= outer.height + 1;
    return [inside, outer.bottom <= below.top + 1, map.layout.pitch / map.layout.dpr];
})"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("story", "zoom"),
    [("running-guest", f"0x{FIRST:x}:512"), ("migration-small-hot", "0x108000:512"), ("small-writer", "0x108000:512")],
)
def test_a_zoomed_map_covers_no_sentence(page: Page, size: tuple[int, int], story: str, zoom: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?story={story}&ps=1000000000&zoom={zoom}")
    page.wait_for_function(SHOWN)
    for inside, below, pitch in page.evaluate(INSIDE):
        assert inside
        assert below
        assert pitch >= 6 or size[1] < 480 or story != "running-guest", "pages are told apart"


KEYS = """() => [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden])")].map((pane) => {
    const [box, badge] = [pane, pane.querySelector(".badge")].map((each) => each.getBoundingClientRect());
    return [...pane.querySelectorAll(".map-key span")].filter((each) => {
        const {left, right, width} = each.getBoundingClientRect();
        return width > 0 && right <= box.right + 1 && (innerWidth > 999 || left >= badge.right);
    }).map((each) => each.textContent);
})"""
SENT = ["sent", "sent again", "to send"]


@pytest.mark.parametrize("size", [(1280, 720), (800, 600), (360, 740)])
@pytest.mark.parametrize(("story", "whole"), [("running-guest", []), ("migration-small-hot", SENT)])
def test_the_legend_is_of_what_the_map_shows(page: Page, size: tuple[int, int], story: str, whole: list[str]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?story={story}&ps=1000000000&zoom=0x108000:512")
    page.wait_for_function(SHOWN)
    assert page.evaluate(KEYS) == [["dirty", "W clear", "D set"]] * 2
    page.evaluate("mmuvizStage.stage.zooming.go(null, 'push')")
    expect(page.locator(".zoom-bar:visible")).to_have_count(0)
    assert page.evaluate(KEYS) == [whole] * 2


def test_a_click_zooms_in_and_back_leads_out(page: Page) -> None:
    open_stage(page)
    canvas = page.locator("[data-mmuviz=map]").first
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    bar = page.locator(".zoom-bar:visible")
    expect(bar).to_have_count(2)
    assert re.search(r"zoom=0x[0-9a-f]+%3A\d+", page.url)
    ps = page.locator("[data-mmuviz=time]").get_attribute("data-ps")
    page.go_back()
    expect(bar).to_have_count(0)
    assert "zoom" not in page.url
    page.go_forward()
    expect(bar).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(bar).to_have_count(0)
    assert page.locator("[data-mmuviz=time]").get_attribute("data-ps") == ps


def test_the_card_of_a_page_tells_its_entry_and_what_a_write_would_do(page: Page) -> None:
    open_stage(page, ZOOMED)
    page.wait_for_function(SHOWN)
    canvas = page.locator("[data-mmuviz=map]").first
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    card = page.locator(".cell-card")
    expect(card).to_contain_text(re.compile(r"gfn 0x118[0-9a-f]{3}, GPA 0x118[0-9a-f]{6}, 4 KiB"))
    expect(card).to_contain_text(re.compile(r"EPT L[12] entry, (4K|2M): R"))
    expect(card).to_contain_text(re.compile(r"a write (faults|costs)"))


@pytest.mark.parametrize("given", ["0x999999999:512", "0x0:512", "0x0:16384"])
def test_a_window_without_memory_is_refused_as_it_was_given_and_leaves_the_address(page: Page, given: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/api/runs") else None)
    open_stage(page, f"{PAUSED}&zoom={given}")
    said = page.locator("#stage-refused")
    expect(said).to_contain_text(
        f"zoom={given} holds no guest memory, which is gfn 0x100000..0x1fffff; give a part of it"
    )
    remedy = re.search(r"e\.g\. (zoom=0x100000:\d+)", said.inner_text())
    assert remedy is not None
    page.wait_for_function("() => !location.search.includes('zoom')")
    assert "ps=45000000000" in page.url
    expect(page.locator("[data-mmuviz=pane]:visible")).to_have_count(2)
    expect(page.locator(".zoom-bar:visible")).to_have_count(0)
    assert len(asked) == 1
    open_stage(page, f"{PAUSED}&{remedy[1]}")
    expect(page.locator(".zoom-bar:visible")).to_have_count(2)


def test_the_clock_goes_on_while_zoomed(page: Page) -> None:
    open_stage(page, ZOOMED)
    page.wait_for_function(SHOWN)
    page.keyboard.press("Space")
    page.wait_for_function("() => Number(document.querySelector('[data-mmuviz=time]').dataset.ps) > 46e9")
    expect(page.locator(".zoom-bar:visible")).to_have_count(2)


def test_pages_that_never_left_the_log_are_not_drawn_as_written(page: Page) -> None:
    """With initially-all-set all bits are set before anything is written, as whole maps show it too."""
    at = "ps=45000000000&zoom=0x140000:512&policies=lazy,eager_at_enable,eager_in_clear"
    open_stage(page, f"/?{at}")
    page.wait_for_function(SHOWN)
    counts = page.evaluate("""() => mmuvizStage.stage.panes.slice(0, 3).map(({map: {frames, run: {cells}}}) => {
        const all = Array.from({length: cells}, (_, cell) => cell);
        return [all.filter((cell) => frames.dirty(cell)).length, all.filter((cell) => frames.unarmed(cell)).length];
    })""")
    assert counts == [[512, 512], [0, 0], [512, 512]]
    inks = page.evaluate("""() => {
        const {map: {sheet, tokens}} = mmuvizStage.stage.panes[0], side = sheet.geometry.pitch;
        const canvas = Object.assign(document.createElement("canvas"), {width: 4 * side, height: side});
        const context = canvas.getContext("2d", {willReadFrequently: true});
        const shares = new Uint8Array(8);
        [shares[1], shares[7]] = [255, 255];
        const inkOf = (unarmed) => {
            context.clearRect(0, 0, side, side);
            sheet.paint(context, sheet.look(shares, 0, 1, 0, 0, 0, 0, 0, unarmed));
            const {data} = context.getImageData(0, 0, side, side);
            const dirty = [1, 3, 5].map((from) => parseInt(tokens.dirty.slice(from, from + 2), 16));
            let ink = 0;
            for (let i = 0; i < data.length; i += 4) {
                ink += dirty.every((value, at) => data[i + at] === value) ? 1 : 0;
            }
            return ink;
        };
        return [inkOf(false), inkOf(true)];
    }""")
    written, set_only = inks
    assert 0 < set_only < written


def test_the_card_of_a_page_that_never_left_the_log_says_so(page: Page) -> None:
    open_stage(page, "/?ps=45000000000&zoom=0x140000:512&policies=lazy,eager_at_enable,eager_in_clear")
    page.wait_for_function(SHOWN)
    said = page.evaluate("""() => {
        const {stage} = mmuvizStage, {map} = stage.panes[0], cell = {cell: 3, firstGfn: 0x140003, pages: 1};
        return mmuvizStage.pageSays(stage.runs[0], map.frames, cell, 45e9).join("; ");
    }""")
    assert "in the dirty log since logging began, written or not" in said
