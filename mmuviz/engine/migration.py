"""QEMU's migration thread in time: it is the thread that calls ioctls, and the guest runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES, round_up
from mmuviz.engine.qemu.calls import (
    Call,
    ClearDirtyLog,
    GetDirtyLog,
    Pending,
    PostcopyAsked,
    Room,
    RoomLeft,
    SendPages,
    SetMemslot,
    Steps,
    StopVm,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.rate_limit import STREAM_PAGE_BYTES, DirtyRate, RateLimit
from mmuviz.engine.qemu.state import LOG_DIRTY_PAGES, Qemu, RamBlock
from mmuviz.engine.round_log import CANCELLED, COMPLETED, TOO_LONG, TOO_MANY_ROUNDS, Ended
from mmuviz.mmu.state import I64

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

PS_PER_MS: Final = 10**9
PS_PER_NS: Final = 10**3
PS_PER_S: Final = 10**12
LATE_PS: Final = 51 * PS_PER_MS
"""An iteration ends that lasted more than 50 whole ms. QEMU: MAX_WAIT, ram_save_iterate()"""
CHECKED_PAGES: Final = 64
"""Host pages between two looks at the clock."""


@dataclass(frozen=True)
class Limits:
    """When a migration is given up, and cancelled as a person would do it.

    Attributes:
        cancel_ps: that long after its begin in any case; 0 for never.
        longest_ps: it lasts no longer.
        rounds: it has no more.
    """

    cancel_ps: int
    longest_ps: int
    rounds: int


class TimedMigration:
    """The machine behind QEMU's loop: ioctls take their time, pages cross the link, the guest runs meanwhile.

    Attributes:
        rate: the rate limit and what is measured by it.
        dirty_rate: how fast pages become dirty.
    """

    def __init__(self, session: Session, qemu: Qemu, rate: RateLimit, limits: Limits, link: int) -> None:
        """Take a guest that runs.

        Args:
            session: the run.
            qemu: what QEMU knows.
            rate: the rate limit, whose first window has begun.
            limits: when it is given up.
            link: bytes a second that the link carries.
        """
        self.rate = rate
        self.dirty_rate = DirtyRate()
        self._session = session
        self._machine = session.machine
        self._ioctls = session.ioctls
        self._qemu = qemu
        self._limits = limits
        self._start_ps = session.machine.time
        self._stop_ps: int | None = None
        self._locked = False
        host = session.machine.costs.host
        copy_ps = (host["zero_check_ns"] + host["send_page_ns"]) * PS_PER_NS
        self._page_ps = max(copy_ps, STREAM_PAGE_BYTES * PS_PER_S // link)
        self._sent_once = {block.name: np.zeros(block.pages, np.bool_) for block in qemu.blocks}
        self._iteration_ps = 0
        self._host_pages = 0
        self._last_host_page: tuple[str, int] | None = None
        self._dirty_before = 0
        self._first = True
        self._answers: dict[type[Call], Callable[[Any], object]] = {
            SetMemslot: self._set_memslot,
            GetDirtyLog: self._get,
            ClearDirtyLog: self._clear,
            SyncStart: self._sync_start,
            SyncEnd: self._sync_end,
            Pending: self._pending,
            PostcopyAsked: lambda _: False,
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
        """Carry a thread of QEMU out.

        Args:
            steps: what it asks.

        Returns:
            Why it was given up; None where it came to its end.
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

    def _answer(self, call: Call) -> object:
        answer = self._answers.get(type(call))
        return None if answer is None else answer(call)

    def _lock(self, *, held: bool) -> None:
        """The big lock is held from one call to the next, whatever lies between them."""
        if held and not self._locked:
            self._ioctls.take_big_lock()
        elif self._locked and not held:
            self._ioctls.drop_big_lock()
        self._locked = held

    def given_up(self) -> str | None:
        """Why the migration is given up, if it is; the thread looks where its loop begins again."""
        lasted = self._machine.time - self._start_ps
        if self._limits.cancel_ps and lasted >= self._limits.cancel_ps:
            return CANCELLED
        if lasted >= self._limits.longest_ps:
            return TOO_LONG
        return TOO_MANY_ROUNDS if self._qemu.ram.sync_count >= self._limits.rounds else None

    def finish(self, why: str | None) -> None:
        """The last round ends.

        Args:
            why: it was given up; None where it completed.
        """
        self._end_round()
        outcome = COMPLETED if why is None else why
        self._session.rounds.ended = Ended(outcome, self._start_ps, self._stop_ps, self._machine.time)

    # Ioctls

    def _set_memslot(self, call: SetMemslot) -> None:
        if call.flags & LOG_DIRTY_PAGES:
            self._ioctls.enable(call.slot.number)
        else:
            self._ioctls.disable(call.slot.number)

    def _get(self, call: GetDirtyLog) -> Pages:
        begun = self._machine.time
        words = self._ioctls.get(call.slot.number)
        self._session.rounds.add("get_ps", self._machine.time - begun)
        return Pages(bits_of_words(words, call.slot.pages))

    def _clear(self, call: ClearDirtyLog) -> None:
        begun, bits = self._machine.time, call.bits
        if not isinstance(bits, Pages):
            raise TypeError("a clock needs sets of which every bit is known")
        self._ioctls.clear(call.slot.number, call.first_page, call.num_pages, words_of_bits(bits.bits))
        self._session.rounds.add("clear_ps", self._machine.time - begun)

    # Syncs

    def _sync_start(self, _: SyncStart) -> None:
        number = self._qemu.ram.sync_count
        self._end_round()
        self._dirty_before = self._qemu.ram.dirty_pages
        self._ioctls.iteration = number
        self._session.rounds.begin(self._machine, self._session.log, number, stopped=self._stop_ps is not None)
        self.dirty_rate.sync_started(self._now_ms)

    def _sync_end(self, call: SyncEnd) -> bool:
        ram = self._qemu.ram
        self._session.rounds.note("new_dirty_pages", ram.dirty_pages - self._dirty_before)
        self._session.rounds.note("remaining_pages", ram.dirty_pages)
        return self.dirty_rate.sync_ended(self._now_ms, call.period_pages)

    def _end_round(self) -> None:
        rate = self.rate
        self._session.rounds.end(
            self._machine,
            self._session.log,
            dirty_rate_pps=self.dirty_rate.pages_per_s,
            bandwidth_bytes_per_s=rate.bandwidth * 1000,
            threshold_bytes=rate.threshold_bytes,
            expected_downtime_ps=rate.expected_downtime_ms * PS_PER_MS,
        )

    def _stop_vm(self, _: StopVm) -> None:
        self._end_round()
        self._machine.halt()
        self._stop_ps = self._machine.time

    # Sending

    def _pending(self, call: Pending) -> int:
        if not call.exact and not self._first:
            self._wait_for_limit()
        self._first = False
        return self.rate.threshold_bytes

    def _wait_for_limit(self) -> None:
        """Measure, if a window is over, and sleep while the limit is exceeded. QEMU: migration_rate_limit()."""
        while True:
            left = self._qemu.ram.left_at_sync * PAGE_BYTES
            self.rate.update(self._now_ms, self.dirty_rate.pages_per_s, left)
            if not self.rate.over_limit:
                return
            self._run_or_wait_until(self._machine.time + (self.rate.window_ends_ms - self._now_ms) * PS_PER_MS)

    def _run_or_wait_until(self, until_ps: int) -> None:
        if self._stop_ps is None:
            self._session.guest.run_or_wait_until(until_ps)
        else:
            self._machine.wait(until_ps - self._machine.time)

    def _room(self, _: Room) -> None:
        self._iteration_ps = self._machine.time
        self._host_pages = 0
        self._last_host_page = None

    def _room_left(self, call: RoomLeft) -> int | None:
        """Pages until the limit, or until the next look at the clock finds 50 ms over.

        The clock is looked at after the first host page and after every 64th of those that follow.
        """
        if self._stop_ps is not None:
            return None
        late = self._machine.time - self._iteration_ps >= LATE_PS
        at_look = self._host_pages % CHECKED_PAGES == 1
        if call.following is None:
            over = self._counts_limit and self.rate.over_limit
            return 0 if over or (late and at_look) else None
        block, page = call.following
        host_pages = self._host_pages_to_look(block)
        room = pages_in_host_pages(block, page, host_pages)
        return min(room, max(self.rate.pages_to_limit(), 1)) if block.host_pages == 1 else room

    @property
    def _counts_limit(self) -> bool:
        """Whether the limit ends an iteration: with huge host pages each of them waits for it itself."""
        return all(block.host_pages == 1 for block in self._qemu.blocks)

    def _host_pages_to_look(self, block: RamBlock) -> int:
        """Host pages up to the look at the clock that ends the iteration, were all of them dirty."""
        found = 1 if self._host_pages == 0 else CHECKED_PAGES - (self._host_pages - 1) % CHECKED_PAGES
        each = self._page_ps * block.host_pages
        rest = LATE_PS - (self._machine.time - self._iteration_ps) - found * each
        return found + CHECKED_PAGES * -(-rest // (CHECKED_PAGES * each)) if rest > 0 else found

    def _send(self, call: SendPages) -> None:
        block, numbers = call.block, call.sent.numbers
        if numbers is None:
            raise TypeError("a clock needs sets of which every bit is known")
        rounds, pages = self._session.rounds, call.sent.pages
        once = self._sent_once[block.name]
        rounds.add("resent_pages", int(np.count_nonzero(once[numbers])))
        once[numbers] = True
        rounds.add("pages_sent", pages)
        rounds.add("bytes_sent", pages * STREAM_PAGE_BYTES)
        self._count_host_pages(block, numbers)
        waits = block.host_pages > 1 and self._stop_ps is None
        while pages:
            here = min(pages, max(self.rate.pages_to_limit(), 1)) if waits else pages
            self._run_or_wait_until(self._machine.time + here * self._page_ps)
            self.rate.send(here)
            pages -= here
            if waits:
                self._wait_for_limit()

    def _count_host_pages(self, block: RamBlock, numbers: I64) -> None:
        """Host pages of this iteration; one that lies in two chunks counts once."""
        hosts = numbers // block.host_pages
        first, last = (block.name, int(hosts[0])), (block.name, int(hosts[-1]))
        self._host_pages += 1 + int(np.count_nonzero(np.diff(hosts))) - (first == self._last_host_page)
        self._last_host_page = last


def pages_in_host_pages(block: RamBlock, first: int, count: int) -> int:
    """Dirty pages of a block from a page on, in so many of its host pages that have some."""
    if block.host_pages == 1:
        return count
    bits = block.bmap
    if not isinstance(bits, Pages):
        raise TypeError("a clock needs sets of which every bit is known")
    dirty = np.flatnonzero(bits.bits[first:]) + first
    of_host = np.cumsum(np.diff(dirty // block.host_pages, prepend=-1) != 0)
    return int(np.searchsorted(of_host, count, side="right"))


def bits_of_words(words: I64, pages: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """One bool a page of words of 64."""
    found = np.unpackbits(words.view(np.uint8), count=pages, bitorder="little")
    return found.view(np.bool_)


def words_of_bits(bits: np.ndarray[Any, np.dtype[np.bool_]]) -> I64:
    """Words of 64 pages of one bool a page; bits behind the end are 0."""
    packed = np.packbits(bits, bitorder="little")
    filled = np.zeros(round_up(len(bits), BITS_PER_LONG) // 8, np.uint8)
    filled[: len(packed)] = packed
    return filled.view(np.int64)
