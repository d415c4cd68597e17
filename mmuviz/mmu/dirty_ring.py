"""Marking pages dirty in a vCPU's dirty ring, or in the bitmap of a VM without rings; resetting a ring."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_exported, jit_inline_llvm
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_INDEX_MASK,
    WORD_SHIFT,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_dirty
from mmuviz.mmu.dirty_bitmap import mark_page
from mmuviz.mmu.dirty_log import enable_log_dirty_pt_masked, highest_bit
from mmuviz.mmu.events import DIRTY_LOG, log_is_low, note_untraced
from mmuviz.mmu.state import (
    CONF_RING,
    CONF_RING_LIMIT,
    CONF_TRACK_LEVEL,
    PRESENT,
    RING_DIRTY_INDEX,
    RING_HARVEST_INDEX,
    RING_RESET_INDEX,
    RING_SLOT_SHIFT,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_DIRTY_PAGES,
    SLOT_END,
    SLOT_ID,
    SLOT_LOGGING,
    STAT_LEFT_LOG,
    MmuState,
)

ALL_MASKS: Final = 1 << 62
"""More masks than the number of entries of any ring."""


@jit_inline_llvm
def ring_push(state: MmuState, vcpu: int, slot: int, offset: int) -> None:
    """Append one entry to a vCPU's ring.

    Kernel: kvm_dirty_ring_push(), virt/kvm/dirty_ring.c
    """
    entries = state.ring.shape[1]
    at = state.ring_at[vcpu, RING_DIRTY_INDEX]
    state.ring[vcpu, at & (entries - 1)] = (state.slots[slot, SLOT_ID] << RING_SLOT_SHIFT) | offset
    state.ring_at[vcpu, RING_DIRTY_INDEX] = at + 1
    state.work[work.WORK_RING_PUSH] += 1


@jit_inline_exported
def ring_soft_full(state: MmuState, vcpu: int) -> bool:
    """Whether a vCPU may not enter the guest before its ring was reset.

    Kernel: kvm_dirty_ring_soft_full(), virt/kvm/dirty_ring.c
    """
    used = int(state.ring_at[vcpu, RING_DIRTY_INDEX] - state.ring_at[vcpu, RING_RESET_INDEX])
    return int(state.conf[CONF_RING]) != 0 and used >= int(state.conf[CONF_RING_LIMIT])


@jit_inline_llvm
def mark_page_dirty_in_slot(state: MmuState, vcpu: int, slot: int, gfn: int) -> None:
    """Report a page as dirty, if its slot is logged.

    Kernel: mark_page_dirty_in_slot(), virt/kvm/kvm_main.c
    """
    if state.slots[slot, SLOT_LOGGING] == 0:
        return
    offset = gfn - state.slots[slot, SLOT_BASE]
    if state.conf[CONF_RING] != 0:
        ring_push(state, vcpu, slot, offset)
        mark_page(state, slot, offset)  # in ring mode KVM has no bitmap; this one only counts
    elif state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K:
        mark_page(state, slot, offset)
    else:
        mark_tracked_page(state, slot, gfn)


@jit
def mark_tracked_page(state: MmuState, slot: int, gfn: int) -> None:
    """Set the bits of all pages under the 2M leaf that maps a gfn, or of the one page that a 4K leaf maps.

    Never merged: logging that tracks 2M cannot say which page of the leaf was written.
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    base = state.slots[slot, SLOT_BASE]
    if state.l2[(row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)] & PRESENT == 0:
        mark_page(state, slot, gfn - base)
        return
    first = (gfn >> SHIFT_2M) << SHIFT_2M
    for each in range(max(first, base), min(first + PAGES_PER_2M, state.slots[slot, SLOT_END])):
        mark_page(state, slot, each - base)


@jit
def clear_ring_bits(state: MmuState, slot: int, offset: int, mask: int) -> None:
    """Clear the bits of pages that leave the ring in the bitmap that counts them."""
    words_at = state.slots[slot, SLOT_DIRTY_AT]
    for bit in range(BITS_PER_LONG):
        page = offset + bit
        at, held = words_at + (page >> WORD_SHIFT), 1 << (page & (BITS_PER_LONG - 1))
        if (mask >> bit) & 1 and state.dirty[at] & held:
            state.dirty[at] &= ~held
            state.slots[slot, SLOT_DIRTY_PAGES] -= 1
            state.stat[STAT_LEFT_LOG] += 1
            gfn = state.slots[slot, SLOT_BASE] + page
            count_dirty(state, gfn, -1)
            note_untraced(state, DIRTY_LOG, PG_LEVEL_4K, 1, 0, gfn, 1)


@jit
def reset_dirty_gfn(state: MmuState, slot_id: int, offset: int, mask: int) -> None:
    """Re-arm the pages of one coalesced mask, unless the slot is gone or shorter.

    Kernel: kvm_reset_dirty_gfn(), virt/kvm/dirty_ring.c
    """
    for slot in range(state.slots.shape[0]):
        pages = state.slots[slot, SLOT_END] - state.slots[slot, SLOT_BASE]
        if state.slots[slot, SLOT_ID] == slot_id and offset + highest_bit(mask) < pages:
            clear_ring_bits(state, slot, offset, mask)
            enable_log_dirty_pt_masked(state, slot, offset, mask, work.WORK_RING_WORD)


@jit
def dirty_ring_reset(state: MmuState, vcpu: int, first: int, most: int) -> int:
    """Arm the pages of a vCPU's harvested entries, neighbours coalesced into masks of at most 64 pages.

    Args:
        state: tables, changed in place; the ring's reset index is moved by the caller.
        vcpu: the ring's vCPU.
        first: entry to begin with.
        most: masks to arm now; KVM takes mmu_lock again for each.

    Returns:
        The entry to continue from: the harvest index when done, less after `most` masks, or when the event log
        must be emptied.

    Kernel: kvm_dirty_ring_reset(), virt/kvm/dirty_ring.c
    """
    entries = state.ring.shape[1]
    at = first
    stop = int(state.ring_at[vcpu, RING_HARVEST_INDEX])
    slot, offset, mask, armed = -1, 0, 0, 0
    while at < stop:
        entry = state.ring[vcpu, at & (entries - 1)]
        next_slot, next_offset = entry >> RING_SLOT_SHIFT, entry & ((1 << RING_SLOT_SHIFT) - 1)
        delta = next_offset - offset
        if slot == next_slot and 0 <= delta < BITS_PER_LONG:
            mask |= 1 << delta
        elif slot == next_slot and -BITS_PER_LONG < delta < 0 and fits_shifted(mask, -delta):
            offset = next_offset
            mask = (mask << -delta) | 1
        else:
            if slot >= 0:
                reset_dirty_gfn(state, slot, offset, mask)
                armed += 1
            if armed >= most or log_is_low(state):
                break
            slot, offset, mask = next_slot, next_offset, 1
        at += 1
        if at == stop:
            reset_dirty_gfn(state, slot, offset, mask)
    return at


@jit
def fits_shifted(mask: int, shift: int) -> bool:
    """Whether no set bit of a 64-bit mask is lost when it is shifted left."""
    return (mask >> (BITS_PER_LONG - shift)) & ((1 << shift) - 1) == 0
