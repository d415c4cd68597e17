"""The clock that two recordings of the same accesses share.

Access (op, a) of a recording has as many events as `Runs` has rows for it; an op without accesses
counts as one access. Side by side the two take as many ticks as the longer one has events, and at
least one. Position t is the number of ticks done. assets/timeline.js counts the same.
"""

from __future__ import annotations

from math import log10
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.errors import InputError
from mmuviz.recording.columns import I64, Recording
from mmuviz.recording.totals import accesses_by_op

SECONDS_FIRST: Final = 0.6
SECONDS_PER_DECADE: Final = 0.9


class Place(NamedTuple):
    """Where the last of t ticks lies.

    Attributes:
        op: the op.
        access: the access inside the op.
        tick: ticks of that access that are done, at least 1; 0 before the first tick of all.
        ticks: ticks that the access has.
    """

    op: int
    access: int
    tick: int
    ticks: int


class Timeline:
    """Ticks of two recordings; any access is found in logarithmic time.

    Attributes:
        first_access: int64[ops + 1], number of accesses before each op.
        tick_ends: int64[accesses], ticks done at the end of each access.
        rows: for each of the two recordings int64[accesses + 1], rows of `Runs` before each access.
    """

    def __init__(self, left: Recording, right: Recording) -> None:
        """Lay the clock out.

        Args:
            left: one recording.
            right: the other one.

        Raises:
            InputError: they do not make the same accesses op by op.
        """
        counts = np.maximum(accesses_by_op(left), 1)
        if not np.array_equal(counts, np.maximum(accesses_by_op(right), 1)):
            raise InputError("the two recordings must make the same accesses, op by op")
        self.first_access: I64 = np.concatenate([[0], np.cumsum(counts)])
        self.rows = tuple(_rows_before(recording, self.first_access) for recording in (left, right))
        ticks = np.maximum(np.maximum(np.diff(self.rows[0]), np.diff(self.rows[1])), 1)
        self.tick_ends: I64 = np.cumsum(ticks)

    @property
    def total(self) -> int:
        """Ticks in all."""
        return int(self.tick_ends[-1]) if len(self.tick_ends) else 0

    @property
    def op_ends(self) -> I64:
        """Ticks done at the end of each op, int64[ops]."""
        ends: I64 = self.tick_ends[self.first_access[1:] - 1]
        return ends

    def place(self, position: int) -> Place:
        """Find the tick that was done last.

        Args:
            position: ticks done.

        Returns:
            Its access.

        Raises:
            InputError: the position is outside the recording.
        """
        if not 0 <= position <= self.total:
            raise InputError(f"step={position} must be 0 to {self.total}")
        at = int(np.searchsorted(self.tick_ends, max(position, 1), side="left"))
        op = int(np.searchsorted(self.first_access, at, side="right")) - 1
        begin = int(self.tick_ends[at - 1]) if at else 0
        return Place(op, at - int(self.first_access[op]), position - begin, int(self.tick_ends[at]) - begin)

    def cursors(self, position: int) -> tuple[int, int]:
        """Rows of `Runs` that are done, for each recording.

        Args:
            position: ticks done.

        Returns:
            The cursor of the left and of the right one.

        Raises:
            InputError: the position is outside the recording.
        """
        place = self.place(position)
        at = int(self.first_access[place.op]) + place.access
        left, right = (int(rows[at] + min(place.tick, rows[at + 1] - rows[at])) for rows in self.rows)
        return left, right

    def positions(self, side: int) -> I64:
        """The position at which each row of a recording is done.

        Args:
            side: 0 for the left one, 1 for the right one.

        Returns:
            int64[rows], ascending.
        """
        rows = self.rows[side]
        begins = np.concatenate([[0], self.tick_ends[:-1]])
        counts = np.diff(rows)
        within = np.arange(rows[-1]) - np.repeat(rows[:-1], counts) + 1
        done: I64 = np.repeat(begins, counts) + within
        return done

    def seconds_by_op(self) -> list[float]:
        """How long each op plays at speed 1: longer with every power of ten of its ticks."""
        ticks = np.diff(self.op_ends, prepend=0)
        return [round(SECONDS_FIRST + SECONDS_PER_DECADE * log10(int(count)), 3) for count in ticks]

    def x_at(self, positions: I64) -> list[float]:
        """Seconds into the playing at speed 1, the axis that the scrubber and the charts share.

        Args:
            positions: int64[n], each inside the recording.

        Returns:
            n seconds.
        """
        ends = np.concatenate([[0], self.op_ends])
        seconds = np.concatenate([[0.0], np.cumsum(self.seconds_by_op())])
        return [float(x) for x in np.interp(positions, ends, seconds)]


def _rows_before(recording: Recording, first_access: I64) -> I64:
    """Rows before each access: they lie in order of op, and in an op in order of access."""
    rows = np.diff(recording.op_columns.first_run)
    of = np.repeat(first_access[:-1], rows) + recording.runs.access
    counts = np.bincount(of, minlength=int(first_access[-1]))
    before: I64 = np.concatenate([[0], np.cumsum(counts)])
    return before
