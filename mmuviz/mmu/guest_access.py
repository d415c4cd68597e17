"""Guest accesses without a clock: the loop of KVM_RUN, see kvm_run.py.

Timed runs use the loop in engine/vcpu.py.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PG_LEVEL_4K, SHIFT_1G, SHIFT_2M, SPTE_INDEX_MASK
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_4k
from mmuviz.mmu.dirty_bitmap import mark_bit
from mmuviz.mmu.dirty_ring import ring_soft_full
from mmuviz.mmu.events import (
    FAST_FIXED,
    SPTE,
    WRITE_PROTECTED,
    log_is_low,
    note_untraced,
    trace_fast_page_fault,
    trace_page_fault,
)
from mmuviz.mmu.fault import keep_4k_fixed, page_fault
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.pml import set_dirty_or_pml_full
from mmuviz.mmu.state import (
    CONF_FAST_FAULT,
    CONF_LINEAR,
    CONF_PML,
    CONF_RING,
    DIRTY,
    DONE,
    I64,
    LEAF_BITS,
    MMU_WRITABLE,
    NOT_LINEAR,
    PRESENT,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_END,
    SLOT_LOGGING,
    STAT_MMIO_EXITS,
    STAT_PF_FAST,
    STAT_PF_FIXED,
    STAT_PF_TAKEN,
    STAT_WHO,
    STAT_ZAP_END,
    STOP_INVALIDATED,
    STOP_LOG_FULL,
    STOP_RING_FULL,
    TABLE,
    WRITABLE,
    MmuState,
)

FIXABLE: Final = PRESENT | MMU_WRITABLE | DIRTY
"""A leaf with these bits is writable or can be made so without mmu_lock, and stays dirty."""


@jit_inline_llvm
def leaf_spte(state: MmuState, gfn: int) -> int:
    """Bits of the leaf that maps a gfn, 0 for none."""
    at = (int(state.row_of[gfn >> SHIFT_1G]) << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    spte = int(state.l2[at])
    if spte & TABLE:
        return int(state.l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)])
    return spte


@jit_inline_source
def skip_hits(state: MmuState, gfns: I64, need: int, start: int) -> int:
    """Return the index of the first access from `start` on that is not a hit.

    If the rows are in the order of their regions, a page's index is its gfn minus a constant; it is
    unsigned, so that the compiler does not check for negative indices.
    """
    linear = state.conf[CONF_LINEAR]
    l2, l1 = state.l2, state.l1
    index = start
    if linear == NOT_LINEAR:
        while index < len(gfns) and leaf_spte(state, gfns[index]) & need == need:
            index += 1
        return index
    before = -1
    while before < index:  # skip a run of huge leaves, then one of 4K leaves: one byte read per access
        before = index
        while index < len(gfns) and l2[np.uint64(gfns[index] - linear) >> np.uint64(SHIFT_2M)] & need == need:
            index += 1
        while index < len(gfns) and l1[np.uint64(gfns[index] - linear)] & need == need:
            index += 1
    return index


@jit_inline_llvm
def is_4k(state: MmuState, gfn: int) -> bool:
    """Whether a 4K leaf maps a gfn that some leaf maps."""
    at = (int(state.row_of[gfn >> SHIFT_1G]) << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    return int(state.l2[at]) & TABLE != 0


@jit_inline_llvm
def may_batch(state: MmuState) -> bool:
    """Whether fix_write_protected() supports this VM."""
    fast = int(state.conf[CONF_FAST_FAULT]) != 0
    return fast and int(state.conf[CONF_PML]) == 0 and int(state.conf[CONF_LINEAR]) != NOT_LINEAR


@jit_inline_llvm
def trace_4k_fixed(state: MmuState, vcpu: int, spte: int, gfn: int) -> None:
    """Log that fast_page_fault() makes a 4K leaf writable that is only write-protected."""
    old = spte & LEAF_BITS
    trace_page_fault(state, vcpu, WRITE_PROTECTED, gfn)
    trace_fast_page_fault(state, vcpu, FAST_FIXED, gfn)
    note_untraced(state, SPTE, PG_LEVEL_4K, old, old | WRITABLE, gfn, 1)


@jit_inline_llvm
def fix_4k(state: MmuState, vcpu: int, gfn: int, at: int | np.uint64) -> None:
    """Fix a 4K leaf, at index `at` of l1, that is only write-protected, as fast_page_fault() does; no counter yet."""
    state.stat[STAT_WHO] = vcpu
    count_4k(state, gfn, 1, FIXABLE, FIXABLE | WRITABLE)
    keep_4k_fixed(state, state.l1[at] & LEAF_BITS, gfn)
    trace_4k_fixed(state, vcpu, state.l1[at], gfn)
    state.l1[at] |= WRITABLE


@jit_inline_llvm
def count_fixes(state: MmuState, fixed: int) -> None:
    """Add faults that fast_page_fault() fixed to KVM's counters."""
    state.stat[STAT_PF_TAKEN] += fixed
    state.stat[STAT_PF_FAST] += fixed
    state.stat[STAT_PF_FIXED] += fixed
    state.work[work.WORK_FAULT_FAST] += fixed


