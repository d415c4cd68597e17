"""Handoffs of a contended mmu_lock that is held for write."""

from __future__ import annotations

from typing import Final

import pytest

from mmuviz.engine import clock as layout
from mmuviz.engine.lock import FEW
from tests.engine.runs import MIB, Ran, of_kind, ran, scenario_of

SHARE: Final = 8 * MIB
FAULTS: Final = SHARE // 4096
MANY: Final = (1, 2, 3, 4, 6, 8, 16, 24)


def lazy(vcpus: int, mmu: str = "direct_shadow", **overrides: int) -> Ran:
    """One pass whose every write faults under mmu_lock, on cores of one socket."""
    values = {"socket_cores": 48, "touch_ps": 100, **overrides}
    return ran(
        scenario_of(
            {
                "vm": {"mmu": mmu, "vcpus": vcpus, "kernel": "5.17", "dirty_log_mode": "legacy"},
                "memory": [{"base": 0, "size": vcpus * SHARE, "backing": "hugetlb_2m"}],
                "workload": {"pattern": "sequential"},
                "driver": {"kind": "dirty_log_perf_test", "iterations": 1},
                "host": {"profile": "shadow_eager", "overrides": values},
            }
        )
    )


def fault_ps(made: Ran, vcpus: int) -> float:
    """Time of the pass, by fault of all vCPUs."""
    calls, rows = made.recording.calls, of_kind(made.recording, "dirty")
    return int((calls.end_ps - calls.start_ps)[rows].sum()) / (vcpus * FAULTS)


def test_a_pass_takes_longer_with_every_vcpu() -> None:
    """More vCPUs may fault faster in all, but no pass in which there is more to do takes less time."""
    whole = [fault_ps(lazy(vcpus), vcpus) * vcpus for vcpus in MANY]
    assert whole == sorted(whole)


def test_nobody_who_is_alone_pays_for_a_handoff() -> None:
    assert fault_ps(lazy(1, handoff_ns=0, handoff_few_ns=0), 1) == fault_ps(lazy(1, handoff_ns=900), 1)


@pytest.mark.parametrize("name", ["handoff_ns", "handoff_few_ns"])
def test_a_dearer_handoff_makes_no_pass_faster(name: str) -> None:
    for vcpus in (2, 4, 8):
        times = [fault_ps(lazy(vcpus, "direct_shadow", **{name: ns}), vcpus) for ns in (100, 200, 300, 500)]
        assert times == sorted(times)


def test_few_who_wait_watch_the_lock_itself() -> None:
    """With `FEW` waiters none is in the queue, so its handoff costs nothing; with many it costs each fault."""
    few, many = FEW + 1, 16
    assert fault_ps(lazy(few, handoff_ns=900), few) == fault_ps(lazy(few, handoff_ns=0), few)
    cheap, dear = (fault_ps(lazy(many, handoff_ns=ns), many) for ns in (300, 400))
    assert dear - cheap == pytest.approx(100_000, rel=0.05)


def test_a_saturated_lock_serves_one_after_the_other() -> None:
    """With many vCPUs a fault takes the hold and the handoff, and nothing of what is done without the lock."""
    made = lazy(24)
    price = made.session.machine.costs.guest
    assert fault_ps(made, 24) == pytest.approx(int(price[layout.HOLD] + price[layout.HANDOFF]), rel=0.05)


def test_a_walk_of_the_guests_tables_comes_before_the_lock() -> None:
    """The walk adds its time to the faults of a single vCPU, and nothing if the lock is saturated."""
    alone = [fault_ps(lazy(1, "shadow_paging", guest_walk_ns=ns), 1) for ns in (0, 300)]
    many = [fault_ps(lazy(24, "shadow_paging", guest_walk_ns=ns), 24) for ns in (0, 300)]
    assert alone[1] - alone[0] == pytest.approx(300_000, rel=0.01)
    assert many[1] == pytest.approx(many[0], rel=0.02)


@pytest.mark.parametrize(("vcpus", "slower"), [(47, False), (48, True)])
def test_ioctls_are_slower_beside_a_spinning_vcpu(vcpus: int, *, slower: bool) -> None:
    """vCPUs that are done spin in userspace: once there is one on every core, the ioctl thread shares its core."""
    alone, beside = (
        made.recording.calls.end_ps[rows] - made.recording.calls.start_ps[rows]
        for made in (lazy(vcpus, spin_percent=100), lazy(vcpus, spin_percent=200))
        for rows in [of_kind(made.recording, "enable")]
    )
    assert bool(beside.sum() > 1.5 * alone.sum()) == slower
    assert slower or beside.sum() == alone.sum()
