"""The guest's own accesses: the one loop that every touch of every page goes through."""

from __future__ import annotations

from mmuviz.ground.compiled import compiled
from mmuviz.ground.pages import SHIFT_1G, SHIFT_2M, SPTE_INDEX_MASK
from mmuviz.mmu.dirty_ring import ring_soft_full, write_to_clean
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.fault import page_fault
from mmuviz.mmu.state import (
    CONF_RING,
    DIRTY,
    DONE,
    I64,
    PRESENT,
    STOP_LOG_FULL,
    STOP_RING_FULL,
    TABLE,
    WRITABLE,
    MmuState,
)


@compiled
def guest_access(state: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
    """Touch pages in order, faulting until each access retires.

    An access through a leaf that allows it, with the dirty bit set for a write, costs nothing and
    changes nothing. A write through a writable leaf whose dirty bit is clear sets it (and PML logs
    it). All else exits to KVM. A vCPU whose ring is soft-full stops before it enters the guest.

    Args:
        state: changed in place.
        vcpus: int64[1] the vCPU of all accesses, or int64[n] one for each.
        gfns: int64[n], pages touched, absolute, each inside a memslot.
        write: 1 for writes, 0 for reads.
        start: access to go on from.

    Returns:
        What it stopped for (DONE, STOP_LOG_FULL, STOP_RING_FULL) and the access that
        did not retire.

    Kernel: vcpu_enter_guest(), arch/x86/kvm/x86.c
    """
    need = (WRITABLE | DIRTY) if write else PRESENT
    ring = state.conf[CONF_RING] != 0
    in_turns = len(vcpus) > 1
    row_of, l2, l1 = state.row_of, state.l2, state.l1
    vcpu = vcpus[0]
    index = start
    while index < len(gfns):
        gfn = gfns[index]
        if in_turns:
            vcpu = vcpus[index]
        if ring and ring_soft_full(state, vcpu):
            return STOP_RING_FULL, index
        row = int(row_of[gfn >> SHIFT_1G])
        at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
        word = int(l2[at])
        if word & TABLE:
            word = int(l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)])
        if word & need == need:
            index += 1
        elif write and word & WRITABLE:
            if write_to_clean(state, vcpu, gfn):
                index += 1
        elif log_is_low(state):
            return STOP_LOG_FULL, index
        else:
            page_fault(state, vcpu, gfn, word, write)
    return DONE, index
