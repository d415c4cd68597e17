"""KVM's statistics of a VM."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.core.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import MmuState


@dataclass(frozen=True)
class Counters:
    """KVM's statistics of the VM: page counts are current, all others count since the VM was created.

    Attributes:
        tlb_flushes: requests to all vCPUs (remote_tlb_flush_requests; on arm64 one broadcast).
        tlbis: arm64, broadcast TLBIs by address: one per broken block and per unmapped leaf or table.
        local_tlbis: arm64, TLBIs of one CPU after permissions were relaxed.
        masks_armed: masks of up to 64 pages that GET, CLEAR or a reset armed, those of an L2's tables included.
        shadow_pages: pages of the shadow MMU, roots included; limited by nr_mmu_pages.
        split_topups: fillings of the VM-wide split caches; each one drops mmu_lock.
        splits_refused: eager splits that ended with -ENOSPC.
        mmio_exits: writes to read-only slots (KVM_EXIT_MMIO).
    """

    pages_4k: int
    pages_2m: int
    pages_1g: int
    pf_taken: int
    pf_fixed: int
    pf_fast: int
    pf_spurious: int
    table_pages: int
    pml_full_exits: int
    tlb_flushes: int
    tlbis: int
    local_tlbis: int
    masks_armed: int
    shadow_pages: int
    split_topups: int
    splits_refused: int
    mmio_exits: int


def counters_of(state: MmuState) -> Counters:
    """KVM's statistics as they are now."""
    stat = [int(value) for value in state.stat]
    return Counters(
        pages_4k=stat[mmu.STAT_PAGES + PG_LEVEL_4K],
        pages_2m=stat[mmu.STAT_PAGES + PG_LEVEL_2M],
        pages_1g=stat[mmu.STAT_PAGES + PG_LEVEL_1G],
        pf_taken=stat[mmu.STAT_PF_TAKEN],
        pf_fixed=stat[mmu.STAT_PF_FIXED],
        pf_fast=stat[mmu.STAT_PF_FAST],
        pf_spurious=stat[mmu.STAT_PF_SPURIOUS],
        table_pages=stat[mmu.STAT_TABLE_PAGES],
        pml_full_exits=stat[mmu.STAT_PML_FULL_EXITS],
        tlb_flushes=stat[mmu.STAT_TLB_FLUSHES],
        tlbis=stat[mmu.STAT_TLBIS],
        local_tlbis=stat[mmu.STAT_LOCAL_TLBIS],
        masks_armed=stat[mmu.STAT_MASKS_ARMED],
        shadow_pages=stat[mmu.STAT_SHADOW_PAGES],
        split_topups=stat[mmu.STAT_SPLIT_TOPUPS],
        splits_refused=stat[mmu.STAT_SPLITS_REFUSED],
        mmio_exits=stat[mmu.STAT_MMIO_EXITS],
    )
