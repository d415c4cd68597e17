"""A fault from asking for mmu_lock until the vCPU is in the guest again."""

from __future__ import annotations

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge_rarely, drop_first, note_faults
from mmuviz.engine.fault_cost import Access, carry_out, scaled
from mmuviz.engine.lock import (
    enqueue,
    grant_next,
    hold_for_read,
    hold_for_write,
    line_visit,
    open_to_readers,
    open_to_writers,
)
from mmuviz.engine.turn import HAS_LOCK, LATER, QUEUED
from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.state import MmuState


@compiled
def wait_for_lock(clock: Clock, vcpu: int, reads: int) -> None:
    """Queue up for mmu_lock, out of time."""
    clock.phase[vcpu] = layout.WAITING
    clock.now[vcpu] = clock.asked[vcpu]
    enqueue(clock, vcpu, reads)
    drop_first(clock.heap, clock.now, clock.at)
    grant_next(clock)


@compiled
def spurious_fault(state: MmuState, clock: Clock, vcpu: int, now: int) -> int:
    """A vCPU that waited for the lock finds that another one has mapped the page; returns when it is over."""
    state.stat[mmu.STAT_PF_TAKEN] += 1
    state.stat[mmu.STAT_PF_SPURIOUS] += 1
    state.work[work.WORK_FAULT_SLOW] += 1
    took = scaled(clock, vcpu, clock.price[layout.SPURIOUS])
    before, wait = clock.asked[vcpu] - clock.began[vcpu], now - clock.asked[vcpu]
    charge_rarely(clock, vcpu, layout.LOCK_WAIT, clock.began[vcpu], wait)
    charge_rarely(clock, vcpu, layout.EXIT, clock.began[vcpu], before + took)
    note_faults(clock, bin_of(clock, clock.began[vcpu]), before + wait + took, 1)
    leave_lock(clock, vcpu, now, took)
    clock.outside[vcpu] = now + took
    return now + took


@inlined
def leave_lock(clock: Clock, vcpu: int, now: int, took: int) -> None:
    """A vCPU that has mmu_lock since `now` keeps it for what it does, and lets the next one in."""
    granted = clock.phase[vcpu] == layout.GRANTED
    clock.phase[vcpu] = layout.RUNNING
    if clock.at[layout.WRITE_LOCKS] != 0:
        hold_for_write(clock, now, took)
    else:
        hold_for_read(clock, now + took)
        if granted:
            clock.at[layout.READERS_GRANTED] -= 1
            grant_next(clock)


@inlined
def enter_lock(clock: Clock, vcpu: int, time: int) -> int:
    """Take mmu_lock for a slow fault, as it is held on this MMU.

    Where it is held for write, the vCPU first exits and asks when it gets there.

    Returns:
        HAS_LOCK; LATER to ask at `clock.asked`; QUEUED where it has to wait.
    """
    phase, writes = clock.phase[vcpu], clock.at[layout.WRITE_LOCKS] != 0
    if phase == layout.GRANTED:
        return HAS_LOCK
    if phase == layout.RUNNING:
        clock.began[vcpu] = time
        clock.asked[vcpu] = time
        if writes:
            clock.asked[vcpu] = time + scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK])
            clock.phase[vcpu] = layout.ASKING
            return LATER
    if open_to_writers(clock, time) if writes else open_to_readers(clock, time):
        return HAS_LOCK
    wait_for_lock(clock, vcpu, 0 if writes else 1)
    return QUEUED


@woven
def fault(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int, lockless: int) -> int:
    """A fault: under mmu_lock, which the vCPU has, or fixed without; returns when it is over."""
    before, wait, begin = 0, 0, time
    if not lockless:
        begin = clock.began[vcpu]
        before, wait = clock.asked[vcpu] - begin, time - clock.asked[vcpu]
        if clock.at[layout.WRITE_LOCKS] == 0:
            ahead = scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK])
            comes = line_visit(clock, vcpu, time + ahead) - ahead
            wait += comes - time
            time = comes
    took = carry_out(state, clock, vcpu, access, begin, before, wait)
    if not lockless:
        leave_lock(clock, vcpu, time, took)
    clock.outside[vcpu] = time + took
    return time + took
