"""Sets of pages of which a recording has some bits and, of others, only how many there are."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmuviz.engine.qemu.calls import Sent

Bits = NDArray[np.bool_]


class Hints(Protocol):
    """What a recording tells, besides the bits, of the pages that wait to be sent."""

    flexible: int
    """Pages of this pass that were counted where they could be, and may belong to a later stretch."""

    def fresh(self, least: int, most: int) -> int:
        """New pages that a sync found; they must be least to most."""

    def next_chunk(self, pages: PartlyKnown) -> int | None:
        """The page for which the next chunk of this block is cleared in this pass."""

    def armed(self, pages: PartlyKnown, page: int) -> tuple[int, int] | None:
        """First page and end of a page's chunk, if it would be cleared now."""

    def last_page(self, pages: PartlyKnown) -> int | None:
        """The page of this block with which the pass ends, if it ends in this block."""

    def left_in_pass(self) -> int | None:
        """Pages that the pass has still to send, if the recording tells."""

    def differ(self, field: str, expected: object, got: object) -> None:
        """Note a difference."""


class PartlyKnown:
    """A set of pages.

    Args:
        sure: pages that are in it.
        maybe: pages that may be.
        owed: how many of those are; None if that is not known.
        hints: for the pages of a block that wait to be sent.
    """

    def __init__(self, sure: Bits, maybe: Bits, owed: int | None, hints: Hints | None = None) -> None:
        self.sure = sure
        self.maybe = maybe & ~sure
        self.owed = owed
        self.hints = hints
        self._settle()

    @classmethod
    def none_of(cls, pages: int) -> PartlyKnown:
        """An empty set among so many pages."""
        return cls(np.zeros(pages, np.bool_), np.zeros(pages, np.bool_), 0)

    def _settle(self) -> None:
        """Where all or none of the pages that may be in it are, nothing is unknown."""
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
        """See PageSet; how many pages are new is told by the recording where the bits do not say."""
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
            told = untouched and self.owed is not None and other.owed is not None
            self.owed = (self.owed or 0) + (other.owed or 0) if told else None
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
        """See PageSet; those that may be in it count as far as their number is known."""
        return int(np.count_nonzero(self.sure)) + (self.owed or 0)

    def widen(self, group: int) -> int:
        """See PageSet; only where every bit is known."""
        whole = len(self.sure) // group * group
        before = int(np.count_nonzero(self.sure))
        if not self.maybe.any():
            groups = self.sure[:whole].reshape(-1, group)
            groups |= groups.any(axis=1, keepdims=True)
        return int(np.count_nonzero(self.sure)) - before

    def next_page(self, first: int) -> int | None:
        """See PageSet; where a page may be dirty or not, the recording's chunks tell."""
        while True:
            ahead = (self.sure | self.maybe)[first:]
            page = first + int(ahead.argmax()) if ahead.any() else None
            if page is None or self.sure[page] or self.hints is None:
                return page
            chunk = self.hints.armed(self, page)
            if chunk is None:
                return page
            told = self.hints.next_chunk(self)
            if told is not None and page <= told < chunk[1] and (self.sure | self.maybe)[told]:
                earlier = self.sure[page:told]
                return page + int(earlier.argmax()) if earlier.any() else told
            if self.sure[page : chunk[1]].any():
                return page + int(self.sure[page : chunk[1]].argmax())
            if told is None and self.hints.left_in_pass() is None:
                return page
            first = chunk[1]  # nothing of this chunk is sent in this pass

    def _stop_of(self, first: int, stop: int, room: int | None) -> int:
        """Where room ends, if so many pages are in it for sure."""
        pages = np.flatnonzero(self.sure[first:stop])
        return stop if room is None or len(pages) <= room else first + int(pages[room - 1]) + 1

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """See PageSet; which pages of those that may be dirty are taken is not told, only how many."""
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
