"""Host memory that the VM's MMU uses, part by part, in bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGE_BYTES,
    PAGE_HEADER_BYTES,
    PAGES_PER_1G,
    PAGES_PER_2M,
    round_up,
)
from mmuviz.mmu.split import SPLIT_CACHE_OBJECTS, SPLIT_DESC_CACHE_OBJECTS
from mmuviz.mmu.stage2 import cache_capacity
from mmuviz.mmu.state import (
    CONF_CHUNK_PAGES,
    CONF_NESTED,
    CONF_STAGE2,
    CONF_TDP_MMU,
    SLOT_BASE,
    SLOT_END,
    SLOT_LOGGING,
    STAT_SHADOW_PAGES,
    STAT_SPLIT_CACHE,
    STAT_SPLIT_DESCS,
    STAT_SPLIT_TOPUPS,
    STAT_TABLE_PAGES,
    STAT_TABLE_PAGES_PEAK,
    STAT_TABLES_ABOVE,
    MmuState,
)

PTE_LIST_DESC_BYTES: Final = 128
"""sizeof(struct pte_list_desc): 14 SPTEs."""
RMAP_HEAD_BYTES: Final = 8
"""sizeof(struct kvm_rmap_head)."""
DIRTY_GFN_BYTES: Final = 16
"""sizeof(struct kvm_dirty_gfn), include/uapi/linux/kvm.h."""
PTE_LIST_DESC_CACHE_OBJECTS: Final = 40
"""KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE; these objects stay unused, since each gfn has one leaf in this model."""
POINTER_BYTES: Final = 8
"""split_desc_cache is so large that the pointers to its objects have a separate array."""
BITMAPS_PER_SLOT: Final = 2
"""KVM allocates two dirty bitmaps per slot: kvm_second_dirty_bitmap()."""


class MemoryOverhead(NamedTuple):
    """Bytes of host memory used for mapping and logging.

    Attributes:
        table_bytes: all page-table pages, the root and the tables of 512G entries included. The counter table_pages
            and a Recording's table_pages and table_bytes do not count these.
        header_bytes: one struct kvm_mmu_page per table; none on arm64.
        vcpu_cache_bytes: objects in the vCPUs' kvm_mmu_memory_caches.
        split_cache_bytes: objects in the VM-wide split caches (nested from 6.0, arm64 from
            6.5, series); none in the TDP MMU as merged.
        rmap_bytes: reverse-map heads of the shadow MMU; with the TDP MMU, from the first L2 on. A further
            pte_list_desc is needed only for a gfn with more than one leaf, and no gfn has that here.
        dirty_bitmap_bytes: bitmaps of the slots that are logged.
        ring_bytes: dirty rings of all vCPUs.
    """

    table_bytes: int
    header_bytes: int
    vcpu_cache_bytes: int
    split_cache_bytes: int
    rmap_bytes: int
    dirty_bitmap_bytes: int
    ring_bytes: int

    @property
    def total_bytes(self) -> int:
        """Sum of all parts."""
        return sum(self)


def rmap_bytes(pages: int, base_gfn: int) -> int:
    """Reverse-map heads of one slot: one at 4K, 2M and 1G for each entry that the slot touches.

    Kernel: memslot_rmap_alloc(), arch/x86/kvm/x86.c
    """
    heads = 0
    for span in (1, PAGES_PER_2M, PAGES_PER_1G):
        heads += (base_gfn + pages - 1) // span - base_gfn // span + 1
    return heads * RMAP_HEAD_BYTES


def dirty_bitmap_bytes(pages: int) -> int:
    """Both dirty bitmaps of one logged slot. Kernel: kvm_dirty_bitmap_bytes(), allocated double."""
    return BITMAPS_PER_SLOT * round_up(pages, BITS_PER_LONG) // 8


def split_cache_bytes(state: MmuState, header: int) -> int:
    """Bytes of the VM-wide split caches now: tables with headers, descs and the array that points to them.

    Kernel: split_shadow_page_cache, split_page_header_cache, split_desc_cache of struct kvm_arch (x86);
        split_page_cache of struct kvm_s2_mmu (arm64)
    """
    tables, descs = int(state.stat[STAT_SPLIT_CACHE]), int(state.stat[STAT_SPLIT_DESCS])
    pointers = SPLIT_DESC_CACHE_OBJECTS * POINTER_BYTES if descs else 0
    return tables * (PAGE_BYTES + header) + descs * PTE_LIST_DESC_BYTES + pointers


def split_caches_full(state: MmuState) -> int:
    """Bytes of the VM-wide split caches when full; 0 if they were never filled."""
    if not state.stat[STAT_SPLIT_TOPUPS]:
        return 0
    if state.conf[CONF_STAGE2]:
        return cache_capacity(int(state.conf[CONF_CHUNK_PAGES])) * PAGE_BYTES
    full = SPLIT_CACHE_OBJECTS * (PAGE_BYTES + PAGE_HEADER_BYTES)
    if state.conf[CONF_TDP_MMU] and not state.conf[CONF_NESTED]:
        return full
    return full + SPLIT_DESC_CACHE_OBJECTS * (PTE_LIST_DESC_BYTES + POINTER_BYTES)


def overhead_now(state: MmuState) -> MemoryOverhead:
    """Memory overhead as it is now.

    Args:
        state: the machine's arrays.

    Returns:
        Each part in bytes.
    """
    tables = int(state.stat[STAT_TABLE_PAGES] + state.stat[STAT_TABLES_ABOVE])
    logged = [row for row in state.slots if row[SLOT_LOGGING]]
    bitmaps = (
        0 if state.ring.shape[1] else sum(dirty_bitmap_bytes(int(row[SLOT_END] - row[SLOT_BASE])) for row in logged)
    )
    rmaps = 0
    if not state.conf[CONF_TDP_MMU] or (state.conf[CONF_NESTED] and state.stat[STAT_SHADOW_PAGES]):
        rmaps = sum(rmap_bytes(int(row[SLOT_END] - row[SLOT_BASE]), int(row[SLOT_BASE])) for row in state.slots)
    header = 0 if state.conf[CONF_STAGE2] else PAGE_HEADER_BYTES
    descs = 0 if state.conf[CONF_STAGE2] else int((state.cache > 0).sum()) * PTE_LIST_DESC_CACHE_OBJECTS
    return MemoryOverhead(
        table_bytes=tables * PAGE_BYTES,
        header_bytes=tables * header,
        vcpu_cache_bytes=int(state.cache.sum()) * (PAGE_BYTES + header) + descs * PTE_LIST_DESC_BYTES,
        split_cache_bytes=split_cache_bytes(state, header),
        rmap_bytes=rmaps,
        dirty_bitmap_bytes=bitmaps,
        ring_bytes=state.ring.size * DIRTY_GFN_BYTES,
    )


def overhead_peak(state: MmuState, before: MemoryOverhead) -> MemoryOverhead:
    """The largest value of each part so far.

    Tables can grow and shrink inside one step, so their peak is counted where they are linked.

    Args:
        state: the machine's arrays.
        before: the peak up to the last call.

    Returns:
        Each part's own peak in bytes; parts may have peaked at different times.
    """
    now = overhead_now(state)
    tables = int(state.stat[STAT_TABLE_PAGES_PEAK] + state.stat[STAT_TABLES_ABOVE])
    peak = [max(one, other) for one, other in zip(before, now, strict=True)]
    merged = MemoryOverhead(*peak)
    return merged._replace(
        table_bytes=max(merged.table_bytes, tables * PAGE_BYTES),
        split_cache_bytes=max(merged.split_cache_bytes, split_caches_full(state)),
        header_bytes=max(merged.header_bytes, 0 if state.conf[CONF_STAGE2] else tables * PAGE_HEADER_BYTES),
    )
