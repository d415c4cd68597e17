"""Eager splitting through the reverse maps: the shadow MMU of an L2 (from 6.0), and two series.

Follows the source, not recordings. Each gfn has one leaf here (L1 maps L2, or a guest its own memory,
1:1 by pages of 1 GiB), so a reverse map holds one entry and no pte_list_desc is used.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_exported, jit_inline_llvm
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
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_2m
from mmuviz.mmu.events import log_is_low, trace_split_huge_page, trace_spte_changed
from mmuviz.mmu.split import account_table, note_split_1g, note_split_2m, take_split_cache
from mmuviz.mmu.state import (
    CACHES_A_CALL,
    CONF_MMU_PAGES,
    CONF_SPLIT_CACHES,
    LEAF_BITS,
    LINKED,
    ORPHAN,
    PRESENT,
    STAT_PAGES,
    STAT_SHADOW_PAGES,
    STAT_SPLIT_CACHE,
    STAT_SPLIT_DESCS,
    STAT_SPLITS_REFUSED,
    STAT_TLB_FLUSHES,
    TABLE,
    MmuState,
)

MIN_FREE_MMU_PAGES: Final = 5
"""Kernel: KVM_MIN_FREE_MMU_PAGES, arch/x86/include/asm/kvm_host.h."""


@jit_inline_llvm
def may_split(state: MmuState) -> bool:
    """Whether shadow pages are left; if not, the split ends with -ENOSPC and the page stays huge.

    Kernel: shadow_mmu_try_split_huge_page(), arch/x86/kvm/mmu/mmu.c
    """
    if int(state.conf[CONF_MMU_PAGES]) - int(state.stat[STAT_SHADOW_PAGES]) <= MIN_FREE_MMU_PAGES:
        state.stat[STAT_SPLITS_REFUSED] += 1
        return False
    return True


@jit
def shadow_split_2m(state: MmuState, row: int, index: int) -> None:
    """Split a 2M leaf of the shadow MMU; a table that was unlinked there before is reused, empty.

    Kernel: shadow_mmu_split_huge_page(), arch/x86/kvm/mmu/mmu.c
    """
    at = (row << SHIFT_2M) | index
    entry = int(state.l2[at])
    old = entry & LEAF_BITS
    take_split_cache(state)
    if entry & ORPHAN:
        state.stat[STAT_SPLIT_CACHE] += 1  # found in the hash: no object was taken
    else:
        account_table(state, 1)
    first = at << SHIFT_2M
    state.l1[first : first + SPTE_ENT_PER_PAGE] = old
    state.l2[at] = TABLE
    state.stat[STAT_PAGES + PG_LEVEL_2M] -= 1
    state.stat[STAT_PAGES + PG_LEVEL_4K] += SPTE_ENT_PER_PAGE
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    note_split_2m(state, old, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, old, TABLE, gfn)
    trace_split_huge_page(state, PG_LEVEL_2M, old, gfn)


@jit
def shadow_split_1g(state: MmuState, row: int) -> None:
    """Split a 1G leaf of the shadow MMU.

    A table that was unlinked there before is reused with the empty 2M tables that it still points to.
    This unmaps their pages, so the TLBs are flushed and the pages fault again.

    Kernel: shadow_mmu_split_huge_page() and __link_shadow_page(), arch/x86/kvm/mmu/mmu.c
    """
    entry = int(state.l3[row])
    old = entry & LEAF_BITS
    take_split_cache(state)
    if entry & ORPHAN:
        state.stat[STAT_SPLIT_CACHE] += 1
    else:
        account_table(state, 1)
    gfn, leaves = state.region_of[row] << SHIFT_1G, 0
    note_split_1g(state, old, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, old, TABLE, gfn)
    for at in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
        if state.l2[at] & LINKED:
            state.l2[at] = TABLE
            child = gfn + ((at & SPTE_INDEX_MASK) << SHIFT_2M)
            count_2m(state, child, old, TABLE)
            trace_spte_changed(state, PG_LEVEL_2M, old, 0, child)
            trace_spte_changed(state, PG_LEVEL_2M, 0, TABLE, child)
        else:
            state.l2[at] = (int(state.l2[at]) & ORPHAN) | old
            leaves += 1
    state.l3[row] = TABLE
    state.stat[STAT_PAGES + PG_LEVEL_1G] -= 1
    state.stat[STAT_PAGES + PG_LEVEL_2M] += leaves
    if leaves < SPTE_ENT_PER_PAGE:
        state.stat[STAT_TLB_FLUSHES] += 1
    trace_split_huge_page(state, PG_LEVEL_1G, old, gfn)


@jit
def split_rmaps_of_level(
    state: MmuState, start: int, end: int, level: int, entry: int = work.WORK_SPLIT_ENABLE_2M
) -> int:
    """Split the leaves of one level, from the entry that maps `start` to the one that maps `end` - 1.

    Args:
        state: page tables of the shadow MMU, changed in place.
        start: first gfn.
        end: gfn after the last; if it equals `start`, a leaf that begins before it is split.
        level: PG_LEVEL_1G or PG_LEVEL_2M.
        entry: work entry that counts splits of 2M; the next entry counts those of 1G.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: walk_slot_rmaps(), arch/x86/kvm/mmu/mmu.c
    """
    region = start >> SHIFT_1G
    while True:
        base = region << SHIFT_1G
        if base >= end:
            return end
        if end - start > BITS_PER_LONG and log_is_low(state):
            return max(base, start)
        row = int(state.row_of[region])
        region += 1
        if row < 0:
            continue
        if level == PG_LEVEL_1G and state.l3[row] & PRESENT and may_split(state):
            shadow_split_1g(state, row)
            state.work[entry + 1 + work.WORK_SHADOW] += 1
        if level == PG_LEVEL_2M and state.l3[row] & TABLE:
            low = max(start - base, 0) >> SHIFT_2M
            high = (min(end - base, PAGES_PER_1G) + PAGES_PER_2M - 1) >> SHIFT_2M
            for index in range(low, high):
                if state.l2[(row << SHIFT_2M) | index] & PRESENT and may_split(state):
                    shadow_split_2m(state, row, index)
                    state.work[entry + work.WORK_SHADOW] += 1


@jit_inline_exported
def end_split_call(state: MmuState) -> None:
    """End a call of kvm_mmu_try_split_huge_pages(): shadow-eager-v1 frees its caches."""
    if state.conf[CONF_SPLIT_CACHES] == CACHES_A_CALL:
        state.stat[STAT_SPLIT_CACHE] = 0
        state.stat[STAT_SPLIT_DESCS] = 0


@jit
def shadow_try_split_huge_pages(state: MmuState, start: int, end: int) -> None:
    """Run both passes over the short range of a CLEAR: first every 1G leaf, then every 2M leaf.

    Kernel: kvm_shadow_mmu_try_split_huge_pages(), arch/x86/kvm/mmu/mmu.c
    """
    split_rmaps_of_level(state, start, end, PG_LEVEL_1G, work.WORK_SPLIT_CLEAR_2M)
    split_rmaps_of_level(state, start, end, PG_LEVEL_2M, work.WORK_SPLIT_CLEAR_2M)
    end_split_call(state)
