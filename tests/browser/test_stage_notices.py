"""Messages in the bar cover no figure and no control, and move nothing; the drawer shows that it scrolls sideways."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.test_stage import PAUSED, SIZES, forget_answers, open_stage

pytestmark = pytest.mark.xdist_group("stage")

LONG = " ".join(f"{word} {at}" for at, word in enumerate(["Look at vCPU 2 while the bitmap is cleared:"] * 8))
NOTED = f"{PAUSED}&note={quote(LONG)}"
PARTS = ".controls, .pane-head, .map-box, .sentence, .badge, .figure, .transport, .tools"
PLACES = f"""() => [...document.querySelectorAll("{PARTS}")].filter((each) => each.getClientRects().length)
    .map((each) => JSON.stringify(each.getBoundingClientRect()))"""
COVERED = f"""(notice) => {{
    const at = notice.getBoundingClientRect();
    const inside = (box) => box.width * box.height > 0 && box.left < at.right && at.left < box.right;
    const parts = [...document.querySelectorAll("{PARTS}")].filter((each) => getComputedStyle(each).display !== "none");
    const deep = (box) => Math.min(box.bottom, at.bottom) - Math.max(box.top, at.top);
    const most = 2; // above a control there are 2 px of its row
    return parts.map((each) => [each.className, each.getBoundingClientRect()])
        .filter(([, box]) => inside(box) && deep(box) > most).map(([name]) => name);
}}"""


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("part", [f"note={quote(LONG)}", "zoom=0x0:512", "policies=lazy,foo&ps=45000000000"])
def test_a_message_covers_no_figure_and_no_control(
    page: Page, watch: Watch, part: str, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_stage(page, f"{PAUSED}&{part}" if "ps=" not in part else f"/?{part}")
    notice = page.locator(".notice:visible")
    expect(notice).to_have_count(1)
    page.wait_for_selector(".ready")
    assert notice.evaluate(COVERED) == []
    before = page.evaluate(PLACES)
    notice.locator("[aria-label=Close]").click()
    expect(notice).to_have_count(0)
    assert page.evaluate(PLACES) == before
    forget_answers(watch)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (800, 600), (360, 740)])
def test_all_of_a_long_note_is_shown_on_request(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_stage(page, NOTED)
    note = page.locator("#stage-note")
    text = note.locator(".notice-text")
    cut = "(text) => text.scrollHeight > text.clientHeight + 1"
    assert text.evaluate(cut)
    before = page.evaluate(PLACES)
    button = note.get_by_role("button", name="Show all of the message")
    button.click()
    assert not text.evaluate(cut)
    expect(text).to_have_text(LONG)
    assert note.evaluate("(each) => each.getBoundingClientRect().right <= innerWidth")
    assert page.evaluate(PLACES) == before
    page.keyboard.press("Escape")
    assert text.evaluate(cut)


def test_a_short_note_has_no_button_for_all_of_it_and_leaves_the_title(page: Page) -> None:
    open_stage(page, f"{PAUSED}&title=Ours&note=Short")
    note = page.locator("#stage-note")
    expect(note.get_by_role("button")).to_have_count(1)
    title, box = page.locator("h1").bounding_box(), note.bounding_box()
    assert title is not None
    assert box is not None
    assert box["y"] > title["y"] + title["height"] - 4


def test_a_closed_note_stays_closed_when_another_guest_is_shown(page: Page) -> None:
    open_stage(page, NOTED)
    page.locator("#stage-note [aria-label=Close]").click()
    page.locator('select[data-field="vm.pml"]').select_option("false")
    page.wait_for_function("() => !mmuvizStage.stage.runs[0].header.scenario.vm.pml")
    expect(page.locator("#stage-note")).to_be_hidden()


def test_messages_follow_each_other(page: Page, tmp_path: Path) -> None:
    """A file that is opened has a line, and then its summary as a note."""
    open_stage(page)
    (tmp_path / "small.json").write_text(
        json.dumps(
            {
                "title": "Small",
                "summary": "A small guest.",
                "vm": {"kernel": "6.6", "vcpus": 2},
                "memory": [{"size": "16 MiB", "backing": "hugetlb_2m"}],
                "workload": {"pattern": "zipf", "rate_hz": 1_000_000},
                "driver": {"kind": "enable_only", "lead": "1 ms", "tail": "3 ms"},
            }
        )
    )
    page.locator("input[type=file]").set_input_files(str(tmp_path / "small.json"))
    expect(page.locator(".notice:visible")).to_contain_text("small.json is shown.")
    page.locator(".notice:visible [data-act=close-opened]").click()
    expect(page.locator(".notice:visible")).to_contain_text("A small guest.")


@pytest.mark.parametrize("theme", ["light", "dark", "projector"])
@pytest.mark.parametrize("place", [".details-tabs", "#details-calls .details-scroller"])
def test_a_shadow_shows_that_the_drawer_scrolls_sideways(page: Page, theme: str, place: str) -> None:
    """The edge differs between places that can be scrolled further and those that cannot, in pixels."""
    page.set_viewport_size({"width": 360, "height": 740})
    open_stage(page, f"{PAUSED}&theme={theme}")
    page.keyboard.press("d")
    wide = page.locator(place)
    expect(wide).to_be_visible()
    page.wait_for_function(
        "(place) => { const each = document.querySelector(place); return each.scrollWidth > each.clientWidth + 1; }",
        arg=place,
    )
    page.add_style_tag(content=f"{place} * {{ visibility: hidden !important }}")
    box = wide.bounding_box()
    assert box is not None

    y = box["y"] + box["height"] / 2

    def at(x: float) -> bytes:
        return page.screenshot(clip={"x": x, "y": y, "width": 3, "height": 3})

    edges = (box["x"] + 1, box["x"] + box["width"] - 4)
    wide.evaluate("(each) => (each.scrollLeft = 0)")
    before = [at(x) for x in edges]
    wide.evaluate("(each) => (each.scrollLeft = each.scrollWidth)")
    assert all(at(x) != was for x, was in zip(edges, before, strict=True))
