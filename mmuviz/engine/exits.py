"""Exits that are not faults: a full PML buffer, and exits to userspace."""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.engine import clock as layout
from mmuviz.engine.access import access_ps, kind_of
from mmuviz.engine.account import bin_of, charge_out_of_line
from mmuviz.engine.clock import Clock, drop_first
from mmuviz.engine.fault_cost import Access, exits_now, fill_example, on_core_ps
from mmuviz.engine.vcpu_slice import BLOCKED_ON_LOCK, CONTINUE, YIELD, Slice
from mmuviz.mmu import state as mmu
from mmuviz.mmu.examples import PML_FULL, USERSPACE_EXIT, note_example
from mmuviz.mmu.pml import flush_pml_buffer, pml_is_on, set_dirty_or_pml_full
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns


@jit_inline_llvm
def set_dirty(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int) -> tuple[int, int]:
    """Write through a writable leaf whose dirty bit is clear, or exit because the PML buffer is full.

    Returns:
        The time after it, and accesses that retired: 1 or 0.
    """
    state.stat[mmu.STAT_STAMP] = time
    before = exits_now(state.work, clock.price)
    if set_dirty_or_pml_full(state, vcpu, access.gfn):
        extra = on_core_ps(clock, vcpu, clock.price[layout.DIRTY_LOGGED]) if pml_is_on(state) else 0
        index = bin_of(clock, time)
        clock.series[index, layout.ACCESSES] += 1
        clock.series[index, layout.SLOW_WRITE] += extra
        clock.slow_write_ps[vcpu] += extra
        return time + access_ps(clock, vcpu, kind_of(state, access.gfn, access.write)) + extra, 1
    took = on_core_ps(clock, vcpu, exits_now(state.work, clock.price) - before)
    charge_out_of_line(clock, vcpu, layout.PML, time, took, access.gfn)
    clock.series[bin_of(clock, time), layout.PML_FULLS] += 1
    fill_example(state, PML_FULL, vcpu, time, took)
    clock.in_kernel_until[vcpu] = time + took
    return time + took, 0


@jit
def empty_pml(state: MmuState, clock: Clock, vcpu: int, time: int) -> int:
    """Empty the PML buffer, as KVM does at every exit; returns the time after it."""
    if state.pml_count[vcpu] == 0:
        return time
    before = exits_now(state.work, clock.price)
    state.stat[mmu.STAT_STAMP], state.stat[mmu.STAT_WHO] = time, vcpu
    flush_pml_buffer(state, vcpu)
    took = on_core_ps(clock, vcpu, exits_now(state.work, clock.price) - before)
    charge_out_of_line(clock, vcpu, layout.PML, time, took, 0)
    return time + took


@jit
def pay_pending_kick(state: MmuState, clock: Clock, vcpu: int, time: int, gfn: int) -> int:
    """Charge a vCPU for the kicks received since it last left the guest; returns the time after them.

    Each kick was an exit, and the first one emptied its PML buffer.
    """
    owed, time = clock.pending_kick_ps[vcpu], empty_pml(state, clock, vcpu, time)
    charge_out_of_line(clock, vcpu, layout.FLUSH, time, owed, gfn)
    clock.pending_kick_ps[vcpu] = 0
    return int(time + owed)


@jit
def finish(state: MmuState, clock: Clock, vcpu: int, time: int) -> None:
    """End a vCPU's pass: it exits to userspace."""
    clock.now[vcpu] = empty_pml(state, clock, vcpu, time)
    clock.phase[vcpu] = layout.FINISHED
    clock.idle_since[vcpu] = clock.now[vcpu]
    clock.regs[layout.RUNNING_VCPUS] -= 1
    drop_first(clock.heap, clock.now, clock.regs)


@jit
def use_big_lock(clock: Clock, vcpu: int, asked: int) -> int:
    """Serve an exit to userspace under the program's big lock; returns when the vCPU is in the guest again."""
    regs, took = clock.regs, on_core_ps(clock, vcpu, clock.price[layout.USERSPACE])
    begin = max(asked, regs[layout.BIG_LOCK_FREE])
    regs[layout.BIG_LOCK_FREE] = begin + took
    charge_out_of_line(clock, vcpu, layout.USERSPACE_LOCK, asked, begin - asked, 0)
    charge_out_of_line(clock, vcpu, layout.EXIT, begin, took, 0)
    clock.series[bin_of(clock, asked), layout.USERSPACE_EXITS] += 1
    clock.in_kernel_until[vcpu] = begin + took
    clock.exit_at[vcpu] = begin + took + clock.stream[vcpu, columns.EXIT_PERIOD]
    return int(begin + took)


@jit_inline_llvm
def userspace_exit(state: MmuState, clock: Clock, vcpu: int, slice_: Slice, next_other_ps: int) -> Slice:
    """Exit to userspace, which empties the PML buffer; the vCPU waits while an ioctl runs under the big lock."""
    if slice_.time != slice_.dequeued_at and slice_.time >= next_other_ps:
        return Slice(YIELD, slice_.time, slice_.position, slice_.dequeued_at)
    if clock.pending_kick_ps[vcpu] > 0:
        return Slice(
            CONTINUE, pay_pending_kick(state, clock, vcpu, slice_.time, 0), slice_.position, slice_.dequeued_at
        )
    time = empty_pml(state, clock, vcpu, slice_.time)
    state.stat[mmu.STAT_STAMP], state.stat[mmu.STAT_WHO] = slice_.time, vcpu
    note_example(state, USERSPACE_EXIT, 0, 0, 0, 0)
    if clock.regs[layout.BIG_LOCK_HELD] == 0:
        return Slice(CONTINUE, use_big_lock(clock, vcpu, time), slice_.position, slice_.dequeued_at)
    clock.now[vcpu] = time
    clock.phase[vcpu] = layout.BLOCKED
    drop_first(clock.heap, clock.now, clock.regs)
    return Slice(BLOCKED_ON_LOCK, time, slice_.position, slice_.dequeued_at)
