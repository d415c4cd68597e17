"""Marking pages dirty: the bitmap, the per-vCPU dirty ring, and the PML buffer before them."""

from __future__ import annotations

from typing import Final

from mmuviz.ground.compiled import compiled, exported, inlined
from mmuviz.ground.pages import (
    BITS_PER_LONG,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_INDEX_MASK,
    WORD_SHIFT,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_dirty
from mmuviz.mmu.counting import bits_of
from mmuviz.mmu.dirty_log import enable_log_dirty_pt_masked, highest_bit
from mmuviz.mmu.events import CPU_DIRTY, DIRTY_LOG, log_is_low, note_untraced
from mmuviz.mmu.examples import CPU_DIRTY as EXAMPLE_CPU_DIRTY
from mmuviz.mmu.examples import PML_FULL, note_example
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import (
    CONF_LOGGING_SLOTS,
    CONF_PML,
    CONF_PML_OLDEST_FIRST,
    CONF_RING,
    CONF_RING_LIMIT,
    CONF_TRACK_LEVEL,
    DIRTY,
    LEAF_BITS,
    PML_ENTITY_NUM,
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
    SLOT_UNREPORTED_PAGES,
    STAT_PML_FULL_EXITS,
    STAT_WHO,
    TABLE,
    MmuState,
)

ALL_MASKS: Final = 1 << 62
"""More masks than a ring has entries."""


@inlined
def ring_push(state: MmuState, vcpu: int, slot: int, offset: int) -> None:
    """Append one entry to a vCPU's ring.

    Kernel: kvm_dirty_ring_push(), virt/kvm/dirty_ring.c
    """
    entries = state.ring.shape[1]
    at = state.ring_at[vcpu, RING_DIRTY_INDEX]
    state.ring[vcpu, at & (entries - 1)] = (state.slots[slot, SLOT_ID] << RING_SLOT_SHIFT) | offset
    state.ring_at[vcpu, RING_DIRTY_INDEX] = at + 1
    state.work[work.WORK_RING_PUSH] += 1


@exported
def ring_soft_full(state: MmuState, vcpu: int) -> bool:
    """Whether a vCPU may not enter the guest before its ring was reset.

    Kernel: kvm_dirty_ring_soft_full(), virt/kvm/dirty_ring.c
    """
    used = int(state.ring_at[vcpu, RING_DIRTY_INDEX] - state.ring_at[vcpu, RING_RESET_INDEX])
    return int(state.conf[CONF_RING]) != 0 and used >= int(state.conf[CONF_RING_LIMIT])


@inlined
def mark_page_dirty_in_slot(state: MmuState, vcpu: int, slot: int, gfn: int) -> None:
    """Report a page as dirty, if its slot is logged.

    Kernel: mark_page_dirty_in_slot(), virt/kvm/kvm_main.c
    """
    if state.slots[slot, SLOT_LOGGING] == 0:
        return
    offset = gfn - state.slots[slot, SLOT_BASE]
    if state.conf[CONF_RING] != 0:
        ring_push(state, vcpu, slot, offset)
        mark_page(state, slot, offset)  # KVM has no bitmap then: this one only counts
    elif state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K:
        mark_page(state, slot, offset)
    else:
        mark_tracked_page(state, slot, gfn)


@inlined
def set_bit(state: MmuState, slot: int, words_at: int, offset: int) -> int:
    """Set the bit of one page in the bitmap that begins at a word; 1 where it was clear. No cell is changed yet."""
    at, bit = words_at + (offset >> WORD_SHIFT), 1 << (offset & (BITS_PER_LONG - 1))
    if state.dirty[at] & bit == 0:
        state.dirty[at] |= bit
        state.slots[slot, SLOT_DIRTY_PAGES] += 1
        state.slots[slot, SLOT_UNREPORTED_PAGES] += 1
        note_untraced(state, DIRTY_LOG, PG_LEVEL_4K, 0, 1, state.slots[slot, SLOT_BASE] + offset, 1)
        return 1
    return 0


@inlined
def set_bits(state: MmuState, slot: int, words_at: int, offset: int, pages: int) -> int:
    """set_bit() of pages in a row, where no event of them is logged; how many were clear."""
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


@inlined
def mark_bit(state: MmuState, slot: int, words_at: int, offset: int) -> None:
    """Set the bit of one page in the bitmap that begins at a word. Kernel: set_bit_le()."""
    if set_bit(state, slot, words_at, offset):
        count_dirty(state, state.slots[slot, SLOT_BASE] + offset, 1)


@inlined
def mark_page(state: MmuState, slot: int, offset: int) -> None:
    """Set the bit of one page of a slot."""
    mark_bit(state, slot, state.slots[slot, SLOT_DIRTY_AT], offset)


@compiled
def mark_tracked_page(state: MmuState, slot: int, gfn: int) -> None:
    """Set the bits of all pages under the 2M leaf that maps a gfn, or of the page where it is 4K.

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


@exported
def flush_pml_buffer(state: MmuState, vcpu: int) -> None:
    """A VM exit: report what the processor logged, newest first before 6.14, oldest first after.

    Kernel: vmx_flush_pml_buffer(), arch/x86/kvm/vmx/vmx.c
    """
    count = state.pml_count[vcpu]
    bitmap = state.conf[CONF_RING] == 0 and state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K
    region, came = 0, 0  # of pages of one 2M region their cell is brought up to date once
    for each in range(count):
        at = each if state.conf[CONF_PML_OLDEST_FIRST] != 0 else count - 1 - each
        gfn = state.pml[vcpu, at]
        slot = gfn_to_memslot(state, gfn)
        if slot >= 0 and not bitmap:
            mark_page_dirty_in_slot(state, vcpu, slot, gfn)
        elif slot >= 0 and state.slots[slot, SLOT_LOGGING] != 0:
            if gfn >> SHIFT_2M != region:
                if came > 0:
                    count_dirty(state, region << SHIFT_2M, came)
                region, came = gfn >> SHIFT_2M, 0
            came += set_bit(state, slot, state.slots[slot, SLOT_DIRTY_AT], gfn - state.slots[slot, SLOT_BASE])
    if came > 0:
        count_dirty(state, region << SHIFT_2M, came)
    state.work[work.WORK_PML_ENTRY] += count
    state.pml_count[vcpu] = 0


@inlined
def set_dirty_bit(state: MmuState, gfn: int) -> None:
    """The processor sets the dirty bit of the leaf that maps gfn."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    if state.l2[at] & TABLE:
        entry = (at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)
        note_cpu_dirty(state, PG_LEVEL_4K, state.l1[entry] & LEAF_BITS, gfn)
        state.l1[entry] |= DIRTY
    elif state.l3[row] & TABLE:
        note_cpu_dirty(state, PG_LEVEL_2M, state.l2[at] & LEAF_BITS, (gfn >> SHIFT_2M) << SHIFT_2M)
        state.l2[at] |= DIRTY
    else:
        note_cpu_dirty(state, PG_LEVEL_1G, state.l3[row] & LEAF_BITS, (gfn >> SHIFT_1G) << SHIFT_1G)
        state.l3[row] |= DIRTY
        for each in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
            state.l2[each] |= DIRTY


@inlined
def note_cpu_dirty(state: MmuState, level: int, old: int, gfn: int) -> None:
    """KVM does not see it happen."""
    note_example(state, EXAMPLE_CPU_DIRTY, level, old, old | DIRTY, gfn)
    note_untraced(state, CPU_DIRTY, level, old, old | DIRTY, gfn, 1)


@inlined
def pml_is_on(state: MmuState) -> bool:
    """Whether the processor logs: from the first slot that is logged to the last. Kernel: nr_memslots_dirty_logging."""
    return bool(state.conf[CONF_PML] != 0 and state.conf[CONF_LOGGING_SLOTS] > 0)


@inlined
def set_dirty_or_pml_full(state: MmuState, vcpu: int, gfn: int) -> bool:
    """A write through a writable leaf whose dirty bit is clear: the processor sets it, PML logs it.

    Returns:
        Whether the write retired; not where the buffer was full, which is a VM exit before it.

    Kernel: handle_pml_full(), arch/x86/kvm/vmx/vmx.c
    """
    state.stat[STAT_WHO] = vcpu
    if pml_is_on(state):
        count = state.pml_count[vcpu]
        if count == PML_ENTITY_NUM:
            state.stat[STAT_PML_FULL_EXITS] += 1
            note_example(state, PML_FULL, 0, 0, 0, gfn)
            state.work[work.WORK_PML_FULL] += 1
            flush_pml_buffer(state, vcpu)
            return False
        state.pml[vcpu, count] = gfn
        state.pml_count[vcpu] = count + 1
    set_dirty_bit(state, gfn)
    return True


@compiled
def forget_masked(state: MmuState, slot: int, offset: int, mask: int) -> None:
    """The pages of a mask leave the ring: the bitmap that counts them forgets them."""
    words_at = state.slots[slot, SLOT_DIRTY_AT]
    for bit in range(BITS_PER_LONG):
        page = offset + bit
        at, held = words_at + (page >> WORD_SHIFT), 1 << (page & (BITS_PER_LONG - 1))
        if (mask >> bit) & 1 and state.dirty[at] & held:
            state.dirty[at] &= ~held
            state.slots[slot, SLOT_DIRTY_PAGES] -= 1
            gfn = state.slots[slot, SLOT_BASE] + page
            count_dirty(state, gfn, -1)
            note_untraced(state, DIRTY_LOG, PG_LEVEL_4K, 1, 0, gfn, 1)


@compiled
def reset_dirty_gfn(state: MmuState, slot_id: int, offset: int, mask: int) -> None:
    """Arm again the pages of one coalesced mask, unless the slot is gone or shorter.

    Kernel: kvm_reset_dirty_gfn(), virt/kvm/dirty_ring.c
    """
    for slot in range(state.slots.shape[0]):
        pages = state.slots[slot, SLOT_END] - state.slots[slot, SLOT_BASE]
        if state.slots[slot, SLOT_ID] == slot_id and offset + highest_bit(mask) < pages:
            forget_masked(state, slot, offset, mask)
            enable_log_dirty_pt_masked(state, slot, offset, mask, work.WORK_RING_WORD)


@compiled
def dirty_ring_reset(state: MmuState, vcpu: int, first: int, most: int) -> int:
    """Arm the pages of a vCPU's harvested entries, neighbours coalesced into masks of at most 64 pages.

    Args:
        state: tables, changed in place; the ring's reset index is moved by the caller.
        vcpu: whose ring.
        first: entry to begin with.
        most: masks to arm now; KVM takes mmu_lock anew for each.

    Returns:
        The entry to go on from: the harvest index when done, less after `most` masks, or when the event log
        wants emptying.

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


@compiled
def fits_shifted(mask: int, shift: int) -> bool:
    """Whether no set bit of a 64-bit mask is lost when it is shifted left."""
    return (mask >> (BITS_PER_LONG - shift)) & ((1 << shift) - 1) == 0
