"""Operations of the host: writes and MADV_DONTNEED of a memslot's memory, and the parameter eager_page_split."""

from __future__ import annotations

import numpy as np

from mmuviz.core.errors import InputError, KvmEinval
from mmuviz.core.pages import SPTE_INDEX_MASK, pages_per_hpage, round_up
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.config import Backing, Memslot, Mmu, check_eager
from mmuviz.mmu.fault import host_write_pages
from mmuviz.mmu.features import KernelFeatures
from mmuviz.mmu.host import drop_host_pages, split_host_region
from mmuviz.mmu.memslot_layout import materialise_host_pages
from mmuviz.mmu.state import I64


def set_eager_page_split(vm: VmArrays, *, value: bool) -> None:
    """Write KVM's module parameter eager_page_split: see Vm.set_eager_page_split()."""
    check_eager(vm.config.kernel, eager_page_split=value)
    if vm.config.mmu is Mmu.STAGE2:
        raise InputError("arm64 has no eager_page_split; its chunk size is chosen before the first memslot")
    vm.state.work[work.WORK_EAGER_SWITCH] += 1
    for tables in vm.tables:
        tables.conf[mmu.CONF_EAGER] = value


def host_write(vm: VmArrays, slot_id: int, offsets: I64) -> None:
    """Write to pages of a slot from the host process: see Vm.host_write()."""
    offsets, row, memslot = np.asarray(offsets), vm.row(slot_id), vm.memslots[slot_id]
    if len(offsets) and (offsets.min() < 0 or offsets.max() >= memslot.pages):
        raise InputError(f"a page of hostwrite lies outside the slot; pages are 0 to {memslot.pages - 1}")
    pages = np.ascontiguousarray(offsets, dtype=np.int64)

    def write_some(index: int) -> int:
        """Call host_write_pages(), then zap the other tables of a nested VM where needed."""
        at = host_write_pages(vm.state, row, pages, index)
        vm.zap_other_tables(vm.state)
        return at

    vm.walk(0, len(pages), write_some)


def madvise_dontneed(vm: VmArrays, slot_id: int, start: int, count: int) -> None:
    """MADV_DONTNEED of the host memory behind pages of a slot: see Vm.madvise_dontneed()."""
    row, memslot = vm.row(slot_id), vm.memslots[slot_id]
    if start < 0 or count < 0 or start + count > memslot.pages:
        raise InputError(f"dontneed start={start} count={count} must lie inside the slot of {memslot.pages} pages")
    first = start + memslot.hva_offset_pages
    vm.state.work[work.WORK_DONTNEED] += 1
    if memslot.backing.hugetlb:
        count = _whole_huge_pages(vm.config.kernel, memslot, first, count)
    if count:
        _drop(vm, row, first, first + count, thp=memslot.backing is Backing.THP)


def _whole_huge_pages(kernel: KernelFeatures, memslot: Memslot, first: int, count: int) -> int:
    """Number of pages that MADV_DONTNEED drops from hugetlb memory. Kernel: madvise_dontneed_free_valid_vma()."""
    span = pages_per_hpage(memslot.backing.level)
    if not kernel.dontneed_takes_hugetlb:
        raise KvmEinval(f"dontneed: hugetlb memory cannot be dropped on kernel {kernel.name}; use 5.18 or later")
    if first % span:
        raise KvmEinval(f"dontneed start: hugetlb memory wants a multiple of {span} host pages, not {first}")
    return count - count % span if kernel.dontneed_rounds_hugetlb_down else round_up(count, span)


def _drop(vm: VmArrays, row: int, first: int, end: int, *, thp: bool) -> None:
    materialise_host_pages(vm.state, row)
    _invalidate(vm, row, first, end)
    for edge in sorted({first, end - 1}) if thp else ():
        region = edge & ~SPTE_INDEX_MASK
        whole = first <= region and region + SPTE_INDEX_MASK < end
        if not whole and split_host_region(vm.state, row, edge):
            _invalidate(vm, row, region, region + SPTE_INDEX_MASK + 1)
    drop_host_pages(vm.state, row, first, end)


def _invalidate(vm: VmArrays, row: int, first: int, end: int) -> None:
    """Call the MMU notifier for host pages [first, end). Kernel: kvm_unmap_gfn_range(), mmu.c."""
    slot = vm.state.slots[row]
    base, move = int(slot[mmu.SLOT_BASE]), int(slot[mmu.SLOT_BASE] - slot[mmu.SLOT_HVA_OFFSET])
    stop = min(end + move, int(slot[mmu.SLOT_END]))
    low, stat = max(first + move, base), vm.state.stat
    flushes = int(stat[mmu.STAT_TLB_FLUSHES])
    for tables in vm.tables:
        vm.unmap(tables, low, stop)
    if vm.config.mmu is not Mmu.STAGE2:  # at most one flush in total
        stat[mmu.STAT_TLB_FLUSHES] = min(int(stat[mmu.STAT_TLB_FLUSHES]), flushes + 1)
