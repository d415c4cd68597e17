"""The host's side of a fault: the host page that backs a guest page, and its level.

A region is 2 MiB of host memory (1 GiB for hugetlb_1g). Its state says that one huge host page
maps it, or that its 4K pages each have a state of their own (MAPPED_BY_4K).
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import PAGES_PER_2M, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.mmu import work
from mmuviz.mmu.state import (
    CONF_DONTNEED_FREES_TABLES,
    CONF_HUGE_ZERO_ALLOCATES,
    SLOT_HOST_HUGETLB,
    SLOT_HOST_LEVEL,
    SLOT_HOST_PAGE_AT,
    SLOT_HOST_PRESENT,
    SLOT_HOST_REGION_AT,
    SLOT_READ_ONLY,
    MmuState,
)

HOST_NONE: Final = 0
HOST_ZERO: Final = 1
HOST_READ_ONLY: Final = 2
HOST_PRESENT: Final = 3
MAPPED_BY_4K: Final = 4

FAULT_LEVEL: Final = 7
FAULT_WRITABLE: Final = 8
FAULT_INVALIDATES: Final = 16


@jit_inline_llvm
def count_host(state: MmuState, entry: int, times: int) -> None:
    """Count the host's part of a fault; zeroing a 1G page counts as zeroing 512 2M pages."""
    state.work[entry] += times


@jit_inline_llvm
def region_shift(state: MmuState, slot: int) -> int:
    """Bits of a host page's number inside its region."""
    return SHIFT_1G if state.slots[slot, SLOT_HOST_LEVEL] == PG_LEVEL_1G else SHIFT_2M


@jit_inline_llvm
def host_page_state(state: MmuState, slot: int, hpage: int) -> int:
    """State of a 4K host page of a region that is mapped by 4K pages."""
    at = int(state.slots[slot, SLOT_HOST_PAGE_AT]) + hpage
    return (int(state.host_page[at >> 2]) >> ((at & 3) * 2)) & 3


@jit
def set_host_page(state: MmuState, slot: int, hpage: int, value: int) -> None:
    """Set the state of a 4K host page of a region that is mapped by 4K pages."""
    at = state.slots[slot, SLOT_HOST_PAGE_AT] + hpage
    shift = (at & 3) * 2
    state.host_page[at >> 2] = (int(state.host_page[at >> 2]) & ~(3 << shift)) | (value << shift)


@jit
def fill_host_pages(state: MmuState, slot: int, hpage: int, value: int) -> None:
    """Set the state of each page of the 2 MiB region that starts at hpage, and map it by 4K pages."""
    for each in range(hpage, hpage + PAGES_PER_2M):
        set_host_page(state, slot, each, value)
    region = state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> SHIFT_2M)
    state.host_region[region] = MAPPED_BY_4K


@jit_inline_llvm
def host_pfn_mapping_level(state: MmuState, slot: int, hpage: int) -> int:
    """Return the level at which the host maps a page; 4K if the page is not mapped.

    Kernel: host_pfn_mapping_level(), arch/x86/kvm/mmu/mmu.c
    """
    region = state.host_region[state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))]
    if region in (HOST_NONE, MAPPED_BY_4K):
        return PG_LEVEL_4K
    return int(state.slots[slot, SLOT_HOST_LEVEL])


@jit
def fault_host_region(state: MmuState, slot: int, hpage: int, write: int) -> int:
    """Fault in a region that a huge host page maps or can map: see fault_host_page()."""
    level = int(state.slots[slot, SLOT_HOST_LEVEL])
    at = state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))
    region = state.host_region[at]
    hugetlb = state.slots[slot, SLOT_HOST_HUGETLB] != 0
    if region == HOST_PRESENT:
        return level | FAULT_WRITABLE
    pages_2m = 1 << (region_shift(state, slot) - SHIFT_2M)
    if not write:
        if region == HOST_NONE:
            state.host_region[at] = HOST_READ_ONLY if hugetlb else HOST_ZERO
            count_host(state, work.WORK_HOST_FAULT_2M if hugetlb else work.WORK_HOST_FAULT_ZERO, pages_2m)
        return level
    if region == HOST_ZERO and state.conf[CONF_HUGE_ZERO_ALLOCATES] == 0:
        count_host(state, work.WORK_HOST_FAULT_4K, 1)
        fill_host_pages(state, slot, (hpage >> SHIFT_2M) << SHIFT_2M, HOST_ZERO)
        set_host_page(state, slot, hpage, HOST_PRESENT)
        return PG_LEVEL_2M | FAULT_WRITABLE | FAULT_INVALIDATES
    state.host_region[at] = HOST_PRESENT
    if region == HOST_READ_ONLY:  # the existing page becomes writable: nothing is allocated or zeroed
        count_host(state, work.WORK_HOST_FAULT_ZERO, 1)
    else:
        count_host(state, work.WORK_HOST_FAULT_2M, pages_2m)
    return level | FAULT_WRITABLE | (FAULT_INVALIDATES if region == HOST_ZERO else 0)


