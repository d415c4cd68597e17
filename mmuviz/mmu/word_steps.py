"""GET, CLEAR and the reset of dirty rings, step by step."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.errors import KvmEinval, KvmEnoent, KvmEnxio
from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES, PAGES_PER_2M, SHIFT_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu import walks, work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.locks import Path
from mmuviz.mmu.logging_steps import always_drops_lock
from mmuviz.mmu.state import I64
from mmuviz.mmu.steps import FLUSH, KICK, UNLOCK, WORK, Steps, lock, walking
from mmuviz.mmu.tracking import count_dirty_round
from mmuviz.mmu.walks import new_walk

WORDS_PER_LINE: Final = 8
WORDS_PER_PAGE: Final = 8 * PAGE_BYTES // BITS_PER_LONG


def logged_row(vm: VmArrays, slot_id: int) -> int:
    """Row of a slot whose bitmap userspace requests.

    Raises:
        KvmEnxio: the VM uses a dirty ring.
        KvmEinval: no such slot id can exist.
        KvmEnoent: the slot is absent or not logging.
    """
    check_bitmap(vm, slot_id)
    row = vm.row(slot_id)
    if not vm.state.slots[row, mmu.SLOT_LOGGING]:
        raise KvmEnoent(f"slot={slot_id} is not logging; enable dirty logging first")
    return row


def check_bitmap(vm: VmArrays, slot_id: int) -> None:
    """Refuse GET and CLEAR of a VM with a dirty ring, or of an impossible id.

    Raises:
        KvmEnxio: the VM uses a dirty ring.
        KvmEinval: no such slot id can exist.
    """
    if vm.config.dirty_log_mode.ring:
        raise KvmEnxio("the VM uses a dirty ring and has no bitmap; collect and reset the rings")
    vm.check_slot_id(slot_id)


# GET


def get_steps(vm: VmArrays, slot_id: int) -> Steps[I64]:
    """KVM_GET_DIRTY_LOG: see Vm.get_dirty_log()."""
    return _get(vm, slot_id, logged_row(vm, slot_id))


def _get(vm: VmArrays, slot_id: int, row: int) -> Steps[I64]:
    base, pages = vm.span(row)
    words = -(-pages // BITS_PER_LONG)
    if vm.config.dirty_log_mode.manual:
        vm.state.work[[work.WORK_GET_MANUAL, work.WORK_GET_COPY_WORD]] += [1, words]
    else:
        vm.state.work[work.WORK_GET] += 1
    yield WORK
    yield from _sync(vm)
    rounds = vm.rounds.get(slot_id)
    if rounds is not None:
        count_dirty_round(vm.bitmap(row, 0, words), base, pages, rounds)
    if vm.config.dirty_log_mode.manual:
        vm.state.slots[row, mmu.SLOT_UNREPORTED_PAGES] = 0
        _count_copy(vm, slot_id, words)
        return vm.bitmap(row, 0, words).copy()
    yield lock(Path.GET)
    armed = int(vm.state.stat[mmu.STAT_MASKS_ARMED])
    yield from _before_words(vm, slot_id, row, 0, vm.bitmap(row, 0, words))
    buffer = np.zeros(words, dtype=np.int64)
    chosen = {walks.SLOT: row, walks.UNIT: BITS_PER_LONG}
    yield walking(new_walk(walks.GET_WORDS, 0, words, chosen, tables=len(vm.tables) - 1, buffer=buffer))
    yield from _end_of_words(vm, armed)
    _count_copy(vm, slot_id, words)
    return buffer


def _count_copy(vm: VmArrays, slot_id: int, words: int) -> None:
    """Count the copy of the bitmap to userspace, whose buffer faults in page by page at a slot's first GET.

    The copy is the last part of a GET. Userspace is assumed to keep the buffer as long as the slot exists, as QEMU
    and dirty_log_perf_test do.

    Kernel: copy_to_user() in kvm_get_dirty_log_protect(), virt/kvm/kvm_main.c
    """
    vm.state.work[work.WORK_GET_LINE] += -(-words // WORDS_PER_LINE)
    if slot_id not in vm.fetched:
        vm.fetched.add(slot_id)
        vm.state.work[work.WORK_GET_BUFFER] += -(-words // WORDS_PER_PAGE)


def _sync(vm: VmArrays) -> Steps[None]:
    """With PML, kick every vCPU out of the guest without waiting for it. Kernel: kvm_arch_sync_dirty_log()."""
    if vm.state.conf[mmu.CONF_PML]:
        yield KICK


def _before_words(vm: VmArrays, slot_id: int, row: int, first_word: int, masks: I64) -> Steps[None]:
    """Run the walks that precede arming L1's tables: the hybrid's splits, and arming the tables of an L2.

    Args:
        vm: the arrays.
        slot_id: the slot.
        row: its row.
        first_word: word of its bitmap that masks[0] represents.
        masks: int64[words], pages that are about to be armed.
    """
    rounds, limit = vm.rounds.get(slot_id), vm.config.tracking.rounds_to_4k
    if vm.l2 is None and (rounds is None or limit is None):
        return
    base, mine = vm.span(row)[0], masks.copy()
    if rounds is not None and limit is not None:
        first = base + first_word * BITS_PER_LONG
        part = rounds[(first >> SHIFT_2M) - (base >> SHIFT_2M) :]
        chosen = {walks.FIRST_WORD: first, walks.LEVEL: limit, walks.UNIT: PAGES_PER_2M}
        tables = len(vm.tables) - 1
        yield walking(
            new_walk(walks.SPLIT_NON_CONVERGING, 0, len(part), chosen, tables=tables, buffer=mine, rounds=part)
        )
    if vm.l2 is not None:
        chosen = {walks.SLOT: row, walks.FIRST_WORD: first_word, walks.UNIT: BITS_PER_LONG}
        yield walking(new_walk(walks.ARM_WORDS, 0, len(mine), chosen, tables=0, buffer=mine))


def _end_of_words(vm: VmArrays, armed: int) -> Steps[None]:
    """Flush once at the end of a call that armed anything. Kernel: kvm_flush_remote_tlbs_memslot()."""
    vm.note_peak()
    flushes = int(vm.state.stat[mmu.STAT_MASKS_ARMED]) != armed
    vm.state.work[work.WORK_CLEAR_FLUSH if vm.config.dirty_log_mode.manual else work.WORK_GET_FLUSH] += flushes
    vm.state.stat[mmu.STAT_TLB_FLUSHES] += flushes
    yield UNLOCK
    if flushes:
        yield FLUSH


# CLEAR


def clear_steps(vm: VmArrays, slot_id: int, first_page: int, num_pages: int, bits: I64) -> Steps[None]:
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
    return _clear(vm, slot_id, row, first_page // BITS_PER_LONG, buffer)


def _clear(vm: VmArrays, slot_id: int, row: int, first_word: int, buffer: I64) -> Steps[None]:
    words, tables = len(buffer), len(vm.tables) - 1
    vm.state.work[work.WORK_CLEAR] += 1
    yield WORK
    yield from _sync(vm)
    yield lock(Path.CLEAR)
    armed = int(vm.state.stat[mmu.STAT_MASKS_ARMED])
    if vm.l2 is not None or vm.rounds:
        yield from _before_words(vm, slot_id, row, first_word, buffer & vm.bitmap(row, first_word, words))
    chosen = {
        walks.SLOT: row,
        walks.FIRST_WORD: first_word,
        walks.UNIT: BITS_PER_LONG,
        walks.ALWAYS_DROPS: always_drops_lock(vm, tables),
    }
    yield walking(new_walk(walks.CLEAR_WORDS, 0, words, chosen, tables=tables, buffer=buffer))
    yield from _end_of_words(vm, armed)


# Dirty rings


def need_ring(vm: VmArrays) -> None:
    """Refuse an operation that only a VM with a dirty ring supports.

    Raises:
        KvmEinval: the VM has none.
    """
    if not vm.config.dirty_log_mode.ring:
        raise KvmEinval(f"dirty_log_mode={vm.config.dirty_log_mode} has no dirty ring; use GET and CLEAR")


def collect_rings(vm: VmArrays, alone: int | None = None) -> list[tuple[int, I64]]:
    """Harvest every vCPU's ring, or only that of vCPU `alone`: see Vm.collect_dirty_rings()."""
    need_ring(vm)
    ring, ring_at = vm.state.ring, vm.state.ring_at
    found: list[tuple[int, I64]] = []
    vm.state.work[work.WORK_COLLECT_FIRST] = 1
    for vcpu in range(vm.config.vcpus) if alone is None else (alone,):
        at = np.arange(ring_at[vcpu, mmu.RING_HARVEST_INDEX], ring_at[vcpu, mmu.RING_DIRTY_INDEX])
        entries = ring[vcpu, at & (ring.shape[1] - 1)]
        vm.state.work[work.WORK_COLLECT_ENTRY] += len(entries)
        ring_at[vcpu, mmu.RING_HARVEST_INDEX] = ring_at[vcpu, mmu.RING_DIRTY_INDEX]
        slots, offsets = entries >> mmu.RING_SLOT_SHIFT, entries & ((1 << mmu.RING_SLOT_SHIFT) - 1)
        parts = np.split(np.arange(len(slots)), np.flatnonzero(np.diff(slots)) + 1)
        found += [(int(slots[part[0]]), offsets[part]) for part in parts if len(part)]
    return found


