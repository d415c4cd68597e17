"""Pages that the guest wrote and that nothing has told userspace of yet: what a lost page stays in for ever."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.recording.columns import I64, DirtyRanges, Op, Recording

TELLS_DIRTY: Final = frozenset({"get", "ring_collect"})
"""Ops that tell userspace of dirty pages."""
WRITES: Final = frozenset({"write", "parallel_write"})
ARMS: Final = frozenset({"clear", "ring_reset"})
"""Ops that arm pages again which userspace was told of before; a legacy GET arms what it tells of."""
NO_END: Final = 1 << 62

Flags = npt.NDArray[np.bool_]


class Pending(NamedTuple):
    """What was written and not told of.

    Attributes:
        before: int64[ops + 1], pages before each op, and after the last.
        told: int64[ops + 1], pages that the newest telling op before each op told of.
        first_fresh: int64[ops + 1], first row of `fresh` of each op.
        fresh: int64[n], ascending in each op: accesses that write a page which was not pending.
    """

    before: I64
    told: I64
    first_fresh: I64
    fresh: I64


class _Told:
    """Pages that userspace was told of and that are not armed again yet; it copies them after arming."""

    def __init__(self) -> None:
        self.tellings: list[DirtyRanges] = []
        self.armed: list[tuple[int, int]] = []

    def tell(self, ranges: DirtyRanges, *, anew: bool) -> None:
        """Add the pages of an answer; a GET answers anew, with all that still is dirty."""
        if anew:
            self.forget()
        self.tellings.append(ranges)

    def forget(self) -> None:
        """Begin again: all is armed, or the log is off."""
        self.tellings, self.armed = [], []

    def among(self, pages: I64, first: int, stop: int) -> Flags:
        """Which of some pages are told of and not armed, among those of [first, stop)."""
        found: Flags = np.zeros(len(pages), dtype=np.bool_)
        for ranges in self.tellings:
            found |= _inside(ranges, pages)
        for begin, end in [*self.armed, (stop, NO_END), (-1, first)]:
            found &= (pages < begin) | (pages >= end)
        return found


class _Watch:
    """Pages written and not told of, op by op."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.waiting: I64 = np.zeros(0, dtype=np.int64)
        self.told = _Told()

    def step(self, index: int) -> I64:
        """Follow one op; returns the accesses that write a page which was not pending."""
        op = self.recording.ops[index]
        if not self.recording.op_columns.logging[index]:
            self.waiting = self.waiting[:0]
            self.told.forget()
        elif op.kind in WRITES:
            written, first = np.unique(_touched(self.recording, index), return_index=True)
            fresh: I64 = np.sort(first[~np.isin(written, self.waiting)])
            self.waiting = np.union1d(self.waiting, written)
            return fresh
        elif op.kind in TELLS_DIRTY:
            ranges = self.recording.ranges_of_op(index)
            self.waiting = self.waiting[~_inside(ranges, self.waiting)]
            self.told.tell(ranges, anew=op.kind == "get")
        elif op.kind in ARMS:
            self._arm(op)
        return np.zeros(0, dtype=np.int64)

    def _arm(self, op: Op) -> None:
        """What was told of before is copied after arming: a write in between is not lost."""
        if op.kind == "ring_reset":
            self.waiting = self.waiting[~self.told.among(self.waiting, 0, NO_END)]
            self.told.forget()
        elif op.field("bits") in ("last", "all"):
            first, pages = int(op.field("first_page")), int(op.field("num_pages"))
            self.waiting = self.waiting[~self.told.among(self.waiting, first, first + pages)]
            self.told.armed.append((first, first + pages))


def pending_of(recording: Recording) -> Pending:
    """Follow every page that the guest writes while the slot is logged.

    A page is pending from a write until an op tells of it; disabling the log or deleting the slot ends it.
    So does arming a page again that userspace was told of before: it copies the page after that. Which
    pages a CLEAR of listed bits names is not in a Recording; it ends nothing.

    Args:
        recording: not changed.

    Returns:
        How many pages are pending at any access.
    """
    watch = _Watch(recording)
    before, told, fresh = [0], [0], []
    for index, op in enumerate(recording.ops):
        fresh.append(watch.step(index))
        pages = int(recording.ranges_of_op(index).pages.sum())
        told.append(pages if op.kind in TELLS_DIRTY else told[-1])
        before.append(len(watch.waiting))
    starts: I64 = np.cumsum([0, *map(len, fresh)], dtype=np.int64)
    every = np.concatenate([np.zeros(0, dtype=np.int64), *fresh])
    return Pending(np.array(before), np.array(told), starts, every)


def pages_never_told(recording: Recording) -> int:
    """Pages written before the last telling op that neither it nor a later arming settled: lost to userspace."""
    telling = [index for index, op in enumerate(recording.ops) if op.kind in TELLS_DIRTY]
    watch, last = _Watch(recording), telling[-1] if telling else -1
    for index in range(last + 1):
        watch.step(index)
    lost = watch.waiting
    for index in range(last + 1, len(recording.ops)):
        if last < 0 or not recording.op_columns.logging[index]:
            break
        watch.step(index)
        lost = np.intersect1d(lost, watch.waiting)
    return len(lost)


def _touched(recording: Recording, op: int) -> I64:
    """The page of each access of an op, int64[accesses]."""
    page, stride, accesses = recording.touches_of_op(op)
    begins = np.cumsum(accesses) - accesses
    within = np.arange(int(accesses.sum())) - np.repeat(begins, accesses)
    touched: I64 = np.repeat(page, accesses) + np.repeat(stride, accesses) * within
    return touched


def _inside(ranges: DirtyRanges, pages: I64) -> Flags:
    """Which of some pages lie in ranges that ascend."""
    first, count = ranges
    if not len(first):
        return np.zeros(len(pages), dtype=np.bool_)
    at = np.maximum(np.searchsorted(first, pages, side="right") - 1, 0)
    inside: Flags = (pages >= first[at]) & (pages < first[at] + count[at])
    return inside
