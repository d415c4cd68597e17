"""The page-fault path: fast_page_fault(), the host's page, and mapping it in the tables."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_SHIFT,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_1g, count_2m, count_4k
from mmuviz.mmu.collapse import zap_leafs
from mmuviz.mmu.counting import count_gone, leaves_of
from mmuviz.mmu.dirty_ring import mark_page_dirty_in_slot
from mmuviz.mmu.events import (
    FAST_DECLINED,
    FAST_FIXED,
    SPTE,
    log_is_low,
    note_untraced,
    trace_fast_page_fault,
    trace_page_fault,
)
from mmuviz.mmu.examples import FIX_4K, FIX_HUGE, note_example
from mmuviz.mmu.host import FAULT_INVALIDATES, FAULT_LEVEL, FAULT_WRITABLE, fault_host_page
from mmuviz.mmu.mapping import map_page
from mmuviz.mmu.memslot import gfn_to_memslot, host_page_of
from mmuviz.mmu.pml import flush_pml_buffer
from mmuviz.mmu.stage2_fault import stage2_unmap, user_mem_abort
from mmuviz.mmu.state import (
    CONF_FAST_FAULT,
    CONF_FAST_FIXES_HUGE,
    CONF_NESTED,
    CONF_STAGE2,
    CONF_TRACK_LEVEL,
    I64,
    LEAF_BITS,
    MMU_WRITABLE,
    PRESENT,
    SLOT_BASE,
    SLOT_END,
    SLOT_HVA_OFFSET,
    SLOT_LOGGING,
    SLOT_READ_ONLY,
    SPTE_READ_ONLY,
    SPTE_WRITABLE,
    STAT_MMIO_EXITS,
    STAT_PF_FAST,
    STAT_PF_FIXED,
    STAT_PF_TAKEN,
    STAT_TABLE_PAGES,
    STAT_TLB_FLUSHES,
    STAT_WHO,
    STAT_ZAP_END,
    STAT_ZAP_FIRST,
    STAT_ZAP_FLUSHED,
    TABLE,
    WRITABLE,
    MmuState,
)

CACHE_OBJECTS: Final = 40
"""Objects that a vCPU's page-table cache holds. Kernel: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE."""
CACHE_MINIMUM: Final = 5
"""Objects that a slow fault requires at its start. Kernel: PT64_ROOT_MAX_LEVEL."""


@jit_inline_llvm
def topup_memory_caches(state: MmuState, vcpu: int) -> None:
    """Fill the vCPU's caches if fewer objects remain than one fault may need.

    Kernel: mmu_topup_memory_caches(), arch/x86/kvm/mmu/mmu.c
    """
    if state.cache[vcpu] < CACHE_MINIMUM:
        state.work[work.WORK_CACHE_REFILL] += CACHE_OBJECTS - state.cache[vcpu]
        state.cache[vcpu] = CACHE_OBJECTS


