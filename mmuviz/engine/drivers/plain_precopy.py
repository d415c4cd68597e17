"""Pre-copy as in simple VMMs: GETs of whole bitmaps, round by round, without CLEAR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.drivers.base import Iterations
from mmuviz.engine.drivers.migrates import NS_PER_MS, Migrates, qemu_of
from mmuviz.engine.migration import PS_PER_MS, TimedMigration
from mmuviz.engine.migration_limits import Limits
from mmuviz.engine.qemu.calls import SendPages, Steps, StopVm, SyncEnd, SyncStart
from mmuviz.engine.qemu.memory import memory_global_dirty_log_start, memory_global_dirty_log_sync
from mmuviz.engine.qemu.rate_limit import MS_PER_S, RateLimit
from mmuviz.engine.qemu.state import FEATURES, GLOBAL_DIRTY_MIGRATION, Qemu, Thread
from mmuviz.engine.sending import Stream

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

CHUNK_SHIFT: Final = 18
"""Pages sent per batch, 1 GiB; there is no CLEAR by chunks."""
NO_LIMITS: Final = Limits(cancel_ps=0, longest_ps=0, rounds=0)
"""Not checked: the loop has its own end condition."""


class PlainPrecopy(Migrates):
    """Send all memory, then what each GET of the whole bitmap finds, until that fits the downtime; then stop."""

    kind: Literal["plain_precopy"] = "plain_precopy"
    rounds: Annotated[Iterations, Field(description="GETs; after the last the guest is stopped, whatever is left")] = 2

    def drive(self, session: Session) -> None:
        """Run the driver."""
        self.begin(session)
        machine = session.machine
        qemu = qemu_of(session, FEATURES["10.0"], CHUNK_SHIFT)
        for block in qemu.blocks:
            block.host_pages = 1
        rate = RateLimit(qemu.features, self.link, self.downtime_limit // NS_PER_MS, machine.time // PS_PER_MS)
        rate.bandwidth = self.link // MS_PER_S
        rate.threshold_bytes = rate.bandwidth * (self.downtime_limit // NS_PER_MS)
        migration = TimedMigration(session, qemu, rate, NO_LIMITS, Stream(self.link))
        migration.play(plain_migration(qemu, Thread(), rate.threshold_bytes, self.rounds))
        migration.stop_helps()
        migration.finish(None)
        machine.halt()


def plain_migration(qemu: Qemu, thread: Thread, threshold_bytes: int, rounds: int) -> Steps:
    """Run the pre-copy loop.

    Args:
        qemu: memslots and bitmaps in the form of QEMU's loop.
        thread: the calling thread, which holds no lock.
        threshold_bytes: bytes that may be left for the downtime.
        rounds: the most GETs while the guest runs.
    """
    yield from memory_global_dirty_log_start(qemu, thread, GLOBAL_DIRTY_MIGRATION)
    for block in qemu.blocks:
        block.bmap.add_all()
        qemu.ram.dirty_pages += block.pages
    while True:
        yield from send_all(qemu, thread) if qemu.ram.sync_count else ()
        yield from sync(qemu, thread)
        if qemu.ram.dirty_pages * PAGE_BYTES <= threshold_bytes or qemu.ram.sync_count >= rounds:
            break
    yield StopVm(*thread.held)
    yield from sync(qemu, thread)
    yield from send_all(qemu, thread)


def sync(qemu: Qemu, thread: Thread) -> Steps:
    """GET every whole bitmap, which starts a round."""
    ram = qemu.ram
    ram.sync_count += 1
    yield SyncStart(*thread.held)
    yield from memory_global_dirty_log_sync(qemu, thread)
    fresh = 0
    for block in qemu.blocks:
        fresh += block.bmap.add(0, block.dirty_memory)
        block.dirty_memory.drop(0, block.pages)
    ram.dirty_pages += fresh
    ram.period_pages += fresh
    if (yield SyncEnd(*thread.held, ram.period_pages)):
        ram.period_pages = 0


def send_all(qemu: Qemu, thread: Thread) -> Steps:
    """Send every dirty page."""
    for block in qemu.blocks:
        for first in range(0, block.pages, 1 << CHUNK_SHIFT):
            sent = block.bmap.take(first, min(first + (1 << CHUNK_SHIFT), block.pages), None)
            if sent is not None:
                qemu.ram.dirty_pages -= sent.pages
                yield SendPages(*thread.held, block, sent)