def reset_ring_steps(vm: VmArrays) -> Steps[int]:
    """KVM_RESET_DIRTY_RINGS: see Vm.reset_dirty_rings()."""
    need_ring(vm)
    return _reset_rings(vm)


def _reset_rings(vm: VmArrays) -> Steps[int]:
    """The steps of a reset; while vCPUs run, mmu_lock is taken again for each mask of up to 64 pages."""
    vm.state.work[work.WORK_RING_RESET] += 1
    yield WORK
    done = 0
    for vcpu in range(vm.config.vcpus):
        at = vm.state.ring_at[vcpu]
        first, end = int(at[mmu.RING_RESET_INDEX]), int(at[mmu.RING_HARVEST_INDEX])
        done += end - first
        for tables in range(len(vm.tables)):  # each of a nested VM's tables goes through the same entries
            chosen = {walks.VCPU: vcpu, walks.MOVES_INDEX: int(tables == len(vm.tables) - 1)}
            yield walking(new_walk(walks.RESET_RING, first, end, chosen, tables=tables), Path.RING_RESET)
    if done:  # even if the slot of every entry is gone
        vm.state.work[work.WORK_RING_FLUSH] += 1
        vm.state.stat[mmu.STAT_TLB_FLUSHES] += 1
        yield FLUSH
    return done
