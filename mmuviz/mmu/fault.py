"""The page-fault path: fast_page_fault(), the host's page, and mapping it in the tables."""

from __future__ import annotations

from typing import Final

from mmuviz.ground.compiled import compiled, inlined
from mmuviz.ground.pages import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    PG_LEVEL_512G,
    SHIFT_1G,
    SHIFT_2M,
    SHIFT_512G,
    SPTE_ENT_PER_PAGE,
    SPTE_ENT_SHIFT,
    SPTE_INDEX_MASK,
)
from mmuviz.mmu.collapse import replace_1g_table, replace_2m_table, zap_1g_leaf, zap_2m_leaf, zap_leafs
from mmuviz.mmu.dirty_ring import flush_pml_buffer, mark_page_dirty_in_slot
from mmuviz.mmu.events import (
    FAST_DECLINED,
    FAST_FIXED,
    log_is_low,
    trace_fast_page_fault,
    trace_page_fault,
    trace_spte_changed,
)
from mmuviz.mmu.host import (
    FAULT_INVALIDATES,
    FAULT_LEVEL,
    FAULT_WRITABLE,
    HOST_PRESENT,
    REGION_PAGES,
    fault_host_page,
    host_page_state,
    region_shift,
)
from mmuviz.mmu.memslot import gfn_to_memslot, host_page_of, max_mapping_level
from mmuviz.mmu.split import account_table, split_1g, split_2m
from mmuviz.mmu.state import (
    CONF_FAST_FIXES_HUGE,
    CONF_FAULT_SPLITS,
    CONF_PREFETCH_FINISHES,
    CONF_TDP_MMU,
    I64,
    IN_1G,
    LEAF_BITS,
    MMU_WRITABLE,
    ORPHAN,
    PRESENT,
    SLOT_BASE,
    SLOT_END,
    SLOT_HOST_PRESENT,
    SLOT_HOST_REGION_AT,
    SLOT_HVA_OFFSET,
    SLOT_LOGGING,
    SPTE_READ_ONLY,
    SPTE_WRITABLE,
    STAT_PAGES,
    STAT_PF_FAST,
    STAT_PF_FIXED,
    STAT_PF_TAKEN,
    STAT_TABLES_ABOVE,
    TABLE,
    WRITABLE,
    MmuState,
)

PTE_PREFETCH_NUM: Final = 8
"""Kernel: arch/x86/kvm/mmu/mmu.c."""

CACHE_OBJECTS: Final = 40
"""Objects that a vCPU's page-table cache holds. Kernel: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE."""
CACHE_MINIMUM: Final = 5
"""Objects that a slow fault needs before it begins. Kernel: PT64_ROOT_MAX_LEVEL."""


@inlined
def topup_memory_caches(state: MmuState, vcpu: int) -> None:
    """Fill the vCPU's caches where fewer objects remain than one fault may need.

    Kernel: mmu_topup_memory_caches(), arch/x86/kvm/mmu/mmu.c
    """
    if state.cache[vcpu] < CACHE_MINIMUM:
        state.cache[vcpu] = CACHE_OBJECTS


@inlined
def page_fault(state: MmuState, vcpu: int, gfn: int, word: int, write: int) -> None:
    """Handle one nested page fault (EPT violation).

    Args:
        state: changed in place.
        vcpu: the vCPU that faulted.
        gfn: the page touched, inside a memslot.
        word: bits of the leaf that maps it, 0 for none.
        write: 1 for a write.

    Kernel: kvm_mmu_do_page_fault(), mmu_internal.h; kvm_tdp_page_fault(), mmu.c, arch/x86/kvm/mmu
    """
    slot = gfn_to_memslot(state, gfn)
    flush_pml_buffer(state, vcpu)
    present = 1 if word & PRESENT else 0
    trace_page_fault(state, vcpu, 2 * present + write, gfn)
    state.stat[STAT_PF_TAKEN] += 1
    if present and fast_page_fault(state, vcpu, slot, gfn, word):
        return
    topup_memory_caches(state, vcpu)
    host = fault_host_page(state, slot, host_page_of(state, slot, gfn), write)
    if host & FAULT_INVALIDATES:
        invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)  # and RET_PF_RETRY: the guest faults again
        return
    map_page(state, vcpu, slot, gfn, SPTE_WRITABLE if host & FAULT_WRITABLE else SPTE_READ_ONLY)
    state.stat[STAT_PF_FIXED] += 1


