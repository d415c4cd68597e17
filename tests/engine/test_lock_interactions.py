"""Interactions of vCPUs and the ioctl thread: the reaper under mmu_lock, and the vCPUs that a TLB flush kicks."""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.cost_table import cost_table
from mmuviz.engine.fault_cost import kick_others
from mmuviz.mmu import work
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.state import STAT_MASKS_ARMED
from mmuviz.workloads.sequential import Sequential
from tests.engine.runs import MIB, Ran, of_kind, ran, scenario_of
from tests.engine.scenarios import Document

PAGES = 1 << 15


def with_rings(mmu: str, workload: Document, **driver: object) -> Ran:
    vm = {"mmu": mmu, "dirty_log_mode": "ring", "ring_entries": 1024, "vcpus": 4, "vendor": "amd"}
    return ran(
        scenario_of(
            {"memory": [{"size": 128 * MIB, "backing": "hugetlb_2m"}]},
            vm={**vm, "eager_page_split": False},
            workload=workload,
            driver={"kind": "dirty_log_perf_test", "iterations": 1, **driver},
        )
    )


DRAWN: Document = {"pattern": "uniform_random", "accesses": 3000}


@pytest.mark.parametrize("mmu", ["tdp", "direct_shadow"])
@pytest.mark.parametrize("workload", [{"pattern": "sequential"}, DRAWN], ids=["sequential", "drawn"])
def test_the_reaper_holds_mmu_lock_for_a_mask_at_a_time(mmu: str, workload: Document) -> None:
    made, session = with_rings(mmu, workload)
    while_running = of_kind(made, "reset")[:-1]  # the last comes when all is quiet
    costs, shadow = session.machine.costs, work.WORK_SHADOW if mmu == "direct_shadow" else 0
    page_ps = sum(costs.step(work.WORK_RING_WORD + each + shadow) for each in (work.PAGE, work.PAST, work.HOLE))
    heads_ps = BITS_PER_LONG * costs.step(work.WORK_RMAP_HEADS)
    mask_ps = costs.step(work.WORK_RING_WORD + shadow) + BITS_PER_LONG * page_ps + heads_ps
    hold_ps = made.calls.hold_ps[while_running]
    assert len(while_running) >= 2
    assert int(session.machine.vm.state.stat[STAT_MASKS_ARMED]) > len(while_running)
    assert 0 < hold_ps.max() <= mask_ps
    assert ((made.calls.end_ps - made.calls.start_ps)[while_running] > hold_ps).all()


def test_the_reaper_waits_for_faults_under_mmu_lock() -> None:
    made, _ = with_rings("direct_shadow", DRAWN, reap_interval=300_000)  # before any ring is full
    assert made.calls.wait_ps[of_kind(made, "reset")].sum() > 0


def test_a_kick_reaches_who_is_in_the_guest() -> None:
    costs = cost_table(VmConfig(features_of("6.12"), vcpus=6), PROFILES["tdp_eager"])
    streams, ram = Sequential().streams(0, PAGES, 6), np.zeros((1, 2), dtype=np.int64)
    clock = layout.new_clock(streams, ram, costs.guest, costs.slowdown_1024, 48, 20)
    clock.phase[:] = [layout.RUNNING, layout.RUNNING, layout.WAITING, layout.RUNNING, layout.FINISHED, layout.RUNNING]
    clock.in_kernel_until[:] = [0, 100, 0, 101, 0, 99]  # 3 is handling a fault until 101
    assert kick_others(clock, 0, 100) == 2
    kicked_ps = costs.guest[layout.KICK]
    assert clock.pending_kick_ps.tolist() == [0, kicked_ps, 0, 0, 0, kicked_ps]
    assert np.count_nonzero(clock.stall) == 0
