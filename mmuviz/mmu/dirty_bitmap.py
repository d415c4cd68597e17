"""A slot's dirty bitmap: setting bits, filling and clearing all of it, logging its changes."""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PG_LEVEL_4K,
    WORD_SHIFT,
)
from mmuviz.mmu.cells import count_dirty, count_dirty_range
from mmuviz.mmu.counting import bits_of
from mmuviz.mmu.dirty_log import count_cleared
from mmuviz.mmu.events import DIRTY_LOG, UNTRACED, log_change, log_is_low, note_untraced, spte_code
from mmuviz.mmu.state import (
    CONF_LOG,
    LOG_ALL,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_DIRTY_PAGES,
    SLOT_END,
    SLOT_UNREPORTED_PAGES,
    STAT_LEFT_LOG,
    MmuState,
)


@jit_inline_llvm
def set_bit(state: MmuState, slot: int, words_at: int, offset: int) -> int:
    """Set a page's bit in the bitmap that begins at a word; return 1 if it was clear. The caller updates the cells."""
    at, bit = words_at + (offset >> WORD_SHIFT), 1 << (offset & (BITS_PER_LONG - 1))
    if state.dirty[at] & bit == 0:
        state.dirty[at] |= bit
        state.slots[slot, SLOT_DIRTY_PAGES] += 1
        state.slots[slot, SLOT_UNREPORTED_PAGES] += 1
        note_untraced(state, DIRTY_LOG, PG_LEVEL_4K, 0, 1, state.slots[slot, SLOT_BASE] + offset, 1)
        return 1
    return 0


@jit_inline_llvm
def set_bits(state: MmuState, slot: int, words_at: int, offset: int, pages: int) -> int:
    """set_bit() of consecutive pages without logging events; returns the number of bits that were clear."""
    end, came = offset + pages, 0
    while offset < end:
        bit = offset & (BITS_PER_LONG - 1)
        here = min(BITS_PER_LONG - bit, end - offset)
        mask = -1 if here == BITS_PER_LONG else ((1 << here) - 1) << bit
        at = words_at + (offset >> WORD_SHIFT)
        came += bits_of(mask & ~state.dirty[at])
        state.dirty[at] |= mask
        offset += here
    state.slots[slot, SLOT_DIRTY_PAGES] += came
    state.slots[slot, SLOT_UNREPORTED_PAGES] += came
    return came


@jit_inline_llvm
def mark_bit(state: MmuState, slot: int, words_at: int, offset: int) -> None:
    """Set the bit of one page in the bitmap that begins at a word. Kernel: set_bit_le()."""
    if set_bit(state, slot, words_at, offset):
        count_dirty(state, state.slots[slot, SLOT_BASE] + offset, 1)


@jit_inline_llvm
def mark_page(state: MmuState, slot: int, offset: int) -> None:
    """Set the bit of one page of a slot."""
    mark_bit(state, slot, state.slots[slot, SLOT_DIRTY_AT], offset)


@jit
def empty_bitmap(state: MmuState, slot: int, word: int) -> int:
    """Clear every bit of a slot's bitmap.

    Args:
        state: changed in place.
        slot: index of the memslot.
        word: word to continue from.

    Returns:
        The word to continue from; the number of words when done, less when the event log must be emptied.
    """
    at = state.slots[slot, SLOT_DIRTY_AT]
    words = (state.slots[slot, SLOT_END] - state.slots[slot, SLOT_BASE] + BITS_PER_LONG - 1) // BITS_PER_LONG
    state.slots[slot, SLOT_UNREPORTED_PAGES] = 0
    for each in range(word, words):
        mask = state.dirty[at + each]
        if mask != 0:
            if log_is_low(state):
                return each
            state.dirty[at + each] = 0
            count_cleared(state, slot, each * BITS_PER_LONG, mask)
    return int(words)


@jit
def log_bitmap(state: MmuState, slot: int, old: int, new: int, word: int) -> int:
    """Log that every dirty page of a slot left the dirty log, or entered it, together with the slot.

    Args:
        state: its log grows.
        slot: index of the memslot.
        old: 1 if the pages leave.
        new: 1 if they enter.
        word: word to continue from.

    Returns:
        The word to continue from; the number of words when done, less when the event log must be emptied.
    """
    base, at = state.slots[slot, SLOT_BASE], state.slots[slot, SLOT_DIRTY_AT]
    words = (state.slots[slot, SLOT_END] - base + BITS_PER_LONG - 1) // BITS_PER_LONG
    if state.conf[CONF_LOG] != LOG_ALL:
        return int(words)
    code = spte_code(state.conf, DIRTY_LOG, PG_LEVEL_4K, old, new) | UNTRACED
    for each in range(word, words):
        if log_is_low(state):
            return each
        mask = state.dirty[at + each]
        for bit in range(BITS_PER_LONG):
            if (mask >> bit) & 1:
                log_change(state.log, state.stat, state.conf, code, base + each * BITS_PER_LONG + bit, 1)
    return int(words)


@jit
def fill_bitmap(state: MmuState, slot: int) -> None:
    """Set every bit of a slot's empty bitmap, as KVM_DIRTY_LOG_INITIALLY_SET does.

    Kernel: kvm_prepare_memory_region(), virt/kvm/kvm_main.c
    """
    base, end = state.slots[slot, SLOT_BASE], state.slots[slot, SLOT_END]
    at, pages = state.slots[slot, SLOT_DIRTY_AT], end - base
    for each in range(pages // BITS_PER_LONG):
        state.dirty[at + each] = -1
    if pages % BITS_PER_LONG:
        state.dirty[at + pages // BITS_PER_LONG] = (1 << (pages % BITS_PER_LONG)) - 1
    state.slots[slot, SLOT_DIRTY_PAGES] = pages
    state.stat[STAT_LEFT_LOG] -= pages
    state.slots[slot, SLOT_UNREPORTED_PAGES] = pages
    if state.dirty_cells.shape[0] > 0:
        count_dirty_range(state, base, end, 1)
    if state.conf[CONF_LOG] == LOG_ALL:
        code = spte_code(state.conf, DIRTY_LOG, PG_LEVEL_4K, 0, 1) | UNTRACED
        log_change(state.log, state.stat, state.conf, code, base, pages)
