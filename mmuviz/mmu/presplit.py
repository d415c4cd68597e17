"""The pre-split of 2020: userspace lets a dummy vCPU fault in every page before logging starts.

From the series "Split EPT huge pages in advance of dirty logging" (Zhou Jian, 18 Feb 2020), never
merged: flags of the memslot force the level, and an ioctl calls the fault handler for each page.
Follows the mail, not recordings. The kernel row decides whether a fault zaps or splits a huge page.
"""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G, SHIFT_2M, SPTE_INDEX_MASK
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.fault import invalidate_gfn, topup_memory_caches
from mmuviz.mmu.host import FAULT_INVALIDATES, FAULT_LEVEL, fault_host_page
from mmuviz.mmu.mapping import map_page, step_down_1g, step_down_2m
from mmuviz.mmu.memslot import host_page_of
from mmuviz.mmu.state import (
    CONF_FAULT_SPLITS,
    CONF_TDP_MMU,
    PRESENT,
    SPTE_WRITABLE,
    TABLE,
    WRITABLE,
    MmuState,
)


@jit
def fault_pages(state: MmuState, vcpu: int, slot: int, level: int, start: int, end: int) -> int:
    """Fault one page of each entry at a level, for writing, from `start` to `end`.

    Args:
        state: changed in place; the slot's forced level is `level` already.
        vcpu: the dummy vCPU.
        slot: index of the memslot.
        level: PG_LEVEL_2M in the first pass, PG_LEVEL_4K in the second.
        start: gfn to continue from.
        end: gfn to stop before, in the slot.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.
    """
    gfn = start
    while gfn < end:
        if log_is_low(state):
            return gfn
        fault_page(state, vcpu, slot, gfn, level)
        gfn = (((gfn >> SHIFT_2M) + 1) << SHIFT_2M) if level == PG_LEVEL_2M else gfn + 1
    return gfn


@jit
def fault_page(state: MmuState, vcpu: int, slot: int, gfn: int, level: int) -> None:
    """Call the fault handler once outside of the guest: no exit, no count of page faults."""
    topup_memory_caches(state, vcpu)
    host = fault_host_page(state, slot, host_page_of(state, slot, gfn), 1)
    if host & FAULT_INVALIDATES:
        invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)
    row = int(state.row_of[gfn >> SHIFT_1G])
    index = (gfn >> SHIFT_2M) & SPTE_INDEX_MASK
    at = (row << SHIFT_2M) | index
    if state.conf[CONF_FAULT_SPLITS] != 0 and state.conf[CONF_TDP_MMU] != 0:
        if state.l3[row] & PRESENT:
            step_down_1g(state, vcpu, row)
        if level == PG_LEVEL_4K and state.l2[at] & PRESENT:
            step_down_2m(state, vcpu, row, index)
    if not maps_writable(state, row, at, gfn, level):
        map_page(state, vcpu, slot, gfn, SPTE_WRITABLE, host & FAULT_LEVEL)


@jit_inline_llvm
def maps_writable(state: MmuState, row: int, at: int, gfn: int, level: int) -> bool:
    """Whether a leaf at this level or below maps a gfn writable, so that the fault is spurious."""
    if state.l2[at] & TABLE:
        return int(state.l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)]) & WRITABLE != 0
    held = PG_LEVEL_1G if state.l3[row] & PRESENT else PG_LEVEL_2M
    return held <= level and int(state.l2[at]) & WRITABLE != 0
