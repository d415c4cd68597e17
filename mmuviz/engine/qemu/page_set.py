"""Sets of pages as QEMU keeps them: the bitmap of a RAM block or of a slot."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mmuviz.engine.qemu.calls import Sent


class PageSet(Protocol):
    """A set of pages numbered from 0; surroundings that know only a part of the bits have a set of their own."""

    def add_all(self) -> None:
        """Every page."""

    def add(self, first: int, other: Self) -> int:
        """Add other, whose page 0 is page `first` here; how many pages are new."""

    def part(self, first: int, stop: int) -> Self:
        """A copy of the pages from first up to, not including, stop."""

    def drop(self, first: int, stop: int) -> None:
        """Take out the pages from first up to, not including, stop."""

    def next_page(self, first: int) -> int | None:
        """The lowest page from first on, if there is one."""

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """Take out pages from first up to, not including, stop; the lowest ones, at most room."""

    def count(self) -> int:
        """How many pages."""

    def widen(self, group: int) -> int:
        """Add the rest of each group of pages of which some are in it; how many pages are new."""


class Pages:
    """A set of pages of which every bit is known.

    Args:
        bits: bool, one a page.
    """

    def __init__(self, bits: NDArray[np.bool_]) -> None:
        self.bits = bits

    @classmethod
    def none_of(cls, pages: int) -> Pages:
        """An empty set among so many pages."""
        return cls(np.zeros(pages, np.bool_))

    def add_all(self) -> None:
        """See PageSet."""
        self.bits[:] = True

    def add(self, first: int, other: Pages) -> int:
        """See PageSet."""
        here = self.bits[first : first + len(other.bits)]
        before = int(np.count_nonzero(here))
        here |= other.bits
        return int(np.count_nonzero(here)) - before

    def part(self, first: int, stop: int) -> Pages:
        """See PageSet."""
        return Pages(self.bits[first:stop].copy())

    def drop(self, first: int, stop: int) -> None:
        """See PageSet."""
        self.bits[first:stop] = False

    def next_page(self, first: int) -> int | None:
        """See PageSet."""
        rest = self.bits[first:]
        at = int(rest.argmax()) if len(rest) else 0
        return first + at if len(rest) and rest[at] else None

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """See PageSet."""
        found = np.flatnonzero(self.bits[first:stop])[:room]
        if not len(found):
            return None
        numbers = found + first
        sent = Sent(int(numbers[0]), int(numbers[-1]), len(numbers), numbers)
        self.bits[sent.first : sent.last + 1] = False
        return sent

    def count(self) -> int:
        """See PageSet."""
        return int(np.count_nonzero(self.bits))

    def widen(self, group: int) -> int:
        """See PageSet."""
        before = self.count()
        whole = len(self.bits) // group * group
        groups = self.bits[:whole].reshape(-1, group)
        groups |= groups.any(axis=1, keepdims=True)
        return self.count() - before
