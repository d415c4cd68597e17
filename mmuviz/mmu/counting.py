"""Counting the machine's work where it takes more than one addition; the entries are in mmu/work.py."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.jit import jit, jit_inline_exported, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGE_BYTES,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.state import (
    CONF_EAGER,
    CONF_INIT_SET,
    CONF_RING,
    CONF_SPLITTER,
    CONF_TDP_MMU,
    I64,
    PRESENT,
    SLOT_BASE,
    SLOT_END,
    SLOT_HOST_HUGETLB,
    SLOT_HOST_LEVEL,
    SLOT_LOGGING,
    SPLITTER_STAGE2,
    SPLITTER_TDP,
    STAT_PAGES,
    STAT_TABLE_PAGES,
    TABLE,
    MmuState,
)

BITMAPS: Final = 2
"""KVM allocates two dirty bitmaps per slot. Kernel: kvm_alloc_dirty_bitmap(), virt/kvm/kvm_main.c."""


@jit_inline_llvm
def shadow_of(state: MmuState) -> int:
    """Offset added to a walk's work entry: the shadow MMU's walks have entries of their own."""
    return work.WORK_SHADOW if state.conf[CONF_TDP_MMU] == 0 else 0


# Faults


@jit_inline_llvm
def count_map_4k(state: MmuState, slot: int, level: int, faults: int) -> None:
    """Count faults that map a 4K page where nothing was mapped, by the host page's level and by logging."""
    logged, counts = state.slots[slot, SLOT_LOGGING] != 0, state.work
    if level == PG_LEVEL_4K:
        counts[work.WORK_FAULT_MAP_4K_LOGGED if logged else work.WORK_FAULT_MAP_4K] += faults
        counts[work.WORK_FAULT_LRU] += faults
        return
    counts[work.WORK_FAULT_MAP_4K_OF_HUGE] += faults
    if not logged:
        counts[work.WORK_FAULT_UNLOGGED] += faults
    elif state.conf[CONF_INIT_SET] != 0:
        counts[work.WORK_FAULT_INITSET] += faults
    if level == PG_LEVEL_1G:
        counts[work.WORK_FAULT_HOST_1G] += faults


@jit_inline_llvm
def count_slow(state: MmuState, level: int, faults: int) -> None:
    """Count faults that change an existing 4K leaf; `level` is that of the host page."""
    state.work[work.WORK_FAULT_SLOW] += faults
    if level == PG_LEVEL_1G:
        state.work[work.WORK_FAULT_HOST_1G] += faults


# Removed leaves and tables, derived from KVM's own statistics


@jit_inline_llvm
def leaves_of(stat: I64) -> int:
    """Return the number of leaves of all levels."""
    return int(stat[STAT_PAGES + PG_LEVEL_4K] + stat[STAT_PAGES + PG_LEVEL_2M] + stat[STAT_PAGES + PG_LEVEL_1G])


@jit_inline_llvm
def count_gone(state: MmuState, leaves: int, tables: int, entry: int) -> None:
    """Count tables and leaves removed since the given counts: tables at `entry`, leaves at the next entry."""
    state.work[entry] += tables - state.stat[STAT_TABLE_PAGES]
    state.work[entry + 1] += leaves - leaves_of(state.stat)


@jit_inline_llvm
def count_host_of_collapsed(state: MmuState, slot: int, leaves: int) -> None:
    """Count the extra work that the host's pages add to leaves which disable zaps or recovers."""
    if state.slots[slot, SLOT_HOST_LEVEL] == PG_LEVEL_1G:
        state.work[work.WORK_COLLAPSE_HOST_1G] += leaves
    elif state.slots[slot, SLOT_HOST_HUGETLB] == 0:
        state.work[work.WORK_ZAP_HOST_LRU] += leaves


@jit_inline_llvm
def entries_2m_of(start: int, end: int) -> int:
    """Return the number of 2M entries that gfns [start, end) touch."""
    return ((end + PAGES_PER_2M - 1) >> SHIFT_2M) - (start >> SHIFT_2M)


