"""A migration in words: whether it converged and why, and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mmuviz.exports.setup_text import number
from mmuviz.recording.header import Migration
from mmuviz.recording.quantities import bytes_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.stall_buckets import PS_PER_NS
from mmuviz.studies.convergence import converges, leftover_of

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"


def migration_lines(recording: Recording) -> Iterator[tuple[str, str]]:
    """What a person asks of a migration.

    Args:
        recording: not changed.

    Yields:
        A name and a sentence; nothing where there was no migration.
    """
    ended = recording.header.migration
    if ended is None:
        return
    took = recording.totals["migration"]
    yield "Migration", verdict(recording, ended)
    downtime = f"downtime {time_text(took['downtime_ns'])}" if ended.stop_ps is not None else "the guest never stopped"
    yield "  time", f"{time_text(took['total_ns'])} in all, {downtime}, {number(took['rounds'], 'sync')}"
    again = took["resent_pages"] * took["bytes_sent"] // max(took["pages_sent"], 1)
    share = f" ({share_text(again, took['bytes_sent'])})" if again else ""
    yield "  sent", f"{bytes_text(took['bytes_sent'])}, of which {bytes_text(again)}{share} not for the first time"
    yield "  ioctls in it", f"{time_text(took['get_ns'])} in GET, {time_text(took['clear_ns'])} in CLEAR"


def verdict(recording: Recording, ended: Migration) -> str:
    """Whether it converged, and why or why not."""
    leftover = leftover_of(recording)
    left, may = bytes_text(leftover.left_bytes), bytes_text(leftover.may_bytes)
    if converges(recording):
        return f"converges: {left} were left, less than the {may} that the link sends meanwhile"
    if ended.outcome == COMPLETED:
        return f"stops the guest after its last round with {left} left, and only {may} may be"
    took = time_text((ended.end_ps - ended.start_ps) // PS_PER_NS)
    if ended.outcome == CANCELLED:
        return f"cancelled after {took}, {still(recording)}"
    return f"does not converge: given up after {took} ({ended.outcome}), {still(recording)}"


def still(recording: Recording) -> str:
    """What stood in the way at its last sync."""
    if len(recording.rounds.round) <= 1:
        return "before the first pass over memory was over"
    leftover = leftover_of(recording)
    return (
        f"when the last sync found {bytes_text(leftover.found_bytes)} newly dirty, so that "
        f"{bytes_text(leftover.left_bytes)} were left, and only {bytes_text(leftover.may_bytes)} may be left for the "
        "downtime"
    )
