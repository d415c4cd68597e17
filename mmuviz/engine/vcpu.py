"""vCPU event loop: executes access streams and charges each access by the state of the tables.

A fault is handled in one of three places: in a lookahead (engine/lookahead.py) if fast_page_fault() fixes it and no
other vCPU can observe it; in a loop of faults that map one 4K page each (engine/batched_map_4k.py); otherwise by
fault() in engine/slow_fault.py. The order inside a step is written in engine/run.py.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_source
from mmuviz.engine import clock as layout
from mmuviz.engine.access import fixed_without_lock, has_own_cpu, hits_anywhere, is_private, lookahead_of, peek_access
from mmuviz.engine.batched_map_4k import batch_map_4k_faults, can_batch_map_4k
from mmuviz.engine.clock import Clock, drop_first, next_of_others, sift_down
from mmuviz.engine.exits import finish, pay_pending_kick, set_dirty, userspace_exit
from mmuviz.engine.fault_cost import Access
from mmuviz.engine.lookahead import run_lookahead, runs_ahead
from mmuviz.engine.slow_fault import enter_lock, fault, spurious_fault
from mmuviz.engine.vcpu_slice import (
    BLOCKED_ON_LOCK,
    CONTINUE,
    DONE_FOR_NOW,
    LOCK_HELD,
    YIELD,
    Slice,
    note_slice,
    take_part,
)
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import ring_soft_full
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import due_at, more_at

# Results of run_guests().
REACHED: Final = 0
QUIET: Final = 1
LOG_LOW: Final = 2
STOPPED_RING: Final = 3
ZAP_OTHERS: Final = 4
WANTS_TRACE: Final = 5


@jit_inline_source
def get_lock(state: MmuState, clock: Clock, vcpu: int, access: Access, slice_: Slice, next_other_ps: int) -> Slice:
    """Request mmu_lock; a vCPU that waited for it may find that another one has mapped the page.

    Returns:
        The slice: LOCK_HELD, or it continues at another time, or ends.
    """
    waited = clock.phase[vcpu] != layout.RUNNING
    why = enter_lock(state, clock, vcpu, access, slice_.time)
    if why == LOCK_HELD and waited and access.hits:
        return Slice(
            CONTINUE, spurious_fault(state, clock, vcpu, access, slice_.time), slice_.position, slice_.dequeued_at
        )
    if why == YIELD:
        asked = clock.asked[vcpu]
        return Slice(CONTINUE, asked, slice_.position, asked if asked < next_other_ps else slice_.dequeued_at)
    return Slice(why, slice_.time, slice_.position, slice_.dequeued_at)


@jit_inline_source
def access_step(state: MmuState, clock: Clock, vcpu: int, slice_: Slice, stop: int, next_other_ps: int) -> Slice:
    """Execute the next access; `stop` is the ioctl thread's next event, `next_other_ps` that of any other thread."""
    time = slice_.time
    running = clock.phase[vcpu] == layout.RUNNING
    access = peek_access(state, clock, vcpu, slice_.position)
    lookahead = lookahead_of(state, clock, vcpu, access.gfn)
    private = is_private(state, lookahead, access.gfn)
    hits = running and access.hits
    runs_on = hits and state.pml_count[vcpu] == 0 and (private or hits_anywhere(lookahead, access))
    if running and clock.pending_kick_ps[vcpu] > 0 and not runs_on:
        if time != slice_.dequeued_at and time >= next_other_ps:
            return Slice(YIELD, time, slice_.position, slice_.dequeued_at)
        return Slice(
            CONTINUE, pay_pending_kick(state, clock, vcpu, time, access.gfn), slice_.position, slice_.dequeued_at
        )
    lockless = running and not access.hits and fixed_without_lock(state, access)
    if running and runs_ahead(state, vcpu, access):
        exit_at = clock.exit_at[vcpu]
        traced = clock.stream[vcpu, columns.KIND] == columns.TRACED
        if traced or not has_own_cpu(clock, vcpu):  # stretched slice by slice, so one access at a time
            next_other_ps = min(next_other_ps, time + 1)
            stop = min(stop, time + 1) if traced else stop
        return run_lookahead(state, clock, vcpu, slice_, min(next_other_ps, exit_at), min(stop, exit_at))
    clean = running and access.write != 0 and access.spte & mmu.WRITABLE != 0
    # Lookahead must not pass the time at which the ioctl thread gets a lock that it waits for.
    alone = private and lookahead.exits and (clean or lockless) and clock.regs[layout.ONE_BY_ONE] == 0
    if time != slice_.dequeued_at and time >= (stop if alone else next_other_ps):
        return Slice(YIELD, time, slice_.position, slice_.dequeued_at)
    if clean:
        time, hit = set_dirty(state, clock, vcpu, access, time)
        return Slice(CONTINUE, time, slice_.position + hit, slice_.dequeued_at)
    if not lockless:
        slice_ = get_lock(state, clock, vcpu, access, slice_, next_other_ps)
    if lockless or slice_.why == LOCK_HELD:
        time = fault(state, clock, vcpu, access, time, 1 if lockless else 0)
        slice_ = Slice(CONTINUE, time, slice_.position, slice_.dequeued_at)
    return slice_


