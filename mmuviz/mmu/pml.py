"""Page-modification logging: the CPU's log of writes, and flushing its buffer into the dirty log."""

from __future__ import annotations

from mmuviz.core.jit import jit_inline_exported, jit_inline_llvm
from mmuviz.core.pages import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_dirty
from mmuviz.mmu.dirty_bitmap import set_bit
from mmuviz.mmu.dirty_ring import mark_page_dirty_in_slot
from mmuviz.mmu.events import CPU_DIRTY, note_untraced
from mmuviz.mmu.examples import CPU_DIRTY as EXAMPLE_CPU_DIRTY
from mmuviz.mmu.examples import PML_FULL, note_example
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import (
    CONF_LOGGING_SLOTS,
    CONF_PML,
    CONF_PML_OLDEST_FIRST,
    CONF_RING,
    CONF_TRACK_LEVEL,
    DIRTY,
    LEAF_BITS,
    PML_ENTITY_NUM,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_LOGGING,
    STAT_PML_FULL_EXITS,
    STAT_WHO,
    TABLE,
    MmuState,
)


@jit_inline_exported
def flush_pml_buffer(state: MmuState, vcpu: int) -> None:
    """Report the pages that the CPU logged, at a VM exit: newest first before 6.14, oldest first since.

    Kernel: vmx_flush_pml_buffer(), arch/x86/kvm/vmx/vmx.c
    """
    count = state.pml_count[vcpu]
    bitmap = state.conf[CONF_RING] == 0 and state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K
    region, came = 0, 0  # the cell of a 2M region is updated once for several pages of it
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


@jit_inline_llvm
def set_dirty_bit(state: MmuState, gfn: int) -> None:
    """Set the dirty bit of the leaf that maps gfn."""
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


@jit_inline_llvm
def note_cpu_dirty(state: MmuState, level: int, old: int, gfn: int) -> None:
    """Log and count a dirty bit set by the CPU, which KVM does not trace."""
    note_example(state, EXAMPLE_CPU_DIRTY, level, old, old | DIRTY, gfn)
    note_untraced(state, CPU_DIRTY, level, old, old | DIRTY, gfn, 1)


@jit_inline_llvm
def pml_is_on(state: MmuState) -> bool:
    """Whether PML is on: while at least one slot is logged. Kernel: nr_memslots_dirty_logging."""
    return bool(state.conf[CONF_PML] != 0 and state.conf[CONF_LOGGING_SLOTS] > 0)


@jit_inline_llvm
def set_dirty_or_pml_full(state: MmuState, vcpu: int, gfn: int) -> bool:
    """Write through a writable leaf whose dirty bit is clear: the CPU sets the bit, and PML logs the page.

    Returns:
        Whether the write retired; it does not if the buffer is full, which causes a VM exit before the write.

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
