"""Laws of time: nothing is lost, nothing depends on how far a vCPU ran ahead unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings

from mmuviz.engine import clock as layout
from mmuviz.engine import run as engine
from mmuviz.engine.run import Run, bucket_end, simulate, stall_quantile
from mmuviz.engine.scenario import Driver, Scenario
from mmuviz.ground.compiled import compiled
from mmuviz.ground.errors import InputError
from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_2M
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.state import STAT_PF_TAKEN
from mmuviz.workloads.idle import Idle
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.uniform_random import UniformRandom
from tests.engine.scenarios import scenarios


@compiled
def bucket_of(stall_ps: int) -> int:
    return layout.bucket_of(stall_ps)


def seen(run: Run) -> dict[str, Any]:
    clock, machine = run.machine.clock, run.machine
    return {
        "calls": run.calls,
        "passes": run.passes,
        "stat": machine.state.stat.tolist(),
        "tables": [
            part.tobytes() for part in (machine.guest_tables.l3, machine.guest_tables.l2, machine.guest_tables.l1)
        ],
        "dirty": machine.state.dirty.tolist(),
        "stall": clock.stall.tolist(),
        "hist": clock.hist.tolist(),
        "now": clock.now.tolist(),
        "series": clock.series[:, : layout.TABLES].tolist(),
    }


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_the_same_scenario_gives_the_same_run(scenario: Scenario) -> None:
    assert seen(simulate(scenario)) == seen(simulate(scenario))


TORN = Scenario(
    VmConfig(features_of("5.17"), DirtyLogMode.LEGACY, mmu=Mmu.STAGE2, vcpus=2, eager_page_split=False),
    Memslot(0, 3 * PAGES_PER_2M, Backing.HUGETLB_2M),
    UniformRandom(write_permille=50, per_pass=200),
    iterations=1,
)
"""The border of two vCPUs' parts lies in the middle of a huge page, which one breaks under the other."""


IN_TURNS = Scenario(
    VmConfig(features_of("6.1"), DirtyLogMode.MANUAL, vcpus=4, eager_page_split=False),
    Memslot(0, 8 * PAGES_PER_2M, Backing.HUGETLB_2M),
    Sequential(exit_rate_hz=20_000),
)
"""Each page is mapped by a fault of its own, at the lock's cache line; now and then a vCPU exits."""


@settings(max_examples=80, deadline=None)
@given(scenarios())
@example(TORN)
@example(IN_TURNS)
@example(replace(IN_TURNS, vm=replace(IN_TURNS.vm, eager_page_split=True)))
@example(replace(IN_TURNS, vm=replace(IN_TURNS.vm, kernel=features_of("6.12"))))
def test_running_ahead_unseen_changes_nothing(scenario: Scenario) -> None:
    # After logging is disabled under running vCPUs, their faults map huge pages over tables again and kick: see run.py.
    scenario = replace(scenario, runs_while_disabling=False)
    ahead = simulate(scenario)
    with pytest.MonkeyPatch.context() as patch:
        plain = engine._Loop

        class OneByOne(plain):  # type: ignore[misc, valid-type]  # the class is the one in place
            def begin(self) -> None:
                self.machine.clock.regs[layout.ONE_BY_ONE] = 1
                super().begin()

        patch.setattr(engine, "_Loop", OneByOne)
        one_by_one = simulate(scenario)
    assert seen(ahead) == seen(one_by_one)


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_totals_are_sums_of_what_is_shown_over_time(scenario: Scenario) -> None:
    run = simulate(scenario)
    clock = run.machine.clock
    assert clock.series[:, : layout.CAUSES].sum(axis=0).tolist() == clock.stall.sum(axis=0).tolist()
    if scenario.driver is not Driver.PRE_SPLIT:
        assert int(clock.series[:, layout.FAULTS].sum()) == int(run.machine.state.stat[STAT_PF_TAKEN])
    assert int(clock.series[:, layout.RETIRED].sum()) == int(clock.retired.sum()) == int(clock.regs[layout.RETIRED_ALL])
    assert int(clock.series[:, layout.IOCTL].sum()) == sum(call.took_ps - call.wait_ps for call in run.calls)
    assert (clock.stall >= 0).all()
    assert (clock.hist[layout.CAUSES].sum() > 0) == (clock.stall[:, layout.EXIT].sum() > 0)


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_every_access_of_every_pass_retires(scenario: Scenario) -> None:
    run = simulate(replace(scenario, driver=Driver.DIRTY_LOG_PERF_TEST))
    slot, vcpus = scenario.memslot, scenario.vm.vcpus
    accesses = int(scenario.workload.streams(slot.base_gfn, slot.pages, vcpus)[:, 4].sum())
    assert [each.accesses for each in run.passes] == [slot.pages] + [accesses] * scenario.iterations
    assert all(each.took_ps > 0 for each in run.passes if each.accesses)
    assert all(call.took_ps > 0 and 0 <= call.hold_ps <= call.took_ps for call in run.calls)