@jit_inline_source
def fix_write_protected(state: MmuState, vcpu: int, gfns: I64, start: int) -> int:
    """Execute writes that hit or that fast_page_fault() fixes at 4K, up to the first other access.

    The result is that of page_fault() for each, with the counters added once at the end. The VM must have
    a bitmap, no PML and linear rows. It also ends at the first access to another slot than that of the
    first access.

    Returns:
        Index of the first access that it did not execute.

    Kernel: fast_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    slot = gfn_to_memslot(state, gfns[start])
    base, end = state.slots[slot, SLOT_BASE], state.slots[slot, SLOT_END]
    logging = state.slots[slot, SLOT_LOGGING] != 0
    words_at, linear = state.slots[slot, SLOT_DIRTY_AT], state.conf[CONF_LINEAR]
    l1 = state.l1
    fixed = 0
    index = start
    while index < len(gfns) and base <= gfns[index] < end and not log_is_low(state):
        gfn = gfns[index]
        page = np.uint64(gfn - linear)
        spte = l1[page]
        if spte & FIXABLE != FIXABLE:
            break
        if spte & WRITABLE == 0:
            fix_4k(state, vcpu, gfn, page)
            fixed += 1
            if logging:
                mark_bit(state, slot, words_at, gfn - base)
        index += 1
    count_fixes(state, fixed)
    return index


@jit_inline_source
def fault(state: MmuState, vcpu: int, gfn: int, spte: int, write: int) -> int:
    """page_fault(); returns 1 if userspace emulates the access (a write to a read-only slot), else 0."""
    mmio_exits = int(state.stat[STAT_MMIO_EXITS])
    page_fault(state, vcpu, gfn, spte, write)
    return int(state.stat[STAT_MMIO_EXITS]) - mmio_exits


@jit
def guest_access(state: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
    """Execute accesses in order, faulting until each access retires.

    An access through a leaf that allows it, with the dirty bit set for a write, costs nothing and
    changes nothing. A write through a writable leaf whose dirty bit is clear sets it (and PML logs
    it). Every other access exits to KVM. A vCPU whose ring is soft-full stops before it enters the
    guest. In a nested VM, the loop stops where the host replaced a page, for the other tables to be zapped.

    Args:
        state: changed in place.
        vcpus: int64[1] the vCPU of all accesses, or int64[n] one for each.
        gfns: int64[n], gfns of the accesses, each inside a memslot.
        write: 1 for writes, 0 for reads.
        start: access to continue from.

    Returns:
        Reason of the stop (DONE, STOP_LOG_FULL, STOP_RING_FULL, STOP_INVALIDATED) and the index of the
        first access that did not retire.

    Kernel: vcpu_enter_guest(), arch/x86/kvm/x86.c
    """
    need = (WRITABLE | DIRTY) if write else PRESENT
    ring = state.conf[CONF_RING] != 0
    several_vcpus = len(vcpus) > 1
    batches = write != 0 and not ring and not several_vcpus and may_batch(state)
    vcpu = vcpus[0]
    index = start
    while index < len(gfns):
        if several_vcpus:
            vcpu = vcpus[index]
        if ring and ring_soft_full(state, vcpu):
            return STOP_RING_FULL, index
        gfn = gfns[index]
        spte = leaf_spte(state, gfn)
        if spte & need == need:
            # With rings and several vCPUs, the ring is checked before each access.
            index = index + 1 if ring and several_vcpus else skip_hits(state, gfns, need, index + 1)
        elif write and spte & WRITABLE:
            if set_dirty_or_pml_full(state, vcpu, gfn):
                index += 1
        elif log_is_low(state):
            return STOP_LOG_FULL, index
        elif batches and spte & FIXABLE == FIXABLE and is_4k(state, gfn):
            index = fix_write_protected(state, vcpu, gfns, index)
        else:
            index += fault(state, vcpu, gfn, spte, write)
            if state.stat[STAT_ZAP_END] != 0:
                return STOP_INVALIDATED, index
    return DONE, index
