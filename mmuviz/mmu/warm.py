"""Compiles the machine before it is needed."""

from __future__ import annotations

import numpy as np

from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M, PG_LEVEL_2M
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, Tracking, VmConfig
from mmuviz.mmu.events import runs_of
from mmuviz.mmu.features import features_of
from mmuviz.mmu.vm import Vm


def warm_walks() -> None:
    """Compile the functions that need no guest access: enough work for a process of its own."""
    machine = Vm(VmConfig(features_of("6.12")))
    machine.add_memslot(0, Memslot(512, 1024, Backing.HUGETLB_2M))
    machine.enable_dirty_logging(0)
    machine.clear_dirty_log(0, 0, 1024, machine.get_dirty_log(0))
    machine.disable_dirty_logging(0)
    machine.host_write(0, np.arange(2))
    machine.split_by_faulting(0)


def warm() -> None:
    """Run every compiled function once, so that its machine code is in the cache on disk."""
    runs_of(np.arange(3))
    for mode in (DirtyLogMode.LEGACY, DirtyLogMode.MANUAL, DirtyLogMode.RING):
        machine = Vm(VmConfig(features_of("6.12"), mode, ring_entries=4096), record=True)
        machine.add_memslot(0, Memslot(512, 1024, Backing.THP, hva_offset_pages=512, host_populated=False))
        machine.run(0, np.arange(512, 600), write=False)
        machine.host_write(0, np.arange(2))
        machine.enable_dirty_logging(0)
        machine.run(0, np.arange(512, 600), write=True)
        if mode.ring:
            machine.collect_dirty_rings()
            machine.reset_dirty_rings()
        else:
            bits = machine.get_dirty_log(0)
            machine.clear_dirty_log(0, 0, 1024, bits)
        machine.madvise_dontneed(0, 1, 3)
        machine.disable_dirty_logging(0)
    machine = Vm(VmConfig(features_of("5.15")))
    machine.add_memslot(0, Memslot(512, 1024, Backing.HUGETLB_2M))
    machine.enable_dirty_logging(0)
    machine.disable_dirty_logging(0)
    for config in (
        VmConfig(features_of("6.12"), tracking=Tracking(PG_LEVEL_2M, rounds_to_4k=1)),
        VmConfig(features_of("6.12"), mmu=Mmu.NESTED),
        VmConfig(features_of("6.12"), mmu=Mmu.STAGE2, split_chunk_bytes=PAGES_PER_2M * PAGE_BYTES),
    ):
        _warm_unrecorded(config)


def _warm_unrecorded(config: VmConfig) -> None:
    """Compile the functions that plain Python calls for MMUs and tracking modes without recordings."""
    machine = Vm(config)
    machine.add_memslot(0, Memslot(512, 1024, Backing.HUGETLB_2M))
    if config.mmu is Mmu.TDP:
        machine.split_by_faulting(0)
    for l2 in (False, True) if config.mmu is Mmu.NESTED else (False,):
        machine.run(0, np.arange(512, 600), write=True, l2=l2)
    machine.enable_dirty_logging(0)
    machine.run(0, np.arange(512, 600), write=True)
    machine.get_dirty_log(0)
    machine.disable_dirty_logging(0)
    machine.delete_memslot(0)
