"""The mode in which each path holds mmu_lock, by the source (6.12) and the facts on each kernel."""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.events import FAST, FAULT, KIND_MASK, SPTE
from mmuviz.mmu.features import kernel_row
from mmuviz.mmu.locks import Lock, Path, drops_lock_to_allocate, lock_of, lock_of_fault
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, REGION_2M, gfns

N, R, W = Lock.NONE, Lock.READ, Lock.WRITE
# fault, enable's split and protection, legacy GET, CLEAR, disable, notifier
TABLE = {
    Mmu.TDP: (R, R, R, W, W, R, W),
    Mmu.DIRECT_SHADOW: (W, W, W, W, W, W, W),
    Mmu.SHADOW_PAGING: (W, W, W, W, W, W, W),
    Mmu.NESTED: (R, R, R, W, W, R, W),
    Mmu.STAGE2: (R, W, W, W, W, N, W),
}
PATHS = (Path.FAULT, Path.ENABLE_SPLIT, Path.ENABLE_PROTECT, Path.GET, Path.CLEAR, Path.DISABLE, Path.NOTIFIER)


@pytest.mark.parametrize("mmu", list(Mmu))
def test_lock_modes(mmu: Mmu) -> None:
    config = VmConfig(kernel_row("6.12"), mmu=mmu)
    assert tuple(lock_of(path, config) for path in PATHS) == TABLE[mmu]
    for path in (Path.L2_FAULT, Path.L2_ENABLE_SPLIT, Path.L2_ENABLE_PROTECT, Path.L2_DISABLE):
        assert mmu is not Mmu.NESTED or lock_of(path, config) is W


@pytest.mark.parametrize(
    ("kernel", "fault", "permission"), [("5.17", W, W), ("5.18", W, R), ("6.1", W, R), ("6.2", R, R), ("6.12", R, R)]
)
def test_arm64_s_faults_by_release(kernel: str, fault: Lock, permission: Lock) -> None:
    """f783ef1c0e82 in 5.18 for those that make a 4K page writable again, 1577cb5823ce in 6.2 for all."""
    config = VmConfig(kernel_row(kernel), mmu=Mmu.STAGE2, eager_page_split=False)
    assert [lock_of(path, config) for path in (Path.FAULT, Path.PERMISSION_FAULT)] == [fault, permission]


def test_get_under_manual_protection_only_copies() -> None:
    assert lock_of(Path.GET, VmConfig(kernel_row("6.12"), DirtyLogMode.MANUAL)) is N


def test_faults_tell_their_lock() -> None:
    vm = Vm(VmConfig(kernel_row("6.12"), mmu=Mmu.NESTED), record=True)
    vm.add_memslot(0, Memslot(REGION_1G, REGION_2M, Backing.HUGETLB_2M))
    found = []
    for l2 in (False, True):
        vm.run(0, gfns(REGION_1G, 1), write=True, l2=l2)
    vm.enable_dirty_logging(0)
    for l2 in (False, True):
        vm.take_events()
        vm.run(0, gfns(REGION_1G, 1), write=True, l2=l2)
        codes = vm.take_events()[:, 0]
        found.append([lock_of_fault(int(code), vm.config) for code in codes if code & KIND_MASK in (FAULT, FAST)])
    # L1: the fault event, then fast_page_fault() that fixed it; L2: the fault alone.
    assert found == [[R, N], [W]]
    with pytest.raises(ValueError, match="is no fault"):
        lock_of_fault(SPTE, vm.config)


@pytest.mark.parametrize(
    ("kernel", "mmu", "when"),
    [
        ("6.12", Mmu.TDP, "always"),
        ("6.11", Mmu.NESTED, "always"),
        ("6.8", Mmu.TDP, "on_failure"),
        ("rfc-2021", Mmu.TDP, "topup"),
        ("shadow-eager-v3", Mmu.DIRECT_SHADOW, "topup"),
        ("6.12", Mmu.STAGE2, "topup"),
    ],
)
def test_when_a_split_drops_the_lock(kernel: str, mmu: Mmu, when: str) -> None:
    assert drops_lock_to_allocate(VmConfig(kernel_row(kernel), mmu=mmu)) == when
    assert drops_lock_to_allocate(VmConfig(kernel_row("6.12"), mmu=Mmu.NESTED), l2=True) == "topup"


def test_every_path_has_a_mode() -> None:
    for mmu in Mmu:
        assert {lock_of(path, VmConfig(kernel_row("6.12"), mmu=mmu)) for path in Path} <= set(np.array([N, R, W]))
