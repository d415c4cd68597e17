"""Maps a page in the tables: the level, the tables on the way down, the leaf, prefetched neighbours."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    PG_LEVEL_512G,
    SHIFT_1G,
    SHIFT_2M,
    SHIFT_512G,
    SPTE_ENT_PER_PAGE,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_1g, count_2m, count_4k
from mmuviz.mmu.collapse import replace_1g_table, replace_2m_table, zap_1g_leaf, zap_2m_leaf, zap_4k_leaves
from mmuviz.mmu.counting import count_gone, count_map_4k, count_slow, leaves_of
from mmuviz.mmu.dirty_ring import mark_page_dirty_in_slot
from mmuviz.mmu.events import SPTE, note_untraced, trace_spte_changed
from mmuviz.mmu.examples import LINK_TABLE, MAP_1G, MAP_2M, MAP_4K, SLOW_FIX, note_example
from mmuviz.mmu.host import HOST_PRESENT, MAPPED_BY_4K, host_page_state, region_shift
from mmuviz.mmu.memslot import host_page_of, max_mapping_level
from mmuviz.mmu.split import account_table, account_table_above, split_1g, split_2m
from mmuviz.mmu.state import (
    CONF_FAULT_SPLITS,
    CONF_PREFETCH_FINISHES,
    CONF_TDP_MMU,
    CONF_TRACK_LEVEL,
    IN_1G,
    LEAF_BITS,
    LINKED,
    ORPHAN,
    PRESENT,
    SLOT_BASE,
    SLOT_END,
    SLOT_FORCED_LEVEL,
    SLOT_HOST_PRESENT,
    SLOT_HOST_REGION_AT,
    SLOT_LOGGING,
    SLOT_READ_ONLY,
    SPTE_WRITABLE,
    STAT_PAGES,
    STAT_TABLE_PAGES,
    STAT_TLB_FLUSHES,
    STAT_ZAPS,
    TABLE,
    WRITABLE,
    MmuState,
)

PTE_PREFETCH_NUM: Final = 8
"""Kernel: arch/x86/kvm/mmu/mmu.c."""


@jit_inline_source
def map_page(state: MmuState, vcpu: int, slot: int, gfn: int, spte: int, host_level: int) -> int:
    """Install a leaf for a gfn at the highest level allowed, which is 4K if the slot is logged.

    A huge leaf above that level is split in place (TDP MMU, from 6.2), or zapped whole and replaced by
    an empty table. A writable leaf of a logged slot marks its page dirty, even if a read installs it.

    Args:
        state: changed in place.
        vcpu: the vCPU whose caches are used.
        slot: index of the memslot.
        gfn: the page.
        spte: bits of the leaf.
        host_level: level of the host page that backs it.

    Returns:
        A PATH_… of mmuviz/mmu/work.py.

    Kernel: kvm_tdp_mmu_map(), tdp_mmu.c; direct_map(), mmu.c; make_spte(), spte.c
    """
    logged = state.slots[slot, SLOT_LOGGING] != 0
    row = int(state.row_of[gfn >> SHIFT_1G])
    goal = goal_level(state, slot, row, gfn)
    splits = state.work[work.WORK_FAULT_SPLIT_2M] + state.work[work.WORK_FAULT_SPLIT_1G]
    link_512g(state, vcpu, gfn)
    if goal == PG_LEVEL_1G:
        state.stat[STAT_TLB_FLUSHES] += 1 if state.l3[row] & TABLE else 0
        path = count_huge(state, work.WORK_FAULT_MAP_1G, int(state.l3[row]))
        map_1g(state, row, spte)
    else:
        step_down_1g(state, vcpu, row)
        index = (gfn >> SHIFT_2M) & SPTE_INDEX_MASK
        if goal == PG_LEVEL_2M:
            state.stat[STAT_TLB_FLUSHES] += 1 if state.l2[(row << SHIFT_2M) | index] & TABLE else 0
            path = count_huge(state, work.WORK_FAULT_MAP_2M, int(state.l2[(row << SHIFT_2M) | index]))
            map_2m(state, row, index, spte)
        else:
            step_down_2m(state, vcpu, row, index)
            path = count_small(state, slot, row, gfn, host_level)
            map_4k(state, row, gfn, spte)
            if state.conf[CONF_TDP_MMU] == 0 and not logged:
                prefetch_ptes(state, slot, row, gfn)
    if spte & WRITABLE:
        mark_page_dirty_in_slot(state, vcpu, slot, gfn)
    split = splits != state.work[work.WORK_FAULT_SPLIT_2M] + state.work[work.WORK_FAULT_SPLIT_1G]
    return work.PATH_SPLIT if split else path


@jit_inline_llvm
def count_huge(state: MmuState, entry: int, old: int) -> int:
    """Count a fault that maps a huge page or changes an existing huge leaf; returns its path."""
    if old & PRESENT:
        state.work[work.WORK_FAULT_SLOW] += 1
        return work.PATH_FIX
    state.work[entry] += 1
    return work.PATH_MAP_1G if entry == work.WORK_FAULT_MAP_1G else work.PATH_MAP_2M


@jit_inline_llvm
def count_small(state: MmuState, slot: int, row: int, gfn: int, host_level: int) -> int:
    """Count a fault that maps a 4K page or changes an existing 4K leaf; returns its path."""
    if state.l1[(row << SHIFT_1G) | (gfn & ((1 << SHIFT_1G) - 1))] & PRESENT:
        count_slow(state, host_level, 1)
        return work.PATH_FIX
    count_map_4k(state, slot, host_level, 1)
    return work.PATH_MAP_4K


@jit_inline_llvm
def goal_level(state: MmuState, slot: int, row: int, gfn: int) -> int:
    """Return the level at which a fault maps a gfn.

    4K if the slot is logged. With tracking at 2M, at most 2M, but 4K below an existing 4K table, so that no
    leaf grows while the slot is logged. Never above the level that userspace forced (the pre-split of
    2020).

    Kernel: kvm_mmu_hugepage_adjust(), arch/x86/kvm/mmu/mmu.c; 2M and forced levels: never merged
    """
    most = int(state.slots[slot, SLOT_FORCED_LEVEL])
    if state.slots[slot, SLOT_LOGGING] != 0:
        most = min(most, int(state.conf[CONF_TRACK_LEVEL]))
        if state.l2[(row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)] & TABLE:
            most = PG_LEVEL_4K
    if most == PG_LEVEL_4K:
        return PG_LEVEL_4K
    return min(most, max_mapping_level(state, slot, gfn))


@jit_inline_llvm
def take_table(state: MmuState, vcpu: int) -> None:
    """Take one table page from the vCPU's cache. Kernel: tdp_mmu_alloc_sp()."""
    state.cache[vcpu] -= 1
    state.work[work.WORK_FAULT_TABLE] += 1
    account_table(state, 1)


