"""Where vCPUs and the ioctl thread meet: the reaper under mmu_lock, and who a TLB flush kicks."""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.cost_table import price_list
from mmuviz.engine.fault_cost import kick_others
from mmuviz.engine.run import Run, simulate
from mmuviz.engine.scenario import Scenario
from mmuviz.ground.pages import BITS_PER_LONG, PAGES_PER_2M
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.state import STAT_MASKS_ARMED
from mmuviz.mmu.work import WORK_RING_PAGE, WORK_RING_PAST, WORK_RING_WORD
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.uniform_random import UniformRandom

SLOT = Memslot(0, 64 * PAGES_PER_2M, Backing.HUGETLB_2M)


def with_rings(mmu: Mmu, workload: Sequential | UniformRandom) -> Run:
    kernel = features_of("6.12")
    vm = VmConfig(kernel, DirtyLogMode.RING, vcpus=4, ring_entries=1024, eager_page_split=False, mmu=mmu)
    return simulate(Scenario(vm, SLOT, workload, iterations=1))


@pytest.mark.parametrize("mmu", [Mmu.TDP, Mmu.DIRECT_SHADOW])
@pytest.mark.parametrize("workload", [Sequential(), UniformRandom(per_pass=3000)])
def test_the_reaper_holds_mmu_lock_for_a_mask_at_a_time(mmu: Mmu, workload: Sequential | UniformRandom) -> None:
    run = with_rings(mmu, workload)
    while_running = [call for call in run.calls if call.name == "reset"][:-1]  # the last comes when all is quiet
    prices = run.machine.prices
    walked = BITS_PER_LONG * (prices.step(WORK_RING_PAGE) + prices.step(WORK_RING_PAST))
    mask = prices.step(WORK_RING_WORD) + walked
    assert len(while_running) >= 2
    assert int(run.machine.state.stat[STAT_MASKS_ARMED]) > len(while_running)
    assert 0 < max(call.hold_ps for call in while_running) <= mask
    assert all(call.took_ps > call.hold_ps for call in while_running)


def test_the_reaper_waits_for_faults_under_mmu_lock() -> None:
    shadow = [
        call for call in with_rings(Mmu.DIRECT_SHADOW, UniformRandom(per_pass=3000)).calls if call.name == "reset"
    ]
    assert sum(call.wait_ps for call in shadow) > 0


def test_a_kick_reaches_who_is_in_the_guest() -> None:
    vm = VmConfig(features_of("6.12"), vcpus=6)
    prices = price_list(vm, PROFILES["tdp_eager"])
    clock = layout.new_clock(Sequential().streams(0, SLOT.pages, 6), prices.guest, prices.slow, 48)
    clock.phase[:] = [layout.RUNNING, layout.RUNNING, layout.WAITING, layout.RUNNING, layout.FINISHED, layout.RUNNING]
    clock.outside[:] = [0, 100, 0, 101, 0, 99]  # 3 is handling a fault until 101
    assert kick_others(clock, 0, 100) == 2
    kicked = prices.guest[layout.KICK]
    assert clock.debt.tolist() == [0, kicked, 0, 0, 0, kicked]
    assert np.count_nonzero(clock.stall) == 0
