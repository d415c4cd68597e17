"""Arms pages for logging: write protection, and clearing dirty bits for PML."""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import CELL_4K, add_pages, cell_of, count_1g, count_2m, count_4k
from mmuviz.mmu.counting import shadow_of
from mmuviz.mmu.events import log_is_low, trace_4k_sptes_changed, trace_spte_changed
from mmuviz.mmu.examples import (
    CLEAR_DIRTY_4K,
    CLEAR_DIRTY_HUGE,
    PROTECT_1G,
    PROTECT_2M,
    PROTECT_4K,
    note_example,
)
from mmuviz.mmu.state import (
    CONF_LOG,
    CONF_TRACK_LEVEL,
    LEAF_BITS,
    LOG_NOTHING,
    MMU_WRITABLE,
    PRESENT,
    TABLE,
    WRITABLE,
    WRITABLE_SHIFT,
    MmuState,
)


@jit
def set_1g(state: MmuState, row: int, spte: int) -> None:
    """Write a 1G leaf, and the copies of its bits in its 2M entries."""
    keep = ~LEAF_BITS
    state.l3[row] = (int(state.l3[row]) & keep) | spte
    for at in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
        state.l2[at] = (int(state.l2[at]) & keep) | spte


@jit_inline_llvm
def clear_1g_bits(state: MmuState, row: int, bits: int) -> None:
    """Clear bits of a 1G leaf and trace the change, if any."""
    old = int(state.l3[row]) & LEAF_BITS
    if old & bits:
        set_1g(state, row, old & ~bits)
        state.work[work.WORK_PROTECT_HUGE] += 1
        gfn = state.region_of[row] << SHIFT_1G
        count_1g(state, gfn, old, old & ~bits)
        note_example(state, PROTECT_1G if bits & WRITABLE else CLEAR_DIRTY_HUGE, PG_LEVEL_1G, old, old & ~bits, gfn)
        trace_spte_changed(state, PG_LEVEL_1G, old, old & ~bits, gfn)


@jit_inline_llvm
def clear_2m_bits(state: MmuState, row: int, index: int, bits: int) -> None:
    """Clear bits of a 2M leaf and trace the change, if any."""
    at = (row << SHIFT_2M) | index
    old = int(state.l2[at])
    if old & bits:
        state.l2[at] = old & ~bits
        state.work[work.WORK_PROTECT_HUGE] += 1
        gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
        was, now = old & LEAF_BITS, old & LEAF_BITS & ~bits
        count_2m(state, gfn, was, now)
        note_example(state, PROTECT_2M if bits & WRITABLE else CLEAR_DIRTY_HUGE, PG_LEVEL_2M, was, now, gfn)
        trace_spte_changed(state, PG_LEVEL_2M, was, now, gfn)


@jit_inline_llvm
def clear_4k_bits(state: MmuState, first: int, count: int, bits: int, gfn: int) -> int:
    """Clear bits of `count` 4K entries from l1[first], which maps `gfn`; only leaves change.

    Returns:
        Number of entries that changed.

    Kernel: tdp_mmu_clear_spte_bits(), arch/x86/kvm/mmu/tdp_iter.h
    """
    if state.conf[CONF_LOG] == LOG_NOTHING:
        return clear_4k_bits_unlogged(state, first, count, bits, gfn)
    changed = 0
    at, end = first, first + count
    while at < end:
        old = int(state.l1[at])
        stop = at + 1
        while stop < end and state.l1[stop] == old:
            stop += 1
        if old & bits:
            state.l1[at:stop] = old & ~bits
            count_4k(state, gfn + at - first, stop - at, old, old & ~bits)
            note_4k_armed(state, old, bits, gfn + at - first)
            trace_4k_sptes_changed(state, old, old & ~bits, gfn + at - first, stop - at)
            changed += stop - at
        at = stop
    return changed


@jit_inline_llvm
def note_4k_armed(state: MmuState, old: int, bits: int, gfn: int) -> None:
    """Keep an example of a 4K leaf that lost write access or its dirty bit."""
    note_example(state, PROTECT_4K if bits & WRITABLE else CLEAR_DIRTY_4K, PG_LEVEL_4K, old, old & ~bits, gfn)


@jit_inline_llvm
def clear_4k_bits_unlogged(state: MmuState, first: int, count: int, bits: int, gfn: int) -> int:
    """clear_4k_bits() without an event log."""
    keep, changed, lost = 255 & ~bits, 0, 0
    for at in range(first, first + count):
        old = state.l1[at]
        if old & bits:
            changed += 1
            lost += (old >> WRITABLE_SHIFT) & old & PRESENT
            if changed == 1 and state.examples.shape[0] > 0:
                note_4k_armed(state, int(old), bits, gfn + at - first)
        state.l1[at] = old & keep
    if lost > 0 and state.cells.shape[0] > 0 and bits & WRITABLE:
        add_pages(state, cell_of(state, gfn), CELL_4K, 0, lost)
    return changed


