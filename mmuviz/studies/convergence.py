"""Convergence of a migration, and the amount that was left to send, from the rounds of its Recording."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording


class Leftover(NamedTuple):
    """The amount left to send after a sync, and QEMU's threshold for it.

    Attributes:
        found_bytes: bytes of pages that this sync found newly dirty.
        left_bytes: bytes of all pages left to send after it.
        may_bytes: the threshold: measured bandwidth times downtime limit.
    """

    found_bytes: int
    left_bytes: int
    may_bytes: int


def rounds_of_last(recording: Recording) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the mask of the last migration's rows in `rounds`, bool[rounds]; a cancelled one may precede it."""
    found: np.ndarray[Any, np.dtype[np.bool_]] = (
        recording.rounds.migration == len(recording.header.earlier_migrations) + 1
    )
    return found


def leftover_of(recording: Recording) -> Leftover:
    """Return the leftover of the deciding sync: the last one while the guest still ran.

    QEMU syncs once more after it has stopped the guest; the sync before that decides. The threshold is that of the end
    of the round before it: a sync is made when less than the threshold is left.

    Args:
        recording: the Recording of a migration.

    Returns:
        The leftover; all 0 if the migration ended before its second sync.
    """
    rounds, ended = recording.rounds, recording.header.migration
    own = np.flatnonzero(rounds_of_last(recording))
    place = len(own) - 1 - int(ended is not None and ended.stop_ps is not None)
    if place < 0:
        return Leftover(0, 0, 0)
    last = int(own[place])
    found, left = int(rounds.new_dirty_pages[last]), int(rounds.remaining_pages[last])
    may = int(rounds.threshold_bytes[last if place == 0 or converged_by_outcome(recording) else last - 1])
    if completed_by_qemu(recording) and left * PAGE_BYTES > may:
        left = 0  # QEMU completes without a further sync once a pass has sent everything
    return Leftover(found * PAGE_BYTES, left * PAGE_BYTES, may)


def completed_by_qemu(recording: Recording) -> bool:
    """Whether QEMU's loop completed the migration: it does so only once what is left fits, or nothing is left.

    QEMU: migration_iteration_run(), migration/migration.c
    """
    kind = recording.header.document()["scenario"]["driver"]["kind"]
    return kind == "qemu_precopy" and converged_by_outcome(recording) and not switched(recording)


def converged_by_outcome(recording: Recording) -> bool:
    """Whether a migration sent all of memory; PlainLoop may do so without having converged."""
    ended = recording.header.migration
    return ended is not None and ended.outcome == "completed"


def converges(recording: Recording) -> bool:
    """Whether a migration stopped its guest because the rest fitted into the downtime limit.

    Args:
        recording: the Recording; False for one without a migration.
    """
    if not converged_by_outcome(recording) or switched(recording):
        return False
    leftover = leftover_of(recording)
    return leftover.left_bytes <= leftover.may_bytes


def switched(recording: Recording) -> bool:
    """Whether a migration switched to post-copy, which ends however much the guest writes."""
    ended = recording.header.migration
    return ended is not None and ended.switch_ps is not None


def lost_pages(recording: Recording) -> int:
    """Return the pages that a migration leaves stale at its destination; 0 if it was given up or loses none."""
    return int(recording.totals.get("migration", {}).get("lost_pages", 0))


def cancelled(recording: Recording) -> bool:
    """Whether a migration was cancelled by driver.cancel_at, so that nothing is known of its convergence."""
    ended = recording.header.migration
    return ended is not None and ended.outcome == "cancelled"
