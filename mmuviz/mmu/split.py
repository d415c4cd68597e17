"""Replaces one huge leaf by a table of 512 leaves one level below."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_1g, count_2m, count_4k, count_children_2m
from mmuviz.mmu.events import log_is_low, trace_split_huge_page, trace_spte_changed
from mmuviz.mmu.examples import SPLIT_1G, SPLIT_2M, note_example
from mmuviz.mmu.state import (
    CACHES_NONE,
    CONF_SPLIT_CACHES,
    CONF_SPLITTER,
    CONF_TDP_MMU,
    LEAF_BITS,
    ORPHAN,
    PRESENT,
    SPLITTER_RMAP,
    STAT_PAGES,
    STAT_SHADOW_PAGES,
    STAT_SPLIT_CACHE,
    STAT_SPLIT_DESCS,
    STAT_SPLIT_TOPUPS,
    STAT_SPLITS,
    STAT_TABLE_PAGES,
    STAT_TABLE_PAGES_PEAK,
    STAT_TABLES_ABOVE,
    TABLE,
    MmuState,
)

SPLIT_CACHE_OBJECTS: Final = 40
"""Tables, and headers, that a VM-wide split cache holds. Kernel: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE."""
SPLIT_DESC_CACHE_OBJECTS: Final = SPTE_ENT_PER_PAGE + 1 + SPLIT_CACHE_OBJECTS
"""pte_list_descs that split_desc_cache holds: 553, refilled below 513."""


@jit_inline_llvm
def account_table(state: MmuState, tables: int) -> None:
    """Count table pages that were linked (or freed, if negative).

    Kernel: tdp_account_mmu_page(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    state.stat[STAT_TABLE_PAGES] += tables
    if state.conf[CONF_TDP_MMU] == 0:
        state.stat[STAT_SHADOW_PAGES] += tables
    state.stat[STAT_TABLE_PAGES_PEAK] = max(state.stat[STAT_TABLE_PAGES_PEAK], state.stat[STAT_TABLE_PAGES])


@jit_inline_llvm
def account_table_above(state: MmuState) -> None:
    """Count a root or the table of the first 512 GiB, which recordings leave out."""
    state.stat[STAT_TABLES_ABOVE] += 1
    if state.conf[CONF_TDP_MMU] == 0:
        state.stat[STAT_SHADOW_PAGES] += 1


@jit
def split_2m(state: MmuState, row: int, index: int) -> None:
    """Split the 2M leaf of a row's entry: 512 4K leaves inherit its bits, so no page becomes writable.

    Args:
        state: page tables, changed in place.
        row: row of the 1 GiB region.
        index: 2M entry, 0 to 511.

    Kernel: tdp_mmu_split_huge_page(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    at = (row << SHIFT_2M) | index
    old = int(state.l2[at]) & LEAF_BITS
    first = at << SHIFT_2M
    state.l1[first : first + SPTE_ENT_PER_PAGE] = old
    state.l2[at] = TABLE
    account_table(state, 1)
    state.stat[STAT_PAGES + PG_LEVEL_2M] -= 1
    state.stat[STAT_PAGES + PG_LEVEL_4K] += SPTE_ENT_PER_PAGE
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    note_split_2m(state, old, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, old, TABLE, gfn)
    trace_split_huge_page(state, PG_LEVEL_2M, old, gfn)


@jit_inline_llvm
def note_split_2m(state: MmuState, old: int, gfn: int) -> None:
    """Count a split of a 2M leaf and update its cell."""
    state.stat[STAT_SPLITS] += 1
    count_2m(state, gfn, old, TABLE)
    count_4k(state, gfn, SPTE_ENT_PER_PAGE, 0, old)
    note_example(state, SPLIT_2M, PG_LEVEL_2M, old, TABLE, gfn)


@jit_inline_llvm
def note_split_1g(state: MmuState, old: int, gfn: int) -> None:
    """Count a split of a 1G leaf and update its cells."""
    state.stat[STAT_SPLITS] += 1
    count_1g(state, gfn, old, TABLE)
    count_children_2m(state, gfn, 0, old)
    note_example(state, SPLIT_1G, PG_LEVEL_1G, old, TABLE, gfn)


@jit
def split_1g(state: MmuState, row: int) -> None:
    """Split the 1G leaf of a row into 512 2M leaves with its bits.

    Kernel: tdp_mmu_split_huge_page(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    old = int(state.l3[row]) & LEAF_BITS
    first = row << SHIFT_2M
    for at in range(first, first + SPTE_ENT_PER_PAGE):
        state.l2[at] = (int(state.l2[at]) & ORPHAN) | old
    state.l3[row] = TABLE
    account_table(state, 1)
    state.stat[STAT_PAGES + PG_LEVEL_1G] -= 1
    state.stat[STAT_PAGES + PG_LEVEL_2M] += SPTE_ENT_PER_PAGE
    gfn = state.region_of[row] << SHIFT_1G
    note_split_1g(state, old, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, old, TABLE, gfn)
    trace_split_huge_page(state, PG_LEVEL_1G, old, gfn)


@jit_inline_llvm
def take_split_cache(state: MmuState) -> None:
    """Take one table from the VM-wide caches of eager splitting, if the kernel row has them.

    Topping them up drops mmu_lock. Follows the source and the posted series, not recordings.

    Kernel: topup_split_caches(), arch/x86/kvm/mmu/mmu.c; split_desc_cache only with rmaps
    """
    if state.conf[CONF_SPLIT_CACHES] == CACHES_NONE:
        return
    if state.stat[STAT_SPLIT_CACHE] == 0:
        state.stat[STAT_SPLIT_CACHE] = SPLIT_CACHE_OBJECTS
        state.stat[STAT_SPLIT_TOPUPS] += 1
        if state.conf[CONF_SPLITTER] == SPLITTER_RMAP:
            state.stat[STAT_SPLIT_DESCS] = SPLIT_DESC_CACHE_OBJECTS
    state.stat[STAT_SPLIT_CACHE] -= 1


@jit
def try_split_huge_pages(
    state: MmuState, start: int, end: int, target: int, entry: int = work.WORK_SPLIT_ENABLE_2M
) -> int:
    """Split every huge leaf of [start, end) down to a level, pre-order: a 1G leaf, then its 2M leaves.

    The walk begins at the entry that maps `start` and continues while an entry begins below `end`. So an
    empty range inside a huge page splits it, but one at its first page does not; the off-by-one of CLEAR
    before 6.8 follows from that.

    Args:
        state: page tables, changed in place.
        start: first gfn.
        end: gfn after the last.
        target: PG_LEVEL_4K, or PG_LEVEL_2M where logging tracks 2M.
        entry: work entry that counts splits of 2M; the next entry counts those of 1G.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: kvm_tdp_mmu_try_split_huge_pages(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    region = start >> SHIFT_1G
    while True:
        base = region << SHIFT_1G
        if base >= end:
            return end
        if end - start > BITS_PER_LONG and log_is_low(state):  # a CLEAR mask is never split up
            return max(base, start)
        row = int(state.row_of[region])
        region += 1
        if row < 0:
            continue
        if state.l3[row] & PRESENT:
            take_split_cache(state)
            split_1g(state, row)
            state.work[entry + 1] += 1
        if state.l3[row] & TABLE and target == PG_LEVEL_4K:
            low = max(start - base, 0) >> SHIFT_2M
            high = (min(end - base, PAGES_PER_1G) + PAGES_PER_2M - 1) >> SHIFT_2M
            visited = high - low
            for index in range(low, high):
                if state.l2[(row << SHIFT_2M) | index] & PRESENT:
                    take_split_cache(state)
                    split_2m(state, row, index)
                    state.work[entry] += 1
                    visited -= 1
            if entry == work.WORK_SPLIT_ENABLE_2M:
                state.work[work.WORK_VISIT_HUGE] += visited
