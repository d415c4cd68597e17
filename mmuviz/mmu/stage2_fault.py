"""arm64: the stage-2 abort, mapping by break-before-make, and unmapping.

Follows the source (arch/arm64/kvm/mmu.c and hyp/pgtable.c of 6.12), not recordings. There is no lockless
path: a write-protection fix takes mmu_lock for read, like every other abort.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import (
    PAGES_PER_1G,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    PG_LEVEL_512G,
    SHIFT_1G,
    SHIFT_2M,
    SHIFT_512G,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.collapse import replace_1g_table, replace_2m_table, zap_1g_leaf, zap_2m_leaf, zap_4k_leaves
from mmuviz.mmu.dirty_ring import mark_page_dirty_in_slot
from mmuviz.mmu.events import log_is_low, trace_page_fault, trace_spte_changed
from mmuviz.mmu.host import FAULT_INVALIDATES, FAULT_LEVEL, FAULT_WRITABLE, fault_host_page
from mmuviz.mmu.mapping import count_huge, count_small, link_512g, map_1g, map_2m, map_4k, take_table
from mmuviz.mmu.memslot import host_page_of, max_mapping_level
from mmuviz.mmu.split import account_table
from mmuviz.mmu.state import (
    DIRTY,
    PRESENT,
    SLOT_LOGGING,
    SLOT_READ_ONLY,
    STAT_LOCAL_TLBIS,
    STAT_MMIO_EXITS,
    STAT_PF_FIXED,
    STAT_PF_TAKEN,
    STAT_TABLES_ABOVE,
    STAT_TLBIS,
    STAT_ZAPS,
    TABLE,
    WRITABLE,
    MmuState,
)

CACHE_OBJECTS: Final = 40
"""Kernel: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE, arch/arm64/include/asm/kvm_types.h."""
CACHE_MINIMUM: Final = 3
"""Tables below the root. Kernel: kvm_mmu_cache_min_pages(), arch/arm64/include/asm/stage2_pgtable.h."""
STAGE2_WRITABLE: Final = PRESENT | WRITABLE | DIRTY
STAGE2_READ_ONLY: Final = PRESENT


@jit
def user_mem_abort(state: MmuState, vcpu: int, slot: int, gfn: int, spte: int, write: int) -> tuple[int, int]:
    """Handle one stage-2 abort.

    While logging, only the faulting 4K page is mapped, read-only by a read. A fault at the level of the
    existing leaf only relaxes its permissions. After logging, a write to a protected 4K page maps the
    whole block again if slot, alignment and host allow it.

    Args:
        state: changed in place.
        vcpu: the vCPU that faulted.
        slot: index of the memslot.
        gfn: the page accessed.
        spte: bits of the leaf that maps it, 0 for none.
        write: 1 for a write.

    Returns:
        The result of fault_host_page(), and the PATH_…; with FAULT_INVALIDATES nothing is mapped yet.

    Kernel: user_mem_abort(), arch/arm64/kvm/mmu.c
    """
    present = 1 if spte & PRESENT else 0
    logging = state.slots[slot, SLOT_LOGGING] != 0
    trace_page_fault(state, vcpu, 2 * present + write, gfn)
    state.stat[STAT_PF_TAKEN] += 1
    if write and state.slots[slot, SLOT_READ_ONLY] != 0:  # io_mem_abort(): userspace emulates the write
        state.stat[STAT_MMIO_EXITS] += 1
        state.work[work.WORK_FAULT_SLOW] += 1
        return 0, work.PATH_EMULATED
    if (present == 0 or (logging and write != 0)) and state.cache[vcpu] < CACHE_MINIMUM:
        state.work[work.WORK_CACHE_REFILL] += CACHE_OBJECTS - state.cache[vcpu]
        state.cache[vcpu] = CACHE_OBJECTS
    host = fault_host_page(state, slot, host_page_of(state, slot, gfn), write)
    if host & FAULT_INVALIDATES:
        state.work[work.WORK_FAULT_SLOW] += 1
        return host, work.PATH_INVALIDATED
    goal = PG_LEVEL_4K if logging else max_mapping_level(state, slot, gfn)
    writable = host & FAULT_WRITABLE != 0 and (write != 0 or not logging) and state.slots[slot, SLOT_READ_ONLY] == 0
    if present and level_of(state, gfn) == goal:
        relax_perms(state, gfn, goal)
        state.work[work.WORK_FAULT_SLOW] += 1
        path = work.PATH_FIX
    else:
        leaf = STAGE2_WRITABLE if writable else STAGE2_READ_ONLY
        path = stage2_map(state, vcpu, slot, gfn, goal, leaf, host & FAULT_LEVEL)
    state.stat[STAT_PF_FIXED] += 1
    if writable:
        mark_page_dirty_in_slot(state, vcpu, slot, gfn)
    return host, path


@jit_inline_llvm
def level_of(state: MmuState, gfn: int) -> int:
    """Level of the leaf that maps a mapped gfn."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    if state.l3[row] & PRESENT:
        return PG_LEVEL_1G
    huge = state.l2[(row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)] & PRESENT
    return PG_LEVEL_2M if huge else PG_LEVEL_4K


