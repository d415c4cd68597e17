"""Adds, moves and deletes memslots: KVM_SET_USER_MEMORY_REGION except for changes of the logging flag."""

from __future__ import annotations

from functools import partial

import numpy as np

from mmuviz.core.errors import KvmEexist, KvmEinval, KvmEnomem
from mmuviz.core.pages import BITS_PER_LONG, SHIFT_1G
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.collapse import log_rows_zapped
from mmuviz.mmu.conf import mmu_pages_of, share_memslots
from mmuviz.mmu.config import Memslot, Mmu
from mmuviz.mmu.counting import count_deleted
from mmuviz.mmu.dirty_bitmap import log_bitmap
from mmuviz.mmu.logging_steps import begin_logging
from mmuviz.mmu.memslot_layout import append_memslot, without_slot
from mmuviz.mmu.state import MmuState
from mmuviz.mmu.tracking import regions_of


def add_memslot(vm: VmArrays, slot_id: int, memslot: Memslot, *, logged: bool) -> None:
    """Add a slot: see Vm.add_memslot()."""
    vm.check_slot_id(slot_id)
    if slot_id in vm.memslots:
        raise KvmEinval(f"slot={slot_id} exists; delete it first, a slot cannot be resized")
    _check_overlap(vm, slot_id, memslot)
    last = (memslot.base_gfn + memslot.pages - 1) >> SHIFT_1G
    try:
        grown = mmu.with_regions(vm.state, memslot.base_gfn >> SHIFT_1G, last)
        grown = append_memslot(grown, slot_id, memslot)
        l2 = _grown_l2(vm, grown, memslot.base_gfn >> SHIFT_1G, last)
    except (MemoryError, ValueError) as error:
        raise KvmEnomem(
            f"pages={memslot.pages} hva_offset_pages={memslot.hva_offset_pages}: this computer has no memory to "
            f"model a host mapping of {memslot.pages + memslot.hva_offset_pages} pages; give less of either"
        ) from error
    vm.state, vm.l2 = grown, l2
    vm.memslots[slot_id] = memslot
    grown.work[[work.WORK_SLOT_CREATE, work.WORK_SLOT_PAGE]] += [1, memslot.pages]
    if logged:  # no mapping exists that would have to be split or protected
        begin_logging(vm, slot_id, vm.row(slot_id))
    elif vm.config.mmu is Mmu.STAGE2:  # adding any slot without logging frees it
        grown.stat[mmu.STAT_SPLIT_CACHE] = 0
    _limit_mmu_pages(vm)


def _check_overlap(vm: VmArrays, slot_id: int, memslot: Memslot) -> None:
    for other_id, other in vm.memslots.items():
        meets = memslot.base_gfn < other.base_gfn + other.pages and other.base_gfn < memslot.base_gfn + memslot.pages
        if meets and other_id != slot_id:
            raise KvmEexist(f"base_gfn={memslot.base_gfn} pages={memslot.pages} overlaps slot {other_id}")


def _grown_l2(vm: VmArrays, grown: MmuState, first: int, last: int) -> MmuState | None:
    """The tables of an L2, if there is one, with rows for the regions `first` to `last`."""
    return None if vm.l2 is None else mmu.with_regions(share_memslots(vm.l2, grown), first, last)


def _limit_mmu_pages(vm: VmArrays) -> None:
    limit = mmu_pages_of(vm.config, sum(slot.pages for slot in vm.memslots.values()))
    for tables in vm.tables:
        tables.conf[mmu.CONF_MMU_PAGES] = limit


def delete_memslot(vm: VmArrays, slot_id: int) -> None:
    """Delete a slot: see Vm.delete_memslot()."""
    if slot_id not in vm.memslots:
        raise KvmEinval(f"slot={slot_id} does not exist; slots: {sorted(vm.memslots)}")
    row = vm.row(slot_id)
    was_logging = bool(vm.state.slots[row, mmu.SLOT_LOGGING])
    try:
        rest, l2 = _without(vm, row)
    except MemoryError as error:
        raise KvmEnomem(f"slot={slot_id}: this computer has no memory to model the slots that stay") from error
    vm.note_peak()
    vm.state.stat[mmu.STAT_LEFT_LOG] += vm.state.slots[row, mmu.SLOT_DIRTY_PAGES]
    for tables in vm.tables:
        count_deleted(tables, row)
    if vm.config.mmu is Mmu.STAGE2:
        _unmap_slot(vm, row)
    _log_zapped_all(vm)
    _log_bitmap(vm, vm.state, row, came=False)
    vm.state, vm.l2 = rest, l2
    del vm.memslots[slot_id]
    vm.rounds.pop(slot_id, None)
    vm.fetched.discard(slot_id)
    _limit_mmu_pages(vm)
    rest.conf[mmu.CONF_LOGGING_SLOTS] -= was_logging
    if vm.config.mmu is not Mmu.STAGE2:
        _count_zapped_all(vm)
    vm.recount()


