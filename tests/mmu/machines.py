"""Machines to look at from the inside, with one or two test slots."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of, kernel_row
from mmuviz.mmu.state import I64
from mmuviz.mmu.vm import Vm

REGION_2M = 512
REGION_1G = 512 * 512


def machine(
    kernel: str,
    mode: DirtyLogMode = DirtyLogMode.LEGACY,
    *,
    eager: bool = False,
    vcpus: int = 1,
    pml: bool = False,
    mmu: Mmu = Mmu.TDP,
) -> Vm:
    """A VM without slots; rings have 4096 entries."""
    ring = 4096 if mode.ring else None
    return Vm(
        VmConfig(features_of(kernel), mode, eager, mmu=mmu, vcpus=vcpus, ring_entries=ring, pml=pml),
        record=True,
    )


def with_slot(vm: Vm, backing: Backing, pages: int, base_gfn: int = REGION_1G) -> Vm:
    """The VM with one populated slot, 0, whose host mapping is congruent."""
    vm.add_memslot(0, Memslot(base_gfn, pages, backing, hva_offset_pages=base_gfn % REGION_1G))
    return vm


def gfns(base_gfn: int, pages: int, step: int = 1) -> I64:
    return np.arange(base_gfn, base_gfn + pages, step, dtype=np.int64)


def vm_of(kernel: str, backing: Backing = Backing.HUGETLB_1G, pages: int = REGION_1G, **choices: Any) -> Vm:  # noqa: ANN401  # fields of VmConfig
    """A VM of a kernel row with any choices and one slot at 1 GiB."""
    vm = Vm(VmConfig(kernel_row(kernel), **choices), record=True)
    vm.add_memslot(0, Memslot(REGION_1G, pages, backing))
    return vm


def dirty_pages(bits: I64) -> list[int]:
    """Pages whose bit is set in a bitmap."""
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little")).tolist()