@jit
def count_deleted(state: MmuState, slot: int) -> None:
    """Count the tables and leaves deleted with a slot; the fixed part contains the walk of the whole VM."""
    start, end = int(state.slots[slot, SLOT_BASE]), int(state.slots[slot, SLOT_END])
    tables, above, small, huge = 0, 0, 0, 0
    gfn = start
    while gfn < end:
        row = int(state.row_of[gfn >> SHIFT_1G])
        stop = min(end, ((gfn >> SHIFT_1G) + 1) << SHIFT_1G)
        if state.l3[row] & TABLE:
            above += 1
            while gfn < stop:
                at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
                edge = min(stop, ((gfn >> SHIFT_2M) + 1) << SHIFT_2M)
                if state.l2[at] & TABLE:
                    tables += 1
                    first = (at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)
                    for each in range(first, first + edge - gfn):
                        small += 1 if state.l1[each] & PRESENT else 0
                elif state.l2[at] & PRESENT:
                    huge += 1
                gfn = edge
        gfn = stop
    state.work[work.WORK_SLOT_DELETE] += 1
    state.work[work.WORK_DELETE_TABLE] += tables + max(above - 1, 0)
    state.work[work.WORK_DELETE_CHILD] += small
    state.work[work.WORK_DELETE_HUGE] += huge
    if state.slots[slot, SLOT_HOST_HUGETLB] == 0:
        state.work[work.WORK_ZAP_HOST_LRU] += small


# Enable and disable


