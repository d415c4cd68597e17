"""Page sets of recordings that lack bits: some pages are certain, of others only the number is known."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmuviz.engine.qemu.calls import Sent

Bits = NDArray[np.bool_]


class Hints(Protocol):
    """Information of a recording, other than bits, on the pages that are left to send."""

    flexible: int
    """Uncertain pages of this pass that were counted in an earlier stretch, but may belong to a later one."""

    def fresh(self, least: int, most: int) -> int:
        """Return the number of new pages that a sync found, from least to most."""

    def next_chunk(self, pages: PartlyKnown) -> int | None:
        """Return the page for which the next chunk is cleared in this pass; None if it is not in this block."""

    def armed(self, pages: PartlyKnown, page: int) -> tuple[int, int] | None:
        """Return first page and end of a page's chunk if the chunk would be cleared now; else None."""

    def last_page(self, pages: PartlyKnown) -> int | None:
        """Return the last page of the pass if it is in this block; else None."""

    def left_in_pass(self) -> int | None:
        """Return the pages that the pass has still to send; None if unknown."""

    def differ(self, field: str, expected: object, got: object) -> None:
        """Note a difference."""


class PartlyKnown:
    """A page set of which some members are uncertain.

    Args:
        sure: mask of the certain members, bool[pages].
        maybe: mask of the possible members, bool[pages].
        owed: number of possible members that are in the set; None if unknown.
        hints: further information, if the set is a RAM block's pages left to send.
    """

    def __init__(self, sure: Bits, maybe: Bits, owed: int | None, hints: Hints | None = None) -> None:
        self.sure = sure
        self.maybe = maybe & ~sure
        self.owed = owed
        self.hints = hints
        self._settle()

    @classmethod
    def none_of(cls, pages: int) -> PartlyKnown:
        """Make an empty set of a range of `pages` pages."""
        return cls(np.zeros(pages, np.bool_), np.zeros(pages, np.bool_), 0)

    def _settle(self) -> None:
        """Remove the uncertainty if all or none of the possible members are in the set."""
        unknown = int(np.count_nonzero(self.maybe))
        if unknown and self.owed == unknown:
            self.sure |= self.maybe
        if not unknown or self.owed in (0, unknown):
            self.maybe[:] = False
            self.owed = 0

    def add_all(self) -> None:
        """See PageSet."""
        self.sure[:] = True
        self.maybe[:] = False
        self.owed = 0

    def add(self, first: int, other: PartlyKnown) -> int:
        """See PageSet; if the bits do not determine the number of new pages, the hints do."""
        here = slice(first, first + len(other.sure))
        unknown = bool(self.maybe.any() or other.maybe.any())
        total, given = self.count(), other.count()
        least = int(np.count_nonzero(other.sure & ~self.sure[here] & ~self.maybe[here]))
        untouched = not (self.sure[here] | self.maybe[here]).any()
        self.sure[here] |= other.sure
        self.maybe[here] |= other.maybe
        self.maybe &= ~self.sure
        sure = int(np.count_nonzero(self.sure))
        if not unknown:
            return sure - total
        if self.hints is None:
            both_known = untouched and self.owed is not None and other.owed is not None
            self.owed = (self.owed or 0) + (other.owed or 0) if both_known else None
            self._settle()
            return 0
        most = sure + int(np.count_nonzero(self.maybe)) - total
        if other.owed is not None:
            least, most = max(least, given - total), min(most, given)
        fresh = self.hints.fresh(max(least, sure - total), most)
        self.owed = total + fresh - sure
        self._settle()
        return fresh

    def part(self, first: int, stop: int) -> PartlyKnown:
        """See PageSet."""
        inside, outside = self.maybe[first:stop].any(), self.maybe[:first].any() or self.maybe[stop:].any()
        owed = self.owed if not outside else None if inside else 0
        return PartlyKnown(self.sure[first:stop].copy(), self.maybe[first:stop].copy(), owed)

    def drop(self, first: int, stop: int) -> None:
        """See PageSet."""
        inside = bool(self.maybe[first:stop].any())
        self.sure[first:stop] = self.maybe[first:stop] = False
        if inside:
            self.owed = None if self.maybe.any() else 0

    def count(self) -> int:
        """See PageSet; uncertain members that are in the set are counted if their number is known, else not."""
        return int(np.count_nonzero(self.sure)) + (self.owed or 0)

    def widen(self, group: int) -> int:
        """See PageSet; does nothing if some bits are unknown."""
        whole = len(self.sure) // group * group
        before = int(np.count_nonzero(self.sure))
        if not self.maybe.any():
            groups = self.sure[:whole].reshape(-1, group)
            groups |= groups.any(axis=1, keepdims=True)
        return int(np.count_nonzero(self.sure)) - before

    def next_page(self, first: int) -> int | None:
        """See PageSet; whether an uncertain page is a member follows from the chunks that the recording clears."""
        while True:
            ahead = (self.sure | self.maybe)[first:]
            page = first + int(ahead.argmax()) if ahead.any() else None
            if page is None or self.sure[page] or self.hints is None:
                return page
            chunk = self.hints.armed(self, page)
            if chunk is None:
                return page
            cleared_next = self.hints.next_chunk(self)
            if cleared_next is not None and page <= cleared_next < chunk[1] and (self.sure | self.maybe)[cleared_next]:
                earlier = self.sure[page:cleared_next]
                return page + int(earlier.argmax()) if earlier.any() else cleared_next
            if self.sure[page : chunk[1]].any():
                return page + int(self.sure[page : chunk[1]].argmax())
            if cleared_next is None and self.hints.left_in_pass() is None:
                return page
            first = chunk[1]  # nothing of this chunk is sent in this pass

    def _stop_of(self, first: int, stop: int, room: int | None) -> int:
        """Return the page after the certain member with which the room is used up."""
        pages = np.flatnonzero(self.sure[first:stop])
        return stop if room is None or len(pages) <= room else first + int(pages[room - 1]) + 1

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """See PageSet; of the possible members only the number that is taken is known."""
        hints = self.hints
        last = None if hints is None else hints.last_page(self)
        left = None if hints is None else hints.left_in_pass()
        ends = last is not None and first <= last < stop
        stop = last + 1 if ends and last is not None else self._stop_of(first, stop, room)
        sure, maybe = (int(np.count_nonzero(each[first:stop])) for each in (self.sure, self.maybe))
        owed = self.owed or 0
        if hints is not None and ends and left is not None:
            extra = left - sure
            if not -hints.flexible <= extra <= min(maybe, owed):
                hints.differ("pages sent", left, f"{max(sure - hints.flexible, 0)} to {sure + min(maybe, owed)}")
                extra = min(max(extra, -hints.flexible), maybe, owed)
        else:
            limit = room if left is None else left - 1
            extra = max(min(maybe, owed, maybe if limit is None else limit - sure), 0)
            if hints is not None:
                hints.flexible += extra
        self.sure[first:stop] = self.maybe[first:stop] = False
        self.owed = owed - extra
        self._settle()
        pages = sure + extra
        return Sent(first, stop - 1, pages) if pages > 0 else None
