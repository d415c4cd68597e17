"""A fault from its request for mmu_lock until the vCPU is in the guest again.

fault() also runs those that fast_page_fault() fixes without the lock, if no lookahead does.
"""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.engine import clock as layout
from mmuviz.engine.account import charge, count_fault
from mmuviz.engine.clock import Clock, drop_first
from mmuviz.engine.fault_cost import (
    Access,
    WholeFault,
    cause_of,
    charge_exit_and_fault,
    handle_fault,
    host_memory_ps,
    keep_long_and_exemplary,
    on_core_ps,
    slow_path_ps,
    take_host_ps,
)
from mmuviz.engine.lock import (
    enqueue,
    grant_next,
    hold_for_read,
    hold_for_write,
    line_visit,
    open_to_readers,
    open_to_writers,
)
from mmuviz.engine.vcpu_slice import BLOCKED_ON_LOCK, LOCK_HELD, YIELD
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.examples import SPURIOUS, note_example
from mmuviz.mmu.guest_access import is_4k
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState


@jit
def wait_for_lock(clock: Clock, vcpu: int, reads: int) -> None:
    """Queue for mmu_lock; the vCPU leaves the heap."""
    clock.phase[vcpu] = layout.WAITING
    clock.now[vcpu] = clock.asked[vcpu]
    enqueue(clock, vcpu, reads)
    drop_first(clock.heap, clock.now, clock.regs)
    grant_next(clock)


@jit_inline_source
def spurious_fault(state: MmuState, clock: Clock, vcpu: int, access: Access, now: int) -> int:
    """Fault of a vCPU that waited for the lock while another one mapped the page; returns its end."""
    state.stat[mmu.STAT_PF_TAKEN] += 1
    state.stat[mmu.STAT_PF_SPURIOUS] += 1
    state.work[work.WORK_FAULT_SLOW] += 1
    took = on_core_ps(clock, vcpu, slow_path_ps(state, clock, vcpu, clock.price[layout.SPURIOUS]))
    begin, asked = clock.began[vcpu], clock.asked[vcpu]
    state.stat[mmu.STAT_STAMP], state.stat[mmu.STAT_WHO] = now, vcpu
    examples = state.stat[mmu.STAT_EXAMPLES]
    note_example(state, SPURIOUS, 0, access.spte, access.spte, access.gfn)
    host = take_host_ps(clock, vcpu)
    charge(clock, vcpu, layout.ALLOC, begin, host)
    charge_exit_and_fault(clock, vcpu, begin + host, asked - begin - host, now, took)
    charge(clock, vcpu, layout.LOCK_WAIT, asked, now - asked)
    count_fault(clock, vcpu, layout.SPURIOUS_FAULT, begin, now + took - begin)
    cause = cause_of(asked - begin - host + took, now - asked, 0, host, 0)
    keep_long_and_exemplary(
        state, clock, vcpu, access, WholeFault(layout.SPURIOUS_FAULT, cause, begin, now + took - begin, examples)
    )
    release_after_fault(clock, vcpu, now, took)
    clock.in_kernel_until[vcpu] = now + took
    return now + took


@jit_inline_llvm
def release_after_fault(clock: Clock, vcpu: int, now: int, took: int) -> None:
    """Let a vCPU that has mmu_lock since `now` hold it for its work, then grant it to the next."""
    granted = clock.phase[vcpu] == layout.GRANTED
    clock.phase[vcpu] = layout.RUNNING
    if clock.reads[vcpu] == 0:
        hold_for_write(clock, now, took)
    else:
        hold_for_read(clock, now + took)
        if granted:
            clock.regs[layout.READERS_GRANTED] -= 1
            grant_next(clock)


@jit_inline_llvm
def lock_is_for_read(state: MmuState, clock: Clock, access: Access) -> bool:
    """Whether a slow fault takes mmu_lock for read, by what the vCPU found when it faulted.

    Kernel: user_mem_abort(), arch/arm64/kvm/mmu.c; kvm_tdp_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    if clock.regs[layout.WRITE_LOCKS] == 0:
        return True
    if clock.regs[layout.PERMISSIONS_READ] == 0 or access.write == 0 or access.spte & mmu.PRESENT == 0:
        return False
    logged = state.slots[gfn_to_memslot(state, access.gfn), mmu.SLOT_LOGGING] != 0
    return bool(logged and is_4k(state, access.gfn))


@jit_inline_llvm
def enter_lock(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int) -> int:
    """Acquire mmu_lock for a slow fault, in the mode of this MMU and fault, which `clock.reads` keeps.

    The host's page is allocated first, which takes time. If the lock is held for write, the vCPU exits and
    requests it when the exit's code gets there.

    Returns:
        LOCK_HELD; YIELD to request it at `clock.asked`; BLOCKED_ON_LOCK if it has to wait.
    """
    phase = clock.phase[vcpu]
    if phase == layout.GRANTED:
        return LOCK_HELD
    if phase == layout.RUNNING:
        clock.reads[vcpu] = 1 if lock_is_for_read(state, clock, access) else 0
    writes = clock.reads[vcpu] == 0
    if phase == layout.RUNNING:
        host = host_memory_ps(state, clock, vcpu, access.gfn, access.write, time)
        clock.began[vcpu], clock.host_ps[vcpu] = time, host
        clock.asked[vcpu] = time + host
        if writes:
            clock.asked[vcpu] += on_core_ps(clock, vcpu, clock.price[layout.BEFORE_LOCK])
        if writes or host > 0:
            clock.phase[vcpu] = layout.ASKING
            return YIELD
    if open_to_writers(clock, time) if writes else open_to_readers(clock, time):
        return LOCK_HELD
    wait_for_lock(clock, vcpu, 0 if writes else 1)
    return BLOCKED_ON_LOCK


@jit_inline_source
def fault(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int, lockless: int) -> int:
    """Run a fault, under mmu_lock, which the vCPU has, or fixed without it; returns its end."""
    before, wait, begin = 0, 0, time
    state.stat[mmu.STAT_STAMP] = time
    if not lockless:
        begin = clock.began[vcpu]
        before, wait = clock.asked[vcpu] - begin, time - clock.asked[vcpu]
        if clock.reads[vcpu] != 0:
            ahead = on_core_ps(clock, vcpu, clock.price[layout.BEFORE_LOCK])
            comes = line_visit(clock, vcpu, time + ahead) - ahead
            wait += comes - time
            time = comes
    took = handle_fault(state, clock, vcpu, access, begin, before, wait)
    if not lockless:
        release_after_fault(clock, vcpu, time, took)
    clock.in_kernel_until[vcpu] = time + took
    return time + took