@jit_inline_source
def relax_perms(state: MmuState, gfn: int, level: int) -> None:
    """Make the existing leaf of a gfn at a level writable; a local TLBI follows.

    Kernel: kvm_pgtable_stage2_relax_perms(), arch/arm64/kvm/hyp/pgtable.c
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    state.stat[STAT_LOCAL_TLBIS] += 1
    if level == PG_LEVEL_4K:
        map_4k(state, row, gfn, STAGE2_WRITABLE)
    elif level == PG_LEVEL_2M:
        map_2m(state, row, (gfn >> SHIFT_2M) & SPTE_INDEX_MASK, STAGE2_WRITABLE)
    else:
        map_1g(state, row, STAGE2_WRITABLE)


@jit
def stage2_map(state: MmuState, vcpu: int, slot: int, gfn: int, goal: int, spte: int, host_level: int) -> int:
    """Map a gfn at a level, breaking blocks on the way and the old entry first; returns the PATH_….

    Kernel: stage2_map_walker(), arch/arm64/kvm/hyp/pgtable.c
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    link_512g(state, vcpu, gfn)
    if goal == PG_LEVEL_1G:
        if state.l3[row] & TABLE:
            state.stat[STAT_TLBIS] += 1
        path = count_huge(state, work.WORK_FAULT_MAP_1G, int(state.l3[row]))
        map_1g(state, row, spte)
        return path
    index = (gfn >> SHIFT_2M) & SPTE_INDEX_MASK
    at = (row << SHIFT_2M) | index
    if state.l3[row] & TABLE == 0:
        if state.l3[row] & PRESENT:
            state.stat[STAT_TLBIS] += 1
            state.stat[STAT_ZAPS] += 1
            state.work[work.WORK_FAULT_ZAP_1G] += 1
            zap_1g_leaf(state, row)
        state.l3[row] = TABLE
        take_table(state, vcpu)
        trace_spte_changed(state, PG_LEVEL_1G, 0, TABLE, state.region_of[row] << SHIFT_1G)
    if goal == PG_LEVEL_2M:
        if state.l2[at] & TABLE:
            state.stat[STAT_TLBIS] += 1
        path = count_huge(state, work.WORK_FAULT_MAP_2M, int(state.l2[at]))
        map_2m(state, row, index, spte)
        return path
    if state.l2[at] & TABLE == 0:
        if state.l2[at] & PRESENT:
            state.stat[STAT_TLBIS] += 1
            state.stat[STAT_ZAPS] += 1
            state.work[work.WORK_FAULT_ZAP_2M] += 1
            zap_2m_leaf(state, row, index)
        state.l2[at] = TABLE
        take_table(state, vcpu)
        trace_spte_changed(state, PG_LEVEL_2M, 0, TABLE, (gfn >> SHIFT_2M) << SHIFT_2M)
    path = count_small(state, slot, row, gfn, host_level)
    map_4k(state, row, gfn, spte)
    return path


@jit
def stage2_unmap(state: MmuState, start: int, end: int) -> int:
    """Unmap [start, end): whole blocks, and tables that become empty; one TLBI each.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: kvm_pgtable_stage2_unmap(), arch/arm64/kvm/hyp/pgtable.c
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        base = (gfn >> SHIFT_1G) << SHIFT_1G
        stop = min(end, base + PAGES_PER_1G)
        row = int(state.row_of[gfn >> SHIFT_1G])
        if row >= 0 and state.l3[row] & PRESENT:
            state.stat[STAT_TLBIS] += 1
            state.stat[STAT_ZAPS] += 1
            zap_1g_leaf(state, row)
            free_512g(state, gfn >> SHIFT_512G)
        elif row >= 0 and state.l3[row] & TABLE:
            unmap_row(state, row, gfn - base, stop - base)
            if is_empty_row(state, row):
                state.stat[STAT_TLBIS] += 1
                replace_1g_table(state, row, 0)
                free_512g(state, gfn >> SHIFT_512G)
        gfn = stop
    return end


@jit
def unmap_row(state: MmuState, row: int, low: int, high: int) -> None:
    """Run stage2_unmap() inside one 1 GiB row, for its pages [low, high)."""
    base = state.region_of[row] << SHIFT_1G
    page = low
    while page < high:
        index = page >> SHIFT_2M
        stop = min(high, (index + 1) << SHIFT_2M)
        at = (row << SHIFT_2M) | index
        if state.l2[at] & PRESENT:
            state.stat[STAT_TLBIS] += 1
            state.stat[STAT_ZAPS] += 1
            zap_2m_leaf(state, row, index)
        elif state.l2[at] & TABLE:
            state.stat[STAT_TLBIS] += zap_4k_leaves(state, (row << SHIFT_1G) + page, base + page, stop - page)
            if is_empty_2m(state, at):
                state.stat[STAT_TLBIS] += 1
                replace_2m_table(state, row, index, 0)
        page = stop


@jit_inline_llvm
def is_empty_2m(state: MmuState, at: int) -> bool:
    """Whether a 4K table maps nothing."""
    entry, end = at << SHIFT_2M, (at + 1) << SHIFT_2M
    while entry < end and state.l1[entry] == 0:
        entry += 1
    return entry == end


@jit_inline_llvm
def is_empty_row(state: MmuState, row: int) -> bool:
    """Whether a 1G table maps nothing."""
    entry, end = row << SHIFT_2M, (row + 1) << SHIFT_2M
    while entry < end and state.l2[entry] == 0:
        entry += 1
    return entry == end


@jit
def free_512g(state: MmuState, at: int) -> None:
    """Free the table of a 512 GiB region if it maps nothing any more."""
    for row in range(state.region_of.shape[0]):
        if state.region_of[row] >> (SHIFT_512G - SHIFT_1G) == at and state.l3[row] != 0:
            return
    state.l4[at] = 0
    state.stat[STAT_TLBIS] += 1
    if at == 0:
        state.stat[STAT_TABLES_ABOVE] -= 1
        return
    account_table(state, -1)
    trace_spte_changed(state, PG_LEVEL_512G, TABLE, 0, at << SHIFT_512G)