@jit_inline_source
def step(state: MmuState, clock: Clock, vcpu: int, slice_: Slice, until: int) -> Slice:
    """Execute one access, a run of hits, or one fault.

    Args:
        state: the tables, changed in place.
        clock: changed in place.
        vcpu: the vCPU of the slice.
        slice_: the slice so far.
        until: see run_guests().

    Returns:
        The slice after it.
    """
    stop = min(until, clock.regs[layout.THREAD_GRANTED_AT])
    next_other_ps = min(next_of_others(clock), stop)
    # A vCPU that follows a trace waits for its next access, or for the next part.
    due = max(more_at(clock.stream, vcpu, slice_.position), due_at(clock.stream, clock.listed, vcpu, slice_.position))
    if due > slice_.time or (due > 0 and slice_.position >= clock.stream[vcpu, columns.ACCESSES]):
        return Slice(YIELD, max(due, slice_.time), slice_.position, slice_.dequeued_at)
    if slice_.position >= clock.stream[vcpu, columns.ACCESSES] or ring_soft_full(state, vcpu):
        if slice_.time != slice_.dequeued_at and slice_.time >= next_other_ps:
            return Slice(YIELD, slice_.time, slice_.position, slice_.dequeued_at)
        if clock.pending_kick_ps[vcpu] > 0:
            paid = pay_pending_kick(state, clock, vcpu, slice_.time, 0)
            return Slice(CONTINUE, paid, slice_.position, slice_.dequeued_at)
        return Slice(DONE_FOR_NOW, slice_.time, slice_.position, slice_.dequeued_at)
    if clock.phase[vcpu] == layout.RUNNING and slice_.time >= clock.exit_at[vcpu]:
        return userspace_exit(state, clock, vcpu, slice_, next_other_ps)
    return access_step(state, clock, vcpu, slice_, stop, next_other_ps)


@jit_inline_source
def run_slice(state: MmuState, clock: Clock, vcpu: int, began: int, until: int) -> Slice:
    """A vCPU's slice: its actions until another vCPU or the ioctl thread acts; see run_guests()."""
    slice_ = Slice(CONTINUE, began, clock.stream[vcpu, columns.POSITION], began)
    while slice_.why == CONTINUE:
        slice_ = step(state, clock, vcpu, slice_, until)
        interrupted = log_is_low(state) or state.stat[mmu.STAT_ZAP_END] != 0 or not has_own_cpu(clock, vcpu)
        if slice_.why == CONTINUE and interrupted:
            slice_ = Slice(YIELD, slice_.time, slice_.position, slice_.dequeued_at)
    return slice_


@jit
def run_guests(state: MmuState, clock: Clock, until: int) -> int:
    """Let the vCPUs run, each event at its time, ties by vCPU.

    Args:
        state: the tables that the vCPUs run on, changed in place.
        clock: changed in place.
        until: time that no event may reach; lookahead stops before it.

    Returns:
        REACHED: every vCPU is at or after `until`, or the ioctl thread has mmu_lock.
        QUIET: no vCPU has anything to do. LOG_LOW: the event log must be emptied.
        STOPPED_RING: a vCPU's ring is full; the vCPU's phase is RING_FULL. ZAP_OTHERS: in a nested VM, the MMU
        notifier has zapped these tables and the others must follow. WANTS_TRACE: a vCPU follows a trace whose next
        part is due.

    Kernel: vcpu_enter_guest(), arch/x86/kvm/x86.c; direct_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    batches = can_batch_map_4k(state, clock)
    while clock.regs[layout.HEAP_SIZE] > 0:
        if batches:
            batch_map_4k_faults(state, clock, min(until, clock.regs[layout.THREAD_GRANTED_AT]))
        vcpu = clock.heap[0]
        began = clock.now[vcpu]
        if began >= min(until, clock.regs[layout.THREAD_GRANTED_AT]):
            return REACHED
        if log_is_low(state):
            return LOG_LOW
        if state.stat[mmu.STAT_ZAP_END] != 0:
            return ZAP_OTHERS
        more = more_at(clock.stream, vcpu, clock.stream[vcpu, columns.POSITION])
        if more > 0 and began >= more:
            return WANTS_TRACE
        slice_ = run_slice(state, clock, vcpu, began, until)
        note_slice(clock, vcpu, slice_.position - clock.stream[vcpu, columns.POSITION])
        if slice_.why == BLOCKED_ON_LOCK:
            continue
        clock.now[vcpu] = take_part(clock, vcpu, began, slice_.time)
        if slice_.why == YIELD:
            sift_down(clock.heap, clock.now, clock.regs[layout.HEAP_SIZE])
        elif slice_.position < clock.stream[vcpu, columns.ACCESSES]:
            clock.phase[vcpu] = layout.RING_FULL
            drop_first(clock.heap, clock.now, clock.regs)
            return STOPPED_RING
        else:
            finish(state, clock, vcpu, clock.now[vcpu])
    return QUIET
