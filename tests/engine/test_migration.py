"""Laws of migrations in time, for any writes of the guest and any speed of the link."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.qemu.rate_limit import IOV_PAGES, STREAM_PAGE_BYTES, RateLimit
from mmuviz.engine.qemu.state import FEATURES
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from tests.engine.migrations import MIB, PAGES, migrated, migration

MODES = ("manual_initially_set", "manual", "legacy")


@st.composite
def drawn(draw: st.DrawFn) -> Scenario:
    """Small migrations: some converge, some are given up."""
    return migration(
        vm={"dirty_log_mode": draw(st.sampled_from(MODES)), "eager_page_split": draw(st.booleans())},
        memory=[{"size": PAGES * 4096, "backing": draw(st.sampled_from(["thp", "4k", "hugetlb_2m"]))}],
        workload={"rate_hz": draw(st.sampled_from([500, 5000, 50_000])), "seed": draw(st.integers(0, 99))},
        driver={
            "version": draw(st.sampled_from(sorted(FEATURES))),
            "bandwidth": draw(st.integers(20, 200)) * MIB,
            "clear_bitmap_shift": draw(st.sampled_from([6, 9, 18])),
            "most_rounds": draw(st.sampled_from([3, 10])),
        },
    )


@settings(max_examples=15, deadline=None)
@given(drawn())
def test_sums_equal_totals_and_bytes_are_pages(scenario: Scenario) -> None:
    made = run(scenario)
    rounds, totals, ended = made.rounds, made.totals["migration"], made.header.migration
    assert ended is not None
    assert totals["bytes_sent"] == totals["pages_sent"] * STREAM_PAGE_BYTES == int(rounds.bytes_sent.sum())
    assert totals["rounds"] == len(rounds.round)
    assert np.array_equal(rounds.round, np.arange(1, len(rounds.round) + 1))
    # What waits to be sent is what waited, less what was sent, and what is new.
    waited = np.concatenate([[PAGES], (rounds.remaining_pages - rounds.pages_sent)[:-1]])
    assert np.array_equal(waited + rounds.new_dirty_pages, rounds.remaining_pages)
    if ended.outcome == "completed":
        assert rounds.remaining_pages[-1] == rounds.pages_sent[-1]
        assert totals["pages_sent"] == PAGES + totals["resent_pages"]
    for kind in ("get", "clear"):
        rows = made.calls.kind == CALL_KINDS.index(kind)
        assert int((made.calls.end_ps - made.calls.start_ps)[rows].sum()) == int(rounds[f"{kind}_ps"].sum())
    phases = np.isin(made.calls.kind, [CALL_KINDS.index("round"), CALL_KINDS.index("downtime")])
    assert np.array_equal(made.calls.iteration[phases], rounds.round)
    assert np.array_equal(made.calls.start_ps[phases], rounds.start_ps)
    assert np.array_equal(made.calls.end_ps[phases], rounds.end_ps)
    assert np.array_equal(made.calls.accesses[phases], rounds.accesses)
    setup = made.calls.kind == CALL_KINDS.index("setup")
    assert (made.calls.end_ps - made.calls.start_ps)[setup].tolist() == [rounds.start_ps[0] - ended.start_ps]
    assert int(made.bins.bytes_sent.sum()) == totals["bytes_sent"]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(MODES),
    st.sampled_from(["amd", "intel"]),
    st.sampled_from(["eager", "lazy"]),
    st.sampled_from(["thp", "4k", "hugetlb_2m"]),
    st.sampled_from([6, 9, 18]),
    st.integers(100, 20_000),
)
def test_every_page_is_sent_after_its_last_write(  # what is drawn
    mode: str, vendor: str, splitting: str, backing: str, shift: int, rate_hz: int
) -> None:
    """The destination has the content that each page has when the guest is stopped."""
    scenario = migration(
        vm={"vcpus": 1, "vendor": vendor, "dirty_log_mode": mode, "eager_page_split": splitting == "eager"},
        memory=[{"size": PAGES * 4096, "backing": backing}],
        workload={"pattern": "sequential", "rate_hz": rate_hz},
        driver={"downtime_limit": "3 s", "clear_bitmap_shift": shift},  # so that it converges
    )
    made, copy = migrated(scenario), np.full(PAGES, -1)
    assert made.play(lambda steps: made.copied(steps, copy)) is None
    assert np.array_equal(copy, made.writes_so_far())


def took_ns(bandwidth: int, workload: dict[str, Any], **driver: Any) -> int:  # noqa: ANN401  # fields
    """Time of a migration with a bandwidth in MiB/s."""
    made = run(migration(workload=workload, driver={"bandwidth": bandwidth * MIB, **driver}))
    found: int = made.totals["migration"]["total_ns"]
    return found


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["7.2", "10.0"]))
def test_more_bandwidth_never_takes_longer(seed: int, version: str) -> None:
    times = [took_ns(each, {"seed": seed}, version=version, downtime_limit="50 ms") for each in (20, 40, 80, 160)]
    assert times == sorted(times, reverse=True)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(20, 200),
    st.integers(1, 40),
    st.sampled_from([50, 100, 300]),
    st.sampled_from(["sequential", "hot_set"]),
)
def test_a_little_more_bandwidth_takes_longer_by_a_window_at_most(
    bandwidth: int, more: int, limit_ms: int, pattern: str
) -> None:
    """QEMU measures in windows of 100 ms, so a little more bandwidth may meet the threshold one window later."""
    workload = {"pattern": pattern, "rate_hz": 2000}
    slow, fast = (took_ns(each, workload, downtime_limit=f"{limit_ms} ms") for each in (bandwidth, bandwidth + more))
    assert fast <= slow + 100_000_000


def outcome(made: Recording) -> str:
    assert made.header.migration is not None
    return made.header.migration.outcome


def test_a_hot_guest_does_not_converge_and_its_logging_is_disabled() -> None:
    made = run(migration(workload={"rate_hz": 50_000, "hot_percent": 50}, driver={"most_rounds": 5}))
    assert outcome(made) == "too many rounds"
    assert made.totals["migration"]["downtime_ns"] == 0
    assert CALL_KINDS[made.calls.kind[made.calls.kind < CALL_KINDS.index("populate")][-1]] == "disable"


def test_a_cancelled_migration_ends_where_it_is_cancelled() -> None:
    made = run(migration(driver={"cancel_at": "150 ms"}))
    assert outcome(made) == "cancelled"
    assert 150_000_000 <= made.totals["migration"]["total_ns"] < 260_000_000


def test_downtime_is_a_phase_in_which_no_vcpu_runs() -> None:
    made = run(migration())
    row = int(np.flatnonzero(made.calls.kind == CALL_KINDS.index("downtime"))[0])
    assert made.calls.accesses[row] == 0
    assert made.header.migration is not None
    assert made.calls.start_ps[row] == made.header.migration.stop_ps


def test_a_window_overshoots_by_a_page_or_by_a_flush() -> None:
    for version, most in (("7.2", 1), ("10.0", IOV_PAGES)):
        rate = RateLimit(FEATURES[version], 100 * MIB, 300, 0)
        pages = rate.pages_to_limit()
        rate.send(pages - 1)
        before = rate.over_limit
        rate.send(1)
        assert (before, rate.over_limit) == (False, True)
        assert 0 < rate.sent_bytes - 10 * MIB <= most * STREAM_PAGE_BYTES
        rate.update(99, 0, 0)
        assert rate.threshold_bytes == 0
        rate.update(100, 1000, 1 << 20)
        assert rate.bandwidth == rate.sent_bytes // 100
        assert rate.threshold_bytes == rate.sent_bytes * 3
        assert rate.expected_downtime_ms == (100 << 20) // rate.sent_bytes


def test_expected_downtime_divides_by_a_bandwidth_that_is_not_cut_to_bytes_per_ms() -> None:
    """12,390 bytes in 101 ms are 122.67 a ms: 10 GB take 81,517,352 ms, and 81,967,213 at 122."""
    rate = RateLimit(FEATURES["7.2"], 100 * MIB, 300, 0)
    rate.send(3, 12_390)
    rate.update(101, 1000, 10**10)
    assert rate.bandwidth == 122
    assert rate.expected_downtime_ms == 10**10 * 101 // 12_390


def test_the_link_holds_back_the_last_pages_and_max_bandwidth_does_not() -> None:
    made = [run(migration(driver={"link": link * MIB, "downtime_limit": "2 s"})) for link in (20, 200)]
    slow, fast = (each.totals["migration"] for each in made)
    last = int(made[0].rounds.bytes_sent[-1])
    assert slow["downtime_ns"] > fast["downtime_ns"]
    assert slow["downtime_ns"] >= last * 1_000_000_000 // (20 * MIB)


PLAIN = {"kind": "plain_precopy", "link": 100 * MIB, "downtime_limit": "10 ms"}


def test_a_plain_loop_gets_whole_bitmaps_and_never_clears() -> None:
    base = migration().given() | {"driver": {**PLAIN, "rounds": 4}}
    made = run(Scenario.model_validate({**base, "vm": {"vcpus": 2, "vendor": "amd", "dirty_log_mode": "legacy"}}))
    kinds = [CALL_KINDS[kind] for kind in made.calls.kind]
    assert "clear" not in kinds
    assert kinds.count("get") == len(made.rounds.round)
    assert outcome(made) == "completed"
    assert made.totals["migration"]["pages_sent"] == PAGES + made.totals["migration"]["resent_pages"]
    assert int(made.rounds.remaining_pages[-2]) * 4096 <= int(made.rounds.threshold_bytes[-2])
