"""Replacing one huge leaf by a table of 512 leaves one level down."""

from __future__ import annotations

from mmuviz.ground.compiled import compiled, inlined
from mmuviz.ground.pages import (
    PAGES_PER_1G,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
)
from mmuviz.mmu.events import log_is_low, trace_split_huge_page, trace_spte_changed
from mmuviz.mmu.state import (
    LEAF_BITS,
    ORPHAN,
    PRESENT,
    STAT_PAGES,
    STAT_TABLE_PAGES,
    STAT_TABLE_PAGES_PEAK,
    TABLE,
    MmuState,
)


@inlined
def account_table(state: MmuState, tables: int) -> None:
    """Count table pages that were linked (or freed, where negative).

    Kernel: tdp_account_mmu_page(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    state.stat[STAT_TABLE_PAGES] += tables
    state.stat[STAT_TABLE_PAGES_PEAK] = max(state.stat[STAT_TABLE_PAGES_PEAK], state.stat[STAT_TABLE_PAGES])


@compiled
def split_2m(state: MmuState, row: int, index: int) -> None:
    """Split the 2M leaf of a row's entry: 512 4K leaves inherit its bits, so none becomes writable.

    Args:
        state: page tables, changed in place.
        row: row of the 1 GiB region.
        index: entry at 2M, 0 to 511.

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
    trace_spte_changed(state, PG_LEVEL_2M, old, TABLE, gfn)
    trace_split_huge_page(state, PG_LEVEL_2M, old, gfn)


@compiled
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
    trace_spte_changed(state, PG_LEVEL_1G, old, TABLE, gfn)
    trace_split_huge_page(state, PG_LEVEL_1G, old, gfn)


@compiled
def try_split_huge_pages(state: MmuState, start: int, end: int) -> int:
    """Split every huge leaf of [start, end) down to 4K, pre-order: a 1G leaf, then its 2M leaves.

    The walk begins at the entry that maps `start` and goes on while an entry begins below `end`;
    so an empty range inside a huge page splits it, and one at its first page does not (the
    off-by-one of CLEAR before 6.8 follows from that).

    Args:
        state: page tables, changed in place.
        start: first gfn.
        end: gfn behind the last.

    Returns:
        The gfn to go on from; at least `end` when done, less when the event log wants emptying.

    Kernel: kvm_tdp_mmu_try_split_huge_pages(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    region = start >> SHIFT_1G
    while True:
        base = region << SHIFT_1G
        if base >= end:
            return end
        if log_is_low(state):
            return max(base, start)
        row = int(state.row_of[region])
        region += 1
        if row < 0:
            continue
        if state.l3[row] & PRESENT:
            split_1g(state, row)
        if state.l3[row] & TABLE:
            low = max(start - base, 0) >> SHIFT_2M
            high = (min(end - base, PAGES_PER_1G) + PAGES_PER_2M - 1) >> SHIFT_2M
            for index in range(low, high):
                if state.l2[(row << SHIFT_2M) | index] & PRESENT:
                    split_2m(state, row, index)
