"""Memory that the VM's MMU costs the host, each part its own figure, in bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.ground.pages import BITS_PER_LONG, PAGE_BYTES, PAGE_HEADER_BYTES, PAGES_PER_1G, PAGES_PER_2M, round_up
from mmuviz.mmu.state import (
    CONF_TDP_MMU,
    SLOT_BASE,
    SLOT_END,
    SLOT_LOGGING,
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
"""KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE; the direct MMUs modelled here never take one out."""
BITMAPS_PER_SLOT: Final = 2
"""KVM allocates a dirty bitmap double: kvm_second_dirty_bitmap()."""


class MemoryOverhead(NamedTuple):
    """Bytes of host memory that mapping and logging take.

    Attributes:
        table_bytes: page-table pages, the root and the tables at 512G among them.
        header_bytes: one struct kvm_mmu_page a table.
        vcpu_cache_bytes: objects that wait in the vCPUs' kvm_mmu_memory_caches.
        split_cache_bytes: VM-wide split caches; none in the TDP MMU as merged, nor without nesting.
        rmap_bytes: reverse maps of the shadow MMU; none with the TDP MMU.
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
    if not state.conf[CONF_TDP_MMU]:
        rmaps = sum(rmap_bytes(int(row[SLOT_END] - row[SLOT_BASE]), int(row[SLOT_BASE])) for row in state.slots)
    running = int((state.cache > 0).sum())
    cached = int(state.cache.sum()) * (PAGE_BYTES + PAGE_HEADER_BYTES)
    return MemoryOverhead(
        table_bytes=tables * PAGE_BYTES,
        header_bytes=tables * PAGE_HEADER_BYTES,
        vcpu_cache_bytes=cached + running * PTE_LIST_DESC_CACHE_OBJECTS * PTE_LIST_DESC_BYTES,
        split_cache_bytes=0,
        rmap_bytes=rmaps,
        dirty_bitmap_bytes=bitmaps,
        ring_bytes=state.ring.size * DIRTY_GFN_BYTES,
    )


def overhead_peak(state: MmuState, before: MemoryOverhead) -> MemoryOverhead:
    """The largest value of each part so far.

    Tables can grow and shrink inside one step, so their peak is counted where they are linked.

    Args:
        state: the machine's arrays.
        before: the peak up to the last look.

    Returns:
        Each part's own peak in bytes; parts may have peaked at different times.
    """
    now = overhead_now(state)
    tables = int(state.stat[STAT_TABLE_PAGES_PEAK] + state.stat[STAT_TABLES_ABOVE])
    peak = [max(one, other) for one, other in zip(before, now, strict=True)]
    merged = MemoryOverhead(*peak)
    return merged._replace(
        table_bytes=max(merged.table_bytes, tables * PAGE_BYTES),
        header_bytes=max(merged.header_bytes, tables * PAGE_HEADER_BYTES),
    )