@jit_inline_llvm
def link_512g(state: MmuState, vcpu: int, gfn: int) -> None:
    """Link the table that covers this 512 GiB if it is missing; the first one and the root always exist."""
    at = gfn >> SHIFT_512G
    if state.l4[at] == 0:
        state.l4[at] = 1
        if at == 0:
            account_table_above(state)
            state.work[work.WORK_FAULT_TABLE] += 1
            state.cache[vcpu] -= 1
        else:
            take_table(state, vcpu)
        trace_spte_changed(state, PG_LEVEL_512G, 0, TABLE, at << SHIFT_512G)


@jit_inline_source
def step_down_1g(state: MmuState, vcpu: int, row: int) -> None:
    """Descend below the 1G entry of a row: split or zap its leaf, link a table if there is none."""
    entry = int(state.l3[row])
    if entry & TABLE:
        return
    if entry & PRESENT and state.conf[CONF_FAULT_SPLITS] != 0 and state.conf[CONF_TDP_MMU] != 0:
        split_1g(state, row)
        state.work[work.WORK_FAULT_SPLIT_1G] += 1
        state.cache[vcpu] -= 1
        return
    if entry & PRESENT:
        state.work[work.WORK_FAULT_ZAP_1G] += 1
        zap_1g_leaf(state, row)
        state.stat[STAT_ZAPS] += 1
        state.stat[STAT_TLB_FLUSHES] += 1
    state.l3[row] = TABLE
    gfn = state.region_of[row] << SHIFT_1G
    note_example(state, LINK_TABLE, PG_LEVEL_1G, 0, TABLE, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, 0, TABLE, gfn)
    if entry & ORPHAN == 0:
        take_table(state, vcpu)
    else:
        state.work[work.WORK_FAULT_TABLE] += 1
        relink_2m_tables(state, row)