@inlined
def fast_page_fault(state: MmuState, vcpu: int, slot: int, gfn: int, word: int) -> bool:
    """Fix a write-protection fault without mmu_lock, if the SPTE allows it.

    A huge page of a logged slot is never fixed here: it has to be split or zapped. The fix sets
    the writable bit and not the dirty bit, so PML may log the page once more.

    Returns:
        Whether the fault is fixed.

    Kernel: fast_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    row = int(state.row_of[gfn >> SHIFT_1G])
    at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    huge = state.l2[at] & TABLE == 0
    refused = huge and (state.slots[slot, SLOT_LOGGING] != 0 or state.conf[CONF_FAST_FIXES_HUGE] == 0)
    if word & MMU_WRITABLE == 0 or refused:
        trace_fast_page_fault(state, vcpu, FAST_DECLINED, gfn)
        return False
    trace_fast_page_fault(state, vcpu, FAST_FIXED, gfn)
    if not huge:
        state.l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)] |= WRITABLE
    elif state.l3[row] & TABLE:
        state.l2[at] |= WRITABLE
    else:
        state.l3[row] |= WRITABLE
        for each in range(row << SHIFT_2M, (row + 1) << SHIFT_2M):
            state.l2[each] |= WRITABLE
    state.stat[STAT_PF_FAST] += 1
    state.stat[STAT_PF_FIXED] += 1
    mark_page_dirty_in_slot(state, vcpu, slot, gfn)
    return True


@compiled
def invalidate_gfn(state: MmuState, slot: int, gfn: int, level: int) -> None:
    """Zap what the MMU notifier names: the host region of a level that stands behind a gfn.

    Kernel: kvm_unmap_gfn_range(), arch/x86/kvm/mmu/mmu.c
    """
    shift = SPTE_ENT_SHIFT * (level - 1)
    hpage = host_page_of(state, slot, gfn)
    first = (hpage >> shift) << shift
    base = state.slots[slot, SLOT_BASE]
    move = base - state.slots[slot, SLOT_HVA_OFFSET]
    zap_leafs(state, max(first + move, base), min(first + (1 << shift) + move, state.slots[slot, SLOT_END]))


@compiled
def host_write_pages(state: MmuState, slot: int, offsets: I64, start: int) -> int:
    """The host process writes to pages of a slot; what that replaces on the host is zapped here.

    Args:
        state: changed in place.
        slot: index of the memslot.
        offsets: int64[n], pages counted from the slot's start.
        start: write to go on from.

    Returns:
        The write to go on from; len(offsets) when done.
    """
    for index in range(start, len(offsets)):
        if log_is_low(state):
            return index
        gfn = state.slots[slot, SLOT_BASE] + offsets[index]
        host = fault_host_page(state, slot, host_page_of(state, slot, gfn), 1)
        if host & FAULT_INVALIDATES:
            invalidate_gfn(state, slot, gfn, host & FAULT_LEVEL)
    return len(offsets)


@inlined
def map_page(state: MmuState, vcpu: int, slot: int, gfn: int, word: int) -> None:
    """Install a leaf for a gfn at the highest level allowed: 4K where the slot is logged.

    A huge leaf above that level is split in place (TDP MMU, from 6.2) or zapped whole, and an
    empty table linked. A writable leaf of a logged slot marks its page dirty, reads included.

    Kernel: kvm_tdp_mmu_map(), tdp_mmu.c; direct_map(), mmu.c; make_spte(), spte.c
    """
    logged = state.slots[slot, SLOT_LOGGING] != 0
    goal = PG_LEVEL_4K if logged else max_mapping_level(state, slot, gfn)
    row = int(state.row_of[gfn >> SHIFT_1G])
    link_512g(state, vcpu, gfn)
    if goal == PG_LEVEL_1G:
        map_1g(state, row, word)
    else:
        step_down_1g(state, vcpu, row)
        index = (gfn >> SHIFT_2M) & SPTE_INDEX_MASK
        if goal == PG_LEVEL_2M:
            map_2m(state, row, index, word)
        else:
            step_down_2m(state, vcpu, row, index)
            map_4k(state, row, gfn, word)
            if state.conf[CONF_TDP_MMU] == 0 and not logged:
                prefetch_ptes(state, slot, row, gfn)
    if word & WRITABLE:
        mark_page_dirty_in_slot(state, vcpu, slot, gfn)


@inlined
def take_table(state: MmuState, vcpu: int) -> None:
    """Take one table page from the vCPU's cache. Kernel: tdp_mmu_alloc_sp()."""
    state.cache[vcpu] -= 1
    account_table(state, 1)