@jit_inline_llvm
def fault_host_page(state: MmuState, slot: int, hpage: int, write: int) -> int:
    """Fault in one host page, as get_user_pages() does for KVM, or as a host write does.

    Reading unpopulated anonymous memory maps the zero page (the huge one where a huge page fits),
    read-only; a read fault of a private hugetlb page maps a page of its own, read-only, which a
    later write makes writable in place. Writing to a zero page replaces it and invalidates the
    secondary MMU; writing to the huge zero page splits it before 6.13, and allocates a huge page
    from then on.

    Args:
        state: the host's pages, changed in place.
        slot: index of the memslot.
        hpage: page of the host mapping.
        write: 1 for a write.

    Returns:
        Level of the host mapping or, with FAULT_INVALIDATES, of the range that the MMU notifier
        invalidated; FAULT_WRITABLE where the host page may be written.

    Kernel: hva_to_pfn(), virt/kvm/kvm_main.c; do_huge_pmd_wp_page(), mm/huge_memory.c
    """
    if state.slots[slot, SLOT_HOST_PRESENT] != 0:
        return int(state.slots[slot, SLOT_HOST_LEVEL]) | FAULT_WRITABLE
    region = state.host_region[state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))]
    if region != MAPPED_BY_4K:
        return fault_host_region(state, slot, hpage, write)
    page = host_page_state(state, slot, hpage)
    if page == HOST_PRESENT:
        return PG_LEVEL_4K | FAULT_WRITABLE
    if not write:
        if page == HOST_NONE:
            count_host(state, work.WORK_HOST_FAULT_ZERO, 1)
        set_host_page(state, slot, hpage, HOST_ZERO)
        return PG_LEVEL_4K
    count_host(state, work.WORK_HOST_FAULT_4K, 1)
    set_host_page(state, slot, hpage, HOST_PRESENT)
    return PG_LEVEL_4K | FAULT_WRITABLE | (FAULT_INVALIDATES if page == HOST_ZERO else 0)


@jit
def allocate_host_page(state: MmuState, slot: int, hpage: int, write: int) -> int:
    """Allocate an absent host page as fault_host_page() does, if that calls no MMU notifier.

    KVM allocates it before it takes mmu_lock. All other cases of fault_host_page() happen in the fault itself.

    Args:
        state: the host's pages, changed in place.
        slot: index of the memslot.
        hpage: page of the host mapping.
        write: 1 for a write.

    Returns:
        4K pages that were allocated and zeroed, 0 for none.

    Kernel: kvm_faultin_pfn(), arch/x86/kvm/mmu/mmu.c
    """
    row = state.slots[slot]
    if row[SLOT_HOST_PRESENT] != 0 or (write != 0 and row[SLOT_READ_ONLY] != 0):
        return 0
    region = state.host_region[row[SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))]
    by_pages = region == MAPPED_BY_4K
    absent = host_page_state(state, slot, hpage) == HOST_NONE if by_pages else region == HOST_NONE
    # A read gets the zero page, except in hugetlb, which has none.
    if not absent or (write == 0 and row[SLOT_HOST_HUGETLB] == 0):
        return 0
    fault_host_page(state, slot, hpage, write)
    return 1 if by_pages else 1 << region_shift(state, slot)


@jit_inline_llvm
def host_backs_writable_huge_page(state: MmuState, slot: int, hpage: int) -> bool:
    """Whether the host already maps this page by a present huge page, so that a fault finds it writable."""
    if state.slots[slot, SLOT_HOST_PRESENT] != 0:
        return True
    at = state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> region_shift(state, slot))
    return bool(state.host_region[at] == HOST_PRESENT)


@jit
def drop_host_pages(state: MmuState, slot: int, start: int, end: int) -> None:
    """Unmap host pages [start, end); a huge page that is only partly in the range was split before.

    The table of a region that is mapped by 4K pages stays, so that no huge page ever maps it again,
    unless the kernel frees empty tables and the whole region is dropped.

    Kernel: zap_pte_range(), mm/memory.c
    """
    shift = region_shift(state, slot)
    base = state.slots[slot, SLOT_HOST_REGION_AT]
    frees = state.conf[CONF_DONTNEED_FREES_TABLES] != 0 and state.slots[slot, SLOT_HOST_LEVEL] == PG_LEVEL_2M
    for region in range(start >> shift, ((end - 1) >> shift) + 1):
        low, high = max(start, region << shift), min(end, (region + 1) << shift)
        if state.host_region[base + region] == MAPPED_BY_4K:
            for hpage in range(low, high):
                state.work[work.WORK_DONTNEED_PAGE] += 1 if host_page_state(state, slot, hpage) != HOST_NONE else 0
                set_host_page(state, slot, hpage, HOST_NONE)
            if frees and high - low == PAGES_PER_2M:
                state.host_region[base + region] = HOST_NONE
        else:
            state.work[work.WORK_DONTNEED_PAGE] += high - low if state.host_region[base + region] != HOST_NONE else 0
            state.host_region[base + region] = HOST_NONE


@jit
def split_host_region(state: MmuState, slot: int, hpage: int) -> bool:
    """Split the transparent huge page that maps hpage, if one does.

    Kernel: __split_huge_pmd(), mm/huge_memory.c
    """
    at = state.slots[slot, SLOT_HOST_REGION_AT] + (hpage >> SHIFT_2M)
    region = state.host_region[at]
    if region not in (HOST_PRESENT, HOST_ZERO):
        return False
    fill_host_pages(state, slot, (hpage >> SHIFT_2M) << SHIFT_2M, HOST_PRESENT if region == HOST_PRESENT else HOST_ZERO)
    return True
