"""A recording's events with the model's own values in their places."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmuviz.engine.qemu.calls import Call
from mmuviz.engine.qemu.page_set import Pages, PageSet
from mmuviz.studies.migrations.plan import Event
from mmuviz.studies.migrations.stream import Written

Row = list[Any]
SHOWN_RUNS = 4
"""Of a row with too many runs, a recording has the first four."""


class Answers:
    """The events as the model makes them.

    Args:
        events: the recording's, which stay as they are.
    """

    def __init__(self, events: list[Event]) -> None:
        self._events = [{**event} for event in events]

    def put(self, index: int, **values: object) -> None:
        """Values of one event."""
        self._events[index] |= values

    def locks(self, index: int, call: Call) -> None:
        """Which mutexes the calling thread holds."""
        self.put(index, bql=int(call.big_lock), locks=call.locks)

    def written(self, index: int, written: Written) -> None:
        """First and last page of a write."""
        if "first" in self._events[index]:
            self.put(index, first=written.first, last=written.last)

    def events(self) -> list[Event]:
        """The events; those that stand for a tracepoint that was off are left out."""
        return [event for event in self._events if "made" not in event]


def bits_of(bits: PageSet, recorded: Row, column: int) -> Row:
    """Number and runs of bits, in the form of a recorded row.

    Args:
        bits: the model's.
        recorded: the row.
        column: at which it has how many bits.
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
