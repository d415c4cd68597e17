"""Boundaries of ranges: the page before a slot, a deleted slot, a partially mapped run of pages."""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.core.errors import KvmEinval, KvmEnoent
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.kvm_recording import parse
from mmuviz.mmu.replay import replay_of
from mmuviz.mmu.vm import Vm

GIB_PAGES = 1 << 18


@pytest.mark.parametrize("record", [False, True])
def test_dontneed_zaps_the_whole_range_whether_recorded_or_not(record: bool) -> None:  # noqa: FBT001  # parametrized
    # Every second entry differs, so that the event log fills several times over.
    machine = Vm(VmConfig(features_of("6.12")), record=record)
    machine.add_memslot(0, Memslot(GIB_PAGES, 4 * GIB_PAGES, Backing.PAGES_4K))
    pages = np.arange(GIB_PAGES, 5 * GIB_PAGES)
    machine.run(0, pages, write=True)
    machine.enable_dirty_logging(0)
    machine.run(0, pages[::2], write=True)
    machine.madvise_dontneed(0, 0, 4 * GIB_PAGES)
    assert machine.counters().pages_4k == 0


def test_clear_looks_at_the_first_page_before_the_slot() -> None:
    # kvm_clear_dirty_log_protect(): alignment is checked before the slot is looked up.
    machine = Vm(VmConfig(features_of("6.12"), DirtyLogMode.MANUAL))
    machine.add_memslot(0, Memslot(0, 128, Backing.PAGES_4K))
    with pytest.raises(KvmEinval):
        machine.clear_dirty_log(0, 1, 64, np.zeros(1, dtype=np.int64))
    with pytest.raises(KvmEnoent):
        machine.clear_dirty_log(0, 0, 64, np.zeros(1, dtype=np.int64))


def test_rings_are_collected_and_reset_after_their_slot_is_gone() -> None:
    ops = [
        {"op": "ring_reset"},
        {"op": "slot", "backing": "4k", "base_gfn": 512, "pages": 8, "hva_offset_pages": 0, "host_populated": True},
        {"op": "enable"},
        {"op": "write", "vcpu": 0, "pages": [1, 3]},
        {"op": "delslot"},
        {"op": "ring_collect"},
        {"op": "ring_reset"},
    ]
    config = {"dirty_log_mode": "ring", "eager_page_split": True, "tdp_mmu": True, "vcpus": 1, "ring_entries": 1024}
    document = {"schema": "kvm-recording/1", "name": "x", "kernel": "6.12", "ops": ops}
    afters = list(replay_of(parse({**document, "config": {**config, "vendor": "amd", "pml": False}})).steps())
    assert afters[5]["dirty_ranges"] == [[1, 1], [3, 1]]


def test_prefetch_goes_on_behind_a_run_that_it_mapped_in_part() -> None:
    # direct_pte_prefetch_many() ends the walk only where it gets no page at all.
    machine = Vm(VmConfig(features_of("6.12"), mmu=Mmu.DIRECT_SHADOW))
    machine.add_memslot(0, Memslot(GIB_PAGES, 2048, Backing.PAGES_4K, host_populated=False))
    machine.host_write(0, np.array([0, 5]))
    machine.run(0, np.array([GIB_PAGES + 4]), write=True)
    assert machine.counters().pages_4k == 3
