"""The kernel's own selftest of page splitting, on the machine.

What it asserts: tools/testing/selftests/kvm/x86/dirty_log_page_splitting_test.c, Linux 6.12:
two vCPUs, one slot each; populated huge pages cover the slots; with eager splitting and without
manual protect no huge page is left after enabling, with manual protect (initially all set) none is
gone after enabling and all are after one CLEAR pass; after disabling and touching the pages once
more the huge pages are back.
"""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot
from mmuviz.mmu.vm import Counters, Vm
from tests.mmu.machines import REGION_1G, REGION_2M, gfns, machine

VCPUS = 2
KERNELS = ("5.18", "6.1", "6.2", "6.8", "6.12", "6.13", "7.3")
# Backing, pages of one slot, 4K pages of one huge page. The slots adjoin.
SIZES = [(Backing.HUGETLB_2M, 8 * REGION_2M, REGION_2M), (Backing.HUGETLB_1G, REGION_1G, REGION_1G)]


def populated(kernel: str, mode: DirtyLogMode, backing: Backing, pages: int) -> Vm:
    vm = machine(kernel, mode, eager=True, vcpus=VCPUS)
    for slot in range(VCPUS):
        vm.add_memslot(slot, Memslot(REGION_1G + slot * pages, pages, backing))
    touch(vm, pages, write=True)
    return vm


def touch(vm: Vm, pages: int, *, write: bool) -> None:
    """Each vCPU goes once through a slot of its own."""
    for vcpu in range(VCPUS):
        vm.run(vcpu, gfns(REGION_1G + vcpu * pages, pages), write=write)


def clear_pass(vm: Vm, pages: int) -> None:
    for slot in range(VCPUS):
        bits = vm.get_dirty_log(slot)
        vm.clear_dirty_log(slot, 0, pages, bits)


def small_pages_mapped(now: Counters) -> int:
    return now.pages_4k + now.pages_2m * REGION_2M + now.pages_1g * REGION_1G


def huge(now: Counters) -> tuple[int, int]:
    return now.pages_2m, now.pages_1g


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("backing", "pages", "span"), SIZES, ids=["2m", "1g"])
@pytest.mark.parametrize("mode", [DirtyLogMode.LEGACY, DirtyLogMode.MANUAL_INITIALLY_SET])
def test_page_splitting(kernel: str, mode: DirtyLogMode, backing: Backing, pages: int, span: int) -> None:
    vm = populated(kernel, mode, backing, pages)
    before = vm.counters()
    assert before.pages_4k == 0
    assert small_pages_mapped(before) == VCPUS * pages
    assert sum(huge(before)) == VCPUS * pages // span

    for slot in range(VCPUS):
        vm.enable_dirty_logging(slot)
    enabled = vm.counters()
    if mode is DirtyLogMode.LEGACY:
        assert huge(enabled) == (0, 0)
        assert enabled.pages_4k >= VCPUS * pages
    else:
        assert huge(enabled) == huge(before)
        clear_pass(vm, pages)
        assert huge(vm.counters()) == (0, 0)
        assert vm.counters().pages_4k >= VCPUS * pages

    touch(vm, pages, write=True)
    for slot in range(VCPUS):
        assert int(np.unpackbits(vm.get_dirty_log(slot).view(np.uint8)).sum()) == pages
        vm.disable_dirty_logging(slot)
    touch(vm, pages, write=False)
    assert huge(vm.counters()) == huge(before)
    assert vm.counters().pages_4k == 0
