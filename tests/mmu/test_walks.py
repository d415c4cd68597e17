"""A walk in parts of any size has the same result as a walk at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.steps import Steps
from mmuviz.mmu.vm import Vm
from mmuviz.mmu.walks import LOG_LOW, OVER, change_next

PAGES: Final = 1536 + 300
BASE: Final = 512 * 512
SIZES: Final = (512, 1024, 1536, 1 << 18)
"""Pages of a part: whole 2M entries, as the engine has them."""
RING_ENTRIES: Final = 4096
CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "tdp": {"pml": True},
    "without_pml": {},
    "lazy": {"eager_page_split": False, "pml": True},
    "zap": {"kernel": features_of("6.1")},
    "recover": {"kernel": features_of("6.18"), "pml": True},
    "direct_shadow": {"mmu": Mmu.DIRECT_SHADOW, "pml": True},
    "nested": {"mmu": Mmu.NESTED},
    "stage2": {"mmu": Mmu.STAGE2, "split_chunk_bytes": 2 << 20},
    "ring": {"dirty_log_mode": DirtyLogMode.RING, "ring_entries": RING_ENTRIES},
    "legacy": {"dirty_log_mode": DirtyLogMode.LEGACY},
    "initially_set": {"dirty_log_mode": DirtyLogMode.MANUAL_INITIALLY_SET},
}
Carry = Callable[[Vm, Steps[Any]], Any]


def in_parts(size: int) -> Carry:
    """Carries an ioctl out in parts of so many pages."""

    def carry(vm: Vm, steps: Steps[Any]) -> Any:  # noqa: ANN401  # whatever the ioctl returns
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            while step.walk is not None:
                why = change_next(vm.tables[step.walk.tables], step.walk, size)
                if why == OVER:
                    break
                if why == LOG_LOW:
                    vm.drain_log()

    return carry


def history(name: str, backing: Backing, touched: list[int], size: int) -> Vm:
    """A VM whose ioctls were carried out in parts, between accesses of its guest."""
    chosen: dict[str, Any] = {"kernel": features_of("6.12"), "dirty_log_mode": DirtyLogMode.MANUAL, **CONFIGS[name]}
    vm, carry, pages = Vm(VmConfig(**chosen)), in_parts(size), np.array(touched) + BASE
    vm.add_memslot(0, Memslot(BASE, PAGES, backing))
    l2 = chosen.get("mmu") is Mmu.NESTED
    vm.run(0, np.arange(BASE, BASE + PAGES), write=True, l2=l2)
    for _ in range(2):
        carry(vm, vm.enable_steps(0))
        vm.run(0, pages, write=True, l2=l2)
        if chosen["dirty_log_mode"].ring:
            vm.collect_dirty_rings()
            carry(vm, vm.reset_ring_steps())
        else:
            bits = carry(vm, vm.get_steps(0))
            if chosen["dirty_log_mode"].manual:
                carry(vm, vm.clear_steps(0, 0, PAGES, bits))
        vm.run(0, pages[::2], write=True, l2=l2)
        carry(vm, vm.disable_steps(0))
    return vm


def test_every_mode_is_tried() -> None:
    tried = {each.get("dirty_log_mode", DirtyLogMode.MANUAL) for each in CONFIGS.values()}
    assert tried == set(DirtyLogMode) - {DirtyLogMode.RING_INITIALLY_SET}


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=8)
@given(
    st.sampled_from([Backing.PAGES_4K, Backing.HUGETLB_2M]),
    st.lists(st.integers(0, PAGES - 1), min_size=1, max_size=60, unique=True),
    st.sampled_from(SIZES[:-1]),
)
def test_parts_change_what_the_whole_changes(name: str, backing: Backing, touched: list[int], size: int) -> None:
    parts, whole = (history(name, backing, touched, each) for each in (size, SIZES[-1]))
    for mine, other in zip(parts.tables, whole.tables, strict=True):
        for field in mmu.MmuState._fields:
            assert np.array_equal(getattr(mine, field), getattr(other, field)), field
