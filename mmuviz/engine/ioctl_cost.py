"""What the walks of the ioctls cost: leaves and words are counted before a step, and priced after it."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.engine.cost_table import LINE_BYTES, PS_PER_NS, CostTable, misses, table_lines
from mmuviz.ground.compiled import compiled
from mmuviz.ground.pages import (
    BITS_PER_LONG,
    PAGE_BYTES,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import I64, MmuState

SPTE_BYTES: Final = PAGE_BYTES // SPTE_ENT_PER_PAGE
RMAP_BYTES: Final = 8
"""A gfn's rmap head. Kernel: struct kvm_rmap_head."""
TABLE_MOVES: Final = 2
"""A table's lines come into the cache and are written back from it."""


@compiled
def armed_now(state: MmuState, start: int, end: int, bits: int) -> tuple[int, int, int]:
    """Leaves of [start, end) that arming will change: at 4K, huge; and 4K entries it walks past.

    Args:
        state: tables, not changed.
        start: first gfn.
        end: gfn behind the last.
        bits: WRITABLE or DIRTY.
    """
    small, huge, seen = 0, 0, 0
    gfn = start
    while gfn < end:
        row = int(state.row_of[gfn >> SHIFT_1G])
        stop = min(end, ((gfn >> SHIFT_1G) + 1) << SHIFT_1G)
        if row >= 0 and state.l3[row] & mmu.TABLE:
            stop = min(stop, ((gfn >> SHIFT_2M) + 1) << SHIFT_2M)
            at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
            if state.l2[at] & mmu.TABLE:
                first = (at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)
                seen += stop - gfn
                for each in range(first, first + stop - gfn):
                    small += 1 if state.l1[each] & bits else 0
            elif state.l2[at] & mmu.PRESENT:
                huge += 1
        elif row >= 0 and state.l3[row] & mmu.PRESENT:
            huge += 1
        gfn = stop
    return small, huge, seen


@compiled
def words_by_level(state: MmuState, gfn: int, masks: I64) -> tuple[int, int]:
    """Of words with a bit set: how many begin in a huge leaf, and the bits of those that do not.

    Args:
        state: tables, not changed.
        gfn: page of the first word's first bit.
        masks: int64[words].
    """
    huge, small = 0, 0
    for word in range(len(masks)):
        page, mask = gfn + word * BITS_PER_LONG, masks[word]
        row = int(state.row_of[page >> SHIFT_1G])
        at = (row << SHIFT_2M) | ((page >> SHIFT_2M) & SPTE_INDEX_MASK)
        if mask == 0 or row < 0:
            continue
        if state.l2[at] & mmu.TABLE:
            while mask != 0:
                mask &= mask - 1
                small += 1
        elif state.l2[at] & mmu.PRESENT:
            huge += 1
    return huge, small


def footprint(prices: CostTable, pages: int) -> int:
    """Bytes of the 4K SPTEs, and of the rmap heads, of so many pages."""
    return pages * (SPTE_BYTES + (RMAP_BYTES if prices.config.mmu.shadows else 0))


def splitting_ps(prices: CostTable, tables: MmuState, splits: int, pages: int, verb: str) -> int:
    """Time that splitting took in one step.

    A table that was filled leaves the cache and is written back; so do the rmap heads of its children.

    Args:
        prices: of the VM.
        tables: that were split.
        splits: how many.
        pages: that the whole call goes over.
        verb: enable, or clear_2m.
    """
    rmap = tables.conf[mmu.CONF_SPLITTER] == mmu.SPLITTER_RMAP
    took = splits * prices.walk(f"split_{verb}")
    took += splits * SPTE_ENT_PER_PAGE * prices.host["rmap_add_ps"] if rmap else 0
    lines = (2 * TABLE_MOVES if rmap else TABLE_MOVES) * splits * table_lines(SPTE_ENT_PER_PAGE)
    return took + misses(prices, lines, footprint(prices, pages))


def arming_ps(prices: CostTable, tables: MmuState, counts: tuple[int, int, int], pages: int, whole: int) -> int:
    """Time that arming took in one step.

    Args:
        prices: of the VM.
        tables: that were armed.
        counts: from armed_now().
        pages: of the step.
        whole: pages that the whole call goes over.
    """
    small, huge, seen = counts
    lines = TABLE_MOVES * table_lines(seen)
    took = huge * prices.walk("protect_huge")
    if tables.conf[mmu.CONF_TDP_MMU]:
        took += small * prices.walk("protect_4k") + (seen - small) * prices.walk("visit_4k")
    else:
        took += pages * prices.host["rmap_head_ps"] + small * prices.host["rmap_arm_ps"]
        lines += pages * RMAP_BYTES // LINE_BYTES
    return took + misses(prices, lines, footprint(prices, whole))


def words_ps(prices: CostTable, masks: I64, levels: tuple[int, int], verb: str, whole: int, *, eager: bool) -> int:
    """Time for the words of one step of GET or CLEAR: what each costs, and its pages.

    Args:
        prices: of the VM.
        masks: int64[words], bits that are cleared.
        levels: from words_by_level(), before the step.
        verb: get or clear.
        whole: words of the whole call.
        eager: the call splits huge pages.
    """
    dirty, busy = int(np.bitwise_count(masks.view(np.uint64)).sum()), int((masks != 0).sum())
    huge, small = levels
    took = len(masks) * prices.walk(f"{verb}_idle_word")
    armed = dirty if eager else small
    lines = TABLE_MOVES * (armed * SPTE_BYTES // LINE_BYTES)
    if prices.config.mmu.shadows:
        took += dirty * prices.host["rmap_head_ps"] + armed * prices.host["rmap_arm_ps"]
        took += busy * prices.walk(f"{verb}_word") if prices.config.tdp_mmu else 0
        lines += busy * BITS_PER_LONG * RMAP_BYTES // LINE_BYTES
    elif eager:
        took += busy * prices.walk("clear_initset_word") + dirty * prices.walk("clear_initset_page")
    else:
        took += huge * prices.walk("clear_huge_word_1g")
        took += (busy - huge) * prices.walk(f"{verb}_word") + small * prices.walk(f"{verb}_page")
    return took + misses(prices, lines, footprint(prices, whole * BITS_PER_LONG))


def topping_up_ps(prices: CostTable, topups: int) -> int:
    """Filling VM-wide split caches that a call frees again (shadow-eager-v1)."""
    return topups * prices.host["topup_ns"] * PS_PER_NS if prices.config.kernel.split_caches_last_a_call else 0
