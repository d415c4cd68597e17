"""Whether a migration converged, and what stood in the way: read off its rounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording


class Leftover(NamedTuple):
    """What a sync left to be sent, and what may be left for the downtime.

    Attributes:
        found_bytes: pages that this sync found newly dirty.
        left_bytes: pages that waited to be sent after it.
        may_bytes: bandwidth times downtime limit, as userspace measured it then.
    """

    found_bytes: int
    left_bytes: int
    may_bytes: int


def rounds_of_last(recording: Recording) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of `rounds` belong to the last migration; bool[rounds]. A cancelled one may have come before it."""
    found: np.ndarray[Any, np.dtype[np.bool_]] = (
        recording.rounds.migration == len(recording.header.earlier_migrations) + 1
    )
    return found


def leftover_of(recording: Recording) -> Leftover:
    """The sync that decided: the last one of a guest that still ran.

    QEMU syncs once more with the guest stopped; what decides is the sync before that. The threshold is that of the
    end of the round before it: a sync comes when less than that waits.

    Args:
        recording: of a migration; not changed.

    Returns:
        All 0 where the migration ended before its second sync.
    """
    rounds, ended = recording.rounds, recording.header.migration
    own = np.flatnonzero(rounds_of_last(recording))
    place = len(own) - 1 - int(ended is not None and ended.stop_ps is not None)
    if place < 0:
        return Leftover(0, 0, 0)
    last = int(own[place])
    found, left = int(rounds.new_dirty_pages[last]), int(rounds.remaining_pages[last])
    may = int(rounds.threshold_bytes[last if place == 0 or converged_by_outcome(recording) else last - 1])
    return Leftover(found * PAGE_BYTES, left * PAGE_BYTES, may)


def converged_by_outcome(recording: Recording) -> bool:
    """Whether a migration sent all of memory; a plain loop does so also where it never converged."""
    ended = recording.header.migration
    return ended is not None and ended.outcome == "completed"


def converges(recording: Recording) -> bool:
    """Whether a migration stopped its guest because what was left fitted the downtime limit.

    Args:
        recording: not changed; of one without a migration the answer is no.
    """
    if not converged_by_outcome(recording) or switched(recording):
        return False
    leftover = leftover_of(recording)
    return leftover.left_bytes <= leftover.may_bytes


def switched(recording: Recording) -> bool:
    """Whether a migration went over to post-copy, which ends whatever the guest writes."""
    ended = recording.header.migration
    return ended is not None and ended.switch_ps is not None