@jit_inline_source
def step_down_2m(state: MmuState, vcpu: int, row: int, index: int) -> None:
    """Descend below a 2M entry: split or zap its leaf, link an empty table if there is none."""
    at = (row << SHIFT_2M) | index
    entry = int(state.l2[at])
    if entry & TABLE:
        return
    if entry & PRESENT and state.conf[CONF_FAULT_SPLITS] != 0 and state.conf[CONF_TDP_MMU] != 0:
        split_2m(state, row, index)
        state.work[work.WORK_FAULT_SPLIT_2M] += 1
        state.cache[vcpu] -= 1
        return
    if entry & PRESENT:
        state.work[work.WORK_FAULT_ZAP_2M] += 1
        zap_2m_leaf(state, row, index)
        state.stat[STAT_ZAPS] += 1
        state.stat[STAT_TLB_FLUSHES] += 1
    state.l2[at] = TABLE
    if entry & ORPHAN == 0:
        take_table(state, vcpu)
    else:
        state.work[work.WORK_FAULT_TABLE] += 1
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    note_example(state, LINK_TABLE, PG_LEVEL_2M, 0, TABLE, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, 0, TABLE, gfn)


@jit
def relink_2m_tables(state: MmuState, row: int) -> None:
    """Link the 2M tables that a relinked 1G table still points to; they are empty."""
    for at in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
        if state.l2[at] & LINKED:
            state.l2[at] = TABLE
            gfn = (state.region_of[row] << SHIFT_1G) | ((at & SPTE_INDEX_MASK) << SHIFT_2M)
            note_untraced(state, SPTE, PG_LEVEL_2M, 0, TABLE, gfn, 1)


@jit
def orphan_2m(state: MmuState, at: int) -> None:
    """Unlink the table of a 2M entry and empty it.

    Disabling has emptied it or is about to; leaves that vCPUs mapped meanwhile are zapped here.
    """
    gfn = (state.region_of[at >> SHIFT_2M] << SHIFT_1G) | ((at & SPTE_INDEX_MASK) << SHIFT_2M)
    zap_4k_leaves(state, at << SHIFT_2M, gfn, SPTE_ENT_PER_PAGE)
    state.l2[at] = ORPHAN


@jit
def map_1g(state: MmuState, row: int, spte: int) -> None:
    """Install a 1G leaf, in place of a table if there is one."""
    entry = was = int(state.l3[row])
    if entry & TABLE and state.conf[CONF_TDP_MMU] != 0:
        leaves, tables = leaves_of(state.stat) + 1, int(state.stat[STAT_TABLE_PAGES])
        replace_1g_table(state, row, spte)
        count_gone(state, leaves, tables, work.WORK_UNMAP_TABLE)
        return
    first = row << SHIFT_2M
    if entry & TABLE:  # the shadow MMU only unlinks the tables and will reuse them
        entry = ORPHAN
        for at in range(first, first + SPTE_ENT_PER_PAGE):
            if state.l2[at] & TABLE:
                orphan_2m(state, at)
                state.l2[at] |= LINKED
            elif state.l2[at] & PRESENT:
                zap_2m_leaf(state, row, at - first)
    if entry & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_1G] += 1
    gfn = state.region_of[row] << SHIFT_1G
    count_1g(state, gfn, entry, spte)
    note_example(state, MAP_1G, PG_LEVEL_1G, entry & LEAF_BITS, spte, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, was & (LEAF_BITS | TABLE), spte, gfn)
    state.l3[row] = (entry & ORPHAN) | spte
    for at in range(first, first + SPTE_ENT_PER_PAGE):
        state.l2[at] = (int(state.l2[at]) & (ORPHAN | LINKED)) | IN_1G | spte