@jit_inline_source
def page_fault(state: MmuState, vcpu: int, gfn: int, spte: int, write: int) -> int:
    """Handle one page fault of KVM's own tables (EPT violation).

    The shadow MMU of an L2 and shadow paging have no fast_page_fault(): each fault takes mmu_lock
    for write (these two follow source, not recordings). A write to a read-only slot maps nothing: it
    is an exit to userspace, which counts in STAT_MMIO_EXITS and does not fault again.

    Args:
        state: changed in place.
        vcpu: the vCPU that faulted.
        gfn: the page touched, inside a memslot.
        spte: bits of the leaf that maps it, 0 for none.
        write: 1 for a write.

    Returns:
        Path of the fault, a PATH_… of mmuviz/mmu/work.py.

    Kernel: kvm_mmu_do_page_fault(), mmu_internal.h; kvm_tdp_page_fault(), mmu.c, arch/x86/kvm/mmu
    """
    slot = gfn_to_memslot(state, gfn)
    state.stat[STAT_WHO] = vcpu
    if state.conf[CONF_STAGE2] != 0:
        host, path = user_mem_abort(state, vcpu, slot, gfn, spte, write)
        if host & FAULT_INVALIDATES:
            invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)
        return path
    flush_pml_buffer(state, vcpu)
    present = 1 if spte & PRESENT else 0
    trace_page_fault(state, vcpu, 2 * present + write, gfn)
    state.stat[STAT_PF_TAKEN] += 1
    if present and state.conf[CONF_FAST_FAULT] != 0 and fast_page_fault(state, vcpu, slot, gfn, spte):
        return work.PATH_FAST
    topup_memory_caches(state, vcpu)
    if write and state.slots[slot, SLOT_READ_ONLY] != 0:
        state.stat[STAT_MMIO_EXITS] += 1  # KVM_PFN_ERR_RO_FAULT, and RET_PF_EMULATE: userspace emulates the write
        state.work[work.WORK_FAULT_SLOW] += 1
        return work.PATH_EMULATED
    host = fault_host_page(state, slot, host_page_of(state, slot, gfn), write)
    if host & FAULT_INVALIDATES:
        invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)  # and RET_PF_RETRY: the guest faults again
        state.work[work.WORK_FAULT_SLOW] += 1
        return work.PATH_INVALIDATED
    writable = host & FAULT_WRITABLE != 0 and state.slots[slot, SLOT_READ_ONLY] == 0
    leaf = SPTE_WRITABLE if writable else SPTE_READ_ONLY
    path = map_page(state, vcpu, slot, gfn, leaf, host & FAULT_LEVEL)
    state.stat[STAT_PF_FIXED] += 1
    return path