@settings(max_examples=40, deadline=None)
@given(scenarios())
def test_time_changes_nothing_of_what_one_vcpu_does(scenario: Scenario) -> None:
    # One vCPU has no rivals: what it meets does not depend on how long anything takes.
    driver = Driver.WITHOUT_LOGGING if scenario.driver is Driver.ENABLE_ONLY else scenario.driver
    alone = replace(scenario, vm=replace(scenario.vm, vcpus=1), driver=driver, runs_while_disabling=False)
    other = replace(alone, host="ampere_one")
    first, second = simulate(alone), simulate(other)
    assert first.machine.state.stat.tolist() == second.machine.state.stat.tolist()
    assert first.machine.guest_tables.l1.tobytes() == second.machine.guest_tables.l1.tobytes()
    assert [each.faults for each in first.passes] == [each.faults for each in second.passes]


BASE = Scenario(
    VmConfig(features_of("6.12"), DirtyLogMode.MANUAL_INITIALLY_SET, vcpus=4, eager_page_split=False),
    Memslot(0, 8 * PAGES_PER_2M, Backing.HUGETLB_2M),
    Sequential(),
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(BASE, vm=replace(BASE.vm, eager_page_split=True)),
        replace(BASE, vm=replace(BASE.vm, kernel=features_of("6.1"))),
        replace(BASE, vm=replace(BASE.vm, dirty_log_mode=DirtyLogMode.LEGACY)),
        replace(BASE, vm=replace(BASE.vm, vcpus=3)),
        replace(BASE, vm=replace(BASE.vm, pml=True), iterations=3),
        replace(BASE, vm=replace(BASE.vm, mmu=Mmu.DIRECT_SHADOW)),
        replace(BASE, memslot=replace(BASE.memslot, pages=9 * PAGES_PER_2M)),
        replace(BASE, memslot=replace(BASE.memslot, backing=Backing.PAGES_4K)),
        replace(BASE, workload=Sequential(write_permille=500)),
        replace(BASE, workload=Sequential(rate_hz=1000)),
        replace(BASE, workload=Sequential(shared=True)),
        replace(BASE, workload=UniformRandom()),
        replace(BASE, workload=UniformRandom(seed=2)),
        replace(BASE, workload=Idle()),
        replace(BASE, host="ampere_one"),
        replace(BASE, driver=Driver.ENABLE_ONLY),
        replace(BASE, iterations=3),
        replace(BASE, runs_while_disabling=True),
        replace(BASE, tlb_reach=False),
        replace(BASE, workload=Sequential(exit_rate_hz=100_000)),
        replace(BASE, driver=Driver.WITHOUT_LOGGING),
    ],
    ids=lambda _: "option",
)
def test_no_option_is_dead(changed: Scenario) -> None:
    base = replace(BASE, workload=UniformRandom()) if changed.workload == UniformRandom(seed=2) else BASE
    # Lazily split pages inherit write protection: PML shows from the round after.
    base = replace(base, iterations=3) if changed.vm.pml else base
    assert seen(simulate(changed)) != seen(simulate(base))


LIVE = replace(
    BASE,
    driver=Driver.ENABLE_ONLY,
    workload=Sequential(exit_rate_hz=10_000),
    lead_ms=1,
    tail_ms=5,
    vm=replace(BASE.vm, dirty_log_mode=DirtyLogMode.LEGACY, eager_page_split=True),
    memslot=Memslot(0, 4 * PAGES_PER_1G, Backing.HUGETLB_1G),
)


