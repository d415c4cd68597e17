"""Enabling and disabling dirty logging, and the pre-split of 2020, step by step."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.errors import InputError
from mmuviz.ground.pages import BITS_PER_LONG, PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu import state as layout
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays, WalkStep
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.counting import count_disable, count_enable
from mmuviz.mmu.dirty_bitmap import empty_bitmap, fill_bitmap
from mmuviz.mmu.kvm_run import check_vcpus, load_vcpus
from mmuviz.mmu.locks import Path, drops_lock_to_allocate
from mmuviz.mmu.presplit import fault_pages
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.rmap import end_split_call, split_rmaps_of_level
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.stage2 import stage2_split
from mmuviz.mmu.state import DIRTY, WRITABLE, MmuState
from mmuviz.mmu.steps import (
    FIXED,
    UNLOCK,
    Act,
    Changes,
    Step,
    Steps,
    Unit,
    Verb,
    broadcast,
    changes_since,
    counted,
    end_of_step,
    flush,
    leaves,
    lock,
    relock,
)
from mmuviz.mmu.tracking import regions_of

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)


# Enabling


def enable_steps(vm: VmArrays, slot_id: int, unit: Unit) -> Steps[None]:
    """Set KVM_MEM_LOG_DIRTY_PAGES on a slot: see Vm.enable_dirty_logging()."""
    row = vm.row(slot_id)
    return _enable(vm, slot_id, row, unit)


def _enable(vm: VmArrays, slot_id: int, row: int, unit: Unit) -> Steps[None]:
    state, slot = vm.state, vm.state.slots[row]
    if slot[layout.SLOT_LOGGING]:
        state.work[work.WORK_ENABLE] += 1
        return
    count_enable(state, row)
    yield FIXED
    begin_logging(vm, slot_id, row)
    vm.note_peak()
    if vm.config.dirty_log_mode.initially_set or slot[layout.SLOT_READ_ONLY]:
        return  # what cannot be dirtied, or made writable, is not touched
    base, pages = vm.span(row)
    steps = [_split, _protect]
    for step in reversed(steps) if vm.config.mmu is Mmu.STAGE2 else steps:
        for tables in vm.tables:
            yield from step(vm, tables, base, base + pages, unit)
    vm.note_peak()
    state.stat[layout.STAT_TLB_FLUSHES] += 1
    yield flush()


def begin_logging(vm: VmArrays, slot_id: int, row: int) -> None:
    """What every slot that is logged has: the flag, a bitmap, and the counts of the hybrid."""
    vm.state.slots[row, layout.SLOT_LOGGING] = 1
    vm.state.conf[layout.CONF_LOGGING_SLOTS] += 1
    begin_bitmap(vm, row)
    if vm.config.tracking.rounds_to_4k is not None:
        vm.rounds[slot_id] = np.zeros(regions_of(*vm.span(row)), dtype=np.int64)


def begin_bitmap(vm: VmArrays, row: int) -> None:
    """The bitmap of a slot as logging begins."""
    free_bitmap(vm, row)
    if vm.config.dirty_log_mode.initially_set and not vm.config.dirty_log_mode.ring:
        fill_bitmap(vm.state, row)


def free_bitmap(vm: VmArrays, row: int) -> None:
    """No page of a slot is in the dirty log any more."""
    words = -(-vm.span(row)[1] // BITS_PER_LONG)
    vm.walk(0, words, lambda word: empty_bitmap(vm.state, row, word))


def _split(vm: VmArrays, tables: MmuState, start: int, end: int, unit: Unit) -> Steps[None]:
    """Eager splitting as logging starts; the shadow MMU goes over the slot level by level.

    Kernel: kvm_mmu_slot_try_split_huge_pages(), arch/x86/kvm/mmu/mmu.c
    """
    splitter = int(tables.conf[layout.CONF_SPLITTER])
    if not tables.conf[layout.CONF_EAGER] or splitter == layout.SPLITTER_NONE:
        return
    path = Path.L2_ENABLE_SPLIT if tables.conf[layout.CONF_L2] else Path.ENABLE_SPLIT
    yield lock(path)
    for level in (PG_LEVEL_1G, PG_LEVEL_2M) if splitter == layout.SPLITTER_RMAP else (0,):
        low = start
        while low < end:
            high = end_of_step(low, end, unit())
            yield from _split_part(vm, tables, low, high, level, path)
            low = high
    if splitter == layout.SPLITTER_RMAP:
        end_split_call(tables)
    yield UNLOCK


def _split_part(vm: VmArrays, tables: MmuState, low: int, high: int, level: int, path: Path) -> Steps[None]:
    yield Step(Act.PLAN, verb=Verb.SPLIT, first=low, end=high, level=level, tables=tables)
    before = counted(tables)
    vm.walk(low, high, _splitting(tables, high, level))
    changes = changes_since(tables, before)
    yield from after_splits(vm, tables, changes, path)
    yield Step(Act.WORK, verb=Verb.SPLIT, first=low, end=high, level=level, tables=tables, changes=changes)


def _splitting(tables: MmuState, end: int, level: int) -> WalkStep:
    splitter, target = int(tables.conf[layout.CONF_SPLITTER]), int(tables.conf[layout.CONF_TRACK_LEVEL])
    if splitter == layout.SPLITTER_RMAP:
        return lambda gfn: split_rmaps_of_level(tables, gfn, end, level)
    if splitter == layout.SPLITTER_STAGE2:
        return lambda gfn: stage2_split(tables, gfn, end, work.WORK_SPLIT_ENABLE_2M)
    return lambda gfn: try_split_huge_pages(tables, gfn, end, target, work.WORK_SPLIT_ENABLE_2M)


def after_splits(vm: VmArrays, tables: MmuState, changes: Changes, path: Path) -> Steps[None]:
    """What eager splits bring with them before their own time: mmu_lock dropped for memory, TLBIs."""
    if not changes.tables:
        return
    drops = drops_lock_to_allocate(vm.config, l2=bool(tables.conf[layout.CONF_L2]))
    if drops == "always" or changes.topups:
        yield relock(path)
    if changes.tlbis:
        yield broadcast(changes.tlbis)


def _protect(vm: VmArrays, tables: MmuState, start: int, end: int, unit: Unit) -> Steps[None]:
    """Clear dirty bits for PML, then write access of all that PML does not track."""
    yield lock(Path.L2_ENABLE_PROTECT if tables.conf[layout.CONF_L2] else Path.ENABLE_PROTECT)
    low = start
    while low < end:
        high = end_of_step(low, end, unit())
        yield Step(Act.PLAN, verb=Verb.PROTECT, first=low, end=high, tables=tables)
        before = counted(tables)
        _protect_part(vm, tables, low, high)
        changes = changes_since(tables, before)
        yield Step(Act.WORK, verb=Verb.PROTECT, first=low, end=high, tables=tables, changes=changes)
        low = high
    yield UNLOCK


def _protect_part(vm: VmArrays, tables: MmuState, start: int, end: int) -> None:
    protected = ALL_LEVELS
    if tables.conf[layout.CONF_PML]:
        levels = ALL_LEVELS if tables.conf[layout.CONF_TDP_MMU] else 1 << PG_LEVEL_4K
        vm.walk(start, end, lambda gfn: clear_leaf_bits(tables, gfn, end, levels, DIRTY))
        protected = HUGE_LEVELS if tables.conf[layout.CONF_TRACK_LEVEL] == PG_LEVEL_4K else 1 << PG_LEVEL_1G
    vm.walk(start, end, lambda gfn: clear_leaf_bits(tables, gfn, end, protected, WRITABLE))


# Disabling


def disable_steps(vm: VmArrays, slot_id: int, unit: Unit) -> Steps[None]:
    """Clear KVM_MEM_LOG_DIRTY_PAGES on a slot: see Vm.disable_dirty_logging()."""
    row = vm.row(slot_id)
    return _disable(vm, slot_id, row, unit)


def _disable(vm: VmArrays, slot_id: int, row: int, unit: Unit) -> Steps[None]:
    state, slot = vm.state, vm.state.slots[row]
    if not slot[layout.SLOT_LOGGING]:
        state.work[work.WORK_DISABLE] += 1
        return
    count_disable(state, row)
    yield FIXED
    vm.note_peak()
    slot[layout.SLOT_LOGGING] = 0
    state.conf[layout.CONF_LOGGING_SLOTS] -= 1
    slot[layout.SLOT_FORCED_LEVEL] = PG_LEVEL_1G
    free_bitmap(vm, row)
    if vm.config.mmu is Mmu.STAGE2:
        state.stat[layout.STAT_SPLIT_CACHE] = 0
        return
    if slot[layout.SLOT_READ_ONLY]:
        return
    # A table under a 1G page is collapsed in one go, so no step may end inside the region.
    least = PAGES_PER_1G if vm.memslots[slot_id].backing.level == PG_LEVEL_1G else 1
    for tables in vm.tables:
        yield from _collapse(vm, tables, row, lambda: max(unit(), least))


def _collapse(vm: VmArrays, tables: MmuState, row: int, unit: Unit) -> Steps[None]:
    """Zap or recover what could be huge; the shadow MMU and recovery flush once, else each zap does.

    Kernel: kvm_mmu_zap_collapsible_sptes() up to 6.12, kvm_mmu_recover_huge_pages() from 6.13
    """
    stat, tdp = tables.stat, bool(tables.conf[layout.CONF_TDP_MMU])
    by_table = tdp and vm.config.kernel.disable_zaps_tables
    once = not tdp or vm.config.kernel.recovers_huge_pages_in_place
    base, pages = vm.span(row)
    end, changed = base + pages, 0
    yield lock(Path.L2_DISABLE if tables.conf[layout.CONF_L2] else Path.DISABLE)
    low = base
    while low < end:
        high = end_of_step(low, end, unit())
        yield Step(Act.PLAN, verb=Verb.COLLAPSE, first=low, end=high, tables=tables)
        before, leaves_before = counted(tables), leaves(tables)
        vm.walk(low, high, _collapsing(tables, row, high, by_table=by_table))
        changes = changes_since(tables, before)
        here = changes.collapsed if by_table else leaves_before - leaves(tables)
        if not once:
            stat[layout.STAT_TLB_FLUSHES] += here
        yield Step(Act.WORK, verb=Verb.COLLAPSE, first=low, end=high, tables=tables, changes=changes)
        if here and not once:
            yield flush(here)
        changed += here
        low = high
    yield UNLOCK
    if changed and once:
        stat[layout.STAT_TLB_FLUSHES] += 1
        yield flush()


def _collapsing(tables: MmuState, row: int, end: int, *, by_table: bool) -> WalkStep:
    if by_table:
        return lambda gfn: collapse_slot(tables, row, gfn, end)
    return lambda gfn: zap_collapsible_leaves(tables, row, gfn, end)


# The pre-split of 2020


def pre_split_steps(vm: VmArrays, slot_id: int, unit: Unit, vcpu: int) -> Steps[int]:
    """A dummy vCPU faults every page before logging starts: see Vm.split_by_faulting()."""
    row = vm.row(slot_id)
    if vm.config.mmu not in (Mmu.TDP, Mmu.DIRECT_SHADOW):
        raise InputError(f"split_by_faulting works with mmu=tdp or direct_shadow, not {vm.config.mmu}")
    if vm.state.slots[row, layout.SLOT_LOGGING]:
        raise InputError(f"slot={slot_id} is logged; split by faulting comes before logging")
    if vm.state.slots[row, layout.SLOT_READ_ONLY]:
        raise InputError(f"slot={slot_id} is read-only; split by faulting writes, so give a slot without read_only")
    return _pre_split(vm, row, vcpu, check_vcpus(vm, vcpu, 1), unit)


def _pre_split(vm: VmArrays, row: int, vcpu: int, vcpus: layout.I64, unit: Unit) -> Steps[int]:
    """It takes mmu_lock for one fault at a time, so briefly that nobody queues for it."""
    load_vcpus(vm, vcpus, l2=False)
    base, pages = vm.span(row)
    for level in (PG_LEVEL_2M, PG_LEVEL_4K):
        vm.state.slots[row, layout.SLOT_FORCED_LEVEL] = level
        low = base
        while low < base + pages:
            high = end_of_step(low, base + pages, unit())
            yield Step(Act.PLAN, verb=Verb.PRE_SPLIT, first=low, end=high, level=level, tables=vm.state)
            before = counted(vm.state)
            vm.walk(low, high, _faulting(vm.state, vcpu, row, level, high))
            changes = changes_since(vm.state, before)
            yield Step(
                Act.WORK, verb=Verb.PRE_SPLIT, first=low, end=high, level=level, tables=vm.state, changes=changes
            )
            low = high
    vm.note_peak()
    return regions_of(base, pages) + pages


def _faulting(state: MmuState, vcpu: int, row: int, level: int, end: int) -> WalkStep:
    return lambda gfn: fault_pages(state, vcpu, row, level, gfn, end)
