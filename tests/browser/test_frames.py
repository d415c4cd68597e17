"""Frames while the page plays. The aims are those of `make bench`; the bounds here only catch a page gone slow."""

from statistics import median

import pytest
from playwright.sync_api import Browser, Page

from bench.frames import SCENARIOS, Frames, first_map_ms, frames_while_playing, report
from tests.served import Served

pytestmark = pytest.mark.alone

LOADS = 3
PLAY_MS = 3_000
FIRST_MAP_MS = 5_000
MOST_INTERVAL_MS = 40
MOST_DROPPED = 0.3
MOST_WORK_MS = 25


@pytest.mark.parametrize(("scenario", "speed"), list(zip(SCENARIOS, ["1", "16"], strict=True)))
def test_it_plays_smoothly(page: Page, scenario: str, speed: str) -> None:
    seen: Frames = frames_while_playing(page, f"?scenario={scenario}", speed, PLAY_MS)
    smooth = seen.interval_ms <= MOST_INTERVAL_MS and seen.dropped < MOST_DROPPED and seen.work_ms <= MOST_WORK_MS
    assert smooth, report([(f"{SCENARIOS[scenario]}, speed {speed}", seen)])
    assert seen.ticks > 0


def test_the_first_map_is_there_soon(chromium: Browser, server: Served) -> None:
    """A browser that was never here, until the map is painted."""
    took = []
    for _ in range(LOADS):
        context = chromium.new_context(base_url=server.url)
        took.append(first_map_ms(context.new_page()))
        context.close()
    assert median(took) <= FIRST_MAP_MS, took
