"""Memory that the host has not populated costs its allocation and zeroing, and none of it under mmu_lock."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine import clock as layout
from tests.engine.runs import GIB, MIB, Ran, of_kind, ran, scenario_of

ZERO_PS: Final = 400_000
SHARE: Final = 8 * MIB
"""Each vCPU's part: four huge pages."""


def populated(mmu: str, vcpus: int, size: int, backing: str = "hugetlb_2m", zero_ps: int = ZERO_PS) -> Ran:
    """A populate and nothing else of a guest whose host populated nothing."""
    return ran(
        scenario_of(
            {
                "vm": {"mmu": mmu, "vcpus": vcpus, "kernel": "5.17", "dirty_log_mode": "legacy"},
                "memory": [{"base": 0, "size": size, "backing": backing, "host_populated": zero_ps == 0}],
                "workload": {"pattern": "sequential"},
                "driver": {"kind": "dirty_log_perf_test", "iterations": 1},
                "host": {"overrides": {"zero_ps": zero_ps} if zero_ps else {}},
            }
        )
    )


def took_ps(made: Ran, kind: str = "populate") -> int:
    calls, rows = made.recording.calls, of_kind(made.recording, kind)
    return int((calls.end_ps - calls.start_ps)[rows].sum())


@pytest.mark.parametrize("mmu", ["tdp", "direct_shadow"])
@pytest.mark.parametrize("backing", ["4k", "thp", "hugetlb_2m"])
def test_populating_takes_its_zeroing_and_grows_with_bytes(mmu: str, backing: str) -> None:
    one, two, four = (took_ps(populated(mmu, 2, parts * SHARE, backing)) for parts in (2, 4, 8))
    assert one >= 2 * SHARE // PAGE_BYTES * ZERO_PS
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)
    assert took_ps(populated(mmu, 2, 2 * SHARE, backing, zero_ps=0)) < one


@pytest.mark.parametrize("mmu", ["tdp", "direct_shadow"])
def test_the_machine_zeroes_as_fast_for_many_vcpus_as_for_one(mmu: str) -> None:
    alone, many = (took_ps(populated(mmu, vcpus, 16 * SHARE)) for vcpus in (1, 16))
    zeroing = 16 * SHARE // PAGE_BYTES * ZERO_PS
    assert zeroing <= many <= alone
    assert many < 1.1 * zeroing


@pytest.mark.parametrize("mmu", ["direct_shadow", "shadow_paging", "nested"])
def test_nobody_zeroes_under_the_lock(mmu: str) -> None:
    """Sixteen vCPUs wait for memory and not for mmu_lock, however long zeroing takes."""
    slow = populated(mmu, 16, 16 * SHARE, zero_ps=1_000_000)
    stall = slow.session.machine.clock.stall.sum(axis=0)
    whole_ps = took_ps(slow)
    assert stall[layout.ALLOC] > 4 * whole_ps
    hold_ps = int(slow.session.machine.costs.guest[layout.HOLD])
    faults = int(slow.session.machine.clock.faults.sum())
    waits = slow.session.machine.clock.hist[layout.LOCK_WAIT]
    assert np.flatnonzero(waits).size == 0 or slow.session.machine.clock.longest[layout.LOCK_WAIT] < faults * hold_ps
    # Zeroing one huge page takes longer than every fault of the pass holds the lock for.
    assert int(slow.session.machine.clock.longest[layout.LOCK_WAIT]) < 512 * 1_000_000


def test_stalls_are_whole_and_of_the_host() -> None:
    """The longest stall is a fault from its exit on, its zeroing included, and that is what it took most for."""
    clock = populated("direct_shadow", 4, 4 * GIB, "hugetlb_1g").session.machine.clock
    whole = GIB // PAGE_BYTES * ZERO_PS
    assert clock.longest[layout.CAUSES] > 4 * whole
    longest = clock.top[np.argmax(clock.top[:, layout.TOP_STALL])]
    assert longest[layout.TOP_CAUSE] == layout.ALLOC
    assert clock.longest[layout.ALLOC] <= clock.longest[layout.CAUSES] <= clock.longest[layout.ALLOC] + whole // 100


def test_a_page_that_is_there_costs_nothing() -> None:
    """Pages are zeroed once: later passes of the same guest take no allocation."""
    clock = populated("tdp", 2, 2 * SHARE).session.machine.clock
    again = populated("tdp", 2, 2 * SHARE, zero_ps=0).session.machine.clock
    zeroing = 2 * SHARE // PAGE_BYTES * ZERO_PS
    assert clock.regs[layout.ZERO_FREE] > 0
    assert again.regs[layout.ZERO_FREE] == 0
    assert clock.stall[:, layout.ALLOC].sum() - again.stall[:, layout.ALLOC].sum() <= 2 * zeroing