@inlined
def link_512g(state: MmuState, vcpu: int, gfn: int) -> None:
    """Link the table that covers this 512 GiB. The first one and the root stand from the start."""
    at = gfn >> SHIFT_512G
    if state.l4[at] == 0:
        state.l4[at] = 1
        if at == 0:
            state.stat[STAT_TABLES_ABOVE] += 1
            state.cache[vcpu] -= 1
            return
        take_table(state, vcpu)
        trace_spte_changed(state, PG_LEVEL_512G, 0, TABLE, at << SHIFT_512G)


@inlined
def step_down_1g(state: MmuState, vcpu: int, row: int) -> None:
    """Go below the 1G entry of a row: split or zap its leaf, link a table where none is."""
    entry = int(state.l3[row])
    if entry & TABLE:
        return
    if entry & PRESENT and state.conf[CONF_FAULT_SPLITS] != 0 and state.conf[CONF_TDP_MMU] != 0:
        split_1g(state, row)
        state.cache[vcpu] -= 1
        return
    if entry & PRESENT:
        zap_1g_leaf(state, row)
    state.l3[row] = TABLE
    if entry & ORPHAN == 0:
        take_table(state, vcpu)
    trace_spte_changed(state, PG_LEVEL_1G, 0, TABLE, state.region_of[row] << SHIFT_1G)


@inlined
def step_down_2m(state: MmuState, vcpu: int, row: int, index: int) -> None:
    """Go below a 2M entry: split or zap its leaf, link an empty table where none is."""
    at = (row << SHIFT_2M) | index
    entry = int(state.l2[at])
    if entry & TABLE:
        return
    if entry & PRESENT and state.conf[CONF_FAULT_SPLITS] != 0 and state.conf[CONF_TDP_MMU] != 0:
        split_2m(state, row, index)
        state.cache[vcpu] -= 1
        return
    if entry & PRESENT:
        zap_2m_leaf(state, row, index)
    state.l2[at] = TABLE
    if entry & ORPHAN == 0:
        take_table(state, vcpu)
    trace_spte_changed(state, PG_LEVEL_2M, 0, TABLE, (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M))


@compiled
def orphan_2m(state: MmuState, at: int) -> None:
    """Unlink the table of a 2M entry; disabling emptied it before, so it maps nothing."""
    state.l2[at] = ORPHAN
    state.l1[at << SHIFT_2M : (at + 1) << SHIFT_2M] = 0


