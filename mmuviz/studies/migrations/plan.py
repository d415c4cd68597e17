"""The passes of a recorded migration. Their pages, syncs and ends depend on timing, so they come from the recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

MIGRATION_THREADS: Final = ("live_migration", "mig/src/main")
CHANNEL_THREADS: Final = ("multifdsend_", "mig/src/send_")
MAIN_THREAD: Final = "main"
SYNC: Final = "migration_bitmap_sync_"
STOPPED: Final = "running 0 reason 7 (finish-migrate)"

MOST_QUEUED: Final = 64
"""Most pages that wait for one write: limited by the stream's iovecs, of which each page takes one or two."""

Event = dict[str, Any]


@dataclass
class Pass:
    """The interval between two syncs, or from the last sync to the end.

    Attributes:
        sends: SEND and ELIDED events of the migration thread with pages.
        listed: whether the recording has the number of pages of each write.
        before_tail: pages sent before the big lock is taken for the tail of a post-copy; None without one.
        stops: whether the guest is stopped at its end.
        by_timer: whether the main thread makes the sync at its end.
        open_ended: whether no sync follows.
        sync_at: index of the event at which the sync at its end begins; the number of events if none does.
        merged_at: index of the event before which that sync merges the pages that it found.
    """

    sends: list[Event] = field(default_factory=list)
    listed: bool = True
    before_tail: int | None = None
    stops: bool = False
    by_timer: bool = False
    open_ended: bool = True
    sync_at: int = 0
    merged_at: int = 0

    @property
    def pages(self) -> int:
        """Number of pages in the writes."""
        return sum(pages_in(each) for each in self.sends)


@dataclass
class Migration:
    """A migration in a recording.

    Attributes:
        at: index of the event that starts it.
        passes: its passes: before its first sync, between its syncs, and after its last.
        postcopy: whether it switched to post-copy.
        cancelled: whether it was cancelled.
    """

    at: int
    passes: list[Pass]
    postcopy: bool = False
    cancelled: bool = False


def pages_in(event: Event) -> int:
    """Return the number of pages in a SEND or ELIDED event."""
    kinds = ("sent_normal", "sent_zero") if event["op"] == "ELIDED" else ("normal", "zero")
    return int(event[kinds[0]]) + int(event[kinds[1]])


def has_traces(events: list[Event]) -> bool:
    """Whether QEMU's own tracepoints were recorded."""
    return any(event["op"] == "TRACE" and not event["ev"].startswith(SYNC) for event in events)


def with_syncs(document: dict[str, Any]) -> list[Event]:
    """Return the events; if QEMU's tracepoints were off, with begin and end of a sync around the GETs of all slots."""
    events: list[Event] = document["events"]
    if has_traces(events):
        return events
    count, seen, found = len(document["memslots_before_migration"]), 0, list[Event]()
    for event in events:
        if event["op"] == "GET" and event["by"] in MIGRATION_THREADS:
            if seen == 0:
                found.append({"op": "TRACE", "ev": "migration_bitmap_sync_start", "a": "", "made": True})
            found.append(event)
            seen = (seen + event["n"]) % count
            if seen == 0:
                found.append({"op": "TRACE", "ev": "migration_bitmap_sync_end", "a": "", "made": True})
        else:
            found.append(event)
    return found


def migrations_of(events: list[Event], config: dict[str, Any]) -> list[Migration]:
    """Find the migrations of a recording.

    Args:
        events: events from with_syncs().
        config: configuration of the recording.
    """
    starts = [index for index, event in enumerate(events) if event["op"] == "QMP" and event["cmd"] == "migrate"]
    found = []
    listed = "SHIM_NOHEX" not in str(config.get("env", "")) and "multifd" not in config.get("caps", ())
    for start, stop in pairwise([*starts, len(events)]):
        found.append(_migration(events, start, stop, listed=listed))
    return found


def _migration(events: list[Event], start: int, stop: int, *, listed: bool) -> Migration:
    migration = Migration(start, [Pass(listed=listed)])
    statuses = [_status(event) for event in events[start:stop]]
    migration.postcopy = "postcopy-active" in statuses
    migration.cancelled = bool({"cancelling", "failed"} & set(statuses))
    for index in range(start, stop):
        event, current = events[index], migration.passes[-1]
        if event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_start":
            current.open_ended, current.sync_at = False, index
            current.by_timer = sync_thread(events, index) == MAIN_THREAD
            current.merged_at = _merged_at(events, migration, index) if current.by_timer else index
            migration.passes.append(Pass(listed=listed))
        elif event["op"] == "TRACE" and event["a"] == STOPPED:
            current.stops = True
        elif pages_in(event) if event["op"] == "ELIDED" else _has_pages(event):
            before = migration.passes[-2] if len(migration.passes) > 1 else current
            (before if index < before.merged_at else current).sends.append(event)
    last = migration.passes[-1]
    last.sync_at = stop
    if not has_traces(events) and "completed" in statuses and len(migration.passes) > 1:
        migration.passes[-2].stops = True
    if migration.postcopy:
        last.before_tail = sum(pages_in(each) for each in last.sends if not each.get("bql"))
    return migration


def _merged_at(events: list[Event], migration: Migration, sync_at: int) -> int:
    """Return the index of the event before which the main thread's sync merges the pages that it found.

    The migration thread continues until then. The first page that it sends afterwards clears its chunk, possibly for
    the second time. Only pages that an iteration had already queued may be written later.
    """
    begin = max((each.sync_at for each in migration.passes[:-1]), default=migration.at)
    chunks = {tuple(each["v"][:2]) for each in events[begin:sync_at] if each["op"] == "CHUNK"}
    ended = False
    for index in range(sync_at + 1, len(events)):
        event = events[index]
        if event["op"] == "CHUNK" and (ended or tuple(event["v"][:2]) in chunks):
            return index
        if event["op"] == "TRACE" and event["ev"].startswith(SYNC):
            if ended:
                return index
            ended = True
        if ended and _has_pages(event) and event["normal"] > MOST_QUEUED:
            return index
    return len(events)


def _status(event: Event) -> object:
    data = event.get("data")
    return data.get("status") if event["op"] == "EVENT" and "who" not in event and isinstance(data, dict) else None


def _has_pages(event: Event) -> bool:
    return event["op"] == "SEND" and event["by"] in MIGRATION_THREADS and pages_in(event) > 0


def sync_thread(events: list[Event], index: int) -> str | None:
    """Return the main thread's name if it makes the sync that begins at an event; None if the migration thread does."""
    for event in events[index:]:
        if event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_end":
            return None
        if event["op"] in ("GET", "RESET_RINGS") and event["by"] == MAIN_THREAD:
            return MAIN_THREAD
    return None
