"""A recording's events with the model's values in place of the recorded ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmuviz.engine.qemu.calls import Call
from mmuviz.engine.qemu.page_set import Pages, PageSet
from mmuviz.studies.migrations.plan import Event
from mmuviz.studies.migrations.stream import Written

Row = list[Any]
SHOWN_RUNS = 4
"""Number of runs that a recording has of a row with too many runs."""


class Answers:
    """A copy of the events that takes the model's values.

    Args:
        events: events of the recording; they are not changed.
    """

    def __init__(self, events: list[Event]) -> None:
        self._events = [{**event} for event in events]

    def put(self, index: int, **values: object) -> None:
        """Replace values of one event."""
        self._events[index] |= values

    def locks(self, index: int, call: Call) -> None:
        """Set the mutexes that the calling thread holds."""
        self.put(index, bql=int(call.big_lock), locks=call.locks)

    def written(self, index: int, written: Written) -> None:
        """Set first and last page of a write."""
        if "first" in self._events[index]:
            self.put(index, first=written.first, last=written.last)

    def events(self) -> list[Event]:
        """Return the events, without those that with_syncs() inserted for tracepoints that were off."""
        return [event for event in self._events if "made" not in event]


def bits_of(bits: PageSet, recorded: Row, column: int) -> Row:
    """Return number and runs of bits, in the form of a recorded row.

    Args:
        bits: bits of the model.
        recorded: the recorded row.
        column: the row's column with the number of bits.
    """
    if not isinstance(bits, Pages):
        return recorded[column : column + 2]
    count, runs = bits.count(), recorded[column + 1] if len(recorded) > column + 1 else None
    if count == 0:
        return [0, None]
    if count == len(bits.bits) and not isinstance(runs, list):
        return [count, "all"]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], bits.bits, [False])).astype(np.int8)))
    found: Row = [[int(start), int(stop - start)] for start, stop in edges.reshape(-1, 2)]
    if isinstance(runs, list) and runs and isinstance(runs[-1], str) and len(found) > SHOWN_RUNS:
        return [count, [*found[:SHOWN_RUNS], f"+{len(found) - SHOWN_RUNS} more runs"]]
    return [count, found]
