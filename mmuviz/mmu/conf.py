"""Writes a VM's configuration in the form that compiled code reads, and creates the tables of an L2."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import MAX_GFN, MIN_MMU_PAGES, Mmu, VmConfig
from mmuviz.mmu.events import L2_EVENT
from mmuviz.mmu.state import I64, MmuState

MMU_PAGES_OF_MEMORY: Final = 50
"""One shadow page per 50 pages of memslots. Kernel: KVM_PERMILLE_MMU_PAGES."""


def write_conf(conf: I64, config: VmConfig) -> None:
    """Write a VM's configuration for L1's tables.

    Args:
        conf: int64[CONF_ENTRIES], changed in place.
        config: the VM's configuration, checked.
    """
    kernel, mode = config.kernel, config.dirty_log_mode
    conf[mmu.CONF_RING] = mode.ring
    conf[mmu.CONF_MANUAL] = mode.manual
    conf[mmu.CONF_INIT_SET] = mode.initially_set
    conf[mmu.CONF_EAGER] = config.splits_eagerly
    conf[mmu.CONF_TDP_MMU] = not config.mmu.shadows or config.mmu is Mmu.NESTED
    conf[mmu.CONF_PML] = config.pml
    conf[mmu.CONF_RING_LIMIT] = config.ring_limit
    conf[mmu.CONF_FAULT_SPLITS] = kernel.fault_splits_in_place
    conf[mmu.CONF_CLEAR_END_EXCLUSIVE] = kernel.clear_split_end_exclusive
    conf[mmu.CONF_RECOVERS] = kernel.recovers_huge_pages_in_place
    conf[mmu.CONF_PML_OLDEST_FIRST] = kernel.pml_oldest_first
    conf[mmu.CONF_HUGE_ZERO_ALLOCATES] = kernel.huge_zero_write_allocates
    conf[mmu.CONF_FAST_FIXES_HUGE] = kernel.fast_fixes_huge_pages
    conf[mmu.CONF_PREFETCH_FINISHES] = kernel.prefetch_finishes_run
    conf[mmu.CONF_ZAPS_LEAVES_ONLY] = kernel.zaps_leaves_only
    conf[mmu.CONF_DONTNEED_FREES_TABLES] = kernel.dontneed_frees_page_tables
    conf[mmu.CONF_FAST_FAULT] = config.mmu not in (Mmu.SHADOW_PAGING, Mmu.STAGE2)
    conf[mmu.CONF_SPLITTER] = splitter_of(config)
    conf[mmu.CONF_TRACK_LEVEL] = config.tracking.level
    conf[mmu.CONF_STAGE2] = config.mmu is Mmu.STAGE2
    conf[mmu.CONF_NESTED] = config.mmu is Mmu.NESTED
    conf[mmu.CONF_SPLIT_CACHES] = caches_of(config)
    conf[mmu.CONF_CHUNK_PAGES] = config.split_chunk_bytes // PAGE_BYTES
    conf[mmu.CONF_FOCUS_END] = MAX_GFN


def splitter_of(config: VmConfig) -> int:
    """SPLITTER_… code of the MMU that splits L1's tables eagerly."""
    if config.mmu is Mmu.STAGE2:
        return mmu.SPLITTER_STAGE2
    if config.tdp_mmu:
        return mmu.SPLITTER_TDP
    return mmu.SPLITTER_RMAP if config.splits_rmaps else mmu.SPLITTER_NONE


def caches_of(config: VmConfig) -> int:
    """CACHES_… code of the VM-wide split caches for L1's tables; the TDP MMU as merged has none."""
    if config.tdp_mmu:
        return mmu.CACHES_LAST if config.kernel.tdp_split_caches else mmu.CACHES_NONE
    return rmap_caches_of(config)


def rmap_caches_of(config: VmConfig) -> int:
    """CACHES_… code of the VM-wide split caches of the shadow MMU."""
    if not config.splits_rmaps:
        return mmu.CACHES_NONE
    return mmu.CACHES_A_CALL if config.kernel.split_caches_last_a_call else mmu.CACHES_LAST


def shadow_of_l2(state: MmuState, config: VmConfig) -> MmuState:
    """Create the shadow MMU's tables for an L2: its own tables and settings, everything else shared with L1.

    Args:
        state: L1's arrays.
        config: the VM's configuration.

    Returns:
        A state whose l4 to l1, row_of, region_of and conf are its own.

    Kernel: init_kvm_nested_mmu(), kvm_init_shadow_ept_mmu(), arch/x86/kvm/mmu/mmu.c
    """
    conf = state.conf.copy()
    conf[mmu.CONF_TDP_MMU] = 0
    conf[mmu.CONF_PML] = 0
    conf[mmu.CONF_FAST_FAULT] = 0
    conf[mmu.CONF_SPLITTER] = mmu.SPLITTER_RMAP if config.splits_rmaps else mmu.SPLITTER_NONE
    conf[mmu.CONF_SPLIT_CACHES] = rmap_caches_of(config)
    conf[mmu.CONF_L2] = L2_EVENT
    return state._replace(row_of=np.full_like(state.row_of, -1), l4=np.zeros_like(state.l4), conf=conf)


def share_memslots(l2: MmuState, l1: MmuState) -> MmuState:
    """The tables of an L2, with the memslot arrays of L1."""
    return l2._replace(slots=l1.slots, dirty=l1.dirty, host_region=l1.host_region, host_page=l1.host_page)


def mmu_pages_of(config: VmConfig, memslot_pages: int) -> int:
    """The largest number of shadow pages that KVM allows.

    Kernel: kvm_mmu_calculate_default_mmu_pages() up to 5.x, kvm_arch_commit_memory_region(), x86.c
    """
    if config.nr_mmu_pages is not None:
        return config.nr_mmu_pages
    return max(memslot_pages // MMU_PAGES_OF_MEMORY, MIN_MMU_PAGES)
