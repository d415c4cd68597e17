"""The card of a cell: under the pointer and at the keyboard's cursor, with the Recording's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording
from tests.browser.stage_runs import replayed
from tests.browser.test_stage import PAUSED, open_stage, recordings

__all__ = ["recordings"]

pytestmark = pytest.mark.xdist_group("stage")

PS = 45_000_000_000
MAP = "[data-mmuviz=map]"


def lines_of(made: Recording, cell: int) -> tuple[str, str]:
    """Return the lines on a cell's position and its last change, computed by Python."""
    first, pages = int(made.cell_map.first_gfn[cell]), int(made.cell_map.pages[cell])
    frames = replayed(made)[: PS // made.header.bin_ps + 1, cell]
    changed = np.flatnonzero((frames[1:] != frames[:-1]).any(axis=1))
    at_ms = (changed[-1] + 1) * made.header.bin_ps / 1e9 if len(changed) else 0
    where = f"gfn {first:#x}..{first + pages - 1:#x}, GPA {first * PAGE_BYTES:#x}"
    return where, f"last change by {at_ms:.1f} ms" if at_ms else "as it was at the start"


@pytest.mark.parametrize("cell", [0, 17, 700, 2047])
def test_the_card_tells_of_the_cell_under_the_pointer(page: Page, recordings: list[Recording], cell: int) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_stage(page, PAUSED)
    for at, made in enumerate(recordings):
        box = page.locator(MAP).nth(at).bounding_box()
        assert box is not None
        place = """([at, cell]) => {
            const { layout } = mmuvizStage.stage.panes[at].map;
            return [layout.x[cell], layout.y[cell]].map(each => (each + layout.pitch / 2) / layout.dpr);
        }"""
        x, y = page.evaluate(place, [at, cell])
        page.mouse.move(box["x"] + x, box["y"] + y)
        for line in lines_of(made, cell):
            expect(page.locator(".cell-card")).to_contain_text(line)
        page.mouse.move(2, 2)
        expect(page.locator(".cell-card")).to_be_hidden()


def test_arrows_move_a_cursor_over_the_map(page: Page, recordings: list[Recording]) -> None:
    open_stage(page, PAUSED)
    focused = page.locator(MAP).first
    focused.press("ArrowDown")
    focused.press("ArrowDown")
    expect(page.locator(".cell-card")).to_contain_text(lines_of(recordings[0], 1)[0])
    rows = page.evaluate("() => mmuvizStage.stage.panes[0].map.layout.rows")
    focused.press("ArrowRight")
    expect(page.locator(".cell-card")).to_contain_text(lines_of(recordings[0], 1 + rows)[0])
    focused.press("Escape")
    expect(page.locator(".cell-card")).to_be_hidden()
    assert page.locator("[data-mmuviz=time]").get_attribute("data-ps") == str(PS)
