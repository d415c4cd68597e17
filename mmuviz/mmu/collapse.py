"""Removing mappings: zapping leaves and tables, and turning tables back into huge pages."""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import (
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
from mmuviz.mmu.cells import count_1g, count_2m, count_4k
from mmuviz.mmu.counting import count_gone, count_host_of_collapsed, entries_2m_of, leaves_of
from mmuviz.mmu.events import SPTE, log_is_low, note_untraced, trace_4k_sptes_changed, trace_spte_changed
from mmuviz.mmu.examples import REMOVE_TABLE, ZAP_1G, ZAP_2M, ZAP_4K, note_example
from mmuviz.mmu.memslot import max_mapping_level
from mmuviz.mmu.split import account_table
from mmuviz.mmu.state import (
    CONF_RECOVERS,
    CONF_TDP_MMU,
    CONF_ZAPS_LEAVES_ONLY,
    IN_1G,
    LEAF_BITS,
    LINKED,
    ORPHAN,
    PRESENT,
    STAT_PAGES,
    STAT_TABLE_PAGES,
    STAT_TABLES_COLLAPSED,
    STAT_ZAPS,
    TABLE,
    MmuState,
)


@jit
def zap_4k_leaves(state: MmuState, at: int, gfn: int, count: int) -> int:
    """Zap the 4K leaves of `count` consecutive entries of one table, those with equal bits at once.

    Args:
        state: page tables, changed in place.
        at: the first entry, an index of state.l1.
        gfn: the page that it maps.
        count: entries, at most 512.

    Returns:
        The number of leaves zapped.
    """
    first = zapped = 0
    while first < count:
        old, end = int(state.l1[at + first]), first + 1
        while end < count and state.l1[at + end] == old:
            end += 1
        if old & PRESENT:
            state.l1[at + first : at + end] = 0
            zapped += end - first
            count_4k(state, gfn + first, end - first, old, 0)
            note_example(state, ZAP_4K, PG_LEVEL_4K, old, 0, gfn + first)
            trace_4k_sptes_changed(state, old, 0, gfn + first, end - first)
        first = end
    state.stat[STAT_PAGES + PG_LEVEL_4K] -= zapped
    return zapped


@jit_inline_llvm
def zap_2m_leaf(state: MmuState, row: int, index: int) -> None:
    """Zap one 2M leaf."""
    at = (row << SHIFT_2M) | index
    old = int(state.l2[at])
    state.l2[at] = old & ORPHAN
    state.stat[STAT_PAGES + PG_LEVEL_2M] -= 1
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    count_2m(state, gfn, old, 0)
    note_example(state, ZAP_2M, PG_LEVEL_2M, old & LEAF_BITS, 0, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, old & LEAF_BITS, 0, gfn)


@jit
def zap_1g_leaf(state: MmuState, row: int) -> None:
    """Zap one 1G leaf."""
    old = int(state.l3[row])
    state.l3[row] = old & ORPHAN
    for at in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
        state.l2[at] &= ORPHAN | LINKED
    state.stat[STAT_PAGES + PG_LEVEL_1G] -= 1
    gfn = state.region_of[row] << SHIFT_1G
    count_1g(state, gfn, old, 0)
    note_example(state, ZAP_1G, PG_LEVEL_1G, old & LEAF_BITS, 0, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, old & LEAF_BITS, 0, gfn)


@jit
def replace_2m_table(state: MmuState, row: int, index: int, spte: int) -> None:
    """Replace a 2M entry that points to a table by `spte`: the entry changes first, then its children are zapped.

    Kernel: handle_changed_spte() and handle_removed_pt(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    at = (row << SHIFT_2M) | index
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    count_2m(state, gfn, TABLE, spte)
    note_example(state, REMOVE_TABLE, PG_LEVEL_2M, TABLE, spte, gfn)
    trace_spte_changed(state, PG_LEVEL_2M, TABLE, spte, gfn)
    zap_4k_leaves(state, at << SHIFT_2M, gfn, SPTE_ENT_PER_PAGE)
    state.l2[at] = spte
    account_table(state, -1)
    if spte & PRESENT:
        state.stat[STAT_PAGES + PG_LEVEL_2M] += 1


@jit
def replace_1g_table(state: MmuState, row: int, spte: int) -> None:
    """Replace a 1G entry that points to a table by `spte`; its children are zapped, tables included.

    Kernel: handle_changed_spte() and handle_removed_pt(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    gfn = state.region_of[row] << SHIFT_1G
    count_1g(state, gfn, TABLE, spte)
    note_example(state, REMOVE_TABLE, PG_LEVEL_1G, TABLE, spte, gfn)
    trace_spte_changed(state, PG_LEVEL_1G, TABLE, spte, gfn)
    for index in range(SPTE_ENT_PER_PAGE):
        entry = state.l2[(row << SHIFT_2M) | index]
        if entry & TABLE:
            replace_2m_table(state, row, index, 0)
        elif entry & PRESENT:
            zap_2m_leaf(state, row, index)
    state.l3[row] = spte
    account_table(state, -1)
    if spte & PRESENT:
        state.stat[STAT_PAGES + PG_LEVEL_1G] += 1
        state.l2[row << SHIFT_2M : (row + 1) << SHIFT_2M] = IN_1G | spte


@jit_inline_llvm
def takes_tables(state: MmuState) -> bool:
    """Whether zapping a range removes the tables that lie entirely inside it: the TDP MMU before 5.18.

    Kernel: zap_gfn_range(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    return int(state.conf[CONF_ZAPS_LEAVES_ONLY]) == 0 and int(state.conf[CONF_TDP_MMU]) != 0


@jit
def zap_leafs(state: MmuState, start: int, end: int) -> int:
    """Zap the leaves that map any page of [start, end); with takes_tables() also the tables entirely inside.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: tdp_mmu_zap_leafs(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        base = (gfn >> SHIFT_1G) << SHIFT_1G
        stop = min(end, base + PAGES_PER_1G)
        row = int(state.row_of[gfn >> SHIFT_1G])
        if row >= 0 and state.l3[row] & PRESENT:
            state.stat[STAT_ZAPS] += 1
            zap_1g_leaf(state, row)
        elif row >= 0 and state.l3[row] & TABLE and stop - gfn == PAGES_PER_1G and takes_tables(state):
            replace_1g_table(state, row, 0)
        elif row >= 0 and state.l3[row] & TABLE:
            zap_row_leafs(state, row, gfn - base, stop - base)
        gfn = stop
    return end


@jit
def zap_row_leafs(state: MmuState, row: int, low: int, high: int) -> None:
    """Run zap_leafs() inside one 1 GiB row, for its pages [low, high)."""
    base = state.region_of[row] << SHIFT_1G
    page = low
    while page < high:
        index = page >> SHIFT_2M
        stop = min(high, (index + 1) << SHIFT_2M)
        entry = state.l2[(row << SHIFT_2M) | index]
        if entry & TABLE and stop - page == PAGES_PER_2M and takes_tables(state):
            replace_2m_table(state, row, index, 0)
        elif entry & TABLE:
            zap_4k_leaves(state, (row << SHIFT_1G) + page, base + page, stop - page)
        elif entry & PRESENT:
            state.stat[STAT_ZAPS] += 1
            zap_2m_leaf(state, row, index)
        page = stop


@jit
def first_child_spte(state: MmuState, row: int, index: int) -> int:
    """Bits of the first leaf below a table, 0 without one; index -1 means the table of the whole row.

    Kernel: tdp_mmu_make_huge_spte(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    low, high = (index, index + 1) if index >= 0 else (0, SPTE_ENT_PER_PAGE)
    for each in range(low, high):
        at = (row << SHIFT_2M) | each
        if state.l2[at] & PRESENT:
            return int(state.l2[at]) & LEAF_BITS
        if state.l2[at] & TABLE:
            for child in range(at << SHIFT_2M, (at + 1) << SHIFT_2M):
                if state.l1[child] & PRESENT:
                    return int(state.l1[child])
    return 0


@jit
def collapse_table(state: MmuState, row: int, index: int) -> bool:
    """Zap a table, or restore the huge page where the kernel recovers it in place.

    Returns:
        Whether the table is gone. Where the kernel would recover it in place, a table that maps nothing stays.

    Kernel: kvm_tdp_mmu_zap_collapsible_sptes() up to 6.12, recover_huge_pages_range() from 6.13
    """
    spte = 0
    if state.conf[CONF_RECOVERS] != 0:
        spte = first_child_spte(state, row, index)
        if spte == 0:
            return False
    state.stat[STAT_TABLES_COLLAPSED] += 1
    state.stat[STAT_ZAPS] += 1 if spte == 0 else 0
    recovered = 1 if spte else 0
    leaves, tables = leaves_of(state.stat) + recovered, int(state.stat[STAT_TABLE_PAGES])
    if index < 0:
        replace_1g_table(state, row, spte)
    else:
        replace_2m_table(state, row, index, spte)
    state.work[work.WORK_RECOVERED] += recovered
    count_gone(state, leaves, tables, work.WORK_RECOVER_TABLE if recovered else work.WORK_ZAP_TABLE)
    return True


@jit
def collapse_slot(state: MmuState, slot: int, start: int, end: int) -> int:
    """Collapse, on disable, each table in [start, end) that slot, alignment and host allow to be a huge page.

    Args:
        state: page tables, changed in place.
        slot: index of the memslot.
        start: gfn to continue from.
        end: gfn to stop before, in the slot. Only tables that lie entirely in the range are collapsed.

    Returns:
        The gfn to continue from; `end` when done.

    Kernel: zap_collapsible_spte_range() and recover_huge_pages_range(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        region = gfn >> SHIFT_1G
        row = int(state.row_of[region])
        base = region << SHIFT_1G
        if state.l3[row] & TABLE:
            state.work[work.WORK_DISABLE_VISIT] += entries_2m_of(gfn, min(base + PAGES_PER_1G, end))
            leaves, kept = leaves_of(state.stat), state.work[work.WORK_RECOVERED]
            inside = gfn == base and base + PAGES_PER_1G <= end
            whole = inside and max_mapping_level(state, slot, base) == PG_LEVEL_1G
            if not (whole and collapse_table(state, row, -1)):
                collapse_row(state, slot, row, gfn, end)
            kept = state.work[work.WORK_RECOVERED] - kept
            count_host_of_collapsed(state, slot, leaves - leaves_of(state.stat) + kept)
        gfn = base + PAGES_PER_1G
    return end


@jit
def collapse_row(state: MmuState, slot: int, row: int, start: int, end: int) -> None:
    """Run collapse_slot() inside one 1 GiB row, for the tables below its 2M entries in [start, end)."""
    for index in range(SPTE_ENT_PER_PAGE):
        gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
        inside = start <= gfn < end and state.l2[(row << SHIFT_2M) | index] & TABLE
        huge = inside and max_mapping_level(state, slot, gfn) >= PG_LEVEL_2M
        if inside and not (huge and collapse_table(state, row, index)):
            state.work[work.WORK_DISABLE_LOOKUP] += 1


@jit
def zap_collapsible_leaves(state: MmuState, slot: int, start: int, end: int) -> int:
    """Zap, on disable where tables stay, each leaf in [start, end) that could be mapped at a higher level.

    Returns:
        The gfn to continue from; `end` when done.

    Kernel: kvm_mmu_zap_collapsible_spte(), arch/x86/kvm/mmu/mmu.c (shadow MMU);
        zap_collapsible_spte_range(), tdp_mmu.c, up to 5.18
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        row = int(state.row_of[gfn >> SHIFT_1G])
        stop = min(end, ((gfn >> SHIFT_1G) + 1) << SHIFT_1G)
        if state.l3[row] & TABLE:
            leaves, tables = leaves_of(state.stat), int(state.stat[STAT_TABLE_PAGES])
            zap_collapsible_row(state, slot, row, gfn, stop)
            state.work[work.WORK_DISABLE_VISIT] += entries_2m_of(gfn, stop)
            count_gone(state, leaves, tables, work.WORK_ZAP_TABLE)
            count_host_of_collapsed(state, slot, leaves - leaves_of(state.stat))
        gfn = stop
    return end


@jit
def zap_collapsible_row(state: MmuState, slot: int, row: int, start: int, end: int) -> None:
    """Run zap_collapsible_leaves() inside one 1 GiB row."""
    gfn = start
    while gfn < end:
        index = (gfn >> SHIFT_2M) & (SPTE_ENT_PER_PAGE - 1)
        at = (row << SHIFT_2M) | index
        stop = min(end, ((gfn >> SHIFT_2M) + 1) << SHIFT_2M)
        level = max_mapping_level(state, slot, gfn)
        state.work[work.WORK_DISABLE_LOOKUP] += 1 if state.l2[at] & TABLE else 0
        if state.l2[at] & TABLE and level > PG_LEVEL_4K:
            zap_4k_leaves(state, (at << SHIFT_2M) | (gfn & (SPTE_ENT_PER_PAGE - 1)), gfn, stop - gfn)
        elif state.l2[at] & PRESENT and level > PG_LEVEL_2M:
            state.stat[STAT_ZAPS] += 1
            zap_2m_leaf(state, row, index)
        gfn = stop


@jit
def log_rows_zapped(state: MmuState, row: int) -> int:
    """Log the removal of the 1G entries of all rows from `row` on, with everything below them.

    Returns:
        The row to continue from; the number of rows when done, less when the event log must be emptied.
    """
    for each in range(row, state.region_of.shape[0]):
        if log_is_low(state):
            return each
        entry = int(state.l3[each]) & (LEAF_BITS | TABLE)
        if entry != 0:
            note_untraced(state, SPTE, PG_LEVEL_1G, entry, 0, state.region_of[each] << SHIFT_1G, 1)
    return int(state.region_of.shape[0])
