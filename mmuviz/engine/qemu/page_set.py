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
    """A set of pages of which every bit is known: one bit a page, as QEMU and KVM keep them.

    Args:
        bits: bool, one a page; the set begins with a copy.

    Attributes:
        size: pages that there are.
        words: int64[-(-size // 64)], the bits; those behind the last page are 0.
    """

    def __init__(self, bits: Bits) -> None:
        self.size = len(bits)
        packed = np.packbits(bits, bitorder="little")
        filled = np.zeros(round_up(self.size, BITS_PER_LONG) // 8, np.uint8)
        filled[: len(packed)] = packed
        self.words: I64 = filled.view(np.int64)

    @classmethod
    def of_words(cls, words: I64, pages: int) -> Pages:
        """A set that is these words, which it changes from now on.

        Args:
            words: int64, 64 pages a word.
            pages: that there are.
        """
        made = cls.__new__(cls)
        made.size, made.words = pages, words
        return made

    @classmethod
    def none_of(cls, pages: int) -> Pages:
        """An empty set among so many pages."""
        return cls.of_words(np.zeros(-(-pages // BITS_PER_LONG), np.int64), pages)

    @property
    def bits(self) -> Bits:
        """bool, one a page; a copy."""
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
        """Add pages by their numbers.

        Args:
            pages: int64[n].
        """
        page_words.set_pages(self.words, pages)

    def drop_pages(self, pages: I64) -> None:
        """Take out pages by their numbers."""
        page_words.clear_pages(self.words, pages)

    def has(self, pages: I64) -> Bits:
        """Which of these pages are in it; bool[n]."""
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
        """How many of these pages are in it.

        Args:
            pages: int64[n].
            add: whether all of them are in it afterwards.
        """
        return page_words.count_of(self.words, pages, int(add))

    def pages_in_groups(self, first: int, stop: int, group: int, groups: int) -> int:
        """How many pages from first up to, not including, stop lie in the first so many groups of pages that have some.

        Args:
            first: page.
            stop: page.
            group: pages of a group.
            groups: how many groups.
        """
        return page_words.count_in_groups(self.words, first, min(stop, self.size), group, groups)

    def count(self) -> int:
        """See PageSet."""
        return int(np.bitwise_count(self.words.view(np.uint64)).sum(dtype=np.int64))

    def groups(self, group: int) -> int:
        """How many groups of so many pages have some that are in it.

        Args:
            group: pages, a multiple of 64.
        """
        words = group // BITS_PER_LONG
        whole = len(self.words) // words * words
        found = int(np.count_nonzero(self.words[:whole].reshape(-1, words).any(axis=1)))
        return found + bool(self.words[whole:].any())

    def widen(self, group: int) -> int:
        """See PageSet; a group at the end that is no whole one stays as it is."""
        before, words = self.count(), group // BITS_PER_LONG
        whole = self.size // group * words
        groups = self.words[:whole].reshape(-1, words)
        groups[groups.any(axis=1)] = -1
        return self.count() - before
