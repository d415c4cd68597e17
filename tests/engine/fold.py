"""The guest's memory as the events of a Focus tell it: what each entry is, and which pages are dirty."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import EVENT_KINDS, FULL_SHARE, PRESENT, TABLE, WRITABLE

I64 = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

SPTE, CPU_DIRTY, DIRTY_LOG, INITIAL_STATE = (
    EVENT_KINDS.index(name) for name in ("spte", "cpu_dirty", "dirty_log", "initial_state")
)
SHIFTS: Final = {1: 0, 2: 9, 3: 18}
LEVELS: Final = (1, 2, 3)


class Fold:
    """SPTEs and dirty pages of a Focus, computed from a Recording's events.

    Attributes:
        entries: SPTE bits by level; one array element for each entry that maps pages of the Focus.
        dirty: whether each page is in KVM's dirty log.
    """

    def __init__(self, first: int, pages: int) -> None:
        """Begin with no page mapped and no page dirty."""
        self.first, self.pages = first, pages
        self.entries = {level: np.zeros(self._at(level, first + pages - 1) + 1, dtype=np.int64) for level in LEVELS}
        self.dirty = np.zeros(pages, dtype=np.bool_)

    def _at(self, level: int, gfn: int) -> int:
        return int((gfn >> SHIFTS[level]) - (self.first >> SHIFTS[level]))

    def take(self, kind: int, level: int, old: int, new: int, gfns: I64) -> None:
        """Take an event at gfns."""
        if kind == DIRTY_LOG:
            assert (self.dirty[gfns - self.first] == bool(old)).all(), "a page comes once, and goes once"
            self.dirty[gfns - self.first] = bool(new)
        if kind in (SPTE, CPU_DIRTY, INITIAL_STATE) and level in SHIFTS:
            at = (gfns >> SHIFTS[level]) - (self.first >> SHIFTS[level])
            if kind != INITIAL_STATE:
                # KVM traces the removal of a table before that of the entries in it.
                found, gone = self.entries[level][at], (new == 0) & ~self.has_table(level, gfns)
                assert ((found == old) | gone).all(), (level, old, new, gfns, found)
            self.entries[level][at] = new
            if level > 1 and kind == SPTE:
                for gfn in gfns.tolist():
                    self._below(level, old, new, gfn)

    def has_table(self, level: int, gfns: I64) -> Marks:
        """Whether tables lead to entries of a level."""
        if level == max(LEVELS):
            return np.ones(len(gfns), dtype=np.bool_)
        above = (gfns >> SHIFTS[level + 1]) - (self.first >> SHIFTS[level + 1])
        found: Marks = self.entries[level + 1][above] & TABLE != 0
        return found

    def _below(self, level: int, old: int, new: int, gfn: int) -> None:
        """Update the table below an entry: a split fills it, and if it is removed, its entries are removed."""
        if new & TABLE:
            bits = 0 if old & TABLE else old
        elif old & TABLE:
            bits = 0
        else:
            return
        if old & TABLE and new & TABLE:
            return
        below, shift = level - 1, SHIFTS[level]
        low, high = self._at(below, gfn), self._at(below, gfn + (1 << shift) - 1) + 1
        self.entries[below][max(low, 0) : high] = bits
        if below > 1 and not bits:
            low, high = self._at(1, gfn), self._at(1, gfn + (1 << shift) - 1) + 1
            self.entries[1][max(low, 0) : high] = 0

    def leaves(self, level: int) -> Marks:
        """Return the mask of entries of a level that are leaves."""
        return np.asarray((self.entries[level] & (PRESENT | TABLE)) == PRESENT, dtype=np.bool_)

    def protected(self, level: int) -> Marks:
        """Which of them lack write access."""
        return np.asarray(self.leaves(level) & (self.entries[level] & WRITABLE == 0), dtype=np.bool_)

    def gfns(self, level: int) -> I64:
        """First gfn of each entry of a level."""
        return ((self.first >> SHIFTS[level]) + np.arange(len(self.entries[level]))) << SHIFTS[level]


class Cells:
    """Counts pages of a fold by cell."""

    def __init__(self, recording: Recording, fold: Fold) -> None:
        """Find the cell of each page."""
        self.fold, self.whole = fold, recording.cell_map.pages.astype(np.int64)
        self.cell_pages, self.cells = recording.header.cell_pages, len(self.whole)
        self.first = recording.cell_map.first_gfn
        self.cell = self._cell_of(fold.first + np.arange(fold.pages))

    def _cell_of(self, gfns: I64) -> I64:
        found: I64 = np.searchsorted(self.first, gfns, side="right") - 1
        inside = (found >= 0) & (gfns < self.first[found] + self.cell_pages)
        return np.where(inside, found, self.cells)

    def _count(self, level: int, marked: Marks) -> I64:
        """Pages that marked entries of a level map, by cell."""
        counts = np.zeros(self.cells + 1, dtype=np.int64)
        each = min(self.cell_pages, 1 << SHIFTS[level])
        for gfn in self.fold.gfns(level)[marked].tolist() if level > 1 else ():
            parts = np.arange(gfn, gfn + (1 << SHIFTS[level]), each)
            np.add.at(counts, self._cell_of(parts), each)
        if level == 1:
            counts = np.bincount(self.cell[marked], minlength=self.cells + 1)
        return counts[: self.cells]

    def counts(self) -> I64:
        """By cell: pages not mapped, mapped at each level, protected at each level, dirty: int64[cells, 8]."""
        mapped = [self._count(level, self.fold.leaves(level)) for level in LEVELS]
        protected = [self._count(level, self.fold.protected(level)) for level in LEVELS]
        dirty = np.bincount(self.cell[self.fold.dirty], minlength=self.cells + 1)[: self.cells]
        return np.stack([self.whole - sum(mapped), *mapped, *protected, dirty], axis=1)

    def shares(self, counts: I64) -> I64:
        """The same as shares of 255: 0 only for nothing, 255 only for all."""
        whole = self.whole[:, np.newaxis]
        share = np.clip((2 * counts * FULL_SHARE + whole) // (2 * whole), 1, FULL_SHARE - 1)
        return np.where(counts <= 0, 0, np.where(counts >= whole, FULL_SHARE, share))


def check_fold(recording: Recording) -> None:
    """The events of a Focus that holds the whole guest say at the end of every bin what cells and states say."""
    focus, header, events = recording.header.focus, recording.header, recording.events
    assert focus is not None
    assert header.events_left_out == 0
    assert (np.diff(events.time_ps) >= 0).all()
    fold = Fold(focus["first_gfn"], focus["pages"])
    cells = Cells(recording, fold)
    shown = np.zeros((cells.cells, 8), dtype=np.int64)
    ends = [*(np.arange(header.bins) * header.bin_ps).tolist(), header.end_ps + 1]
    at, counts = 0, cells.counts()
    for frame, stop in enumerate(np.searchsorted(events.time_ps, ends).tolist()):
        for row in range(at, stop):
            gfns = events.gfn[row] + events.stride[row] * np.arange(events.entries[row])
            kind, level, old, new = (int(events[name][row]) for name in ("kind", "level", "old", "new"))
            fold.take(kind, level, old, new, gfns)
        counts = cells.counts() if stop > at else counts
        at = stop
        start, end = recording.cells.frame_start[frame : frame + 2]
        shown[recording.cells.cell[start:end]] = recording.cells.shares[start:end]
        if frame and ends[frame] > 1000 * focus["start"]:
            assert np.array_equal(cells.shares(counts), shown), (frame, at)
            check_states(recording, fold, counts, frame - 1)
    assert at == len(events.kind)


def check_states(recording: Recording, fold: Fold, counts: I64, row: int) -> None:
    """The states of a bin are those of the fold."""
    bins = recording.bins
    for level, size in zip(LEVELS, ("4k", "2m", "1g"), strict=True):
        assert bins[f"pages_{size}"][row] == fold.leaves(level).sum(), (row, size)
        assert bins[f"protected_{size}"][row] == fold.protected(level).sum(), (row, size)
    assert bins.dirty_pages[row] == counts[:, 7].sum() == fold.dirty.sum(), row
