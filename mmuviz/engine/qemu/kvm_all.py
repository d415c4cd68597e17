"""QEMU's KVM ioctls for its dirty log: accel/kvm/kvm-all.c."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mmuviz.core.pages import BITS_PER_LONG, round_up
from mmuviz.engine.qemu.calls import (
    Call,
    ClearDirtyLog,
    GetDirtyLog,
    Harvest,
    HarvestRings,
    KickVcpus,
    ResetRings,
    SetMemslot,
    Steps,
)
from mmuviz.engine.qemu.state import BIG_LOCK, LOG_DIRTY_PAGES, SLOTS_LOCK, KvmSlot, Qemu, RamBlock, Thread


def kvm_slot_update_flags(thread: Thread, slot: KvmSlot, flags: int) -> Steps:
    """Set a slot's flags in KVM if they changed.

    QEMU: kvm_slot_update_flags(), called by kvm_log_start() and kvm_log_stop().
    """
    if flags == slot.flags:
        return
    with thread.holding(SLOTS_LOCK):
        slot.flags = flags
        yield SetMemslot(*thread.held, slot, flags, slot.pages)


def kvm_set_phys_mem_delete(qemu: Qemu, thread: Thread, slot: KvmSlot) -> Steps:
    """Delete a slot after reading the rest of its dirty log.

    QEMU: kvm_set_phys_mem() with add=false.
    """
    with thread.holding(SLOTS_LOCK):
        if slot.logged:
            if qemu.ring:
                yield from kvm_dirty_ring_reap_locked(thread)
            else:
                slot.dirty_bmap = yield GetDirtyLog(*thread.held, slot)
            kvm_slot_sync_dirty_pages(slot)
        slot.flags = 0
        qemu.slots[slot.address_space].remove(slot)
        yield SetMemslot(*thread.held, slot, 0, 0)


def kvm_get_free_slot(qemu: Qemu, address_space: int) -> int:
    """Return the lowest slot id that is not in use.

    QEMU: kvm_get_free_slot()
    """
    used = {each.number for each in qemu.slots[address_space]}
    return next(number for number in range(len(used) + 1) if number not in used)


def kvm_set_phys_mem_add(qemu: Qemu, thread: Thread, slot: KvmSlot) -> Steps:
    """Create a slot, logged from the start if dirty tracking is on.

    Args:
        qemu: QEMU's state.
        thread: the thread that changes the memory map.
        slot: the slot; its number is set here, its flags tell whether it is read-only.

    QEMU: kvm_set_phys_mem() with add=true.
    """
    with thread.holding(SLOTS_LOCK):
        slot.number = kvm_get_free_slot(qemu, slot.address_space)
        if qemu.dirty_tracking:
            slot.flags |= LOG_DIRTY_PAGES
        qemu.slots[slot.address_space].append(slot)
        qemu.slots[slot.address_space].sort(key=lambda each: each.base_gfn)
        yield SetMemslot(*thread.held, slot, slot.flags, slot.pages)


def kvm_slot_sync_dirty_pages(slot: KvmSlot) -> None:
    """Move a slot's dirty bits to the RAM block that it maps.

    QEMU: kvm_slot_sync_dirty_pages()
    """
    slot.block.dirty_memory.add(slot.offset, slot.dirty_bmap)


def kvm_log_sync(qemu: Qemu, thread: Thread, address_space: int) -> Steps:
    """GET every logged slot of an address space.

    QEMU: kvm_log_sync() > kvm_physical_sync_dirty_bitmap()
    """
    for slot in qemu.slots[address_space]:
        if slot.logged:
            with thread.holding(SLOTS_LOCK):
                slot.dirty_bmap = yield GetDirtyLog(*thread.held, slot)
                kvm_slot_sync_dirty_pages(slot)


def kvm_log_sync_global(qemu: Qemu, thread: Thread, address_space: int) -> Steps:
    """Flush the rings, then move the dirty bits of one address space to the RAM blocks.

    QEMU: kvm_log_sync_global()
    """
    yield from kvm_dirty_ring_flush(thread)
    for slot in qemu.slots[address_space]:
        if slot.logged:
            kvm_slot_sync_dirty_pages(slot)
            slot.dirty_bmap.drop(0, slot.pages)


def kvm_dirty_ring_flush(thread: Thread) -> Steps:
    """Kick every vCPU out of the guest, so that its ring is complete, and reap.

    QEMU: kvm_dirty_ring_flush()
    """
    yield KickVcpus(*thread.held)
    yield from kvm_dirty_ring_reap(thread)


def kvm_dirty_ring_reap(thread: Thread, vcpu: int | None = None) -> Steps:
    """Reap under the slots lock.

    Args:
        thread: the calling thread.
        vcpu: index of the only vCPU whose ring is read; None for all.

    QEMU: kvm_dirty_ring_reap()
    """
    with thread.holding(SLOTS_LOCK):
        yield from kvm_dirty_ring_reap_locked(thread, vcpu)


def kvm_dirty_ring_reap_locked(thread: Thread, vcpu: int | None = None) -> Steps:
    """Read the rings into the slots' bitmaps, and reset them in KVM if there was any entry.

    QEMU: kvm_dirty_ring_reap_locked()
    """
    harvest: Harvest = yield HarvestRings(*thread.held, vcpu)
    for slot, pages in harvest.pages:
        slot.dirty_bmap.add(0, pages)
    if harvest.entries:
        yield ResetRings(*thread.held)


def kvm_dirty_ring_full(thread: Thread, vcpu: int | None = None) -> Steps:
    """Handle a vCPU's exit because its ring is full.

    Args:
        thread: the vCPU's thread.
        vcpu: the vCPU's number if a dirty limit is in service: then only its own ring is reaped, so that every vCPU
            with a full ring sleeps. None: all rings are reaped.

    QEMU: kvm_cpu_exec(), KVM_EXIT_DIRTY_RING_FULL
    """
    with thread.holding(BIG_LOCK):
        yield from kvm_dirty_ring_reap(thread, vcpu)


def kvm_dirty_ring_reaper_thread(thread: Thread) -> Steps:
    """Reap once, as the reaper thread does after each second of sleep.

    QEMU: kvm_dirty_ring_reaper_thread()
    """
    with thread.holding(BIG_LOCK):
        yield from kvm_dirty_ring_reap(thread)


def kvm_physical_log_clear(qemu: Qemu, thread: Thread, block: RamBlock, first: int, stop: int) -> Steps:
    """CLEAR pages of a RAM block in every slot that maps some of them, address space 0 first.

    Args:
        qemu: QEMU's state.
        thread: the calling thread.
        block: the RAM block.
        first: the first page in the block.
        stop: the page after the last.

    QEMU: memory_region_clear_dirty_bitmap() > kvm_log_clear() > kvm_physical_log_clear()
    """
    if not qemu.manual_protect or qemu.ring:
        return
    for slots in qemu.slots:
        for slot in slots:
            begin, end = max(first, slot.offset), min(stop, slot.offset + slot.pages)
            if slot.block is block and begin < end:
                with thread.holding(SLOTS_LOCK):
                    yield from kvm_log_clear_one_slot(thread, slot, begin - slot.offset, end - slot.offset)


def kvm_log_clear_one_slot(thread: Thread, slot: KvmSlot, begin: int, end: int) -> Generator[Call, Any, None]:
    """CLEAR pages of a slot; the range is widened to whole 64-bit words, with the bits outside the pages 0.

    QEMU: kvm_log_clear_one_slot()
    """
    first = begin - begin % BITS_PER_LONG
    pages = min(round_up(end - first, BITS_PER_LONG), slot.pages - first)
    bits = slot.dirty_bmap.part(first, first + pages)
    bits.drop(0, begin - first)
    bits.drop(end - first, pages)
    slot.dirty_bmap.drop(begin, end)
    yield ClearDirtyLog(*thread.held, slot, first, pages, bits)