def test_who_exits_to_userspace_waits_for_the_ioctl_only_under_the_big_lock() -> None:
    held, free = simulate(replace(LIVE, big_lock=True)), simulate(LIVE)
    waited = [run.machine.clock.stall[:, layout.USERSPACE_LOCK] for run in (held, free)]
    (call,) = (call for call in held.calls if call.name == "enable")
    # The ioctl lasts for many periods of exits: every vCPU is caught, once, and served after it, one after the other.
    assert call.took_ps > 10**9
    assert (waited[0] > 0.8 * call.took_ps).all()
    assert waited[1].max() < 10**9 / 20
    assert int(held.machine.clock.longest[layout.USERSPACE_LOCK]) <= call.took_ps + 4 * 5_000_000


def test_enabling_slows_the_guest_down() -> None:
    run = simulate(replace(LIVE, vm=replace(LIVE.vm, eager_page_split=False)))
    before, after = run.passes[1], run.passes[2]
    assert (before.name, after.name) == ("before", "after")
    assert (before.took_ps, after.took_ps) == (10**9, 5 * 10**9)
    assert before.faults == 0 < after.faults
    assert after.accesses_per_s < before.accesses_per_s / 2


def test_a_reaper_that_comes_often_keeps_rings_from_filling() -> None:
    vm = VmConfig(features_of("6.12"), DirtyLogMode.RING, vcpus=2, ring_entries=4096, eager_page_split=True, pml=True)
    rare = Scenario(vm, Memslot(0, 64 * PAGES_PER_2M, Backing.HUGETLB_2M), Sequential(rate_hz=1_000_000), iterations=1)
    full, often = simulate(rare), simulate(replace(rare, reap_ms=1))
    assert full.machine.clock.stall[:, layout.RING].sum() > 0
    assert often.machine.clock.stall[:, layout.RING].sum() == 0
    assert sum(call.name == "reset" for call in often.calls) > 10


def test_writers_wait_in_turn_and_readers_do_not() -> None:
    def waited(mmu: Mmu) -> int:
        vm = VmConfig(features_of("6.1"), vcpus=4, eager_page_split=False, mmu=mmu)
        run = simulate(Scenario(vm, Memslot(0, 4 * PAGES_PER_1G, Backing.HUGETLB_1G), Sequential(), iterations=1))
        return int(run.machine.clock.stall[:, layout.LOCK_WAIT].sum())

    assert waited(Mmu.DIRECT_SHADOW) > 10 * waited(Mmu.TDP)


def test_clear_makes_slow_faults_wait_and_counts_them() -> None:
    vm = VmConfig(features_of("6.1"), DirtyLogMode.LEGACY, vcpus=2, eager_page_split=False)
    slot = Memslot(0, 64 * PAGES_PER_2M, Backing.HUGETLB_2M)
    run = simulate(Scenario(vm, slot, Sequential(), iterations=1, runs_while_disabling=True))
    assert int(run.machine.state.stat[STAT_PF_TAKEN]) >= slot.pages


@pytest.mark.parametrize("stall", [0, 1, 7, 8, 15, 16, 17, 1000, 12_345, 999_999_999, 1 << 61])
def test_a_bucket_holds_its_stalls(stall: int) -> None:
    bucket = bucket_of(stall)
    assert bucket < layout.BUCKETS
    assert bucket_end(bucket - 1) < stall <= bucket_end(bucket) or (bucket == 0 and stall == 0)
    assert bucket_end(bucket) <= stall * 1.126 + 1


def test_a_quantile_is_a_stall_that_was() -> None:
    hist = np.zeros(layout.BUCKETS, dtype=np.int64)
    for stall in [10] * 98 + [1000, 50_000]:
        hist[bucket_of(stall)] += 1
    assert stall_quantile(hist, 0.5) == 10
    assert 1000 <= stall_quantile(hist, 0.99) < 1126
    assert 50_000 <= stall_quantile(hist, 1.0) < 56_300
    assert stall_quantile(hist * 0, 0.5) == 0


@pytest.mark.parametrize(
    ("field", "value"), [("host", "toaster"), ("iterations", -1), ("iterations", 1001), ("tail_ms", -1)]
)
def test_a_bad_choice_is_refused(field: str, value: object) -> None:
    bad: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=f"{field}="):
        replace(BASE, **bad)