@jit
def map_2m(state: MmuState, row: int, index: int, spte: int) -> None:
    """Install a 2M leaf, in place of a table if there is one."""
    at = (row << SHIFT_2M) | index
    entry = was = int(state.l2[at])
    if entry & TABLE and state.conf[CONF_TDP_MMU] != 0:
        leaves, tables = leaves_of(state.stat) + 1, int(state.stat[STAT_TABLE_PAGES])
        replace_2m_table(state, row, index, spte)
        count_gone(state, leaves, tables, work.WORK_UNMAP_TABLE)
        return
    if entry & TABLE:
        orphan_2m(state, at)
        entry = ORPHAN
    if entry & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_2M] += 1
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    count_2m(state, gfn, entry, spte)
    note_example(state, MAP_2M, PG_LEVEL_2M, entry & LEAF_BITS, spte, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, was & (LEAF_BITS | TABLE), spte, gfn)
    state.l2[at] = (entry & ORPHAN) | spte


@jit_inline_llvm
def map_4k(state: MmuState, row: int, gfn: int, spte: int) -> None:
    """Install a 4K leaf in an existing table."""
    at = (row << SHIFT_1G) | (gfn & ((1 << SHIFT_1G) - 1))
    old = int(state.l1[at])
    if old & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_4K] += 1
    count_4k(state, gfn, 1, old, spte)
    note_example(state, SLOW_FIX if old & PRESENT else MAP_4K, PG_LEVEL_4K, old, spte, gfn)
    trace_spte_changed(state, PG_LEVEL_4K, old, spte, gfn)
    state.l1[at] = spte


@jit
def host_page_is_writable(state: MmuState, slot: int, hpage: int) -> bool:
    """Whether the host maps a page writable, so that no host fault is needed; never true of a read-only slot.

    Kernel: get_user_pages_fast_only() as direct_pte_prefetch_many() calls it; gfn_to_hva_many()
    """
    if state.slots[slot, SLOT_READ_ONLY] != 0:
        return False
    if state.slots[slot, SLOT_HOST_PRESENT] != 0:
        return True
    region = state.host_region[state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))]
    if region == MAPPED_BY_4K:
        return host_page_state(state, slot, hpage) == HOST_PRESENT
    return int(region) == HOST_PRESENT


@jit
def prefetch_ptes(state: MmuState, slot: int, row: int, gfn: int) -> None:
    """Map the neighbours of a 4K page that the shadow MMU just mapped, within its group of 8 entries.

    Each run of empty entries is mapped up to its first page that the host does not map writable. The prefetch
    ends at a run whose first page is such a page or outside the slot.

    Kernel: direct_pte_prefetch(), arch/x86/kvm/mmu/mmu.c
    """
    first = gfn - gfn % PTE_PREFETCH_NUM
    run = -1
    for each in range(first, first + PTE_PREFETCH_NUM + 1):
        at = (row << SHIFT_1G) | (each & ((1 << SHIFT_1G) - 1))
        if each < first + PTE_PREFETCH_NUM and state.l1[at] & PRESENT == 0:
            run = each if run < 0 else run
            continue
        if run < 0:
            continue
        if each == first + PTE_PREFETCH_NUM and state.conf[CONF_PREFETCH_FINISHES] == 0:
            return
        if run < state.slots[slot, SLOT_BASE] or each > state.slots[slot, SLOT_END]:
            return
        page = run
        while page < each and host_page_is_writable(state, slot, host_page_of(state, slot, page)):
            map_4k(state, row, page, SPTE_WRITABLE)
            page += 1
        if page == run:
            return
        run = -1
