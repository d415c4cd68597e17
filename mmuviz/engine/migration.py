"""QEMU's migration thread on the simulated clock: it issues the ioctls while the guest's vCPUs run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES, PAGES_PER_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.iteration import Iteration
from mmuviz.engine.migration_limits import NO_HELPS, Helps, Limits
from mmuviz.engine.qemu.calls import (
    Call,
    ClearDirtyLog,
    GetDirtyLog,
    Harvest,
    HarvestRings,
    KickVcpus,
    Pending,
    PostcopyAsked,
    ResetRings,
    Room,
    RoomLeft,
    SendPages,
    SetMemslot,
    Steps,
    StopVm,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.page_set import Pages, PageSet
from mmuviz.engine.qemu.rate_limit import DirtyRate, RateLimit
from mmuviz.engine.qemu.state import LOG_DIRTY_PAGES, KvmSlot, Qemu
from mmuviz.engine.qemu_threads import QemuThreads
from mmuviz.engine.round_log import CANCELLED, COMPLETED, DOWNTIME, ROUND, TOO_LONG, TOO_MANY_ROUNDS, Ended
from mmuviz.engine.sending import Batch, Sender, Stream, note_sent_bytes

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

PS_PER_MS: Final = 10**9
PS_PER_NS: Final = 10**3


class TimedMigration:
    """Executes the calls of QEMU's migration loop: ioctls take time, pages cross the link, and the guest runs.

    Attributes:
        rate: the rate limit and QEMU's bandwidth measurement.
        dirty_rate: QEMU's measurement of the dirty rate.
    """

    def __init__(  # the inputs of a migration
        self, session: Session, qemu: Qemu, rate: RateLimit, limits: Limits, stream: Stream, helps: Helps = NO_HELPS
    ) -> None:
        """Start a migration of a running guest.

        Args:
            session: the run.
            qemu: QEMU's state.
            rate: the rate limit, whose first window has begun.
            limits: limits at which the migration is given up.
            stream: link speed, share of zero pages and multifd channels.
            helps: auto-converge, dirty limit and post-copy.
        """
        self.rate = rate
        self.dirty_rate = DirtyRate()
        self._session = session
        self._machine = session.machine
        self._ioctls = session.ioctls
        self._qemu = qemu
        self._limits = limits
        self._helps = helps
        self._start_ps = session.machine.time
        self._stop_ps: int | None = None
        self._switch_ps: int | None = None
        self._left = (0, 0)
        self._locked = False
        self._sent_bytes = 0
        self._sender = Sender(session, qemu, stream)
        self._host = session.machine.costs.host
        self._threads = QemuThreads(session.ioctls, qemu, self._play_other, helps.throttle, helps.dirty_limit_mib)
        session.ioctls.ring_is_full = self._threads.ring_is_full
        session.rounds.begin_setup(session.machine, session.log)
        self._iteration = Iteration(session.machine, self._sender.page_ps)
        self._dirty_before = self._sync_ps = 0
        self._first = True
        self._answers: dict[type[Call], Callable[[Any], object]] = {
            SetMemslot: self._set_memslot,
            GetDirtyLog: self._get,
            ClearDirtyLog: self._clear,
            SyncStart: self._sync_start,
            SyncEnd: self._sync_end,
            Pending: self._pending,
            KickVcpus: self._kick,
            HarvestRings: self._harvest,
            ResetRings: self._reset,
            PostcopyAsked: self._postcopy_asked,
            Room: self._room,
            RoomLeft: self._room_left,
            SendPages: self._send,
            StopVm: self._stop_vm,
        }

    @property
    def _now_ms(self) -> int:
        return self._machine.time // PS_PER_MS

    # The loop

    def play(self, steps: Steps) -> str | None:
        """Run the migration thread until it returns or the migration is given up.

        Args:
            steps: the thread's generator of calls.

        Returns:
            Why the migration was given up; None if the thread returned.
        """
        answer: object = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration:
                self._lock(held=False)
                return None
            self._lock(held=call.big_lock)
            why = self.given_up() if isinstance(call, Pending) and not call.exact else None
            if why is not None:
                steps.close()
                return why
            answer = self._answer(call)

    def _play_other(self, steps: Steps) -> None:
        """Run another QEMU thread to its end while the migration thread does not hold the BQL."""
        answer: object = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration:
                self._lock(held=False)
                return
            self._lock(held=call.big_lock)
            answer = self._answer(call)

    def _answer(self, call: Call) -> object:
        answer = self._answers.get(type(call))
        return None if answer is None else answer(call)

    def _lock(self, *, held: bool) -> None:
        """Take or drop the BQL; it stays held between two calls that both need it."""
        if held and not self._locked:
            self._ioctls.take_big_lock()
        elif self._locked and not held:
            self._ioctls.drop_big_lock()
        self._locked = held

    def given_up(self) -> str | None:
        """Return why the migration is given up, or None; checked where the thread's loop starts over.

        After a switch to post-copy it cannot be given up: only the destination has the guest's current state.
        """
        if self._stop_ps is not None:
            return None
        lasted = self._machine.time - self._start_ps
        if self._limits.cancel_ps and lasted >= self._limits.cancel_ps:
            return CANCELLED
        if lasted >= self._limits.longest_ps:
            return TOO_LONG
        return TOO_MANY_ROUNDS if self._qemu.ram.sync_count >= self._limits.rounds else None

    def stop_helps(self) -> None:
        """Stop throttling the guest, because the migration is over or about to be cancelled."""
        self._threads.stop()

    def finish(self, why: str | None) -> None:
        """End the last round and record the outcome.

        Args:
            why: why the migration was given up; None if it completed.
        """
        if why is None and self._switch_ps is None:
            self._send_device_state()
        self._end_round()
        outcome = COMPLETED if why is None else why
        lost = self._sender.lost_pages() if why is None else None
        ended = Ended(outcome, self._start_ps, self._stop_ps, self._switch_ps, self._machine.time, *self._left, lost)
        self._session.rounds.ended.append(ended)

    # Ioctls

    def _set_memslot(self, call: SetMemslot) -> None:
        slot = call.slot
        if call.flags & LOG_DIRTY_PAGES:
            self._ioctls.enable(slot.number, slot.address_space)
        else:
            self._ioctls.disable(slot.number, slot.address_space)

    def _get(self, call: GetDirtyLog) -> Pages:
        begun, slot = self._machine.time, call.slot
        words = self._ioctls.get(slot.number, slot.address_space)
        self._session.rounds.add("get_ps", self._machine.time - begun)
        dirty_ps = int(np.count_nonzero(words)) * self._host["sync_dirty_ns"] * PS_PER_NS
        self._machine.wait(len(words) * self._host["sync_word_ps"] + dirty_ps)
        return Pages.of_words(words, slot.pages)

    def _clear(self, call: ClearDirtyLog) -> None:
        begun, bits, slot = self._machine.time, call.bits, call.slot
        if not isinstance(bits, Pages):
            raise TypeError("a clock needs sets of which every bit is known")
        self._ioctls.clear(slot.number, call.first_page, call.num_pages, bits.words, slot.address_space)
        self._session.rounds.add("clear_ps", self._machine.time - begun)

    # Rings

    def _kick(self, _: KickVcpus) -> None:
        self._machine.kick_to_userspace()

    def _harvest(self, call: HarvestRings) -> Harvest:
        found = self._ioctls.collect_rings(call.vcpu)
        slots = {slot.number: slot for slot in self._qemu.slots[0]}
        pages: list[tuple[KvmSlot, PageSet]] = []
        for number, offsets in found:
            some = Pages.none_of(slots[number].pages)
            some.add_pages(offsets)
            pages.append((slots[number], some))
        return Harvest(sum(len(offsets) for _, offsets in found), pages)

    def _reset(self, _: ResetRings) -> None:
        clock = self._machine.clock
        self._ioctls.reset_rings()
        if not self._threads.serves_full_ring:  # a thread that serves RING_FULL exits has counted them itself
            self._machine.note(layout.RING_FULLS, int(np.count_nonzero(clock.phase == layout.RING_FULL)))
        self._threads.resume_full()

    # Syncs

    def _sync_start(self, _: SyncStart) -> None:
        number = self._qemu.ram.sync_count
        self._end_round()
        self._dirty_before = self._qemu.ram.dirty_pages
        self._sync_ps = self._machine.time
        self._ioctls.iteration = number
        kind = ROUND if self._stop_ps is None else DOWNTIME
        self._session.rounds.begin(self._machine, self._session.log, number, kind)
        if not self._sender.knows_rewritten:
            self._session.rounds.note("rewritten_pages", -1)
        self.dirty_rate.sync_started(self._now_ms)

    def _sync_end(self, call: SyncEnd) -> bool:
        """Spend the sync's search for dirty pages in each RAM block, and note what it found.

        QEMU: cpu_physical_memory_sync_dirty_bitmap()
        """
        ram = self._qemu.ram
        words = sum(-(-block.pages // BITS_PER_LONG) for block in self._qemu.blocks)
        self._machine.wait(words * self._host["sync_word_ps"])
        self._session.rounds.add("sync_ps", self._machine.time - self._sync_ps)
        self._session.rounds.note("new_dirty_pages", ram.dirty_pages - self._dirty_before)
        self._session.rounds.note("remaining_pages", ram.dirty_pages)
        ended = self.dirty_rate.sync_ended(self._now_ms, call.period_pages)
        if ended and self._stop_ps is None:
            self._threads.period_ended(call.period_pages * PAGE_BYTES, self._sent_bytes)
        return ended

    def _send_device_state(self) -> None:
        """Save, send and load the states of the devices while the guest is stopped.

        QEMU: qemu_savevm_state_complete_precopy_non_iterable()
        """
        if self._stop_ps is not None:
            self._machine.wait(self._host["device_state_ns"] * PS_PER_NS)

    def _end_round(self) -> None:
        rate = self.rate
        self._session.rounds.end(
            self._machine,
            self._session.log,
            dirty_rate_pps=self.dirty_rate.pages_per_s,
            bandwidth_bytes_per_s=rate.bandwidth * 1000,
            threshold_bytes=rate.threshold_bytes,
            expected_downtime_ps=rate.expected_downtime_ms * PS_PER_MS,
            throttle_percent=self._threads.percent,
        )

    def _stop_vm(self, _: StopVm) -> None:
        self._end_round()
        self._machine.halt()
        self._stop_ps = self._machine.time

    # Post-copy

    def _postcopy_asked(self, _: PostcopyAsked) -> bool:
        helps, lasted = self._helps, self._machine.time - self._start_ps
        rounds = 0 < helps.postcopy_rounds <= self._qemu.ram.sync_count
        return rounds or 0 < helps.postcopy_ps <= lasted

    def _switch(self) -> None:
        """Switch to post-copy: the states of the devices follow the discard bitmap, and the guest resumes there."""
        self._send_device_state()
        self._switch_ps = self._machine.time
        blocks = [block.bmap for block in self._qemu.blocks if isinstance(block.bmap, Pages)]
        self._left = sum(each.count() for each in blocks), sum(each.groups(PAGES_PER_2M) for each in blocks)
        self._session.rounds.switch(self._machine, self._session.log)

    # Sending

    def _pending(self, call: Pending) -> int:
        if self._qemu.ram.postcopy:
            if self._switch_ps is None:
                self._switch()
            self._measure()
        elif not call.exact:
            if not self._first:
                self._wait_for_limit()
            self._threads.sync_if_wanted()
        self._first = False
        return self.rate.threshold_bytes

    def _measure(self) -> None:
        """Update bandwidth and threshold if a rate-limit window has ended."""
        left = self._qemu.ram.left_at_sync * PAGE_BYTES
        self.rate.update(self._now_ms, self.dirty_rate.pages_per_s, left)

    def _wait_for_limit(self) -> None:
        """Update the measurements if a window has ended, and sleep while over the limit.

        QEMU: migration_rate_limit()
        """
        while True:
            self._measure()
            if not self.rate.over_limit:
                return
            self._run_or_wait_until(self._machine.time + (self.rate.window_ends_ms - self._now_ms) * PS_PER_MS)

    def _run_or_wait_until(self, until_ps: int) -> None:
        if self._stop_ps is not None:
            self._machine.wait(until_ps - self._machine.time)
            return
        while self._threads.next_ps() < until_ps:
            self._session.guest.run_or_wait_until(max(self._threads.next_ps(), self._machine.time))
            self._threads.act()
        if until_ps > self._machine.time:
            self._session.guest.run_or_wait_until(until_ps)

    def _room(self, _: Room) -> None:
        self._iteration.begin()

    def _room_left(self, call: RoomLeft) -> int | None:
        """Return how many pages fit before the rate limit or the clock check that finds 50 ms passed; None: any."""
        if self._stop_ps is not None and not self._qemu.ram.postcopy:
            return None
        if call.following is None:
            over = self._counts_limit and self.rate.over_limit and self._stop_ps is None
            return 0 if over or self._iteration.is_late else None
        block, page = call.following
        room = self._iteration.room(block, page)
        if block.host_pages > 1 or self._stop_ps is not None:
            return room
        return min(room, max(self.rate.pages_to_limit(), 1))

    @property
    def _counts_limit(self) -> bool:
        """Whether the limit ends an iteration; with huge host pages QEMU checks it within each host page instead."""
        return all(block.host_pages == 1 for block in self._qemu.blocks)

    def _send(self, call: SendPages) -> None:
        block, numbers = call.block, call.sent.numbers
        if numbers is None:
            raise TypeError("a clock needs sets of which every bit is known")
        self._iteration.sent(block, numbers)
        waits = block.host_pages > 1 and self._stop_ps is None
        while len(numbers):
            here = max(self.rate.pages_to_limit(), 1) if waits else len(numbers)
            self._send_batch(self._sender.send(block, numbers[:here]))
            numbers = numbers[here:]
            if waits:
                self._wait_for_limit()

    def _send_batch(self, batch: Batch) -> None:
        begun, rounds = self._machine.time, self._session.rounds
        rounds.add("pages_sent", batch.pages)
        rounds.add("zero_pages", batch.zeros)
        rounds.add("bytes_sent", batch.sent_bytes)
        rounds.add("resent_pages", batch.resent)
        if batch.rewritten is not None:
            rounds.add("rewritten_pages", batch.rewritten)
        self._run_or_wait_until(begun + batch.took_ps)
        self.rate.send(batch.full, batch.sent_bytes)
        self._sent_bytes += batch.sent_bytes
        note_sent_bytes(self._machine, batch.sent_bytes, begun, self._machine.time)
        self._session.sent_cells.note(batch.cells, begun, self._machine.time)
        self._session.sent_cells.drop_replaced_rows(1 << int(self._machine.clock.regs[layout.BIN_SHIFT]))