@jit
def clear_leaf_bits(
    state: MmuState, start: int, end: int, levels: int, bits: int, entry: int = work.WORK_PROTECT_4K
) -> int:
    """Clear bits of every leaf that maps [start, end), at the levels whose bit (1 << level) is set.

    Args:
        state: page tables, changed in place.
        start: first gfn.
        end: gfn after the last.
        levels: mask of levels.
        bits: WRITABLE or DIRTY.
        entry: work entry that counts the 4K leaves that change; the next entry counts those that do not.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: wrprot_gfn_range() and clear_dirty_gfn_range(), arch/x86/kvm/mmu/tdp_mmu.c;
        slot_rmap_write_protect() and __rmap_clear_dirty(), arch/x86/kvm/mmu/mmu.c
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        base = (gfn >> SHIFT_1G) << SHIFT_1G
        stop = min(end, base + PAGES_PER_1G)
        row = int(state.row_of[gfn >> SHIFT_1G])
        if row >= 0 and state.l3[row] & PRESENT:
            if levels & (1 << PG_LEVEL_1G):
                clear_1g_bits(state, row, bits)
        elif row >= 0 and state.l3[row] & TABLE:
            clear_row_bits(state, row, gfn - base, stop - base, levels, bits, entry)
        if shadow_of(state) != 0 and levels & (1 << PG_LEVEL_4K):
            state.work[work.WORK_RMAP_WALKED] += stop - gfn
        gfn = stop
    return end


@jit
def clear_row_bits(state: MmuState, row: int, low: int, high: int, levels: int, bits: int, entry: int) -> None:
    """Run clear_leaf_bits() inside one 1 GiB row, for its pages [low, high)."""
    base, counts, shadow = state.region_of[row] << SHIFT_1G, state.work, shadow_of(state)
    visited, huge, seen, changed = 0, counts[work.WORK_PROTECT_HUGE], 0, 0
    page = low
    while page < high:
        index = page >> SHIFT_2M
        stop = min(high, (index + 1) << SHIFT_2M)
        spte = state.l2[(row << SHIFT_2M) | index]
        visited += 1
        if spte & TABLE:
            if levels & (1 << PG_LEVEL_4K):
                seen += stop - page
                changed += clear_4k_bits(state, (row << SHIFT_1G) + page, stop - page, bits, base + page)
        elif spte & PRESENT and levels & (1 << PG_LEVEL_2M):
            clear_2m_bits(state, row, index, bits)
        page = stop
    counts[entry + shadow] += changed
    counts[entry + 1 + shadow] += seen - changed
    if entry == work.WORK_PROTECT_4K:
        counts[work.WORK_VISIT_HUGE + shadow] += visited - (counts[work.WORK_PROTECT_HUGE] - huge)


@jit_inline_llvm
def write_protect_gfn(state: MmuState, gfn: int) -> None:
    """Write-protect the huge leaf that maps a gfn, for CLEAR; MMU_WRITABLE is cleared too.

    Then fast_page_fault() declines the next write, even after a split, since the children inherit the bits. A
    2M leaf that is tracked as a whole is armed in clear_bits_pt_masked() instead.

    Kernel: write_protect_gfn(), arch/x86/kvm/mmu/tdp_mmu.c (min_level is 2M here)
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    if row < 0:
        return
    if state.l3[row] & PRESENT:
        clear_1g_bits(state, row, WRITABLE | MMU_WRITABLE)
    elif state.l3[row] & TABLE and state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K:
        index = (gfn >> SHIFT_2M) & SPTE_INDEX_MASK
        if state.l2[(row << SHIFT_2M) | index] & PRESENT:
            clear_2m_bits(state, row, index, WRITABLE | MMU_WRITABLE)


@jit_inline_llvm
def low_bits(count: int) -> int:
    """Return a mask of the lowest `count` bits of 64, as int64."""
    return -1 if count == BITS_PER_LONG else (1 << count) - 1


@jit
def clear_tracked_2m(state: MmuState, row: int, index: int, mask: int, bits: int) -> None:
    """Arm a 2M leaf that logging tracks as a whole, if the mask contains any of its pages. Never merged."""
    if mask != 0 and state.l3[row] & TABLE and state.l2[(row << SHIFT_2M) | index] & PRESENT:
        clear_2m_bits(state, row, index, bits)


@jit_inline_source
def clear_bits_pt_masked(state: MmuState, gfn: int, mask: int, bits: int) -> int:
    """Clear bits of the 4K leaves for the pages in a mask of up to 64 pages from gfn.

    Where logging tracks 2M, a 2M leaf is armed as a whole by any of its pages.

    Args:
        state: page tables, changed in place.
        gfn: the page of bit 0; need not be a multiple of 64.
        mask: 64 bits, as int64.
        bits: WRITABLE, or DIRTY where PML logs.

    Returns:
        Number of 4K leaves that changed.

    Kernel: clear_dirty_pt_masked(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    done, changed = 0, 0
    while done < BITS_PER_LONG:
        page = gfn + done
        within = page & SPTE_INDEX_MASK
        count = min(BITS_PER_LONG - done, SPTE_ENT_PER_PAGE - within)
        row = int(state.row_of[page >> SHIFT_1G]) if page >> SHIFT_1G < state.row_of.shape[0] else -1
        if row >= 0:
            at = (row << SHIFT_2M) | ((page >> SHIFT_2M) & SPTE_INDEX_MASK)
            if state.l2[at] & TABLE:
                first = (at << SHIFT_2M) | within
                if mask == -1:
                    changed += clear_4k_bits(state, first, count, bits, page)
                else:
                    for each in range(count):
                        if (mask >> (done + each)) & 1:
                            changed += clear_4k_bits(state, first + each, 1, bits, page + each)
            elif state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_2M:
                clear_tracked_2m(state, row, at & SPTE_INDEX_MASK, (mask >> done) & low_bits(count), bits)
        done += count
    return changed