@jit_inline_source
def fast_page_fault(state: MmuState, vcpu: int, slot: int, gfn: int, spte: int) -> bool:
    """Fix a write-protection fault without mmu_lock, if the SPTE allows it.

    A page larger than what logging tracks is never fixed here where the slot is logged: it has to
    be split or zapped. The fix sets the writable bit and not the dirty bit, so PML may log the page
    once more.

    Returns:
        Whether the fault is fixed.

    Kernel: fast_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    huge = state.l2[at] & TABLE == 0
    tracked = int(state.conf[CONF_TRACK_LEVEL]) == PG_LEVEL_2M and state.l3[row] & TABLE != 0
    logged = state.slots[slot, SLOT_LOGGING] != 0
    refused = huge and ((logged and not tracked) or state.conf[CONF_FAST_FIXES_HUGE] == 0)
    if spte & MMU_WRITABLE == 0 or refused:
        trace_fast_page_fault(state, vcpu, FAST_DECLINED, gfn)
        return False
    trace_fast_page_fault(state, vcpu, FAST_FIXED, gfn)
    if not huge:
        state.l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)] |= WRITABLE
        state.work[work.WORK_FAULT_FAST] += 1
        note_4k_fixed(state, spte, gfn)
    elif state.l3[row] & TABLE:
        state.l2[at] |= WRITABLE
        state.work[work.WORK_FAULT_FAST_2M] += 1
        note_huge_fixed(state, PG_LEVEL_2M, spte, gfn)
    else:
        state.work[work.WORK_FAULT_FAST_1G] += 1
        state.l3[row] |= WRITABLE
        for each in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
            state.l2[each] |= WRITABLE
        note_huge_fixed(state, PG_LEVEL_1G, spte, gfn)
    state.stat[STAT_PF_FAST] += 1
    state.stat[STAT_PF_FIXED] += 1
    mark_page_dirty_in_slot(state, vcpu, slot, gfn)
    return True


@jit_inline_llvm
def note_4k_fixed(state: MmuState, spte: int, gfn: int) -> None:
    """Count and log that fast_page_fault() made a 4K leaf writable."""
    old = spte & LEAF_BITS
    count_4k(state, gfn, 1, old, old | WRITABLE)
    keep_4k_fixed(state, old, gfn)
    note_untraced(state, SPTE, PG_LEVEL_4K, old, old | WRITABLE, gfn, 1)


@jit_inline_llvm
def keep_4k_fixed(state: MmuState, old: int, gfn: int) -> None:
    """Keep the fix as an example, if it is the first."""
    note_example(state, FIX_4K, PG_LEVEL_4K, old, old | WRITABLE, gfn)


@jit_inline_llvm
def note_huge_fixed(state: MmuState, level: int, spte: int, gfn: int) -> None:
    """note_4k_fixed() for a huge leaf."""
    old, shift = spte & LEAF_BITS, SPTE_ENT_SHIFT * (level - 1)
    first = (gfn >> shift) << shift
    if level == PG_LEVEL_2M:
        count_2m(state, first, old, old | WRITABLE)
    else:
        count_1g(state, first, old, old | WRITABLE)
    note_example(state, FIX_HUGE, level, old, old | WRITABLE, first)
    note_untraced(state, SPTE, level, old, old | WRITABLE, first, 1)


@jit
def invalidate_gfn(state: MmuState, slot: int, gfn: int, level: int) -> None:
    """Zap the range of an MMU notifier call: the host region of a level that backs a gfn.

    In a nested VM only these tables are zapped here; the range is kept for zap_other_tables().

    Kernel: kvm_unmap_gfn_range(), arch/x86/kvm/mmu/mmu.c and arch/arm64/kvm/mmu.c
    """
    shift = SPTE_ENT_SHIFT * (level - 1)
    hpage = host_page_of(state, slot, gfn)
    first = (hpage >> shift) << shift
    base = state.slots[slot, SLOT_BASE]
    move = base - state.slots[slot, SLOT_HVA_OFFSET]
    low, end = max(first + move, base), min(first + (1 << shift) + move, state.slots[slot, SLOT_END])
    before = state.stat[STAT_TLB_FLUSHES]
    unmap_gfn_range(state, low, end)
    if state.conf[CONF_NESTED] != 0:
        state.stat[STAT_ZAP_FLUSHED] = state.stat[STAT_TLB_FLUSHES] - before
        state.stat[STAT_ZAP_FIRST] = low
        state.stat[STAT_ZAP_END] = end


@jit
def unmap_gfn_range(state: MmuState, start: int, end: int) -> int:
    """Unmap gfns [start, end) for the MMU notifier; x86 flushes once if anything was mapped.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: kvm_unmap_gfn_range(), arch/x86/kvm/mmu/mmu.c and arch/arm64/kvm/mmu.c
    """
    leaves, tables = leaves_of(state.stat), int(state.stat[STAT_TABLE_PAGES])
    at = stage2_unmap(state, start, end) if state.conf[CONF_STAGE2] != 0 else zap_leafs(state, start, end)
    gone = leaves + tables != leaves_of(state.stat) + state.stat[STAT_TABLE_PAGES]
    if gone and state.conf[CONF_STAGE2] == 0:
        state.stat[STAT_TLB_FLUSHES] += 1
    count_gone(state, leaves, tables, work.WORK_UNMAP_TABLE)
    return at


@jit
def host_write_pages(state: MmuState, slot: int, offsets: I64, start: int) -> int:
    """Write to pages of a slot from the host process, and zap the mappings of host pages that this replaces.

    Args:
        state: changed in place.
        slot: index of the memslot.
        offsets: int64[n], pages counted from the slot's start.
        start: write to continue from.

    Returns:
        The write to continue from; len(offsets) when done, less when the event log must be emptied or
        other tables of a nested VM must be zapped.
    """
    for index in range(start, len(offsets)):
        if log_is_low(state):
            return index
        gfn = state.slots[slot, SLOT_BASE] + offsets[index]
        state.work[work.WORK_HOST_WRITE] += 1
        host = fault_host_page(state, slot, host_page_of(state, slot, gfn), 1)
        if host & FAULT_INVALIDATES:
            invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)
            if state.conf[CONF_NESTED] != 0:
                return index + 1
    return len(offsets)
