"""Enabling and disabling dirty logging, and the pre-split of 2020, step by step."""

from __future__ import annotations

import numpy as np

from mmuviz.core.errors import InputError
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu import state as mmu
from mmuviz.mmu import walks, work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.counting import count_disable, count_enable
from mmuviz.mmu.dirty_bitmap import empty_bitmap, fill_bitmap
from mmuviz.mmu.kvm_run import check_vcpus, load_vcpus
from mmuviz.mmu.locks import Path, drops_lock_to_allocate
from mmuviz.mmu.rmap import end_split_call
from mmuviz.mmu.steps import FLUSH, KICK, UNLOCK, WORK, Steps, lock, walking
from mmuviz.mmu.tracking import regions_of
from mmuviz.mmu.walks import new_walk

# Enabling


def enable_steps(vm: VmArrays, slot_id: int) -> Steps[None]:
    """Set KVM_MEM_LOG_DIRTY_PAGES on a slot: see Vm.enable_dirty_logging()."""
    return _enable(vm, slot_id, vm.row(slot_id))


def _enable(vm: VmArrays, slot_id: int, row: int) -> Steps[None]:
    state, slot = vm.state, vm.state.slots[row]
    if slot[mmu.SLOT_LOGGING]:
        state.work[work.WORK_ENABLE] += 1
        return
    count_enable(state, row)
    yield WORK
    begin_logging(vm, slot_id, row)
    vm.note_peak()
    if state.conf[mmu.CONF_PML] and state.conf[mmu.CONF_LOGGING_SLOTS] == 1:
        yield KICK  # kvm_mmu_update_cpu_dirty_logging() turns PML on
    if vm.config.dirty_log_mode.initially_set or slot[mmu.SLOT_READ_ONLY]:
        return  # pages that cannot become dirty or writable are not touched
    base, pages = vm.span(row)
    if vm.config.mmu is not Mmu.STAGE2:
        for tables in range(len(vm.tables)):
            yield from _split(vm, tables, base, base + pages)
    for tables in range(len(vm.tables)):
        yield from _protect(vm, tables, base, base + pages)
    vm.note_peak()
    state.stat[mmu.STAT_TLB_FLUSHES] += 1
    yield FLUSH
    if vm.config.mmu is Mmu.STAGE2:
        yield from _split(vm, 0, base, base + pages)
        vm.note_peak()


def begin_logging(vm: VmArrays, slot_id: int, row: int) -> None:
    """Create the state of a logged slot: the flag, a bitmap, and the hybrid's counts."""
    vm.state.slots[row, mmu.SLOT_LOGGING] = 1
    vm.state.conf[mmu.CONF_LOGGING_SLOTS] += 1
    begin_bitmap(vm, row)
    if vm.config.tracking.rounds_to_4k is not None:
        vm.rounds[slot_id] = np.zeros(regions_of(*vm.span(row)), dtype=np.int64)


def begin_bitmap(vm: VmArrays, row: int) -> None:
    """Prepare the bitmap of a slot as logging begins."""
    free_bitmap(vm, row)
    if vm.config.dirty_log_mode.initially_set and not vm.config.dirty_log_mode.ring:
        fill_bitmap(vm.state, row)


