"""Choices of the rest of the machine: what is refused, by name of what has it; none is dead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmuviz.core.errors import InputError, KvmEinval, MmuvizError
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, Tracking, VmConfig
from mmuviz.mmu.features import SERIES, kernel_row
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, REGION_2M, gfns, vm_of

MIB_2, GIB = 2 << 20, 1 << 30

REFUSED = [
    ({"mmu": Mmu.SHADOW_PAGING, "pml": True}, "needs EPT"),
    ({"mmu": Mmu.STAGE2, "pml": True}, "needs EPT"),
    ({"mmu": Mmu.STAGE2, "eager_page_split": True}, "no eager_page_split"),
    ({"mmu": Mmu.TDP, "split_chunk_bytes": GIB}, "belongs to mmu=arm64_stage2"),
    ({"tracking": Tracking(2), "dirty_log_mode": DirtyLogMode.RING, "ring_entries": 4096}, "in no release"),
    ({"tracking": Tracking(2), "mmu": Mmu.NESTED}, "in no release"),
    ({"nr_mmu_pages": 100}, r"first exist in 6\.0"),
]


@pytest.mark.parametrize(("choices", "message"), REFUSED)
def test_what_an_mmu_lacks_is_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VmConfig(kernel_row("6.12"), **choices)


@pytest.mark.parametrize(
    ("kernel", "choices", "first"),
    [
        ("6.4", {"mmu": Mmu.STAGE2, "split_chunk_bytes": GIB}, "6.5"),
        ("6.1", {"mmu": Mmu.STAGE2, "dirty_log_mode": DirtyLogMode.RING, "ring_entries": 4096}, "6.2"),
        ("5.19", {"mmu": Mmu.NESTED, "nr_mmu_pages": 100}, "6.0"),
        ("5.17", {"eager_page_split": True}, "5.18"),
        ("rfc-2021", {"mmu": Mmu.STAGE2}, "choose a release"),
    ],
)
def test_the_message_names_the_first_kernel_that_has_it(kernel: str, choices: dict[str, Any], first: str) -> None:
    with pytest.raises(InputError, match=first.replace(".", r"\.")):
        VmConfig(kernel_row(kernel), **choices)


@pytest.mark.parametrize("chunk", [1, 3 * MIB_2, 512 << 30])
def test_a_chunk_must_be_a_block_size(chunk: int) -> None:
    with pytest.raises(KvmEinval, match="must be 0 or a block size"):
        VmConfig(kernel_row("6.12"), mmu=Mmu.STAGE2, split_chunk_bytes=chunk)


def test_tracking_is_checked_too() -> None:
    for wrong in ((3, None), (1, 2), (2, 0)):
        with pytest.raises(InputError):
            Tracking(*wrong)
    with pytest.raises(KvmEinval, match="at least 64"):
        VmConfig(kernel_row("6.12"), mmu=Mmu.NESTED, nr_mmu_pages=63)


def outcome(config: VmConfig) -> list[object]:
    """Return the events, counters and memory use of a fixed sequence of operations."""
    vm = Vm(config, record=True)
    vm.add_memslot(0, Memslot(REGION_1G, REGION_1G, Backing.HUGETLB_1G))
    found: list[object] = []

    def harvest() -> None:
        found.append([offsets.tobytes() for _slot, offsets in vm.collect_dirty_rings()])
        vm.reset_dirty_rings()

    for step in (None, vm.enable_dirty_logging, vm.disable_dirty_logging):
        if step is not None:
            step(0)
        for vcpu in range(config.vcpus):
            for l2 in (False, True) if config.mmu is Mmu.NESTED else (False,):
                vm.run(vcpu, gfns(REGION_1G + 700 * vcpu, 1200), write=True, ring_full=harvest, l2=l2)
        if step == vm.enable_dirty_logging and not config.dirty_log_mode.ring:
            found += [vm.get_dirty_log(0).tobytes() for _ in range(2)]
        found += [vm.take_events().tobytes(), vm.counters(), vm.memory_overhead()]
    return found


BASE = VmConfig(kernel_row("6.12"))
NESTED = replace(BASE, mmu=Mmu.NESTED)
STAGE2 = replace(BASE, mmu=Mmu.STAGE2)
RINGS = replace(BASE, dirty_log_mode=DirtyLogMode.RING, ring_entries=4096)
EACH_FIELD = {
    "kernel": (BASE, replace(BASE, kernel=kernel_row("6.18"))),
    "dirty_log_mode": (BASE, replace(BASE, dirty_log_mode=DirtyLogMode.MANUAL)),
    "eager_page_split": (BASE, replace(BASE, eager_page_split=False)),
    "mmu": (BASE, replace(BASE, mmu=Mmu.SHADOW_PAGING)),
    "vcpus": (BASE, replace(BASE, vcpus=2)),
    "ring_entries": (RINGS, replace(RINGS, ring_entries=1024)),
    "pml": (BASE, replace(BASE, pml=True)),
    "split_chunk_bytes": (STAGE2, replace(STAGE2, split_chunk_bytes=GIB)),
    "tracking": (BASE, replace(BASE, tracking=Tracking(2))),
    "nr_mmu_pages": (NESTED, replace(NESTED, nr_mmu_pages=100)),
}


@pytest.mark.parametrize("field", [name for name in VmConfig.__dataclass_fields__ if name != "ring_limit"])
def test_no_choice_is_dead(field: str) -> None:
    one, other = EACH_FIELD[field]
    assert outcome(one) != outcome(other)


def test_every_mmu_and_series_differs_from_each_other() -> None:
    rows = [replace(BASE, mmu=mmu) for mmu in Mmu]
    rows += [
        replace(BASE, kernel=SERIES["shadow-eager-v1"], mmu=Mmu.DIRECT_SHADOW),
        replace(BASE, kernel=SERIES["shadow-eager-v3"], mmu=Mmu.DIRECT_SHADOW),
        replace(BASE, kernel=kernel_row("5.18"), mmu=Mmu.NESTED),
        replace(BASE, kernel=SERIES["nested-eager-v4"], mmu=Mmu.NESTED),
        replace(BASE, kernel=kernel_row("5.18")),
        replace(BASE, kernel=SERIES["rfc-2021"]),
        replace(BASE, tracking=Tracking(2, 1)),
        replace(BASE, tracking=Tracking(2)),
    ]
    outcomes = [outcome(row) for row in rows]
    assert not [(a, b) for a in range(len(rows)) for b in range(a) if outcomes[a] == outcomes[b]]


def test_an_l2_needs_a_nested_vm() -> None:
    vm = vm_of("6.12")
    with pytest.raises(InputError, match="choose mmu=nested"):
        vm.run(0, gfns(REGION_1G, 1), write=True, l2=True)
    with pytest.raises(MmuvizError, match="mmu=tdp or direct_shadow"):
        vm_of("6.12", mmu=Mmu.STAGE2).split_by_faulting(0)
    with pytest.raises(InputError, match="before the first memslot"):
        vm_of("6.12", mmu=Mmu.STAGE2).set_eager_page_split(value=False)


def test_a_deleted_slot_takes_the_whole_vm_on_x86_and_itself_on_arm64() -> None:
    for mmu, left in ((Mmu.NESTED, 0), (Mmu.STAGE2, 1)):
        vm = vm_of("6.12", mmu=mmu)
        vm.add_memslot(1, Memslot(3 * REGION_1G, REGION_2M, Backing.HUGETLB_2M))
        vm.run(0, np.array([REGION_1G, 3 * REGION_1G]), write=True)
        vm.delete_memslot(0)
        assert (vm.counters().pages_1g, vm.counters().pages_2m) == (0, left)
        vm.run(0, gfns(3 * REGION_1G, 1), write=True, l2=mmu is Mmu.NESTED)
        assert vm.counters().pages_2m == 1
