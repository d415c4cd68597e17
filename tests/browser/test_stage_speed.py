"""The page's speed. The aims are those of `make bench`; the bounds here are wider, and only catch a page gone slow."""

from statistics import median

import pytest
from playwright.sync_api import Browser, Page

from bench import thresholds
from bench.watch import WATCH, cold_load, frames_while_playing, keys, seeks, wait_for_stage
from tests.browser.conftest import PATIENCE_MS
from tests.served import Served

pytestmark = pytest.mark.alone

LOADS = 3
PLAY_MS = 3_000


def test_a_cold_load_is_quick_light_and_still(chromium: Browser, server: Served) -> None:
    loads = []
    for _ in range(LOADS + 1):  # the first one finds the server cold
        context = chromium.new_context(base_url=server.url, viewport={"width": 1280, "height": 720})
        loads.append(cold_load(context.new_page(), PATIENCE_MS))
        context.close()
    assert median(each.first_ms for each in loads[1:]) <= thresholds.GUARD * thresholds.FIRST_MS, loads
    assert max(each.shift for each in loads) <= thresholds.SHIFT, loads
    assert max(each.sent for each in loads) <= thresholds.BYTES, loads


def test_it_plays_smoothly_and_asks_for_nothing(page: Page) -> None:
    page.add_init_script(WATCH)
    page.goto("/?speed=10000000000")
    wait_for_stage(page, PATIENCE_MS)
    seen = frames_while_playing(page, 2_000, PLAY_MS)
    assert seen.requests == thresholds.REQUESTS
    assert seen.moved_ps > 0
    assert seen.interval_ms <= thresholds.GUARD * thresholds.FRAME_MS, seen
    assert seen.dropped <= thresholds.GUARD_DROPPED, seen
    assert seen.work_ms <= thresholds.GUARD * thresholds.WORK_MS, seen


def test_keys_and_seeks_are_answered_at_once(page: Page) -> None:
    page.add_init_script(WATCH)
    page.goto("/?ps=45000000000")
    wait_for_stage(page, PATIENCE_MS)
    assert keys(page, 10) <= thresholds.GUARD * thresholds.KEY_MS
    assert seeks(page, 10) <= thresholds.GUARD * thresholds.KEY_MS