def _log_zapped_all(vm: VmArrays) -> None:
    """Log the removal of every mapping; KVM does it by new roots, without an event for each entry."""
    for tables in vm.tables if vm.config.mmu is not Mmu.STAGE2 else ():
        vm.walk(0, len(tables.region_of), partial(log_rows_zapped, tables))


def _log_bitmap(vm: VmArrays, state: MmuState, row: int, *, came: bool) -> None:
    """Log that the pages of a slot's dirty bitmap entered or left the dirty log, at the slot's gfns in a state."""
    words = -(-int(state.slots[row, mmu.SLOT_END] - state.slots[row, mmu.SLOT_BASE]) // BITS_PER_LONG)
    vm.walk(0, words, lambda word: log_bitmap(state, row, int(not came), int(came), word))


def _count_zapped_all(vm: VmArrays) -> None:
    """Update the statistics after every mapping of the VM was removed."""
    stat = vm.state.stat
    stat[mmu.STAT_PAGES : mmu.STAT_TABLE_PAGES + 1] = 0
    vm.reset_tables_above(vm.state)
    stat[mmu.STAT_TLB_FLUSHES] += vm.config.mmu is not Mmu.TDP  # the TDP MMU only requests new roots


def move_memslot(vm: VmArrays, slot_id: int, base_gfn: int) -> None:
    """Move a slot: see Vm.move_memslot()."""
    if slot_id not in vm.memslots:
        raise KvmEinval(f"slot={slot_id} does not exist; slots: {sorted(vm.memslots)}")
    row, moved = vm.row(slot_id), vm.memslots[slot_id].at(base_gfn)
    if moved == vm.memslots[slot_id]:
        return
    _check_overlap(vm, slot_id, moved)
    slots = vm.state.slots.copy()
    slots[row, [mmu.SLOT_BASE, mmu.SLOT_END]] = base_gfn, base_gfn + moved.pages
    slots[row, mmu.SLOT_ALIGNED_LEVEL] = moved.aligned_level
    rest = vm.state._replace(slots=slots)
    try:
        rest, l2 = _emptied(vm, rest) if vm.config.mmu is not Mmu.STAGE2 else (_with_slot(rest, row), None)
    except MemoryError as error:
        raise KvmEnomem(f"slot={slot_id}: this computer has no memory to model it at {base_gfn}") from error
    vm.note_peak()
    if vm.config.mmu is Mmu.STAGE2:
        _unmap_slot(vm, row)
    _log_zapped_all(vm)
    _log_bitmap(vm, vm.state, row, came=False)
    _log_bitmap(vm, rest, row, came=True)
    vm.state, vm.l2 = rest, l2
    vm.memslots[slot_id] = moved
    if slot_id in vm.rounds:
        vm.rounds[slot_id] = np.zeros(regions_of(base_gfn, moved.pages), dtype=np.int64)
    if vm.config.mmu is not Mmu.STAGE2:
        _count_zapped_all(vm)
    vm.recount()


def _with_slot(state: MmuState, row: int) -> MmuState:
    """Add rows for the regions of one slot."""
    base, end = (int(state.slots[row, column]) for column in (mmu.SLOT_BASE, mmu.SLOT_END))
    return mmu.with_regions(state, base >> SHIFT_1G, (end - 1) >> SHIFT_1G)


def check_read_only(vm: VmArrays, slot_id: int, *, value: bool) -> None:
    """Refuse a change of KVM_MEM_READONLY: see Vm.set_read_only()."""
    row = vm.row(slot_id)
    if bool(vm.state.slots[row, mmu.SLOT_READ_ONLY]) != value:
        raise KvmEinval(f"read_only={value} of slot={slot_id} cannot be changed; delete the slot and add it again")


def _without(vm: VmArrays, row: int) -> tuple[MmuState, MmuState | None]:
    """Return all tables without one slot: empty on x86; on arm64 the other slots' mappings stay."""
    rest = without_slot(vm.state, row)
    if vm.config.mmu is Mmu.STAGE2:
        return rest, None
    return _emptied(vm, rest)


def _emptied(vm: VmArrays, rest: MmuState) -> tuple[MmuState, MmuState | None]:
    """Return all tables empty, with rows for the regions of the slots in `rest`."""
    rest = mmu.without_tables(rest)
    l2 = None if vm.l2 is None else mmu.without_tables(share_memslots(vm.l2, rest))
    for row, (base, end) in enumerate(rest.slots[:, [mmu.SLOT_BASE, mmu.SLOT_END]].tolist()):
        rest = _with_slot(rest, row)
        l2 = None if l2 is None else mmu.with_regions(l2, base >> SHIFT_1G, (end - 1) >> SHIFT_1G)
    return rest, l2


def _unmap_slot(vm: VmArrays, row: int) -> None:
    """Unmap this slot only, as arm64 does. Kernel: kvm_arch_flush_shadow_memslot(), arch/arm64/kvm/mmu.c."""
    base, pages = vm.span(row)
    vm.state.stat[mmu.STAT_SPLIT_CACHE] = 0
    vm.unmap(vm.state, base, base + pages)
