"""Information on pages whose bits a recording lacks, from the events around syncs and passes."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.studies.migrations.difference import Differ
from mmuviz.studies.migrations.partly_known import Bits, PartlyKnown
from mmuviz.studies.migrations.plan import Event, pages_in
from mmuviz.studies.migrations.recorded_timing import RecordedTiming

DIRTY_PAGES: Final = re.compile(r"dirty_pages (\d+)")
LEFT: Final = re.compile(r"(?:exact pending size )?(\d+)")
REPORTS_LEFT: Final = ("migrate_pending_exact", "migration_thread_low_pending")


class RecordedHints:
    """Hints of a recording at the current event; see Hints in partly_known.py.

    Args:
        qemu: the QEMU that is played back.
        events: events of the recording.
        rounds: rounds of the recording.
        differ: function that notes a difference at the current event.
    """

    def __init__(self, qemu: Qemu, events: list[Event], rounds: list[dict[str, Any]], differ: Differ) -> None:
        self.flexible = 0
        self.index = 0
        self.timing: RecordedTiming | None = None
        self.differ = differ
        self._qemu = qemu
        self._events = events
        self._rounds = rounds
        self._syncs = 0
        self._sends = SendsInBounds(qemu)
        self._first: list[Any] | None = None

    def fresh(self, least: int, most: int) -> int:
        """See Hints; from the amount left after the sync, else from the number of new pages that the sync reports."""
        candidates = self._reported_new_pages()
        fitting = [each for each in candidates if least <= each <= most]
        if candidates and not fitting:
            self.differ("new dirty pages", candidates[0], f"{least} to {most}")
        return fitting[0] if fitting else least

    def _reported_new_pages(self) -> list[int]:
        """Return candidates for the number of new pages; a sync's count may include those of the sync before."""
        before, found, left = 0, list[int](), None
        for event in self._events[: self.index]:
            text = DIRTY_PAGES.match(event["a"]) if event["op"] == "TRACE" else None
            before = int(text.group(1)) if text else before
        for event in self._events[self.index :]:
            if event["op"] != "TRACE":
                continue
            text = DIRTY_PAGES.match(event["a"])
            if text and found:
                break
            if text:
                found = [int(text.group(1)), int(text.group(1)) - before]
            number = LEFT.match(event["a"]) if event["ev"] in REPORTS_LEFT else None
            if number and found:
                left = int(number.group(1)) // PAGE_BYTES - self._qemu.ram.dirty_pages
                break
        if left is None:
            left = self._queried()
        if left not in found and self.timing is not None and self.timing.last_pages is not None:
            left = self.timing.last_pages - self._qemu.ram.dirty_pages
        return found if left is None or left not in found else [left]

    def _queried(self) -> int | None:
        """Return the new pages by query-migrate's `remaining`: in 7.2 that at the sync, in 10.0 one shortly after."""
        query = self._rounds[self._syncs].get("query") if self._syncs < len(self._rounds) else None
        found = query.get("remaining") if isinstance(query, dict) and query.get("status") == "active" else None
        return found // PAGE_BYTES - self._qemu.ram.dirty_pages if type(found) is int else None

    def _block_of(self, pages: PartlyKnown) -> RamBlock | None:
        return next((block for block in self._qemu.blocks if block.bmap is pages), None)

    def armed(self, pages: PartlyKnown, page: int) -> tuple[int, int] | None:
        """See Hints."""
        block = self._block_of(pages)
        if block is None or block.clear_bmap is None or not block.clear_bmap[page >> block.chunk_shift]:
            return None
        first = page >> block.chunk_shift << block.chunk_shift
        return first, min(first + (1 << block.chunk_shift), block.pages)

    def next_chunk(self, pages: PartlyKnown) -> int | None:
        """See Hints."""
        block = self._block_of(pages)
        for event in self._events[self.index :]:
            if event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_start":
                return None
            if event["op"] == "CHUNK":
                return int(event["v"][3]) if block is not None and event["v"][0] == block.name else None
        return None

    def last_page(self, pages: PartlyKnown) -> int | None:
        """See Hints."""
        block = self._block_of(pages)
        sends = self.timing.current.sends if self.timing is not None and self.timing.in_order else []
        place = next((each["last"] for each in reversed(sends) if "last" in each), None)
        return int(place[1]) if place is not None and block is not None and place[0] == block.name else None

    def left_in_pass(self) -> int | None:
        """See Hints."""
        if self.timing is None or not (self.timing.current.listed and self.timing.in_order):
            return None
        return self.timing.current.pages - self.timing.stream.taken

    def pass_begins(self) -> None:
        """Begin the next pass, after a sync."""
        self.flexible = 0
        self._syncs += 1
        self._first = None
        self._sends.snapshot()

    def chunk_cleared(self, event: Event) -> None:
        """Note the page of a cleared chunk: the first page of a pass is always in a chunk that is cleared for it."""
        if self.timing is not None and self.timing.stream.waiting == 0 and self._first is None:
            self._first = [event["v"][0], event["v"][3]]

    def wrote(self, event: Event) -> None:
        """Check a write of pages by the migration thread; not in post-copy, where requested pages come first."""
        if self.timing is not None and not self.timing.in_order:
            return
        if self._first and "first" in event:
            self.differ("first page", event["first"], self._first)
            self._first = []
        for field, expected, got in self._sends.wrote(event):
            self.differ(field, expected, got)


