"""Counts of how each cell of guest memory is mapped, updated as the tables change, never by scanning the guest.

A cell is a power-of-two number of 2M regions; `MmuState.cell_row` maps each 1 GiB region to its first
cell. Counts are in 4K pages. A run that counts no cells pays one comparison per change.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PAGES_PER_2M,
    SHIFT_1G,
    SHIFT_2M,
)
from mmuviz.mmu.state import CONF_CELL_SHIFT, PRESENT, WRITABLE, MmuState

# Columns of `MmuState.cells`.
CELL_4K: Final = 0
CELL_2M: Final = 1
CELL_1G: Final = 2
CELL_PROTECTED: Final = 3
"""CELL_PROTECTED plus a level's column: pages that leaves of that level map without write access."""
CELL_DIRTY: Final = 6
CELL_COLUMNS: Final = 8
"""One more than are used, so that a row is one cache line."""


@jit_inline_llvm
def leaf(bits: int) -> int:
    """Return 1 for a leaf, 0 for a table or an empty entry."""
    return int(bits) & PRESENT


@jit_inline_llvm
def protected(bits: int) -> int:
    """Return 1 for a leaf without write access, else 0."""
    return 1 if int(bits) & (PRESENT | WRITABLE) == PRESENT else 0


@jit_inline_llvm
def cell_of(state: MmuState, gfn: int) -> int:
    """The cell of a gfn."""
    row = int(state.cell_row[gfn >> SHIFT_1G])
    return int(((row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))) >> state.conf[CONF_CELL_SHIFT])


@jit_inline_llvm
def add_pages(state: MmuState, cell: int, column: int, leaves: int, without_write: int) -> None:
    """Add pages that leaves of one level map, and how many of them lack write access."""
    state.cells[cell, column] += leaves
    state.cells[cell, CELL_PROTECTED + column] += without_write
    state.cell_changed[cell] = 1


@jit_inline_llvm
def count_4k(state: MmuState, gfn: int, count: int, old: int, new: int) -> None:
    """Count the same change of `count` consecutive 4K entries in one 2M region."""
    if state.cells.shape[0] > 0:
        leaves, without = leaf(new) - leaf(old), protected(new) - protected(old)
        if leaves != 0 or without != 0:
            add_pages(state, cell_of(state, gfn), CELL_4K, count * leaves, count * without)


@jit_inline_llvm
def count_2m(state: MmuState, gfn: int, old: int, new: int) -> None:
    """Count a change of a 2M entry; the code that changes its children counts those."""
    if state.cells.shape[0] > 0:
        leaves, without = leaf(new) - leaf(old), protected(new) - protected(old)
        if leaves != 0 or without != 0:
            add_pages(state, cell_of(state, gfn), CELL_2M, PAGES_PER_2M * leaves, PAGES_PER_2M * without)


@jit_inline_llvm
def count_1g(state: MmuState, gfn: int, old: int, new: int) -> None:
    """Count a change of a 1G entry."""
    if state.cells.shape[0] > 0:
        leaves, without = leaf(new) - leaf(old), protected(new) - protected(old)
        count_over_1g(state, cell_of(state, gfn), CELL_1G, leaves, without)


@jit
def count_over_1g(state: MmuState, first: int, column: int, leaves: int, without: int) -> None:
    """Add 1 GiB of pages, times `leaves` and `without`, to the cells that cover it, beginning at `first`."""
    shift = state.conf[CONF_CELL_SHIFT]
    each = min(1 << shift, PAGES_PER_1G)
    for cell in range(first, first + (PAGES_PER_1G // each)):
        add_pages(state, cell, column, each * leaves, each * without)


@jit_inline_llvm
def count_children_2m(state: MmuState, gfn: int, old: int, new: int) -> None:
    """Count the same change of all 512 2M entries below a 1G entry."""
    if state.cells.shape[0] > 0:
        leaves, without = leaf(new) - leaf(old), protected(new) - protected(old)
        count_over_1g(state, cell_of(state, gfn), CELL_2M, leaves, without)


@jit_inline_llvm
def count_dirty(state: MmuState, gfn: int, pages: int) -> None:
    """Count pages of one 2M region that entered KVM's dirty log, or left it (negative)."""
    if state.dirty_cells.shape[0] > 0:
        cell = cell_of(state, gfn)
        state.dirty_cells[cell, CELL_DIRTY] += pages
        state.cell_changed[cell] = 1


@jit
def count_dirty_range(state: MmuState, gfn: int, end: int, sign: int) -> None:
    """count_dirty() of every page of [gfn, end)."""
    while gfn < end:
        stop = min(end, ((gfn >> SHIFT_2M) + 1) << SHIFT_2M)
        count_dirty(state, gfn, sign * (stop - gfn))
        gfn = stop


@jit_inline_llvm
def count_dirty_word(state: MmuState, gfn: int, mask: int, pages: int) -> None:
    """Count the pages of a 64-bit mask that entered the dirty log, or left it.

    Args:
        state: its dirty cells are changed in place.
        gfn: the page of bit 0.
        mask: 64 bits, as int64.
        pages: number of set bits; negative if the pages left.
    """
    if state.dirty_cells.shape[0] == 0:
        return
    if gfn >> SHIFT_2M == (gfn + BITS_PER_LONG - 1) >> SHIFT_2M:
        count_dirty(state, gfn, pages)
        return
    for bit in range(BITS_PER_LONG):
        if (mask >> bit) & 1:
            count_dirty(state, gfn + bit, 1 if pages > 0 else -1)
