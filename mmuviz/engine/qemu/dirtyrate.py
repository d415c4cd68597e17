"""Dirty rates without a migration: migration/dirtyrate.c and softmmu/dirtylimit.c."""

from __future__ import annotations

from mmuviz.engine.qemu.calls import Steps, WaitForMeasure
from mmuviz.engine.qemu.kvm_all import kvm_physical_log_clear
from mmuviz.engine.qemu.memory import (
    memory_global_dirty_log_start,
    memory_global_dirty_log_stop,
    memory_global_dirty_log_sync,
)
from mmuviz.engine.qemu.state import BIG_LOCK, GLOBAL_DIRTY_DIRTY_RATE, GLOBAL_DIRTY_LIMIT, Qemu, Thread


def calculate_dirtyrate_dirty_bitmap(qemu: Qemu, thread: Thread) -> Steps:
    """Run calc-dirty-rate by bitmap; the first GET may be all ones, so all blocks are cleared and read again later.

    QEMU: calculate_dirtyrate_dirty_bitmap(), dirtyrate_manual_reset_protect()
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_start(qemu, thread, GLOBAL_DIRTY_DIRTY_RATE)
        yield from memory_global_dirty_log_sync(qemu, thread)
        for block in qemu.blocks:
            yield from kvm_physical_log_clear(qemu, thread, block, 0, block.pages)
    yield WaitForMeasure(*thread.held)
    yield from global_dirty_log_sync(qemu, thread, GLOBAL_DIRTY_DIRTY_RATE, stop=True)


def calculate_dirtyrate_dirty_ring(qemu: Qemu, thread: Thread) -> Steps:
    """Run calc-dirty-rate by ring: count the entries between the start and a flush.

    QEMU: calculate_dirtyrate_dirty_ring()
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_start(qemu, thread, GLOBAL_DIRTY_DIRTY_RATE)
    yield WaitForMeasure(*thread.held)
    yield from global_dirty_log_sync(qemu, thread, GLOBAL_DIRTY_DIRTY_RATE, stop=True)


def global_dirty_log_sync(qemu: Qemu, thread: Thread, reason: int, *, stop: bool) -> Steps:
    """Read the log, and disable logging if `stop` is set.

    QEMU: global_dirty_log_sync()
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_sync(qemu, thread)
        if stop:
            yield from memory_global_dirty_log_stop(qemu, thread, reason)


def vcpu_dirty_rate_stat_start(qemu: Qemu, thread: Thread) -> Steps:
    """Enable logging, as the thread of a new dirty limit does.

    QEMU: vcpu_dirty_rate_stat_thread(), before its loop
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_start(qemu, thread, GLOBAL_DIRTY_LIMIT)


def vcpu_dirty_rate_stat_collect(qemu: Qemu, thread: Thread) -> Steps:
    """Read the rings, as the dirty limit's thread does each second.

    QEMU: vcpu_dirty_rate_stat_collect()
    """
    yield from global_dirty_log_sync(qemu, thread, GLOBAL_DIRTY_LIMIT, stop=False)


def vcpu_dirty_rate_stat_finish(qemu: Qemu, thread: Thread) -> Steps:
    """Disable logging, as the dirty limit's thread does when the limit is cancelled.

    QEMU: vcpu_dirty_rate_stat_thread(), after its loop
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_stop(qemu, thread, GLOBAL_DIRTY_LIMIT)
