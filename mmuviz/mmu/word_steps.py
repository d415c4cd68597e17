"""GET, CLEAR and the reset of dirty rings, step by step."""

from __future__ import annotations

import numpy as np

from mmuviz.ground.errors import KvmEinval, KvmEnoent, KvmEnxio
from mmuviz.ground.pages import BITS_PER_LONG, SHIFT_2M
from mmuviz.mmu import state as layout
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.dirty_log import arm_words, clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import ALL_MASKS, dirty_ring_reset
from mmuviz.mmu.locks import Path
from mmuviz.mmu.logging_steps import after_splits
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.steps import (
    FIXED,
    UNLOCK,
    Act,
    Step,
    Steps,
    Unit,
    Verb,
    changes_since,
    counted,
    covers_all,
    end_of_step,
    flush,
    lock,
)
from mmuviz.mmu.tracking import note_round, split_restless


def logged_row(vm: VmArrays, slot_id: int) -> int:
    """Row of a slot whose bitmap userspace asks for.

    Raises:
        KvmEnxio: the VM uses a dirty ring.
        KvmEinval: no such slot id can exist.
        KvmEnoent: the slot is absent or not logging.
    """
    check_bitmap(vm, slot_id)
    row = vm.row(slot_id)
    if not vm.state.slots[row, layout.SLOT_LOGGING]:
        raise KvmEnoent(f"slot={slot_id} is not logging; enable dirty logging first")
    return row


def check_bitmap(vm: VmArrays, slot_id: int) -> None:
    """Refuse GET and CLEAR of a VM with a dirty ring, or of an id that cannot be.

    Raises:
        KvmEnxio: the VM uses a dirty ring.
        KvmEinval: no such slot id can exist.
    """
    if vm.config.dirty_log_mode.ring:
        raise KvmEnxio("the VM uses a dirty ring and has no bitmap; collect and reset the rings")
    vm.check_slot_id(slot_id)


# GET


def get_steps(vm: VmArrays, slot_id: int, unit: Unit) -> Steps[I64]:
    """KVM_GET_DIRTY_LOG: see Vm.get_dirty_log()."""
    return _get(vm, slot_id, logged_row(vm, slot_id), unit)


