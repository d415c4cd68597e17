"""Sets of pages as QEMU keeps them: the bitmap of a RAM block or of a slot."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mmuviz.core.pages import BITS_PER_LONG, WORD_SHIFT, round_up
from mmuviz.engine.qemu import page_words
from mmuviz.engine.qemu.calls import Sent

I64 = NDArray[np.int64]
Bits = NDArray[np.bool_]


class PageSet(Protocol):
    """A set of pages numbered from 0; an environment that knows only part of the bits implements its own."""

    def add_all(self) -> None:
        """Add every page."""

    def add(self, first: int, other: Self) -> int:
        """Add `other`, whose page 0 is page `first` here; return how many pages are new."""

    def part(self, first: int, stop: int) -> Self:
        """Return a copy of the pages in [first, stop)."""

    def drop(self, first: int, stop: int) -> None:
        """Remove the pages in [first, stop)."""

    def next_page(self, first: int) -> int | None:
        """Return the lowest page of the set at or above `first`, or None."""

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """Remove the lowest pages in [first, stop), at most `room`, and return them."""

    def count(self) -> int:
        """Return the number of pages in the set."""

    def widen(self, group: int) -> int:
        """Complete each group that contains a page of the set; return how many pages are new."""


class Pages:
    """A set of pages with every bit known: one bit per page, as QEMU and KVM keep them.

    Args:
        bits: bool[n], one per page; copied.

    Attributes:
        size: number of pages the set can hold.
        words: int64[-(-size // 64)], the bits; those beyond the last page are 0.
    """

    def __init__(self, bits: Bits) -> None:
        self.size = len(bits)
        packed = np.packbits(bits, bitorder="little")
        filled = np.zeros(round_up(self.size, BITS_PER_LONG) // 8, np.uint8)
        filled[: len(packed)] = packed
        self.words: I64 = filled.view(np.int64)

    @classmethod
    def of_words(cls, words: I64, pages: int) -> Pages:
        """Return a set that uses these words as its storage, without a copy.

        Args:
            words: int64[n], 64 pages per word.
            pages: number of pages the set can hold.
        """
        made = cls.__new__(cls)
        made.size, made.words = pages, words
        return made

    @classmethod
    def none_of(cls, pages: int) -> Pages:
        """Return an empty set that can hold `pages` pages."""
        return cls.of_words(np.zeros(-(-pages // BITS_PER_LONG), np.int64), pages)

    @property
    def bits(self) -> Bits:
        """The bits as a new bool[size]."""
        found: Bits = np.unpackbits(self.words.view(np.uint8), count=self.size, bitorder="little").view(np.bool_)
        return found

    def add_all(self) -> None:
        """See PageSet."""
        self.words[:] = -1
        if self.size % BITS_PER_LONG:
            self.words[-1] = (1 << self.size % BITS_PER_LONG) - 1

    def add(self, first: int, other: Pages) -> int:
        """See PageSet."""
        return page_words.merge(self.words, first, other.words)

    def add_pages(self, pages: I64) -> None:
        """Add pages by number.

        Args:
            pages: int64[n].
        """
        page_words.set_pages(self.words, pages)

    def drop_pages(self, pages: I64) -> None:
        """Remove pages by number."""
        page_words.clear_pages(self.words, pages)

    def has(self, pages: I64) -> Bits:
        """Return which of these pages are in the set; bool[n]."""
        found: Bits = (self.words[pages >> WORD_SHIFT] >> (pages & (BITS_PER_LONG - 1))) & 1 != 0
        return found

    def part(self, first: int, stop: int) -> Pages:
        """See PageSet."""
        found = Pages.none_of(stop - first)
        page_words.extract(self.words, first, found.words)
        found.drop(found.size, len(found.words) * BITS_PER_LONG)
        return found

    def drop(self, first: int, stop: int) -> None:
        """See PageSet."""
        page_words.clear_range(self.words, first, min(stop, len(self.words) * BITS_PER_LONG))

    def next_page(self, first: int) -> int | None:
        """See PageSet."""
        page = page_words.next_set(self.words, first)
        return None if page < 0 else page

    def take(self, first: int, stop: int, room: int | None) -> Sent | None:
        """See PageSet."""
        most = stop - first if room is None else min(room, stop - first)
        numbers = np.empty(max(most, 0), np.int64)
        found = page_words.take(self.words, first, stop, numbers)
        if found == 0:
            return None
        numbers = numbers[:found]
        return Sent(int(numbers[0]), int(numbers[-1]), found, numbers)

    def held(self, pages: I64, *, add: bool = False) -> int:
        """Return how many of these pages are in the set.

        Args:
            pages: int64[n].
            add: whether to add all of them.
        """
        return page_words.count_of(self.words, pages, int(add))

    def pages_in_groups(self, first: int, stop: int, group: int, groups: int) -> int:
        """Count the set's pages in [first, stop) that lie in the first `groups` nonempty groups.

        Args:
            first: first page.
            stop: page after the last.
            group: pages per group.
            groups: number of groups.
        """
        return page_words.count_in_groups(self.words, first, min(stop, self.size), group, groups)

    def count(self) -> int:
        """See PageSet."""
        return int(np.bitwise_count(self.words.view(np.uint64)).sum(dtype=np.int64))

    def groups(self, group: int) -> int:
        """Count the groups that contain a page of the set.

        Args:
            group: pages per group, a multiple of 64.
        """
        words = group // BITS_PER_LONG
        whole = len(self.words) // words * words
        found = int(np.count_nonzero(self.words[:whole].reshape(-1, words).any(axis=1)))
        return found + bool(self.words[whole:].any())

    def widen(self, group: int) -> int:
        """See PageSet; an incomplete group at the end is left unchanged."""
        before, words = self.count(), group // BITS_PER_LONG
        whole = self.size // group * words
        groups = self.words[:whole].reshape(-1, words)
        groups[groups.any(axis=1)] = -1
        return self.count() - before
