"""Memslot lookup of a gfn, and the level at which slot, alignment and host allow it to be mapped."""

from __future__ import annotations

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.core.pages import PG_LEVEL_4K, SPTE_ENT_SHIFT
from mmuviz.mmu.host import host_pfn_mapping_level
from mmuviz.mmu.state import (
    SLOT_ALIGNED_LEVEL,
    SLOT_BASE,
    SLOT_END,
    SLOT_HOST_LEVEL,
    SLOT_HOST_PRESENT,
    SLOT_HVA_OFFSET,
    MmuState,
)


@jit_inline_llvm
def gfn_to_memslot(state: MmuState, gfn: int) -> int:
    """Return the index of the memslot that contains a gfn, or -1.

    Kernel: gfn_to_memslot(), virt/kvm/kvm_main.c
    """
    for slot in range(state.slots.shape[0]):
        if state.slots[slot, SLOT_BASE] <= gfn < state.slots[slot, SLOT_END]:
            return slot
    return -1


@jit_inline_llvm
def host_page_of(state: MmuState, slot: int, gfn: int) -> int:
    """Page of the slot's host mapping that backs a gfn."""
    return gfn - int(state.slots[slot, SLOT_BASE]) + int(state.slots[slot, SLOT_HVA_OFFSET])


@jit_inline_llvm
def max_mapping_level(state: MmuState, slot: int, gfn: int) -> int:
    """The highest level at which KVM may map a gfn: inside the slot, congruent, huge on the host.

    Kernel: kvm_mmu_max_mapping_level(), arch/x86/kvm/mmu/mmu.c; lpage_info, arch/x86/kvm/x86.c
    """
    level = int(state.slots[slot, SLOT_ALIGNED_LEVEL])
    while level > PG_LEVEL_4K:
        shift = SPTE_ENT_SHIFT * (level - 1)
        base = (gfn >> shift) << shift
        if state.slots[slot, SLOT_BASE] <= base and base + (1 << shift) <= state.slots[slot, SLOT_END]:
            break
        level -= 1
    if level == PG_LEVEL_4K:
        return PG_LEVEL_4K
    if state.slots[slot, SLOT_HOST_PRESENT] != 0:
        return min(level, int(state.slots[slot, SLOT_HOST_LEVEL]))
    return min(level, host_pfn_mapping_level(state, slot, host_page_of(state, slot, gfn)))
