"""Userspace's own work in a migration: its part of a sync, and the states of the devices in the downtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from tests.engine.migrations import HOT, MIB, PAGES, RINGS, migration

PS_PER_NS = 1000
WORDS = PAGES // BITS_PER_LONG
IDLE: Final[Mapping[str, Any]] = {"workload": {"rate_hz": 1}, "vm": {"dirty_log_mode": "legacy"}}
POSTCOPY: Final[Mapping[str, Any]] = {"workload": HOT, "driver": {"postcopy_after_rounds": 2}}


PLAIN = {"kind": "plain_precopy", "link": 40 * MIB}


def made_with(changes: Mapping[str, Any], **constants: int) -> Recording:
    return run(migration(**changes, host={"overrides": constants}))


@pytest.mark.parametrize("changes", [IDLE, POSTCOPY])
def test_downtime_ends_with_the_states_of_devices(changes: Mapping[str, Any]) -> None:
    short, long = (made_with(changes, device_state_ns=each * 1_000_000) for each in (2, 52))
    for name in ("downtime_ns", "total_ns"):
        assert long.totals["migration"][name] - short.totals["migration"][name] == 50_000_000
    assert short.totals["accesses"] == long.totals["accesses"]


def test_the_downtime_of_a_plain_loop_has_them_too() -> None:
    guest = {**migration(**IDLE).given(), "driver": PLAIN}
    short, long = (
        run(Scenario.model_validate({**guest, "host": {"overrides": {"device_state_ns": each * 1_000_000}}}))
        for each in (2, 52)
    )
    assert long.totals["migration"]["downtime_ns"] - short.totals["migration"]["downtime_ns"] == 50_000_000


def test_a_cancelled_migration_has_no_states_of_devices() -> None:
    cancelled = {"driver": {"cancel_at": "150 ms"}}
    short, long = (made_with(cancelled, device_state_ns=each * 1_000_000) for each in (2, 200))
    assert short.totals["migration"] == long.totals["migration"]


def test_a_sync_looks_at_each_bitmap_and_each_block() -> None:
    made = made_with(IDLE, sync_word_ps=10_000, sync_dirty_ns=10)
    rounds = made.rounds
    beyond_gets = (rounds.sync_ps - rounds.get_ps).tolist()
    # Once for the memslot's bitmap, once for its RAM block; an idle guest has next to no written words.
    assert min(beyond_gets) == 2 * WORDS * 10_000
    assert max(beyond_gets) <= 2 * WORDS * 10_000 + WORDS * 10 * PS_PER_NS


def test_written_words_cost_more_in_a_sync() -> None:
    plain, dear = (made_with({"workload": HOT, "driver": {"most_rounds": 3}}, sync_dirty_ns=each) for each in (10, 500))
    took = [each.rounds.sync_ps[1] - each.rounds.get_ps[1] for each in (plain, dear)]
    # The first pass takes 400 ms, in which each of the 64 words is written.
    assert took[1] - took[0] == WORDS * 490 * PS_PER_NS


def test_a_ring_has_no_bitmaps_to_look_at_but_its_blocks() -> None:
    made = made_with({"vm": RINGS, "workload": {"rate_hz": 1}}, sync_word_ps=10_000)
    assert set(made.rounds.get_ps.tolist()) == {0}
    assert min(made.rounds.sync_ps.tolist()) >= WORDS * 10_000
