"""Host memory taken by mapping and logging, compared with values computed by hand.

Sizes: a table page is 4096 bytes; struct kvm_mmu_page is 184 bytes (checked with a C mock of the
struct, 6.1 and 6.12); struct kvm_rmap_head 8; struct kvm_dirty_gfn 16 (include/uapi/linux/kvm.h);
struct pte_list_desc 128 (14 SPTEs); a vCPU's caches hold 40 objects each
(KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE, arch/x86/include/asm/kvm_host.h).
"""

from __future__ import annotations

import pytest

from mmuviz.mmu.config import Backing, DirtyLogMode, Mmu
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, REGION_2M, gfns, machine, with_slot

TABLE = 4096
HEADER = 184
ABOVE = 2  # the root, and the table under it that covers the first 512 GiB


def one_gigantic_page(mode: DirtyLogMode = DirtyLogMode.LEGACY, *, eager: bool = True, vcpus: int = 1) -> Vm:
    vm = with_slot(machine("6.12", mode, eager=eager, vcpus=vcpus), Backing.HUGETLB_1G, REGION_1G)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    return vm


def test_a_vm_has_its_root() -> None:
    now = machine("6.12").memory_overhead()
    assert now == (TABLE, HEADER, 0, 0, 0, 0, 0)
    assert now.total_bytes == TABLE + HEADER


def test_a_1g_page_fully_split_takes_513_tables() -> None:
    vm = one_gigantic_page()
    whole = vm.memory_overhead()
    assert whole.table_bytes == ABOVE * TABLE
    vm.enable_dirty_logging(0)
    split = vm.memory_overhead()
    # One table of 512 2M entries and 512 tables of 4K entries: 2.004 MiB and 92 KiB of headers.
    assert split.table_bytes - whole.table_bytes == 513 * 4096 == 2_101_248
    assert split.header_bytes - whole.header_bytes == 513 * 184 == 94_392
    assert split.split_cache_bytes == 0  # the TDP MMU has no VM-wide caches


def test_the_peak_stays_when_the_tables_go() -> None:
    vm = one_gigantic_page()
    vm.enable_dirty_logging(0)
    high = vm.memory_overhead()
    vm.disable_dirty_logging(0)
    assert vm.memory_overhead().table_bytes == ABOVE * TABLE
    assert vm.memory_overhead().dirty_bitmap_bytes == 0
    peak = vm.memory_overhead_peak()
    assert (peak.table_bytes, peak.header_bytes) == (high.table_bytes, high.header_bytes)
    assert peak.dirty_bitmap_bytes == high.dirty_bitmap_bytes


@pytest.mark.parametrize(
    ("pages", "size"),
    [
        (REGION_1G, 2 * 32_768),  # 262144 bits, twice
        (100, 2 * 16),  # 100 bits are two longs
        (64, 2 * 8),
    ],
)
def test_dirty_bitmaps_are_double_and_of_logged_slots(pages: int, size: int) -> None:
    vm = with_slot(machine("6.12"), Backing.PAGES_4K, pages)
    assert vm.memory_overhead().dirty_bitmap_bytes == 0
    vm.enable_dirty_logging(0)
    assert vm.memory_overhead().dirty_bitmap_bytes == size


def test_a_ring_of_each_vcpu_and_no_bitmap() -> None:
    vm = with_slot(machine("6.12", DirtyLogMode.RING, vcpus=3), Backing.PAGES_4K, 512)
    vm.enable_dirty_logging(0)
    now = vm.memory_overhead()
    assert now.ring_bytes == 3 * 4096 * 16
    assert now.dirty_bitmap_bytes == 0


def test_reverse_maps_only_without_the_tdp_mmu() -> None:
    vm = with_slot(machine("6.12", mmu=Mmu.DIRECT_SHADOW), Backing.HUGETLB_1G, REGION_1G)
    assert vm.memory_overhead().rmap_bytes == (262_144 + 512 + 1) * 8
    # 100 pages from the middle of a 2M region to the middle of the next: two 2M entries, one at 1G.
    odd = with_slot(machine("6.12", mmu=Mmu.DIRECT_SHADOW), Backing.PAGES_4K, 100, REGION_1G + 500)
    assert odd.memory_overhead().rmap_bytes == (100 + 2 + 1) * 8
    assert one_gigantic_page().memory_overhead().rmap_bytes == 0


def test_caches_of_the_vcpus_that_ran() -> None:
    vm = with_slot(machine("6.12", vcpus=4), Backing.PAGES_4K, REGION_2M)
    vm.run(2, gfns(REGION_1G, 1), write=True)
    now = vm.memory_overhead()
    # 40 tables with headers and 40 pte_list_descs; the root and three tables below it were taken out.
    assert now.vcpu_cache_bytes == (40 - 4) * (TABLE + HEADER) + 40 * 128
    assert now.table_bytes == 4 * TABLE
    assert now.header_bytes == 4 * HEADER
    vm.run(0, gfns(REGION_1G, 1), write=True)
    assert vm.memory_overhead().vcpu_cache_bytes == (40 - 4 + 40) * (TABLE + HEADER) + 2 * 40 * 128


def test_lazy_splitting_costs_what_was_written() -> None:
    vm = one_gigantic_page(eager=False)
    whole = vm.memory_overhead()
    vm.enable_dirty_logging(0)
    vm.run(0, gfns(REGION_1G, 3 * REGION_2M, REGION_2M), write=True)
    # Three 2M regions were written: a table each, and one for the 1G page.
    assert vm.memory_overhead().table_bytes - whole.table_bytes == 4 * TABLE
