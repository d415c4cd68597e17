"""Interactions of a guest and its userspace in time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings

from mmuviz.core.errors import InputError
from mmuviz.core.jit import jit
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import account
from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.cost_table import PS_PER_NS
from mmuviz.engine.run import run
from mmuviz.recording.schema import CALL_KINDS, CAUSES
from mmuviz.recording.stall_buckets import bucket_end_ps, bucket_of_ps
from mmuviz.workloads.stream import ACCESSES
from tests.engine.runs import GIB, MIB, of_kind, ran, scenario_of
from tests.engine.scenarios import Document, scenarios

BASE: Final[Document] = {
    "vm": {"vcpus": 4, "vendor": "amd", "eager_page_split": False},
    "memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential"},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 2},
}


@settings(max_examples=40)
@given(scenarios(large=False, live=False))
def test_every_access_of_every_pass_retires(scenario: Scenario) -> None:
    made, session = ran(scenario)
    calls, pattern = made.calls, scenario.workload.pattern_of()
    accesses = int(pattern.streams(0, scenario.ram_pages, scenario.vm.vcpus)[:, ACCESSES].sum())
    assert calls.accesses[of_kind(made, "populate")].tolist() == [scenario.ram_pages]
    passes = calls.accesses[of_kind(made, "dirty")]
    assert passes.tolist() == [accesses] * getattr(session.scenario.driver, "iterations", 0)
    took = (calls.end_ps - calls.start_ps)[calls.accesses > 0]
    assert (took > 0).all()


SAME: Final = ("kind", "reported_pages", "tables_added", "splits", "zaps", "accesses", "faults", "pf_fast", "pages_4k")
OTHER_HOSTS: Final = {"intel": "split_on_fault", "amd": "split_on_fault", "arm64": "kunpeng_920"}


@settings(max_examples=15)
@given(scenarios(large=False, live=False))
def test_time_changes_nothing_of_what_one_vcpu_does(scenario: Scenario) -> None:
    # One vCPU has no rivals: what it meets does not depend on how long anything takes.
    alone = scenario_of(scenario.given(), vm={"vcpus": 1}, driver={"kind": "dirty_log_perf_test", "iterations": 2})
    other = {"profile": OTHER_HOSTS[scenario.vm.vendor], "overrides": {"read_ns": 50}}
    first, second = run(alone), run(scenario_of(alone.given(), host=other))
    assert first.header.end_ps != second.header.end_ps
    assert [first.calls[name].tolist() for name in SAME] == [second.calls[name].tolist() for name in SAME]


LOCK_CAUSE: Final = CAUSES.index("userspace_lock")
LIVE: Final[Document] = {
    "vm": {"vcpus": 4, "kernel": "6.12", "dirty_log_mode": "legacy", "eager_page_split": True},
    "memory": [{"size": 4 * GIB, "backing": "hugetlb_1g"}],
    "workload": {"pattern": "sequential", "exit_rate_hz": 10_000},
    "driver": {"kind": "enable_only", "lead": 1_000_000, "tail": 5_000_000},
}


def test_who_exits_to_userspace_waits_for_the_ioctl_only_under_the_big_lock() -> None:
    held, free = (run(scenario_of(LIVE, driver={"big_lock": big_lock})) for big_lock in (True, False))
    waited_ps = [made.vcpus.stall_userspace_lock_ps for made in (held, free)]
    (enable,) = of_kind(held, "enable")
    took_ps = int(held.calls.end_ps[enable] - held.calls.start_ps[enable])
    # The ioctl lasts for many periods of exits: every vCPU is caught, once, and served after it, one after the other.
    assert took_ps > 10**9
    assert (waited_ps[0] > 0.8 * took_ps).all()
    # Without it an exit waits for those of the three other vCPUs at most.
    one_ps = PROFILES["tdp_eager"]["userspace_ns"] * PS_PER_NS
    assert 0 < waited_ps[1].max() < waited_ps[0].min() / 20
    assert bucket_of_ps(3 * one_ps) >= np.flatnonzero(free.stalls.hist[LOCK_CAUSE])[-1]
    assert held.longest.stall_ps[0] <= took_ps + 4 * 5_000_000


def test_enabling_slows_the_guest_down() -> None:
    made = run(scenario_of(LIVE, vm={"eager_page_split": False}))
    (lead,), (tail,) = of_kind(made, "lead"), of_kind(made, "tail")
    took_ps = made.calls.end_ps - made.calls.start_ps
    assert (took_ps[lead], took_ps[tail]) == (10**9, 5 * 10**9)
    assert made.calls.faults[lead] == 0 < made.calls.faults[tail]
    rate = made.calls.accesses / np.maximum(took_ps, 1)
    assert rate[tail] < rate[lead] / 2


def test_a_reaper_that_comes_often_keeps_rings_from_filling() -> None:
    rings = {"vcpus": 2, "dirty_log_mode": "ring", "ring_entries": 4096, "eager_page_split": True, "vendor": "intel"}
    rare = scenario_of(
        {"memory": [{"size": 128 * MIB, "backing": "hugetlb_2m"}]},
        vm=rings,
        workload={"pattern": "sequential", "rate_hz": 1_000_000},
        driver={"kind": "dirty_log_perf_test", "iterations": 1},
    )
    full, often = run(rare), run(scenario_of(rare.given(), driver={"reap_interval": 1_000_000}))
    assert full.vcpus.stall_ring_full_ps.sum() > 0
    assert full.bins.ring_full_exits.sum() > 0
    assert often.vcpus.stall_ring_full_ps.sum() == often.bins.ring_full_exits.sum() == 0
    assert len(of_kind(often, "reset")) > 10


@pytest.mark.parametrize("kind", ["enable_only", "live_rounds", "pre_split"])
def test_rings_cost_in_every_driver(kind: str) -> None:
    times = {"enable_only": {"tail": 2_000_000}, "live_rounds": {"interval": 2_000_000}, "pre_split": {}}[kind]
    made = run(
        scenario_of(
            {"memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}]},
            vm={"dirty_log_mode": "ring", "ring_entries": 1024, "vcpus": 2, "vendor": "amd"},
            driver={"kind": kind, **times},
        )
    )
    assert made.vcpus.stall_ring_full_ps.sum() > 0
    assert made.calls.reported_pages[of_kind(made, "reset")].sum() > 0


def test_writers_wait_in_turn_and_readers_do_not() -> None:
    def waited_ps(mmu: str) -> int:
        memory = [{"size": 64 * MIB, "backing": "hugetlb_2m"}]
        made = run(scenario_of({**BASE, "memory": memory}, vm={"mmu": mmu, "kernel": "6.1"}))
        return int(made.vcpus.stall_lock_wait_ps.sum())

    assert waited_ps("direct_shadow") > 10 * waited_ps("tdp")


def test_clear_makes_slow_faults_wait_and_counts_them() -> None:
    vm = {"kernel": "6.1", "dirty_log_mode": "legacy", "vcpus": 2}
    memory = [{"size": 128 * MIB, "backing": "hugetlb_2m"}]
    made = run(scenario_of({**BASE, "memory": memory}, vm=vm, driver={"iterations": 1, "runs_while_disabling": True}))
    assert made.calls.pf_taken[-1] >= 128 * MIB // 4096


def test_a_slow_guest_has_no_more_bins_than_there_are() -> None:
    made = run(scenario_of({"memory": [{"size": 8192}]}, workload={"pattern": "sequential", "rate_hz": 1}))
    assert made.header.end_ps >= 4 * 10**12
    assert made.header.bins <= layout.BINS
    assert made.bins.accesses.sum() == 6


def test_more_vcpus_than_threads_are_refused() -> None:
    with pytest.raises(InputError, match=r"vm\.vcpus=416 must be at most 96.*choose a larger profile"):
        scenario_of(BASE, vm={"vcpus": 416}, host={"profile": "tdp_eager"})


def test_a_nap_of_the_guest_is_seen() -> None:
    made = run(scenario_of(BASE, workload={"pattern": "idle"}, driver={"kind": "enable_only", "lead": 1_000_000}))
    assert made.bins.accesses.sum() == made.vcpus.accesses.sum() == 0
    assert not made.vcpu_bins.shares[:, 0].any()
    assert CALL_KINDS[made.calls.kind[0]] == "lead"


@pytest.mark.parametrize("idle", [0, 1])
@pytest.mark.parametrize("rings", [{}, {"dirty_log_mode": "ring", "ring_entries": 1024}])
def test_a_guest_that_was_idle_goes_on_with_its_next_phase(idle: int, rings: Document) -> None:
    """2 vCPUs make 10 accesses a microsecond in all phases but the idle one, which lasts for 100 us."""
    busy: Document = {"pattern": "sequential", "rate_hz": 5_000_000, "duration": 100_000}
    last = {"pattern": "sequential", "rate_hz": 5_000_000, "write_percent": 0}
    phases = [{"pattern": "idle", "duration": 100_000}, last]
    made = run(
        scenario_of(
            {"memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}]},
            vm={"vcpus": 2, **rings},
            workload={"pattern": "phases", "phases": [*[busy] * idle, *phases]},
            driver={"kind": "enable_only", "lead": 400_000},
        )
    )
    (lead,) = of_kind(made, "lead")
    assert made.calls.end_ps[lead] == 400_000_000
    assert 2950 <= made.calls.accesses[lead] <= 3000


@jit
def bucket_of(stall_ps: int) -> int:
    return account.bucket_of(stall_ps)


@pytest.mark.parametrize("stall", [0, 1, 7, 8, 15, 16, 17, 1000, 12_345, 999_999_999, 1 << 61])
def test_a_bucket_holds_its_stalls(stall: int) -> None:
    bucket = bucket_of(stall)
    assert bucket == bucket_of_ps(stall) < layout.BUCKETS
    assert bucket_end_ps(bucket - 1) < stall <= bucket_end_ps(bucket) or (bucket == 0 and stall == 0)
    assert bucket_end_ps(bucket) <= stall * 1.126 + 1