@jit_inline_llvm
def bitmap_pages_of(state: MmuState, slot: int) -> int:
    """Pages of the dirty bitmap with a cost: the first comes with the slab, and a ring needs none."""
    if state.conf[CONF_RING] != 0:
        return 0
    pages = int(state.slots[slot, SLOT_END] - state.slots[slot, SLOT_BASE])
    return max(BITMAPS * pages // (8 * PAGE_BYTES) - 1, 0)


@jit_inline_exported
def count_enable(state: MmuState, slot: int) -> None:
    """Count the fixed part of KVM_SET_USER_MEMORY_REGION with KVM_MEM_LOG_DIRTY_PAGES."""
    counts, conf = state.work, state.conf
    counts[work.WORK_BITMAP_PAGE] += bitmap_pages_of(state, slot)
    if conf[CONF_INIT_SET] == 0:
        counts[work.WORK_ENABLE] += 1
        counts[work.WORK_ENABLE_EAGER] += 1 if conf[CONF_EAGER] != 0 and conf[CONF_SPLITTER] == SPLITTER_TDP else 0
        return
    counts[work.WORK_ENABLE_INITSET] += 1
    if conf[CONF_RING] == 0:
        pages = state.slots[slot, SLOT_END] - state.slots[slot, SLOT_BASE]
        counts[work.WORK_BITMAP_FILL] += (pages + BITS_PER_LONG - 1) // BITS_PER_LONG


@jit_inline_exported
def count_disable(state: MmuState, slot: int) -> None:
    """Count the fixed part of the same call without the flag."""
    state.work[work.WORK_DISABLE] += 1
    state.work[work.WORK_BITMAP_FREE] += bitmap_pages_of(state, slot)


# The words of GET, CLEAR and ring reset


@jit_inline_llvm
def has_4k_table(state: MmuState, gfn: int) -> bool:
    """Whether a 4K table covers a gfn."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    return row >= 0 and state.l2[(row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)] & TABLE != 0


@jit_inline_llvm
def maps_1g(state: MmuState, gfn: int) -> bool:
    """Whether the 1 GiB region of a gfn has a leaf or a table; without either, every walk ends at the top level."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    return row >= 0 and state.l3[row] & (TABLE | PRESENT) != 0


@jit
def count_huge_word(state: MmuState, gfn: int, shadow: int) -> None:
    """Count a word of CLEAR under initially-all-set without a 4K table; `gfn` is its first dirty page."""
    below_1g = state.l3[int(state.row_of[gfn >> SHIFT_1G])] & TABLE != 0
    entry = work.WORK_CLEAR_HUGE_WORD_2M if below_1g else work.WORK_CLEAR_HUGE_WORD_1G
    state.work[entry + shadow] += 1


@jit_inline_llvm
def verb_now(state: MmuState, verb: int) -> int:
    """First work entry of a word: CLEAR under initially-all-set has entries of its own where it splits."""
    splitter = state.conf[CONF_SPLITTER]
    splits = state.conf[CONF_EAGER] != 0 and (splitter in (SPLITTER_TDP, SPLITTER_STAGE2))
    if verb == work.WORK_CLEAR_WORD and state.conf[CONF_INIT_SET] != 0 and splits:
        return work.WORK_CLEAR_INITSET_WORD
    return verb


@jit_inline_source
def count_word(state: MmuState, slot: int, gfn: int, low: int, high: int, verb: int) -> None:
    """Count a word with dirty pages by the tables that cover it, and the entries that the walk passes.

    The walk continues after the highest dirty page to the next present entry, or to the end of the word.

    Args:
        state: tables as they are walked; its work grows.
        slot: index of the memslot.
        gfn: page of the word's first bit.
        low: the word's lowest dirty bit.
        high: the word's highest dirty bit.
        verb: WORK_GET_WORD, WORK_CLEAR_WORD or WORK_RING_WORD, or what verb_now() makes of it.

    Kernel: clear_dirty_pt_masked(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    counts, shadow = state.work, shadow_of(state)
    initset = verb == work.WORK_CLEAR_INITSET_WORD or (verb == work.WORK_CLEAR_WORD and state.conf[CONF_INIT_SET] != 0)
    covered = has_4k_table(state, gfn + low) or has_4k_table(state, gfn + high)
    if initset and not maps_1g(state, gfn + low) and not covered:
        initset, verb = False, work.WORK_CLEAR_WORD
    if covered or not initset:
        counts[verb + shadow] += 1
    else:
        count_huge_word(state, gfn + low, shadow)
    if initset and covered == (verb == work.WORK_CLEAR_WORD):
        counts[work.WORK_CLEAR_WALK_DOWN + shadow] += 1
    if covered:
        end = min(BITS_PER_LONG, int(state.slots[slot, SLOT_END]) - gfn)
        count_walk(state, gfn + low, gfn + high + 1, gfn + end, verb + shadow)


@jit
def count_walk(state: MmuState, page: int, behind: int, end: int, verb: int) -> None:
    """Count present entries and holes from a page to the first present one at or after `behind`, at most to `end`."""
    present, holes, found = 0, 0, False
    while page < end and not found:
        row = int(state.row_of[page >> SHIFT_1G])
        stop = min(end, ((page >> SHIFT_2M) + 1) << SHIFT_2M)
        at = (row << SHIFT_2M) | ((page >> SHIFT_2M) & SPTE_INDEX_MASK)
        if row < 0 or state.l2[at] & TABLE == 0:
            holes += stop - page
            page = stop
            continue
        shift = (at << SHIFT_2M) - (page - (page & SPTE_INDEX_MASK))
        inside = max(min(stop, behind) - page, 0)
        here = 0
        for each in range(page + shift, page + shift + inside):
            here += state.l1[each] & PRESENT
        present += here
        holes += inside - here
        page += inside
        while page < stop and not found:
            found = state.l1[page + shift] & PRESENT != 0
            holes += 0 if found else 1
            page += 1
    state.work[verb + work.PAST] += max(present - 1, 0)
    state.work[verb + work.HOLE] += holes


@jit_inline_llvm
def bits_of(mask: int) -> int:
    """Number of set bits of 64. Kernel: hweight64()."""
    each = np.uint64(mask)
    each = each - ((each >> np.uint64(1)) & np.uint64(0x5555555555555555))
    each = (each & np.uint64(0x3333333333333333)) + ((each >> np.uint64(2)) & np.uint64(0x3333333333333333))
    each = (each + (each >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((each * np.uint64(0x0101010101010101)) >> np.uint64(56)))  # signed, or compiled -1 is large


def count_run(counts: I64, running: int, turns: int, accesses: int, *, write: bool) -> None:
    """Count KVM_RUN, the threads that a parallel run wakes, and the guest's own loop.

    Args:
        counts: int64[WORK_ENTRIES], changed in place.
        running: vCPUs that entered the guest.
        turns: accesses whose vCPU is given one by one; 1 if one vCPU makes them all.
        accesses: number of retired accesses.
        write: whether they were writes.
    """
    counts[work.WORK_RUN] += running
    counts[work.WORK_VCPU_THREAD] += running if turns > 1 else 0
    counts[work.WORK_GUEST_WRITE if write else work.WORK_GUEST_READ] += accesses
