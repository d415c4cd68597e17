"""Laws of QEMU's means against a migration that does not converge: throttling, rings, post-copy, a second attempt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.qemu.cpu_throttle import CpuThrottle, DirtySyncTimer, ThrottleTrigger, mig_throttle_guest_down
from mmuviz.engine.qemu.dirtylimit import DirtyLimit
from mmuviz.engine.run import run
from mmuviz.engine.throttle import TIMESLICE_PS
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from tests.engine.migrations import HOT, MIB, PAGES, RINGS, SLOW, migration
from tests.engine.runs import differing, one_by_one, ran
from tests.engine.test_bins import OF_BINS, check_shares, with_bins

# Throttled vCPUs


def throttled(**driver: object) -> Scenario:
    return migration(workload=HOT, driver={**SLOW, **driver})


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([10, 25, 40]), st.sampled_from(["7.2", "10.0"]), st.sampled_from(["amd", "intel"]))
def test_a_throttled_guest_makes_so_much_less_progress(percent: int, version: str, vendor: str) -> None:
    made = run(
        migration(
            vm={"vendor": vendor},
            workload=HOT,
            driver={**SLOW, "throttle_initial": percent, "throttle_increment": 1, "version": version},
        )
    )
    rounds = made.rounds
    took_ps = rounds.end_ps - rounds.start_ps
    period_ps = 100 * TIMESLICE_PS // (100 - percent)
    alike = (rounds.throttle_percent == percent) & (np.roll(rounds.throttle_percent, 1) == percent)
    alike &= took_ps > 3 * period_ps
    assert alike.any()
    for row in np.flatnonzero(alike):
        full = 2 * HOT["rate_hz"] * int(took_ps[row]) // 10**12
        most = full * (100 - percent) // 100
        slice_accesses = 2 * HOT["rate_hz"] * TIMESLICE_PS // 10**12
        assert abs(int(rounds.accesses[row]) - most) <= slice_accesses + full // 20
    assert (rounds.throttled_ps[rounds.throttle_percent == 0] <= 0).all()


def check_sums(made: Recording) -> None:
    assert made.bins.throttled_ps.sum() == made.vcpus.throttled_ps.sum()
    assert (made.bins.throttled_ps >= 0).all()
    assert (made.bins.dirtied_pages >= 0).all()
    check_shares(made)


def test_sleeps_add_up_and_bins_change_nothing() -> None:
    for scenario in (throttled(), migration(vm=RINGS, workload=HOT, driver={"dirty_limit": MIB, "longest": "6 s"})):
        narrow = ran(scenario).recording
        wide = ran(scenario, prepare=with_bins(narrow.header.bin_ps.bit_length())).recording
        assert differing(narrow, wide, OF_BINS) == []
        assert narrow.totals == wide.totals
        assert narrow.totals["migration"]["throttled_ns"] > 0
        for made in (narrow, wide):
            check_sums(made)


def test_looking_ahead_changes_nothing_of_a_throttled_run() -> None:
    made, slow = ran(throttled(longest="4 s")), ran(throttled(longest="4 s"), prepare=one_by_one)
    assert differing(made.recording, slow.recording) == []


def test_a_throttled_guest_converges_that_did_not() -> None:
    plain = run(migration(workload=HOT))
    helped = run(throttled(longest="60 s", most_rounds=1000, throttle_increment=40))
    assert plain.totals["migration"]["completed"] == 0
    assert helped.totals["migration"]["completed"] == 1
    assert helped.totals["migration"]["throttle_percent"] > 0


def test_from_10_0_on_the_main_thread_syncs_too() -> None:
    """A pass over memory that takes longer than ten seconds: the old release syncs at its end, the new one in it."""
    slow = {"auto_converge": True, "longest": "40 s", "bandwidth": MIB, "downtime_limit": "1 ms"}
    quick = {"rate_hz": 2000, "hot_percent": 90}
    old, new = (run(migration(workload=quick, driver={**slow, "version": each})) for each in ("7.2", "10.0"))
    assert len(new.rounds.round) > len(old.rounds.round)
    longest = [int(np.diff(made.rounds.start_ps[1:]).max()) for made in (old, new)]
    assert longest[1] <= 11 * 10**12 < longest[0]  # two ticks of 5 s and an iteration


def test_steps_of_auto_converge() -> None:
    """Twice a bad period makes a step; from idle at the third, fifth and seventh sync."""
    trigger, steps, percent = ThrottleTrigger(), [], 0
    for sync in range(2, 9):
        if trigger.period_ended(600, 1000 * (sync - 1)):
            percent = mig_throttle_guest_down(CpuThrottle(), percent)
            steps.append((sync, percent))
    assert steps == [(3, 20), (5, 30), (7, 40)]
    assert not trigger.period_ended(500, 8000)
    assert mig_throttle_guest_down(CpuThrottle(most=35), 30) == 35


def test_the_timer_syncs_where_nobody_else_did() -> None:
    timer = DirtySyncTimer()
    ticks = [timer.tick(count) for count in (0, 1, 1, 2, 2, 3, 5, 5)]  # its own sync makes 3 of 2
    assert ticks == [False, False, False, False, True, True, False, True]


# A limit of the dirty rate


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=30), st.integers(1, 1000))
def test_a_limit_sleeps_more_above_it_and_less_below(rates: list[int], quota: int) -> None:
    limit, before, fastest = DirtyLimit(1, quota, 4096), 0, 0
    for rate in rates:
        limit.adjust(0, rate)
        now = limit.sleep_us[0]
        near = abs(rate - quota) <= 25
        fastest = fastest if near or rate == 0 else max(fastest, rate)
        assert now >= 0
        if near:
            assert now == before
        elif rate == 0:
            assert now == 0
        else:
            assert now <= 99 * (16 * 10**6 // fastest)
            assert (now >= before or now == 99 * (16 * 10**6 // fastest)) if rate > quota else now <= before
        before = now


def test_half_of_the_rate_is_half_of_the_time() -> None:
    """20 us for a ring of 16 MiB at 800 MiB/s: a limit of 200 has the vCPU run a quarter of the time."""
    limit = DirtyLimit(1, 200, 4096)
    limit.adjust(0, 800)
    assert limit.sleep_us[0] == 3 * 20_000


def test_a_limited_guest_is_slower_and_nothing_is_throttled_before_it_is() -> None:
    scenario = migration(vm=RINGS, workload={"rate_hz": 100_000, "hot_percent": 50}, driver={"longest": "6 s"})
    plain = run(scenario)
    driver = {**scenario.given()["driver"], "dirty_limit": MIB}
    limited = run(Scenario.model_validate({**scenario.given(), "driver": driver}))
    assert plain.totals["migration"]["throttled_ns"] == 0
    assert limited.totals["migration"]["throttled_ns"] > 0
    assert limited.totals["accesses"] < plain.totals["accesses"]


# Both address spaces


@pytest.mark.parametrize("mode", ["manual_initially_set", "manual", "legacy"])
def test_all_is_asked_for_both_address_spaces(mode: str) -> None:
    made = run(migration(vm={"dirty_log_mode": mode}, driver={"smm": True}))
    calls = made.calls
    for kind in ("enable", "get", "clear"):
        slots = calls.slot[calls.kind == CALL_KINDS.index(kind)]
        assert (slots[1::2] == slots[::2] + 65536).all()
    first, then = calls.reported_pages[(calls.slot == 65536) & (calls.kind == CALL_KINDS.index("get"))][[0, 1]]
    assert first == (PAGES if mode == "manual_initially_set" else 0)
    assert then == 0  # nobody writes there; its CLEARs took the ones


def test_a_ring_is_reaped_once_for_each_address_space() -> None:
    one, both = (run(migration(vm=RINGS, driver={"smm": smm})) for smm in (False, True))
    resets = [int(np.count_nonzero(made.calls.kind == CALL_KINDS.index("reset"))) for made in (one, both)]
    assert resets[1] >= resets[0]
    assert not np.isin(both.calls.kind, [CALL_KINDS.index("get"), CALL_KINDS.index("clear")]).any()


# Post-copy


@pytest.mark.parametrize("driver", [{"postcopy_after": "350 ms"}, {"postcopy_after_rounds": 2}])
@pytest.mark.parametrize("backing", ["thp", "hugetlb_2m"])
def test_after_the_switch_the_rest_is_sent_and_no_vcpu_runs(driver: dict[str, Any], backing: str) -> None:
    made = run(migration(workload=HOT, memory=[{"size": PAGES * 4096, "backing": backing}], driver=driver))
    ended, calls, took = made.header.migration, made.calls, made.totals["migration"]
    assert ended is not None
    assert ended.stop_ps is not None
    assert ended.switch_ps is not None
    assert ended.outcome == "completed"
    assert ended.stop_ps <= ended.switch_ps < ended.end_ps
    sent = int(made.rounds.pages_sent[-1])
    assert sent == ended.left_pages > 0
    assert took["downtime_ns"] == (ended.switch_ps - ended.stop_ps + 500) // 1000
    row = int(np.flatnonzero(calls.kind == CALL_KINDS.index("postcopy"))[0])
    assert (calls.start_ps[row], calls.end_ps[row], calls.accesses[row]) == (ended.switch_ps, ended.end_ps, 0)
    assert -(-ended.left_pages // 512) <= ended.left_2m_pages <= min(ended.left_pages, PAGES // 512)
    rest = took["postcopy"]
    assert rest["left_bytes"] == 4096 * rest["faults_4k"]
    assert abs(rest["fault_2m_ns"] - rest["fault_4k_ns"] - 511 * 4096 * 10**9 // 1_250_000_000) <= 1
    if backing == "hugetlb_2m":  # the destination waits for whole pages of its host
        assert rest["left_bytes"] == rest["left_2m_bytes"]


def test_a_switch_comes_when_it_is_asked_for() -> None:
    made = run(migration(workload=HOT, driver={"postcopy_after": "350 ms"}))
    ended = made.header.migration
    assert ended is not None
    assert ended.switch_ps is not None
    assert 350 <= (ended.switch_ps - ended.start_ps) // 10**9 <= 460
    by_round = run(migration(workload=HOT, driver={"postcopy_after_rounds": 2}))
    assert len(by_round.rounds.round) == 3


# A second migration


def test_after_a_cancel_a_second_migration_repeats_it_all() -> None:
    made = run(migration(driver={"cancel_at": "150 ms", "restart_after": "200 ms"}))
    (first,), last = made.header.earlier_migrations, made.header.migration
    assert last is not None
    assert (first.outcome, last.outcome) == ("cancelled", "completed")
    assert last.start_ps - first.end_ps == 200 * 10**9
    rounds, calls = made.rounds, made.calls
    assert rounds.migration.tolist() == sorted(rounds.migration.tolist())
    assert made.totals["migration"]["rounds"] == int(np.count_nonzero(rounds.migration == 2))
    assert made.totals["migration"]["attempts"] == 2
    again = rounds.migration == 2
    assert int(rounds.pages_sent[again].sum()) == PAGES + int(rounds.resent_pages[again].sum())
    enables = np.flatnonzero(calls.kind == CALL_KINDS.index("enable"))
    disables = np.flatnonzero(calls.kind == CALL_KINDS.index("disable"))
    assert len(enables) == 2
    assert enables[0] < disables[0] < enables[1]
    assert calls.pages_2m[enables[1]] > calls.pages_2m[disables[0] - 1]  # huge pages came back meanwhile


# What a page weighs


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0, 12.5, 50, 100]), st.sampled_from(["7.2", "10.0"]), st.sampled_from([20, 80]))
def test_pages_of_zeros_are_nine_bytes(zero_percent: float, version: str, bandwidth: int) -> None:
    driver = {"zero_percent": zero_percent, "version": version, "bandwidth": bandwidth * MIB}
    took = run(migration(driver=driver)).totals["migration"]
    full = took["pages_sent"] - took["zero_pages"]
    assert took["bytes_sent"] == full * (8 + 4096) + took["zero_pages"] * 9
    assert abs(took["zero_pages"] - PAGES * zero_percent / 100) <= 4 * PAGES**0.5
    assert took["zero_pages"] <= PAGES  # one that is sent again was written


def test_channels_share_what_one_thread_copies_alone() -> None:
    """A link that is faster than one thread: with channels it is the link that counts, or the migration thread."""
    fast = {"bandwidth": 10**11, "link": 10**11, "downtime_limit": "1 ms"}
    took = [
        run(migration(workload={"pattern": "idle"}, driver={**fast, "multifd_channels": each})).totals["migration"]
        for each in (0, 1, 2, 8, 255)
    ]
    times = [each["total_ns"] for each in took]
    assert times[1:] == sorted(times[1:], reverse=True)
    assert times[2] < times[0]
    assert PAGES * 4096 < took[3]["bytes_sent"] < PAGES * (4096 + 16)


def test_a_log_of_2m_sends_what_was_not_written() -> None:
    whole, fine = (run(migration(vm={"tracking": each}, driver={"most_rounds": 4})) for each in ("2m", "4k"))
    took = whole.totals["migration"]
    assert 0 < took["rewritten_pages"] < took["resent_pages"]
    assert took["amplification_percent"] == 100 * took["resent_pages"] // took["rewritten_pages"]
    assert (fine.rounds.rewritten_pages == -1).all()
    assert "amplification_percent" not in fine.totals["migration"]


def test_the_hybrid_sends_less_of_what_was_not_written() -> None:
    vm = {"tracking": "2m", "dirty_log_mode": "manual"}
    choices = (vm, {**vm, "rounds_to_4k": 2})
    whole, hybrid = (run(migration(vm=each, driver={"most_rounds": 8})).totals["migration"] for each in choices)
    assert hybrid["amplification_percent"] < whole["amplification_percent"]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["2m", "4k"]), st.integers(500, 5000))
def test_what_the_guest_rewrote_is_what_its_stream_says(seed: int, tracking: str, rate_hz: int) -> None:
    """One vCPU writes page after page: rewritten pages are at most those sent again, and at most its accesses."""
    vm = {"tracking": "2m", "vcpus": 1, "dirty_log_mode": "manual"}
    workload = {"pattern": "sequential", "rate_hz": rate_hz, "seed": seed}
    made = run(migration(vm=vm, workload=workload, driver={"most_rounds": 3}))
    took = made.totals["migration"]
    assert took["rewritten_pages"] <= min(took["resent_pages"], took["accesses"])
    assert tracking in ("2m", "4k")


# What QEMU refuses


@pytest.mark.parametrize(
    ("vm", "driver", "message"),
    [
        ({}, {"dirty_limit": MIB}, "needs a dirty ring"),
        (RINGS, {"dirty_limit": MIB, "auto_converge": True}, "conflicts with auto_converge"),
        (RINGS, {"dirty_limit": MIB, "version": "7.2"}, "came with 8.1"),
        ({}, {"multifd_channels": 2, "postcopy_after": "1 s"}, "not compatible yet"),
        ({}, {"postcopy_after": "1 s", "postcopy_after_rounds": 2}, "both ask for the switch"),
        ({}, {"throttle_increment": 30}, "belongs to auto-converge"),
        ({}, {"auto_converge": True, "throttle_initial": 50, "throttle_max": 40}, "must not be below"),
        ({}, {"restart_after": "1 s"}, "follows a cancel"),
        ({"dirty_log_mode": "ring_initially_set", "ring_entries": 1024}, {}, "never asked for by QEMU"),
        ({"vendor": "arm64"}, {"smm": True}, "belongs to x86"),
    ],
)
def test_what_does_not_go_together_is_refused(vm: dict[str, Any], driver: dict[str, Any], message: str) -> None:
    host = {"host": {"profile": "ampere_one"}} if "arm64" in vm.values() else {}
    with pytest.raises(InputError, match=message) as caught:
        migration(vm=vm, driver=driver, **host)
    assert "\n" not in str(caught.value)


def test_a_complete_document_is_read_again() -> None:
    scenario = migration()
    assert Scenario.model_validate(scenario.as_document()).digest() == scenario.digest()


def test_a_full_ring_is_counted_once() -> None:
    made, session = ran(migration(vm=RINGS, workload={"pattern": "sequential", "rate_hz": 50_000}))
    assert int(made.bins.ring_full_exits.sum()) > 0
    assert not (session.machine.clock.phase == layout.RING_FULL).any()