@compiled
def map_1g(state: MmuState, row: int, word: int) -> None:
    """Install a 1G leaf, over a table if one stands there."""
    entry = int(state.l3[row])
    if entry & TABLE and state.conf[CONF_TDP_MMU] != 0:
        replace_1g_table(state, row, word)
        return
    first = row << SHIFT_2M
    if entry & TABLE:  # the shadow MMU only unlinks the tables, and will use them again
        entry = ORPHAN
        for at in range(first, first + SPTE_ENT_PER_PAGE):
            if state.l2[at] & TABLE:
                orphan_2m(state, at)
    if entry & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_1G] += 1
    trace_spte_changed(state, PG_LEVEL_1G, entry & LEAF_BITS, word, state.region_of[row] << SHIFT_1G)
    state.l3[row] = (entry & ORPHAN) | word
    for at in range(first, first + SPTE_ENT_PER_PAGE):
        state.l2[at] = (int(state.l2[at]) & ORPHAN) | IN_1G | word


@compiled
def map_2m(state: MmuState, row: int, index: int, word: int) -> None:
    """Install a 2M leaf, over a table if one stands there."""
    at = (row << SHIFT_2M) | index
    entry = int(state.l2[at])
    if entry & TABLE and state.conf[CONF_TDP_MMU] != 0:
        replace_2m_table(state, row, index, word)
        return
    if entry & TABLE:
        orphan_2m(state, at)
        entry = ORPHAN
    if entry & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_2M] += 1
    gfn = (state.region_of[row] << SHIFT_1G) | (index << SHIFT_2M)
    trace_spte_changed(state, PG_LEVEL_2M, entry & LEAF_BITS, word, gfn)
    state.l2[at] = (entry & ORPHAN) | word


@inlined
def map_4k(state: MmuState, row: int, gfn: int, word: int) -> None:
    """Install a 4K leaf in a table that stands."""
    at = (row << SHIFT_1G) | (gfn & ((1 << SHIFT_1G) - 1))
    old = int(state.l1[at])
    if old & PRESENT == 0:
        state.stat[STAT_PAGES + PG_LEVEL_4K] += 1
    trace_spte_changed(state, PG_LEVEL_4K, old, word, gfn)
    state.l1[at] = word


@compiled
def host_page_is_writable(state: MmuState, slot: int, hpage: int) -> bool:
    """Whether the host maps a page writable now, so that it can be had without a fault.

    Kernel: get_user_pages_fast_only() as direct_pte_prefetch_many() calls it
    """
    if state.slots[slot, SLOT_HOST_PRESENT] != 0:
        return True
    region = state.host_region[state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))]
    if region == REGION_PAGES:
        return host_page_state(state, slot, hpage) == HOST_PRESENT
    return int(region) == HOST_PRESENT


@compiled
def prefetch_ptes(state: MmuState, slot: int, row: int, gfn: int) -> None:
    """Map the neighbours of a 4K page that the shadow MMU just mapped, 8 entries in all.

    Each run of empty entries is mapped up to its first page that the host does not map writable. A
    run of which no page can be had so, or that leaves the slot, ends the prefetch.

    Kernel: direct_pte_prefetch(), arch/x86/kvm/mmu/mmu.c
    """
    first = gfn - gfn % PTE_PREFETCH_NUM
    run = -1
    for each in range(first, first + PTE_PREFETCH_NUM + 1):
        at = (row << SHIFT_1G) | (each & ((1 << SHIFT_1G) - 1))
        if each < first + PTE_PREFETCH_NUM and state.l1[at] & PRESENT == 0:
            run = each if run < 0 else run
            continue
        if run < 0:
            continue
        if each == first + PTE_PREFETCH_NUM and state.conf[CONF_PREFETCH_FINISHES] == 0:
            return
        if run < state.slots[slot, SLOT_BASE] or each > state.slots[slot, SLOT_END]:
            return
        page = run
        while page < each and host_page_is_writable(state, slot, host_page_of(state, slot, page)):
            map_4k(state, row, page, SPTE_WRITABLE)
            page += 1
        if page == run:
            return
        run = -1
