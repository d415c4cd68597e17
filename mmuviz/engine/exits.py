"""Exits that are no faults: a full PML buffer, and those that userspace serves."""

from __future__ import annotations

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge_rarely, drop_first
from mmuviz.engine.fault_cost import Access, exits_now, scaled
from mmuviz.engine.touch_time import kind_of, pace_ps
from mmuviz.engine.turn import GOES_ON, LATER, QUEUED, Turn
from mmuviz.ground.compiled import compiled, inlined
from mmuviz.mmu.dirty_ring import flush_pml_buffer, write_to_clean
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as program


@inlined
def set_dirty(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int) -> tuple[int, int]:
    """A write through a writable leaf whose dirty bit is clear, or the exit that a full PML buffer makes of it.

    Returns:
        The time after it, and accesses that retired: 1 or 0.
    """
    before = exits_now(state.work, clock.price)
    if write_to_clean(state, vcpu, access.gfn):
        logs = state.pml_count[vcpu] > 0
        extra = scaled(clock, vcpu, clock.price[layout.DIRTY_LOGGED]) if logs else 0
        clock.series[bin_of(clock, time), layout.RETIRED] += 1
        return time + pace_ps(clock, vcpu, kind_of(state, access.gfn, access.write)) + extra, 1
    took = scaled(clock, vcpu, exits_now(state.work, clock.price) - before)
    charge_rarely(clock, vcpu, layout.PML, time, took)
    clock.outside[vcpu] = time + took
    return time + took, 0


@compiled
def empty_pml(state: MmuState, clock: Clock, vcpu: int, time: int) -> int:
    """KVM empties the PML buffer at every exit; returns the time after it."""
    if state.pml_count[vcpu] == 0:
        return time
    before = exits_now(state.work, clock.price)
    flush_pml_buffer(state, vcpu)
    took = scaled(clock, vcpu, exits_now(state.work, clock.price) - before)
    charge_rarely(clock, vcpu, layout.PML, time, took)
    return time + took


@compiled
def finish(state: MmuState, clock: Clock, vcpu: int, at: int) -> None:
    """The pass is over: the vCPU exits to userspace."""
    clock.now[vcpu] = empty_pml(state, clock, vcpu, at)
    clock.phase[vcpu] = layout.FINISHED
    clock.at[layout.RUNNING_VCPUS] -= 1
    drop_first(clock.heap, clock.now, clock.at)


@compiled
def use_big_lock(clock: Clock, vcpu: int, asked: int) -> int:
    """An exit to userspace is served under the program's big lock; returns when the vCPU is in the guest again."""
    at, took = clock.at, scaled(clock, vcpu, clock.price[layout.USERSPACE])
    begin = max(asked, at[layout.BIG_LOCK_FREE])
    at[layout.BIG_LOCK_FREE] = begin + took
    charge_rarely(clock, vcpu, layout.USERSPACE_LOCK, asked, begin - asked)
    charge_rarely(clock, vcpu, layout.EXIT, begin, took)
    clock.outside[vcpu] = begin + took
    clock.exit_at[vcpu] = begin + took + clock.stream[vcpu, program.EXIT_PERIOD]
    return int(begin + took)


@inlined
def userspace_exit(state: MmuState, clock: Clock, vcpu: int, turn: Turn, others: int) -> Turn:
    """The vCPU exits to userspace, which empties its PML buffer; while an ioctl is under way there it waits."""
    if turn.time != turn.popped and turn.time >= others:
        return Turn(LATER, turn.time, turn.position, turn.popped)
    time = empty_pml(state, clock, vcpu, turn.time)
    if clock.at[layout.BIG_LOCK_HELD] == 0:
        return Turn(GOES_ON, use_big_lock(clock, vcpu, time), turn.position, turn.popped)
    clock.now[vcpu] = time
    clock.phase[vcpu] = layout.BLOCKED
    drop_first(clock.heap, clock.now, clock.at)
    return Turn(QUEUED, time, turn.position, turn.popped)