def free_bitmap(vm: VmArrays, row: int) -> None:
    """Remove every page of a slot from the dirty log."""
    words = -(-vm.span(row)[1] // BITS_PER_LONG)
    vm.walk(0, words, lambda word: empty_bitmap(vm.state, row, word))


def _split(vm: VmArrays, tables: int, start: int, end: int) -> Steps[None]:
    """Eager splitting at enable; the shadow MMU walks the slot level by level.

    Kernel: kvm_mmu_slot_try_split_huge_pages(), arch/x86/kvm/mmu/mmu.c
    """
    conf = vm.tables[tables].conf
    splitter = int(conf[mmu.CONF_SPLITTER])
    if not conf[mmu.CONF_EAGER] or splitter == mmu.SPLITTER_NONE:
        return
    yield lock(Path.L2_ENABLE_SPLIT if conf[mmu.CONF_L2] else Path.ENABLE_SPLIT)
    drops = always_drops_lock(vm, tables)
    for level in (PG_LEVEL_1G, PG_LEVEL_2M) if splitter == mmu.SPLITTER_RMAP else (0,):
        yield walking(new_walk(walks.SPLIT, start, end, {walks.LEVEL: level, walks.ALWAYS_DROPS: drops}, tables=tables))
    if splitter == mmu.SPLITTER_RMAP:
        end_split_call(vm.tables[tables])
    yield UNLOCK


def always_drops_lock(vm: VmArrays, tables: int) -> int:
    """1 if an eager split of some tables drops mmu_lock for each table that it links, else 0."""
    return int(drops_lock_to_allocate(vm.config, l2=bool(vm.tables[tables].conf[mmu.CONF_L2])) == "always")


def _protect(vm: VmArrays, tables: int, start: int, end: int) -> Steps[None]:
    """Clear dirty bits for PML, then write access of every leaf that PML does not track."""
    conf = vm.tables[tables].conf
    path = Path.L2_ENABLE_PROTECT if conf[mmu.CONF_L2] else Path.ENABLE_PROTECT
    if conf[mmu.CONF_PML]:
        yield lock(path)
        yield walking(new_walk(walks.CLEAR_DIRTY, start, end, {}, tables=tables))
        yield UNLOCK
    # With PML the walk visits huge leaves only, a thousand times as fast, so its parts are longer by as much.
    least = PAGES_PER_1G if conf[mmu.CONF_PML] else 1
    yield lock(path)
    yield walking(new_walk(walks.WRITE_PROTECT, start, end, {walks.LEAST: least}, tables=tables))
    yield UNLOCK


# Disabling


def disable_steps(vm: VmArrays, slot_id: int) -> Steps[None]:
    """Clear KVM_MEM_LOG_DIRTY_PAGES on a slot: see Vm.disable_dirty_logging()."""
    return _disable(vm, slot_id, vm.row(slot_id))


def _disable(vm: VmArrays, slot_id: int, row: int) -> Steps[None]:
    state, slot = vm.state, vm.state.slots[row]
    if not slot[mmu.SLOT_LOGGING]:
        state.work[work.WORK_DISABLE] += 1
        return
    count_disable(state, row)
    yield WORK
    vm.note_peak()
    slot[mmu.SLOT_LOGGING] = 0
    state.conf[mmu.CONF_LOGGING_SLOTS] -= 1
    slot[mmu.SLOT_FORCED_LEVEL] = PG_LEVEL_1G
    free_bitmap(vm, row)
    if state.conf[mmu.CONF_PML] and not state.conf[mmu.CONF_LOGGING_SLOTS]:
        yield KICK  # turns PML off
    if vm.config.mmu is Mmu.STAGE2:
        state.stat[mmu.STAT_SPLIT_CACHE] = 0
        return
    if slot[mmu.SLOT_READ_ONLY]:
        return
    # A table under a 1G page is collapsed at once, so no part may end inside the region.
    least = PAGES_PER_1G if vm.memslots[slot_id].backing.level == PG_LEVEL_1G else 1
    for tables in range(len(vm.tables)):
        yield from _collapse(vm, tables, row, least)


def _collapse(vm: VmArrays, tables: int, row: int, least: int) -> Steps[None]:
    """Zap or recover mappings that could be huge; the shadow MMU and recovery flush once, otherwise each zap flushes.

    Kernel: kvm_mmu_zap_collapsible_sptes() up to 6.12, kvm_mmu_recover_huge_pages() from 6.13
    """
    conf, kernel = vm.tables[tables].conf, vm.config.kernel
    tdp = bool(conf[mmu.CONF_TDP_MMU])
    by_table = tdp and kernel.disable_zaps_tables
    once = not tdp or kernel.recovers_huge_pages_in_place
    base, pages = vm.span(row)
    yield lock(Path.L2_DISABLE if conf[mmu.CONF_L2] else Path.DISABLE)
    kind = walks.COLLAPSE_TABLES if by_table else walks.COLLAPSE_LEAVES
    chosen = {walks.SLOT: row, walks.LEAST: least, walks.FLUSHES_EACH: int(not once)}
    walk = new_walk(kind, base, base + pages, chosen, tables=tables)
    yield walking(walk)
    yield UNLOCK
    if walk.collapsed and once:
        vm.state.stat[mmu.STAT_TLB_FLUSHES] += 1
        yield FLUSH


# The pre-split of 2020


def pre_split_steps(vm: VmArrays, slot_id: int, vcpu: int) -> Steps[int]:
    """Fault in every page by a dummy vCPU before logging starts: see Vm.split_by_faulting()."""
    row = vm.row(slot_id)
    if vm.config.mmu not in (Mmu.TDP, Mmu.DIRECT_SHADOW):
        raise InputError(f"split_by_faulting works with mmu=tdp or direct_shadow, not {vm.config.mmu}")
    if vm.state.slots[row, mmu.SLOT_LOGGING]:
        raise InputError(f"slot={slot_id} is logged; split by faulting comes before logging")
    if vm.state.slots[row, mmu.SLOT_READ_ONLY]:
        raise InputError(f"slot={slot_id} is read-only; split by faulting writes, so give a slot without read_only")
    return _pre_split(vm, row, vcpu, check_vcpus(vm, vcpu, 1))


def _pre_split(vm: VmArrays, row: int, vcpu: int, vcpus: mmu.I64) -> Steps[int]:
    """The steps of pre_split_steps(); each fault takes mmu_lock so briefly that no vCPU queues for it."""
    load_vcpus(vm, vcpus, l2=False)
    base, pages = vm.span(row)
    for level in (PG_LEVEL_2M, PG_LEVEL_4K):
        vm.state.slots[row, mmu.SLOT_FORCED_LEVEL] = level
        chosen = {walks.SLOT: row, walks.LEVEL: level, walks.VCPU: vcpu}
        yield walking(new_walk(walks.PRE_SPLIT, base, base + pages, chosen, tables=len(vm.tables) - 1))
    vm.note_peak()
    return regions_of(base, pages) + pages
