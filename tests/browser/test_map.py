"""The map in a real browser: what is painted and said must be what Python computes from the Recording."""

import base64
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mmuviz.recording.codec import TABLES, encode
from mmuviz.recording.columns import DIRTY, WRITABLE, Recording
from mmuviz.recording.fold import leaves, map_after_op
from mmuviz.recording.labels import op_label
from mmuviz.web.shipped import Shelf
from tests.browser.conftest import Watch
from tests.recording.samples import LEAF
from tests.recording.test_codec import sample

SHELF = Shelf()
LEVELS = {0: "--map-none", 1: "--map-4k", 2: "--map-2m", 3: "--map-1g"}
CELLS_PER_BLOCK = 512
READ_CELLS = """() => {
    const canvas = document.getElementById('map');
    const {cellPx, gapPx, across, op, span} = Object.fromEntries(
        Object.entries(canvas.dataset).map(([name, value]) => [name, Number(value)]));
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    const blocks = Math.round((canvas.width + gapPx) / (32 * cellPx + gapPx))
        * Math.round((canvas.height + gapPx) / (16 * cellPx + gapPx));
    const colours = [];
    for (let cell = 0; cell < blocks * 512; cell += 1) {
        const block = Math.floor(cell / 512);
        const left = (block % across) * (32 * cellPx + gapPx) + (cell % 32) * cellPx;
        const top = Math.floor(block / across) * (16 * cellPx + gapPx) + Math.floor((cell % 512) / 32) * cellPx;
        const middle = Math.floor((cellPx - 1) / 2);
        const at = 4 * ((top + middle) * canvas.width + left + middle);
        colours.push('#' + [0, 1, 2].map(i => pixels[at + i].toString(16).padStart(2, '0')).join(''));
    }
    return {colours, op, span};
}"""


def open_scenario(page: Page, name: str) -> Recording:
    page.goto(f"/?scenario={name}")
    expect(page.locator("#map[data-op]")).to_be_visible()
    return SHELF.scenarios[name].recording


def predicted(recording: Recording, op: int, span: int, colour: Callable[[str], str]) -> list[str]:
    """The colour at the middle of each cell: dirty if any of its pages is, else the level of its first leaf."""
    level, word = leaves(map_after_op(recording, op), recording.slot)
    logged = recording.op_columns.logging[op] != 0
    dirty = (level > 0) & (word & (WRITABLE | DIRTY) == (WRITABLE | DIRTY)) & logged
    cells = level.reshape(-1, span)
    first = cells[np.arange(len(cells)), (cells > 0).argmax(axis=1)]
    names = np.where(dirty.reshape(-1, span).any(axis=1), "--map-dirty", [LEVELS[each] for each in first.tolist()])
    return [colour(name) for name in names.tolist()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(SHELF.scenarios))