class SendsInBounds:
    """Checks that the first and last page of each write are pages that can be dirty.

    Args:
        qemu: the QEMU that is played back.
    """

    def __init__(self, qemu: Qemu) -> None:
        self._blocks = qemu.blocks
        sizes = np.cumsum([0, *(block.pages for block in qemu.blocks)])
        self._starts = {block.name: int(at) for block, at in zip(qemu.blocks, sizes[:-1], strict=True)}
        self._total = int(sizes[-1])
        self._sure: Bits = np.zeros(self._total, np.bool_)
        self._can: Bits = self._sure.copy()
        self._at: int | None = 0

    def snapshot(self) -> None:
        """Copy the sets of pages that are left to send."""
        known = [block.bmap for block in self._blocks if isinstance(block.bmap, PartlyKnown)]
        self._sure = np.concatenate([each.sure for each in known])
        self._can = np.concatenate([each.sure | each.maybe for each in known])

    def wrote(self, event: Event) -> list[tuple[str, object, object]]:
        """Check a write; return differences as (field, recorded value, possible values)."""
        if "first" not in event or "last" not in event:
            self._at = None
            return []
        places = [self._place(event[name]) for name in ("first", "last")]
        for name, place in zip(("first", "last"), places, strict=True):
            if place is None or not self._can[place]:
                return [(f"{name} page", event[name], "that page is not dirty")]
        first, last = (0 if place is None else place for place in places)
        found = self._compare(event, first, last)
        self._at = last + 1
        return found

    def _place(self, place: list[Any]) -> int | None:
        at = self._starts.get(place[0], -1) + place[1]
        return at if place[0] in self._starts and 0 <= at < self._total else None

    def _compare(self, event: Event, first: int, last: int) -> list[tuple[str, object, object]]:
        found: list[tuple[str, object, object]] = []
        if self._at is not None and np.count_nonzero(self._sure[_range(self._at, first, self._total)]):
            found.append(("first page", event["first"], "another page is dirty before it"))
        pages = np.append(_range(first, last, self._total), last)
        least, most = int(np.count_nonzero(self._sure[pages])), int(np.count_nonzero(self._can[pages]))
        if not least <= pages_in(event) <= most:
            found.append(("pages from the first to the last", pages_in(event), f"{least} to {most}"))
        self._sure[pages] = self._can[pages] = False
        return found


def _range(first: int, stop: int, total: int) -> Any:  # noqa: ANN401  # an array of numbers
    """Return the numbers from first to stop, exclusive, modulo total."""
    first %= total
    return np.arange(first, stop) if first <= stop else np.concatenate((np.arange(first, total), np.arange(stop)))
