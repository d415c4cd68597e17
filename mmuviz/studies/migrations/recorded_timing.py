"""Answers to the loop's calls that depend on timing: a recording has the pages of each pass, its syncs and its end."""

from __future__ import annotations

from typing import Final

from mmuviz.engine.qemu.calls import Call, Pending, PostcopyAsked, QueuedPage, Room, RoomLeft, SendPages
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.studies.migrations.plan import Event, Migration, Pass
from mmuviz.studies.migrations.stream import Stream
from mmuviz.studies.migrations.unlisted import pages_of_pass

NEVER: Final = 0
ALWAYS: Final = 1 << 62
"""Thresholds that make the comparison with the amount left always true or never true."""


MOST_IDLE: Final = 4
"""Most iterations of the loop without a page sent or a sync ended; further ones would not change anything."""


class StuckError(Exception):
    """The model's loop does not end: pages of the recording are left that it does not send."""


class RecordedTiming:
    """The timing of one migration.

    Args:
        qemu: the QEMU that is played back.
        migration: the migration with its passes.
        events: events of the recording.
    """

    def __init__(self, qemu: Qemu, migration: Migration, events: list[Event]) -> None:
        self.stream = Stream()
        self.threshold: int | None = None
        self.early_sync: tuple[int, int] | None = None
        """Bytes left and threshold of a sync that came although at least the threshold was left."""
        self.sent_pages = 0
        self._idle = 0
        self.index = 0
        """Index of the current event."""
        self._qemu = qemu
        self._migration = migration
        self._events = events
        self._index = 0
        self._size: int | None = None

    @property
    def current(self) -> Pass:
        """The current pass."""
        return self._migration.passes[self._index]

    @property
    def in_order(self) -> bool:
        """Whether pages are sent in order; after a switch to post-copy, requested pages are sent first."""
        return not (self._migration.postcopy and self.current.open_ended)

    @property
    def last_pages(self) -> int | None:
        """At the last sync of a completed migration, the pages sent after it, i.e. all dirty pages; else None."""
        passes = self._migration.passes
        last = self._index == len(passes) - 2 and not self._migration.cancelled and passes[-1].listed
        return passes[-1].pages if last else None

    @property
    def phase(self) -> str:
        """Phase of the migration, see compared.section()."""
        if not self._qemu.running or (self.current.stops and self._left() == 0):
            return "stopping"
        if not self.current.listed:
            return "unlisted"
        return "running" if self.sent_pages else "setup"

    def merges_before(self, index: int) -> bool:
        """Whether the main thread's sync merges its pages before this event."""
        current = self.current
        return current.by_timer and not current.open_ended and index >= current.merged_at

    def sync_ended(self) -> None:
        """Begin the next pass."""
        self._idle = 0
        self._index = min(self._index + 1, len(self._migration.passes) - 1)
        self._size = None
        self.stream.taken = 0

    def answer(self, call: Call) -> object:
        """Return the answer to a call that a recording does not contain."""
        if isinstance(call, SendPages):
            self.stream.add(call)
            self.sent_pages += call.sent.pages
            self._idle = 0
            return None
        if isinstance(call, Room | RoomLeft):
            return self._left() if isinstance(call, Room) else call.room
        if isinstance(call, QueuedPage):
            return self._queued()
        if isinstance(call, Pending):
            self._idle += 1
            if self._idle > MOST_IDLE:
                raise StuckError
            return self._threshold(call)
        if isinstance(call, PostcopyAsked):
            return self._migration.postcopy and self.current.stops and self._left() == 0
        return None

    def _left(self) -> int | None:
        """Return the pages left to send before the sync that ends the pass; None if no sync ends it."""
        current = self.current
        if current.open_ended:
            return None if current.before_tail is None else max(current.before_tail - self.stream.taken, 0)
        if self._size is None:
            self._size = current.pages if current.listed else self._unlisted(current)
        return max(self._size - self.stream.taken, 0)

    def _queued(self) -> tuple[RamBlock, int] | None:
        """Return the page that the destination of a post-copy requests; it is known from the chunk that is cleared."""
        blocks = {block.name: block for block in self._qemu.blocks}
        event = self._events[self.index]
        if event["op"] == "CHUNK":
            block, page = blocks.get(event["v"][0]), event["v"][3]
            dirty = block is not None and block.bmap.next_page(page) == page
            return (block, page) if block is not None and dirty else None
        for block in self._qemu.blocks:
            for chunk, armed in enumerate([] if block.clear_bmap is None else block.clear_bmap):
                first = chunk << block.chunk_shift
                page = None if armed else block.bmap.next_page(first)
                if page is not None and page >> block.chunk_shift == chunk:
                    return block, page
        return None

    def _unlisted(self, current: Pass) -> int:
        if current.stops and not self._migration.postcopy:  # the sync before left less than the threshold
            return 0
        return pages_of_pass(self._qemu, self._events, current)

    def _threshold(self, call: Pending) -> int:
        current, left = self.current, self._left()
        if current.open_ended:
            return ALWAYS if left == 0 else NEVER
        if call.exact:
            return ALWAYS if current.stops and left == 0 and not self._migration.postcopy else NEVER
        if left or current.stops:
            return NEVER
        if self.threshold is not None and call.left_bytes >= self.threshold:
            self.early_sync = (call.left_bytes, self.threshold)
        return ALWAYS

    def note_event(self, event: Event) -> None:
        """Note the threshold of a bandwidth update; an elided stretch may hide an update, so it makes it unknown."""
        if event["op"] == "ELIDED":
            self.threshold = None
        value = event["v"] if event["op"] == "BW_UPDATE" else event.get("bw_last")
        if isinstance(value, list) and len(value) == 4:
            self.threshold = value[3]
