"""Counting cells by scanning the tables: at the start of a run, and to check them at its end."""

from __future__ import annotations

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, SHIFT_1G, SHIFT_2M, SPTE_ENT_PER_PAGE
from mmuviz.mmu.cells import count_1g, count_2m, count_4k, count_dirty_word
from mmuviz.mmu.counting import bits_of
from mmuviz.mmu.state import (
    LEAF_BITS,
    PRESENT,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_END,
    TABLE,
    MmuState,
)


@jit
def count_all(state: MmuState) -> None:
    """Count every cell again.

    Args:
        state: its cells are changed in place; dirty pages are those of the slots' bitmaps.
    """
    for cell in range(state.cells.shape[0]):
        for column in range(state.cells.shape[1]):
            state.cells[cell, column] = 0
    for row in range(state.region_of.shape[0]):
        gfn = state.region_of[row] << SHIFT_1G
        if state.l3[row] & PRESENT:
            count_1g(state, gfn, 0, state.l3[row] & LEAF_BITS)
        elif state.l3[row] & TABLE:
            count_row(state, row, gfn)
    for slot in range(state.slots.shape[0]):
        count_bitmap(state, slot)
    for cell in range(state.cells.shape[0]):
        state.cell_changed[cell] = 1


@jit
def count_row(state: MmuState, row: int, first: int) -> None:
    """Count the 2M entries of one row, and the 4K entries below them."""
    for index in range(SPTE_ENT_PER_PAGE):
        at, gfn = (row << SHIFT_2M) | index, first + (index << SHIFT_2M)
        if state.l2[at] & PRESENT:
            count_2m(state, gfn, 0, state.l2[at] & LEAF_BITS)
        elif state.l2[at] & TABLE:
            for each in range(SPTE_ENT_PER_PAGE):
                bits = state.l1[(at << SHIFT_2M) | each]
                if bits & PRESENT:
                    count_4k(state, gfn + each, 1, 0, bits)


@jit
def count_bitmap(state: MmuState, slot: int) -> None:
    """Count the dirty pages of one slot."""
    base, end, at = state.slots[slot, SLOT_BASE], state.slots[slot, SLOT_END], state.slots[slot, SLOT_DIRTY_AT]
    for word in range((end - base + BITS_PER_LONG - 1) // BITS_PER_LONG):
        mask = state.dirty[at + word]
        if mask != 0:
            count_dirty_word(state, base + word * BITS_PER_LONG, mask, bits_of(mask))