def test_every_cell_has_the_colour_that_the_fold_predicts(
    page: Page, name: str, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    recording = open_scenario(page, name)
    tokens: dict[str, str] = {}

    def colour(token: str) -> str:
        if token not in tokens:
            script = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
            tokens[token] = page.evaluate(script, token)
        return tokens[token]

    for op in (0, 1, 2, 3, 4, 8, len(recording.ops) - 1):
        page.locator(f"#ops tr[data-op='{op}'] button").click()
        painted: dict[str, Any] = page.evaluate(READ_CELLS)
        assert painted["op"] == op
        assert painted["colours"] == predicted(recording, op, painted["span"], colour)


def test_the_keyboard_changes_the_op(page: Page) -> None:
    recording = open_scenario(page, "A_2m_legacy_lazy__6.12")
    text = page.locator("#map-op")
    last = len(recording.ops)
    for key, op in [("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", last)]:
        page.keyboard.press(key)
        expect(text).to_have_text(f"After op {op} of {last}: {op_label(recording, op - 1)}")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Next op")).to_be_disabled()
    row = page.locator("#ops tbody tr[aria-current]")
    expect(row).to_have_count(1)
    page.locator("#ops button").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(text).to_contain_text("After op 2 of")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_words_count_what_the_fold_counts(page: Page) -> None:
    recording = open_scenario(page, "A_2m_legacy_lazy__6.12")
    page.locator("#ops tr[data-op='3'] button").click()
    level, word = leaves(map_after_op(recording, 3), recording.slot)
    protected = int(((level == 1) & (word & WRITABLE == 0)).sum())
    dirty = int((word & LEAF == LEAF).sum())
    expected = f"{(level == 1).sum():,} pages of 4K ({protected:,} write-protected, {dirty:,} dirty)"
    expect(page.locator("#map-summary")).to_contain_text(expected)
    expect(page.locator("#map-scale")).to_have_text(re.compile("One cell is one 4K page"))
    expect(page.get_by_role("img", name="Guest memory map")).to_have_attribute("aria-describedby", "map-summary")


def test_a_link_shows_another_recording(page: Page) -> None:
    open_scenario(page, "A_2m_legacy_lazy__6.12")
    page.get_by_role("link", name="1G, legacy, lazy, 6.1", exact=True).click()
    expect(page.locator("#map[data-op]")).to_be_visible()
    expect(page.get_by_role("heading", name="1G huge pages, legacy dirty log, lazy, Linux 6.1")).to_be_visible()
    expect(page.locator("#map-scale")).to_contain_text("512 pages (2 MiB)")


@pytest.mark.parametrize("query", ["?scenario=nope", "?scenario=%00%ff", "?colour=red"])
def test_a_bad_address_gets_a_message_and_the_default_page(page: Page, query: str) -> None:
    page.goto(f"/{query}")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#map[data-op]")).to_be_visible()
    expect(page.get_by_role("heading", name="2M huge pages, legacy dirty log, lazy, Linux 6.12")).to_be_visible()


def test_changing_the_op_asks_the_server_nothing(page: Page) -> None:
    open_scenario(page, "A_2m_legacy_lazy__6.12")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert asked == []


def test_a_recording_that_cannot_be_fetched_is_said_in_words(page: Page, watch: Watch) -> None:
    page.route("**/recording/*.bin", lambda route: route.fulfill(status=200, body=b"MMUVIZR\x02 and more"))
    page.goto("/")
    expect(page.locator("#map-op")).to_have_text(
        "The map cannot be shown: the recording is of another version; load the page again."
    )
    assert watch.complaints == []


@pytest.mark.parametrize("made", [sample(), *(scenario.recording for scenario in SHELF.scenarios.values())])
def test_javascript_reads_what_python_wrote_field_by_field(page: Page, made: Recording) -> None:
    page.goto("/")
    read: dict[str, Any] = page.evaluate(
        """packed => {
            const bytes = Uint8Array.from(atob(packed), c => c.charCodeAt(0));
            const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
            return JSON.parse(JSON.stringify(window.mmuviz.decode(bytes.buffer), plain));
        }""",
        base64.b64encode(encode(made)).decode(),
    )
    for name in ("name", "kernel", "note"):
        assert read.pop(name) == getattr(made, name)
    assert read.pop("config") == made.config._asdict()
    assert read.pop("slot") == made.slot._asdict()
    assert read.pop("ops") == [{"kind": op.kind, "fields": dict(op.fields)} for op in made.ops]
    for table, kind in TABLES.items():
        columns = read.pop(table)
        assert columns == {name: getattr(getattr(made, table), name).tolist() for name in kind._fields}
    assert read == {}


def test_the_map_keeps_its_place_while_it_loads(page: Page) -> None:
    open_scenario(page, "A_2m_legacy_lazy__6.12")
    shift = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()
        .filter(e => !e.hadRecentInput).reduce((sum, e) => sum + e.value, 0)))
        .observe({type: 'layout-shift', buffered: true}) || setTimeout(() => done(0), 500))"""
    assert page.evaluate(shift) < 0.1
