"""Enabling, disabling and reading the dirty log: softmmu/memory.c of 7.2, system/memory.c of 10.0."""

from __future__ import annotations

from mmuviz.engine.qemu.calls import Steps
from mmuviz.engine.qemu.kvm_all import kvm_log_sync, kvm_log_sync_global, kvm_slot_update_flags
from mmuviz.engine.qemu.state import LOG_DIRTY_PAGES, Qemu, Thread


def memory_global_dirty_log_start(qemu: Qemu, thread: Thread, reason: int) -> Steps:
    """Enable logging of every slot, unless it is on for another reason.

    A stop that was postponed until the guest runs is done first, except for the reason that starts now.

    QEMU: memory_global_dirty_log_start()
    """
    if qemu.postponed_stop:
        waiting, qemu.postponed_stop = qemu.postponed_stop & ~reason, 0
        if waiting:
            yield from memory_global_dirty_log_do_stop(qemu, thread, waiting)
    before = qemu.dirty_tracking
    qemu.dirty_tracking |= reason
    if before:
        return
    for slots in qemu.slots:
        for slot in slots:
            yield from kvm_slot_update_flags(thread, slot, slot.flags | LOG_DIRTY_PAGES)


def memory_global_dirty_log_stop(qemu: Qemu, thread: Thread, reason: int) -> Steps:
    """Disable logging; if the guest does not run, postpone this until it does.

    QEMU: memory_global_dirty_log_stop()
    """
    if not qemu.running:
        qemu.postponed_stop |= reason
        return
    yield from memory_global_dirty_log_do_stop(qemu, thread, reason)


def memory_vm_change_state_handler(qemu: Qemu, thread: Thread) -> Steps:
    """Do a postponed stop of logging when the guest runs again.

    QEMU: memory_vm_change_state_handler()
    """
    reason, qemu.postponed_stop = qemu.postponed_stop, 0
    if reason:
        yield from memory_global_dirty_log_do_stop(qemu, thread, reason)


def memory_global_dirty_log_do_stop(qemu: Qemu, thread: Thread, reason: int) -> Steps:
    """Disable logging of every slot that was logged only for a migration or a measurement.

    QEMU: memory_global_dirty_log_do_stop()
    """
    qemu.dirty_tracking &= ~reason
    if qemu.dirty_tracking:
        return
    for slots in qemu.slots:
        for slot in slots:
            if not slot.shown:
                yield from kvm_slot_update_flags(thread, slot, slot.flags & ~LOG_DIRTY_PAGES)


def memory_global_dirty_log_sync(qemu: Qemu, thread: Thread) -> Steps:
    """Read the log of every slot of every address space.

    QEMU: memory_global_dirty_log_sync() > memory_region_sync_dirty_bitmap()
    """
    for address_space in range(len(qemu.slots)):
        read = kvm_log_sync_global if qemu.ring else kvm_log_sync
        yield from read(qemu, thread, address_space)
