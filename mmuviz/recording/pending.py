"""Pages that the guest wrote and that nothing has told userspace of yet: what a lost page stays in for ever."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.recording.columns import I64, Recording

TELLS_DIRTY: Final = frozenset({"get", "ring_collect"})
"""Ops that tell userspace of dirty pages."""
WRITES: Final = frozenset({"write", "parallel_write"})


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


def pending_of(recording: Recording) -> Pending:
    """Follow every page that the guest writes while the slot is logged.

    A page is pending from a write until an op tells of it; disabling the log or deleting the slot ends it.

    Args:
        recording: not changed.

    Returns:
        How many pages are pending at any access.
    """
    waiting: I64 = np.zeros(0, dtype=np.int64)
    before, told, fresh = [0], [0], []
    for index, op in enumerate(recording.ops):
        new = np.zeros(0, dtype=np.int64)
        if not recording.op_columns.logging[index]:
            waiting = waiting[:0]
        elif op.kind in WRITES:
            written, first = np.unique(_touched(recording, index), return_index=True)
            new = np.sort(first[~np.isin(written, waiting)])
            waiting = np.union1d(waiting, written)
        elif op.kind in TELLS_DIRTY:
            waiting = waiting[~_told(recording, index, waiting)]
        pages = int(recording.ranges_of_op(index).pages.sum())
        told.append(pages if op.kind in TELLS_DIRTY else told[-1])
        before.append(len(waiting))
        fresh.append(new)
    starts: I64 = np.cumsum([0, *map(len, fresh)], dtype=np.int64)
    every = np.concatenate([np.zeros(0, dtype=np.int64), *fresh])
    return Pending(np.array(before), np.array(told), starts, every)


def pages_never_told(recording: Recording) -> int:
    """Pages written before the last telling op that were still not told of after it: lost to userspace."""
    telling = [index for index, op in enumerate(recording.ops) if op.kind in TELLS_DIRTY]
    if not telling:
        return 0
    return int(pending_of(recording).before[telling[-1] + 1])


def _touched(recording: Recording, op: int) -> I64:
    """The page of each access of an op, int64[accesses]."""
    page, stride, accesses = recording.touches_of_op(op)
    begins = np.cumsum(accesses) - accesses
    within = np.arange(int(accesses.sum())) - np.repeat(begins, accesses)
    touched: I64 = np.repeat(page, accesses) + np.repeat(stride, accesses) * within
    return touched


def _told(recording: Recording, op: int, pages: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of some pages an op told of; its ranges ascend."""
    first, count = recording.ranges_of_op(op)
    if not len(first):
        return np.zeros(len(pages), dtype=np.bool_)
    at = np.maximum(np.searchsorted(first, pages, side="right") - 1, 0)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (pages >= first[at]) & (pages < first[at] + count[at])
    return inside
