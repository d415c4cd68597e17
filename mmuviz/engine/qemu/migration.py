"""The migration thread: migration/migration.c."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.calls import Call, Pending, PostcopyAsked, Steps, StopVm
from mmuviz.engine.qemu.ram import (
    migration_bitmap_sync,
    ram_postcopy_send_discard_bitmap,
    ram_save_complete,
    ram_save_iterate,
    ram_save_setup,
)
from mmuviz.engine.qemu.state import BIG_LOCK, Qemu, Thread


def migration_thread(qemu: Qemu, thread: Thread) -> Steps:
    """Run a migration from its setup to its end; a cancel closes the generator.

    QEMU: migration_thread()
    """
    yield from ram_save_setup(qemu, thread)
    while (yield from migration_iteration_run(qemu, thread)):
        pass


def migration_iteration_run(qemu: Qemu, thread: Thread) -> Generator[Call, Any, bool]:
    """Run one iteration of the migration loop and return whether there is another.

    QEMU: migration_iteration_run()
    """
    ram = qemu.ram
    left = ram.dirty_pages * PAGE_BYTES
    threshold: int = yield Pending(*thread.held, left, exact=False)
    if not ram.postcopy and left < threshold:
        with thread.holding(BIG_LOCK):
            yield from migration_bitmap_sync(qemu, thread)
        left = ram.dirty_pages * PAGE_BYTES
        threshold = yield Pending(*thread.held, left, exact=True)
    if left == 0 or left < threshold:
        yield from migration_completion(qemu, thread)
        return False
    if not ram.postcopy and (yield PostcopyAsked(*thread.held)):
        yield from postcopy_start(qemu, thread)
    else:
        yield from ram_save_iterate(qemu, thread)
    return True


def migration_update_counters(transferred: int, time_spent_ms: int, downtime_limit_ms: int) -> tuple[int, int]:
    """Compute bandwidth and threshold at the end of a window of 100 ms or more.

    Args:
        transferred: bytes written in the window.
        time_spent_ms: length of the window.
        downtime_limit_ms: the longest allowed downtime.

    Returns:
        Bandwidth in bytes per ms, and the bytes that may be left for the downtime.

    QEMU: migration_update_counters()
    """
    bandwidth = transferred / time_spent_ms
    return int(bandwidth), int(bandwidth * downtime_limit_ms)


def migration_completion(qemu: Qemu, thread: Thread) -> Steps:
    """Stop the guest and send the remaining pages; after a switch to post-copy it is stopped already.

    QEMU: migration_completion()
    """
    with thread.holding(BIG_LOCK):
        if not qemu.ram.postcopy:
            qemu.running = False
            yield StopVm(*thread.held)
        yield from ram_save_complete(qemu, thread)


def postcopy_start(qemu: Qemu, thread: Thread) -> Steps:
    """Stop the guest here and resume it on the destination.

    QEMU: postcopy_start()
    """
    with thread.holding(BIG_LOCK):
        qemu.running = False
        yield StopVm(*thread.held)
        yield from ram_postcopy_send_discard_bitmap(qemu, thread)
        qemu.ram.postcopy = True


def migration_bitmap_sync_by_timer(qemu: Qemu, thread: Thread) -> Steps:
    """Sync in the main thread if there was no sync for 5 s; auto-converge only.

    QEMU: cpu_throttle_dirty_sync_timer_tick()
    """
    with thread.holding(BIG_LOCK):
        yield from migration_bitmap_sync(qemu, thread)