def _get(vm: VmArrays, slot_id: int, row: int, unit: Unit) -> Steps[I64]:
    base, pages = vm.span(row)
    words = -(-pages // BITS_PER_LONG)
    if vm.config.dirty_log_mode.manual:
        vm.state.work[[work.WORK_GET_MANUAL, work.WORK_GET_COPY_WORD]] += [1, words]
    else:
        vm.state.work[work.WORK_GET] += 1
    yield FIXED
    vm.state.slots[row, layout.SLOT_UNREPORTED_PAGES] = 0
    rounds = vm.rounds.get(slot_id)
    if rounds is not None:
        note_round(vm.bitmap(row, 0, words), base, pages, rounds)
    if vm.config.dirty_log_mode.manual:
        masks = vm.bitmap(row, 0, words).copy()
        yield from _no_change(vm, Verb.GET_WORD, base, base + pages)
        return masks
    yield lock(Path.GET)
    armed = int(vm.state.stat[layout.STAT_MASKS_ARMED])
    yield from _before_words(vm, slot_id, row, 0, vm.bitmap(row, 0, words))
    buffer = np.zeros(words, dtype=np.int64)
    low = 0
    while low < words:
        high = end_of_step(low, words, _words(unit))
        yield from _get_part(vm, row, low, buffer[:high])
        low = high
    yield from _end_of_words(vm, armed)
    return buffer


def _no_change(vm: VmArrays, verb: Verb, first: int, end: int) -> Steps[None]:
    """Words are copied, and no table changes."""
    for act in (Act.PLAN, Act.WORK):
        yield Step(act, verb=verb, first=first, end=end, tables=vm.tables[0])


def _words(unit: Unit) -> int:
    return max(unit() // BITS_PER_LONG, 1)


def _get_part(vm: VmArrays, row: int, low: int, part: I64) -> Steps[None]:
    """Words `low` to the end of `part`."""
    first, end, tables = *_gfns(vm, row, low, len(part)), vm.tables[0]
    masks = vm.bitmap(row, low, len(part) - low).copy()
    yield Step(Act.PLAN, verb=Verb.GET_WORD, first=first, end=end, tables=tables, masks=masks)
    before = counted(vm.state)
    vm.walk(low, len(part), lambda word: get_dirty_log_protect(vm.state, row, part, word))
    changes = changes_since(vm.state, before)
    yield Step(Act.WORK, verb=Verb.GET_WORD, first=first, end=end, tables=tables, masks=masks, changes=changes)


def _gfns(vm: VmArrays, row: int, low: int, high: int) -> tuple[int, int]:
    """The gfns [first, end) of words [low, high) of a slot's bitmap."""
    base, pages = vm.span(row)
    return base + low * BITS_PER_LONG, base + min(high * BITS_PER_LONG, pages)


def _before_words(vm: VmArrays, slot_id: int, row: int, first_word: int, masks: I64) -> Steps[None]:
    """What comes before L1's tables are armed: the hybrid's splits, the tables of an L2.

    Args:
        vm: the arrays.
        slot_id: the slot.
        row: its row.
        first_word: word of its bitmap that masks[0] stands for.
        masks: int64[words], pages that are about to be armed.
    """
    rounds, limit, l2 = vm.rounds.get(slot_id), vm.config.tracking.rounds_to_4k, vm.l2
    if l2 is None and (rounds is None or limit is None):
        return
    first, end, tables = *_gfns(vm, row, first_word, first_word + len(masks)), vm.tables[0]
    mine = masks.copy()
    yield Step(Act.PLAN, verb=Verb.SPLIT, first=first, end=end, tables=tables, masks=mine)
    before = counted(vm.state)
    if rounds is not None and limit is not None:
        part = rounds[(first >> SHIFT_2M) - (vm.span(row)[0] >> SHIFT_2M) :]
        vm.walk(0, len(part), lambda at: split_restless(vm.state, first, mine, part, limit, at))
    if l2 is not None:
        vm.walk(0, len(mine), lambda word: arm_words(l2, row, first_word, mine, word))
    changes = changes_since(vm.state, before)
    yield Step(Act.WORK, verb=Verb.SPLIT, first=first, end=end, tables=tables, masks=mine, changes=changes)


def _end_of_words(vm: VmArrays, armed: int) -> Steps[None]:
    """One flush at the end of a call that armed anything. Kernel: kvm_flush_remote_tlbs_memslot()."""
    vm.note_peak()
    flushes = int(vm.state.stat[layout.STAT_MASKS_ARMED]) != armed
    vm.state.work[work.WORK_CLEAR_FLUSH if vm.config.dirty_log_mode.manual else work.WORK_GET_FLUSH] += flushes
    vm.state.stat[layout.STAT_TLB_FLUSHES] += flushes
    yield UNLOCK
    if flushes:
        yield flush()


# CLEAR


def clear_steps(vm: VmArrays, slot_id: int, first_page: int, num_pages: int, bits: I64, unit: Unit) -> Steps[None]:
    """KVM_CLEAR_DIRTY_LOG of a range: see Vm.clear_dirty_log()."""
    check_bitmap(vm, slot_id)
    if first_page % BITS_PER_LONG:
        raise KvmEinval(f"first_page={first_page} must be a multiple of {BITS_PER_LONG}")
    row = logged_row(vm, slot_id)
    pages = vm.span(row)[1]
    if first_page < 0 or num_pages < 0 or first_page > pages or num_pages > pages - first_page:
        raise KvmEinval(f"first_page={first_page} num_pages={num_pages} must end at or before page {pages}")
    if num_pages % BITS_PER_LONG and first_page + num_pages != pages:
        raise KvmEinval(f"num_pages={num_pages} must be a multiple of {BITS_PER_LONG}, or end with the slot ({pages})")
    words = -(-num_pages // BITS_PER_LONG)
    if len(bits) != words:
        raise KvmEinval(f"bits has {len(bits)} words; a range of {num_pages} pages has {words}")
    buffer = np.ascontiguousarray(bits, dtype=np.int64)
    return _clear(vm, slot_id, row, first_page // BITS_PER_LONG, buffer, unit)


def _clear(vm: VmArrays, slot_id: int, row: int, first_word: int, buffer: I64, unit: Unit) -> Steps[None]:
    words = len(buffer)
    vm.state.work[work.WORK_CLEAR] += 1
    yield FIXED
    yield lock(Path.CLEAR)
    armed = int(vm.state.stat[layout.STAT_MASKS_ARMED])
    if vm.l2 is not None or vm.rounds:
        yield from _before_words(vm, slot_id, row, first_word, buffer & vm.bitmap(row, first_word, words))
    low = 0
    while low < words:
        high = end_of_step(low, words, _words(unit))
        yield from _clear_part(vm, row, first_word, low, buffer[:high])
        low = high
    yield from _end_of_words(vm, armed)


def _clear_part(vm: VmArrays, row: int, first_word: int, low: int, part: I64) -> Steps[None]:
    """Words `low` to the end of `part`, counted from the first of the call."""
    first, end, tables = *_gfns(vm, row, first_word + low, first_word + len(part)), vm.tables[0]
    masks = part[low:] & vm.bitmap(row, first_word + low, len(part) - low)
    yield Step(Act.PLAN, verb=Verb.CLEAR_WORD, first=first, end=end, tables=tables, masks=masks)
    before = counted(vm.state)
    vm.walk(low, len(part), lambda word: clear_dirty_log_protect(vm.state, row, first_word, part, word))
    changes = changes_since(vm.state, before)
    yield from after_splits(vm, vm.state, changes, Path.CLEAR)
    yield Step(Act.WORK, verb=Verb.CLEAR_WORD, first=first, end=end, tables=tables, masks=masks, changes=changes)


# Dirty rings


def need_ring(vm: VmArrays) -> None:
    """Refuse what only a VM with a dirty ring can do.

    Raises:
        KvmEinval: it has none.
    """
    if not vm.config.dirty_log_mode.ring:
        raise KvmEinval(f"dirty_log_mode={vm.config.dirty_log_mode} has no dirty ring; use GET and CLEAR")


def collect_rings(vm: VmArrays) -> list[tuple[int, I64]]:
    """Harvest every vCPU's ring: see Vm.collect_dirty_rings()."""
    need_ring(vm)
    ring, ring_at = vm.state.ring, vm.state.ring_at
    found: list[tuple[int, I64]] = []
    vm.state.work[work.WORK_COLLECT_FIRST] = 1
    for vcpu in range(vm.config.vcpus):
        at = np.arange(ring_at[vcpu, layout.RING_HARVEST_INDEX], ring_at[vcpu, layout.RING_DIRTY_INDEX])
        entries = ring[vcpu, at & (ring.shape[1] - 1)]
        vm.state.work[work.WORK_COLLECT_ENTRY] += len(entries)
        ring_at[vcpu, layout.RING_HARVEST_INDEX] = ring_at[vcpu, layout.RING_DIRTY_INDEX]
        slots, offsets = entries >> layout.RING_SLOT_SHIFT, entries & ((1 << layout.RING_SLOT_SHIFT) - 1)
        parts = np.split(np.arange(len(slots)), np.flatnonzero(np.diff(slots)) + 1)
        found += [(int(slots[part[0]]), offsets[part]) for part in parts if len(part)]
    return found


def reset_ring_steps(vm: VmArrays, unit: Unit) -> Steps[int]:
    """KVM_RESET_DIRTY_RINGS: see Vm.reset_dirty_rings()."""
    need_ring(vm)
    return _reset_rings(vm, unit)


def _reset_rings(vm: VmArrays, unit: Unit) -> Steps[int]:
    stat = vm.state.stat
    vm.state.work[work.WORK_RING_RESET] += 1
    yield FIXED
    done = 0
    for vcpu in range(vm.config.vcpus):
        at = vm.state.ring_at[vcpu]
        first = int(at[layout.RING_RESET_INDEX])
        done += int(at[layout.RING_HARVEST_INDEX]) - first
        for tables in vm.tables:
            at[layout.RING_RESET_INDEX] = first  # each of a nested VM's tables goes through the same entries
            while at[layout.RING_RESET_INDEX] < at[layout.RING_HARVEST_INDEX]:
                yield from _reset_part(vm, tables, vcpu, unit)
    if done:  # even where the slot of every entry is gone
        vm.state.work[work.WORK_RING_FLUSH] += 1
        stat[layout.STAT_TLB_FLUSHES] += 1
        yield flush()
    return done


def _reset_part(vm: VmArrays, tables: MmuState, vcpu: int, unit: Unit) -> Steps[None]:
    """Entries of one ring; while vCPUs run, mmu_lock is taken anew for each mask of up to 64 pages."""
    at = vm.state.ring_at[vcpu]
    yield lock(Path.RING_RESET)
    yield Step(Act.PLAN, verb=Verb.RING, tables=tables)
    before, first = counted(tables), int(at[layout.RING_RESET_INDEX])
    dirty_ring_reset(tables, vcpu, ALL_MASKS if covers_all(unit) else 1)
    vm.drain_log()
    changes = changes_since(tables, before, int(at[layout.RING_RESET_INDEX]) - first)
    yield Step(Act.WORK, verb=Verb.RING, tables=tables, changes=changes)
    yield UNLOCK
