"""The rest of the machine by hand: nested, shadow paging, arm64, tracking at 2M, pre-splitting, series.

Expected numbers are worked out from the kernel's source: a 1G page takes 1 table of 512 2M entries
and 512 tables of 4K entries; caches hold 40 objects, so 513 splits fill them 13 times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmuviz.core.errors import InputError
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, Tracking
from mmuviz.mmu.events import event_class, expand
from mmuviz.mmu.features import SERIES, KernelFeatures, features_of, kernel_row
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, REGION_2M, dirty_pages, gfns, vm_of

TABLE, HEADER, DESC = 4096, 184, 128
GIGANTIC_TABLES = 513
MIB_2, GIB = 2 << 20, 1 << 30


def splits(vm: Vm) -> list[tuple[str | int, ...]]:
    codes, starts = expand(vm.take_events())
    found = [(*event_class(int(code)), int(gfn)) for code, gfn in zip(codes, starts, strict=True)]
    return [(*each[1:2], *each[3:]) for each in found if each[0] == "split"]


# Series


@pytest.mark.parametrize("row", SERIES.values(), ids=list(SERIES))
def test_a_series_says_that_it_was_never_merged(row: KernelFeatures) -> None:
    assert row.label == f"{row.name} (never merged)"
    assert row.source.startswith("https://lore.kernel.org/kvm/")
    assert kernel_row(row.name) is row
    assert kernel_row("6.12").label == "6.12"


def test_an_unknown_row_lists_the_series_and_a_recording_cannot_name_one() -> None:
    with pytest.raises(InputError, match="or name a series: rfc-2021"):
        kernel_row("no-such-row")
    for name in SERIES:
        with pytest.raises(InputError, match="must begin with two numbers"):
            features_of(name)


@pytest.mark.parametrize("mmu", [Mmu.DIRECT_SHADOW, Mmu.SHADOW_PAGING])
@pytest.mark.parametrize(("kernel", "tables"), [("shadow-eager-v1", 513), ("shadow-eager-v3", 513), ("6.12", 0)])
def test_only_a_series_splits_eagerly_without_the_tdp_mmu(mmu: Mmu, kernel: str, tables: int) -> None:
    vm = vm_of(kernel, mmu=mmu)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    assert vm.counters().table_pages == tables
    assert vm.counters().split_topups == (13 if tables else 0)


def test_v1_fills_its_caches_for_each_word_that_splits() -> None:
    topups = {}
    for kernel in ("shadow-eager-v1", "shadow-eager-v3"):
        vm = vm_of(kernel, mmu=Mmu.DIRECT_SHADOW, dirty_log_mode=DirtyLogMode.MANUAL_INITIALLY_SET)
        vm.run(0, gfns(REGION_1G, 1), write=True)
        vm.enable_dirty_logging(0)
        vm.clear_dirty_log(0, 0, REGION_1G, np.full(REGION_1G // 64, -1, dtype=np.int64))
        topups[kernel] = vm.counters().split_topups
        held = vm.memory_overhead().split_cache_bytes
        assert held == (0 if kernel == "shadow-eager-v1" else 7 * (TABLE + HEADER) + 553 * (DESC + 8))
        assert vm.memory_overhead_peak().split_cache_bytes == 40 * (TABLE + HEADER) + 553 * (DESC + 8)
    # One call splits the 1G page and its first 2M page, 511 one page each; a word is one call.
    assert topups == {"shadow-eager-v1": 512, "shadow-eager-v3": 13}


def test_the_rfc_has_caches_in_the_tdp_mmu_without_descs() -> None:
    vm = vm_of("rfc-2021")
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    assert vm.counters().split_topups == 13
    assert vm.memory_overhead().split_cache_bytes == (13 * 40 - 513) * (TABLE + HEADER)


# Shadow paging and nesting


def test_shadow_paging_has_no_lockless_path() -> None:
    vm = vm_of("shadow-eager-v3", mmu=Mmu.SHADOW_PAGING)
    vm.run(0, gfns(REGION_1G, 10), write=True)
    vm.enable_dirty_logging(0)
    vm.run(0, gfns(REGION_1G, 10), write=True)
    now = vm.counters()
    assert (now.pf_taken, now.pf_fixed, now.pf_fast) == (11, 11, 0)


def nested(kernel: str, **choices: Any) -> Vm:  # noqa: ANN401  # fields of VmConfig
    vm = vm_of(kernel, mmu=Mmu.NESTED, **choices)
    for l2 in (False, True):
        vm.run(0, gfns(REGION_1G, 1), write=True, l2=l2)
    return vm


def test_nested_splits_both_in_two_passes_and_preorder() -> None:
    vm = nested("6.12")
    vm.take_events()
    vm.enable_dirty_logging(0)
    second = [REGION_1G + REGION_2M * index for index in range(512)]
    # The L2's first: the 1G page, then every 2M page; then L1's, which are the same here.
    one_page = [(3, REGION_1G), *((2, gfn) for gfn in second)]
    assert splits(vm) == [(level, "l2", gfn) for level, gfn in one_page] + one_page
    assert vm.counters().table_pages == 2 * GIGANTIC_TABLES


def test_two_passes_differ_from_preorder_on_two_1g_pages() -> None:
    vm = vm_of("6.12", mmu=Mmu.NESTED, pages=2 * REGION_1G)
    for l2 in (False, True):
        vm.run(0, gfns(REGION_1G, 2, 1) + np.array([0, REGION_1G]), write=True, l2=l2)
    vm.take_events()
    vm.enable_dirty_logging(0)
    levels = [each[0] for each in splits(vm)]
    assert levels == [3, 3] + [2] * 1024 + [3] + [2] * 512 + [3] + [2] * 512


@pytest.mark.parametrize(("kernel", "tables"), [("5.19", 513), ("nested-eager-v4", 1026), ("6.0", 1026)])
def test_nested_eager_split_begins_with_6_0(kernel: str, tables: int) -> None:
    vm = nested(kernel)
    vm.enable_dirty_logging(0)
    assert vm.counters().table_pages == tables


def test_a_write_of_an_l2_takes_the_slow_path_and_is_logged() -> None:
    vm = nested("6.12")
    vm.enable_dirty_logging(0)
    before = vm.counters()
    vm.run(0, gfns(REGION_1G, 5), write=True, l2=True)
    now = vm.counters()
    assert (now.pf_taken - before.pf_taken, now.pf_fast - before.pf_fast) == (5, 0)
    assert dirty_pages(vm.get_dirty_log(0)) == [0, 1, 2, 3, 4]
    vm.run(0, gfns(REGION_1G + 3, 1), write=True, l2=True)  # GET armed the L2's tables too
    assert dirty_pages(vm.get_dirty_log(0)) == [3]


def test_rmaps_and_caches_come_with_the_first_l2() -> None:
    vm = vm_of("6.12", mmu=Mmu.NESTED)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    assert vm.memory_overhead().rmap_bytes == 0
    vm.run(0, gfns(REGION_1G, 1), write=True, l2=True)
    assert vm.memory_overhead().rmap_bytes == (262_144 + 512 + 1) * 8
    vm.enable_dirty_logging(0)
    assert vm.memory_overhead().split_cache_bytes == 7 * (TABLE + HEADER) + 553 * (DESC + 8)


def test_enospc_leaves_the_rest_huge() -> None:
    vm = nested("6.12", nr_mmu_pages=100)
    vm.enable_dirty_logging(0)
    now = vm.counters()
    # Splits go on while more than 5 pages are free: 95 shadow pages, the root and the 512G table of them.
    assert now.shadow_pages == 95
    assert now.splits_refused == 1 + 512 - 93
    assert now.pages_2m == 512 - 92


def test_reused_tables_unmap_what_they_do_not_map() -> None:
    vm = vm_of("shadow-eager-v3", mmu=Mmu.DIRECT_SHADOW)
    for _ in range(2):
        vm.run(0, gfns(REGION_1G, 1), write=True)
        vm.enable_dirty_logging(0)
        vm.disable_dirty_logging(0)
    assert vm.counters().table_pages == GIGANTIC_TABLES
    flushes = vm.counters().tlb_flushes
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    assert vm.counters().pages_4k == 0  # the 1G table still points to 512 empty tables
    # The 1G leaf in place of a table, the table in place of the leaf, the end of enable: one each.
    assert vm.counters().tlb_flushes == flushes + 3


# arm64


@pytest.mark.parametrize(("chunk", "tlbis", "topups"), [(MIB_2, 513, 512), (GIB, 1, 1), (0, 0, 0)])
def test_arm64_breaks_each_block_once(chunk: int, tlbis: int, topups: int) -> None:
    vm = vm_of("6.12", mmu=Mmu.STAGE2, split_chunk_bytes=chunk)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    now = vm.counters()
    assert (now.tlbis, now.split_topups) == (tlbis, topups)
    assert now.table_pages == (GIGANTIC_TABLES if chunk else 0)
    assert vm.memory_overhead().header_bytes == 0
    assert vm.memory_overhead_peak().split_cache_bytes == {MIB_2: 2, GIB: 513, 0: 0}[chunk] * TABLE


def test_arm64_frees_its_split_cache_with_any_slot_that_is_not_logged() -> None:
    vm = vm_of("6.12", mmu=Mmu.STAGE2, split_chunk_bytes=MIB_2)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    assert vm.memory_overhead().split_cache_bytes == TABLE
    vm.add_memslot(1, Memslot(3 * REGION_1G, REGION_2M, Backing.HUGETLB_2M))
    assert vm.memory_overhead().split_cache_bytes == 0


def test_arm64_lazy_maps_one_page_and_reads_read_only() -> None:
    vm = vm_of("6.12", mmu=Mmu.STAGE2)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    assert (vm.counters().pages_4k, vm.counters().pages_1g, vm.counters().tlbis) == (1, 0, 1)
    vm.run(0, gfns(REGION_1G + 1, 1), write=False)
    assert vm.counters().pages_4k == 2
    assert dirty_pages(vm.get_dirty_log(0)) == [0]
    vm.run(0, gfns(REGION_1G + 1, 1), write=True)
    assert dirty_pages(vm.get_dirty_log(0)) == [1]
    assert (vm.counters().pf_fast, vm.counters().local_tlbis) == (0, 1)


def test_arm64_huge_pages_come_back_with_a_write() -> None:
    vm = vm_of("6.12", Backing.HUGETLB_2M, REGION_2M, mmu=Mmu.STAGE2, split_chunk_bytes=MIB_2)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    vm.disable_dirty_logging(0)
    vm.run(0, gfns(REGION_1G, 512), write=False)
    assert (vm.counters().pages_4k, vm.counters().pages_2m) == (512, 0)
    vm.run(0, gfns(REGION_1G + 7, 1), write=True)
    assert (vm.counters().pages_4k, vm.counters().pages_2m, vm.counters().table_pages) == (0, 1, 1)


# Tracking at 2M and the hybrid


def test_tracking_at_2m_reports_whole_blocks() -> None:
    vm = vm_of("6.12", tracking=Tracking(2))
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    assert (vm.counters().pages_2m, vm.counters().table_pages) == (512, 1)
    vm.run(0, gfns(REGION_1G + 700, 1), write=True)
    assert dirty_pages(vm.get_dirty_log(0)) == list(range(512, 1024))
    assert vm.counters().pf_fast == 1
    assert dirty_pages(vm.get_dirty_log(0)) == []


def test_the_hybrid_splits_what_does_not_converge() -> None:
    vm = vm_of("6.12", tracking=Tracking(2, rounds_to_4k=2))
    vm.run(0, gfns(REGION_1G, 1), write=True)
    vm.enable_dirty_logging(0)
    counts = []
    for _ in range(3):
        vm.run(0, gfns(REGION_1G + 700, 1), write=True)
        counts.append(len(dirty_pages(vm.get_dirty_log(0))))
    assert counts == [512, 512, 1]
    assert (vm.counters().pages_2m, vm.counters().pages_4k) == (511, 512)


# The alternative of 2020


@pytest.mark.parametrize("kernel", ["5.15", "6.12"])
@pytest.mark.parametrize("mmu", [Mmu.TDP, Mmu.DIRECT_SHADOW])
def test_splitting_by_faulting_leaves_nothing_huge(kernel: str, mmu: Mmu) -> None:
    vm = vm_of(kernel, mmu=mmu)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    taken = vm.counters().pf_taken
    assert vm.split_by_faulting(0) == 512 + REGION_1G
    assert (vm.counters().pages_4k, vm.counters().table_pages) == (REGION_1G, GIGANTIC_TABLES)
    assert vm.counters().pf_taken == taken
    # A zap of the 1G page and of each 2M page flushes; splits in place do not.
    zaps = kernel == "5.15" or mmu is Mmu.DIRECT_SHADOW
    assert vm.counters().tlb_flushes == (GIGANTIC_TABLES if zaps else 0)
    vm.enable_dirty_logging(0)
    with pytest.raises(InputError, match="comes before logging"):
        vm.split_by_faulting(0)
