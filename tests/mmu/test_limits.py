"""Requests that are too large: refused without a trace, or done in the memory and the time that they are worth."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from mmuviz.core.errors import KvmEinval, KvmEnomem
from mmuviz.mmu import kvm_run, memslots
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.state import I64
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, REGION_2M, gfns, machine, with_slot

SLOT_8T = (1 << 31) - 1


def test_a_slot_without_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = machine("6.12")
    before = [np.array(array) for array in vm.state]

    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(memslots, "append_memslot", no_memory)
        with pytest.raises(KvmEnomem, match=r"pages=1000 hva_offset_pages=77: .* 1077 pages; give less") as refused:
            vm.add_memslot(0, Memslot(REGION_1G, 1000, Backing.PAGES_4K, hva_offset_pages=77))
    assert refused.value.errno == errno.ENOMEM
    for old, now in zip(before, vm.state, strict=True):
        assert np.array_equal(old, np.asarray(now))
    vm.add_memslot(0, Memslot(REGION_1G, 1000, Backing.PAGES_4K))
    vm.run(0, gfns(REGION_1G, 5), write=True)
    assert vm.counters().pages_4k == 5


def held_bytes(vm: Vm) -> int:
    return sum(array.nbytes for array in vm.state)


@pytest.mark.parametrize("backing", [Backing.PAGES_4K, Backing.THP, Backing.HUGETLB_1G])
def test_a_deleted_slot_gives_its_memory_back(backing: Backing) -> None:
    vm = machine("6.12")
    vm.add_memslot(0, Memslot(0, 65, Backing.PAGES_4K))
    before = held_bytes(vm)
    for turn in range(4):
        vm.add_memslot(1, Memslot((1 + turn) << 31, SLOT_8T, backing))
        vm.delete_memslot(1)
        assert held_bytes(vm) == before


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_the_slots_that_stay_go_on_as_if_the_deleted_one_had_never_been(gone: int) -> None:
    slots = [
        Memslot(5 * REGION_1G, 700, Backing.THP, host_populated=False),
        Memslot(2 * REGION_1G, 3 * REGION_2M + 9, Backing.PAGES_4K),
        Memslot(9 * REGION_1G + REGION_2M, 1300, Backing.THP, hva_offset_pages=REGION_2M),
    ]
    one, other = (machine("6.12", DirtyLogMode.MANUAL) for _ in range(2))
    for index, slot in enumerate(slots):
        one.add_memslot(index, slot)
        one.run(0, gfns(slot.base_gfn, slot.pages, 3), write=True)
        one.madvise_dontneed(index, 5, 20)
    one.enable_dirty_logging(gone)
    one.delete_memslot(gone)
    stay = [index for index in range(3) if index != gone]
    for index in stay:  # the host has these pages by now, so the other machine gets them as well
        other.add_memslot(index, slots[index])
        other.run(0, gfns(slots[index].base_gfn, slots[index].pages, 3), write=True)
        other.madvise_dontneed(index, 5, 20)
    other.add_memslot(gone, Memslot(20 * REGION_1G, 1, Backing.PAGES_4K))
    other.delete_memslot(gone)  # zaps the whole VM, as deleting did there
    for vm in (one, other):
        vm.take_events()
        for index in stay:
            vm.enable_dirty_logging(index)
            vm.run(0, gfns(slots[index].base_gfn, 600, 7), write=True)
            vm.madvise_dontneed(index, 0, 64)
    assert np.array_equal(one.take_events(), other.take_events())
    for index in stay:
        assert np.array_equal(one.get_dirty_log(index), other.get_dirty_log(index))
        assert one.get_dirty_log(index).any()


def test_what_lies_before_a_slot_in_its_mapping_is_not_written_down() -> None:
    vm = machine("6.12")
    offset = REGION_1G << 6  # 64 GiB
    vm.add_memslot(0, Memslot(REGION_1G, 1000, Backing.PAGES_4K, hva_offset_pages=offset))
    vm.madvise_dontneed(0, 3, 1)
    # Two regions of 512 pages hold the slot, four pages a byte.
    assert np.count_nonzero(vm.state.host_page) <= 2 * REGION_2M // 4


def ring_machine() -> Vm:
    vm = Vm(VmConfig(features_of("6.12"), DirtyLogMode.RING, ring_entries=256))
    vm = with_slot(vm, Backing.PAGES_4K, 5000)
    vm.enable_dirty_logging(0)
    return vm


def test_a_full_ring_does_not_check_all_accesses_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = ring_machine()
    harvested: list[int] = []
    checks: list[int] = []
    really = kvm_run.check_gfns

    def check(arrays: VmArrays, pages: I64) -> None:
        checks.append(len(pages))
        really(arrays, pages)

    monkeypatch.setattr(kvm_run, "check_gfns", check)

    def harvest() -> None:
        harvested.extend(int(page) for _, pages in vm.collect_dirty_rings() for page in pages)
        vm.reset_dirty_rings()

    done = vm.run(0, gfns(REGION_1G, 5000), write=True, ring_full=harvest)
    assert done == (False, 5000)
    harvest()
    # A fault reports its page before the access retires; a ring that is full then is asked about that page again.
    assert list(dict.fromkeys(harvested)) == list(range(5000))
    assert checks == [5000]


def test_a_full_ring_that_nobody_resets_is_an_exit() -> None:
    vm = ring_machine()
    calls: list[int] = []
    done = vm.run(0, gfns(REGION_1G, 5000), write=True, ring_full=lambda: calls.append(1))
    assert done.ring_full
    assert 0 < done.retired <= 256 - 64
    assert calls == [1]


def test_a_slot_that_goes_while_a_ring_is_full_is_missed() -> None:
    vm = ring_machine()
    with pytest.raises(KvmEinval, match="must lie inside a memslot"):
        vm.run(0, gfns(REGION_1G, 5000), write=True, ring_full=lambda: vm.delete_memslot(0))


@pytest.mark.parametrize("vcpu", [-1, 2, 1 << 63, 1 << 70, -(1 << 63), 10**4000])
def test_a_vcpu_of_any_size_is_refused(vcpu: int) -> None:
    vm = with_slot(machine("6.12", vcpus=2), Backing.THP, 1000)
    with pytest.raises(KvmEinval, match=r"vcpu=.* must be 0 to 1") as refused:
        vm.run(vcpu, gfns(REGION_1G, 5), write=True)
    assert len(str(refused.value)) < 200


def test_the_vcpu_that_is_named_is_the_wrong_one() -> None:
    vm = with_slot(machine("6.12", vcpus=2), Backing.THP, 1000)
    with pytest.raises(KvmEinval, match="vcpu=-7 must be 0 to 1"):
        vm.run(np.array([0, 1, -7]), gfns(REGION_1G, 3), write=True)


@pytest.mark.parametrize("start", [-1, -(1 << 40), 6, 1 << 62])
def test_a_start_outside_the_accesses_is_refused(start: int) -> None:
    vm = with_slot(machine("6.12"), Backing.THP, 1000)
    with pytest.raises(KvmEinval, match="start="):
        vm.run(0, gfns(REGION_1G, 5), write=True, start=start)
