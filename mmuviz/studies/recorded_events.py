"""Events of one op in a KVM recording, as runs of gfns by class; they are checked and compared without expansion."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from mmuviz.core.errors import InputError, short_repr
from mmuviz.mmu.events import expand, merged_runs
from mmuviz.mmu.kvm_recording import MAX_PAGE
from mmuviz.mmu.state import I64

EventClass = tuple[str | int, ...]
MAX_EVENTS: Final = 1 << 24
"""Most events of all classes that a recording may have in one op: a bound on memory."""


class Events(NamedTuple):
    """The events of one class in one op.

    Attributes:
        total: number of events.
        runs: int64[n, 3] rows of (first gfn, stride, times), folded greedily, so that equal sequences of gfns have
            equal rows; None if the recording has none.
    """

    total: int
    runs: I64 | None

    def same(self, other: Events) -> bool:
        """Whether other events have the same number, and the same gfns in the same order."""
        if self.runs is None or other.runs is None:
            return self.total == other.total
        return self.total == other.total and np.array_equal(self.runs, other.runs)


def events_by_class(rows: object, most: int | None = None) -> dict[EventClass, Events]:
    """Parse the `events` of an op's answer.

    Args:
        rows: rows of [class, count, runs], or None for no events.
        most: most events of all classes together; None for no limit.

    Returns:
        The events of each class.

    Raises:
        InputError: a row does not have the schema's form, or there are too many events.
    """
    found: dict[EventClass, Events] = {}
    total = 0
    for row in rows_of(rows, "events"):
        if not isinstance(row, list) or len(row) != 3:
            raise InputError(f"events row {short_repr(row)} must be [class, count, runs]")
        name, count = _class_of(row[0]), row[1]
        if name in found:
            raise InputError(f"events {short_repr(row[0])} must stand in one row; put its runs together")
        if type(count) is not int or not 0 <= count <= MAX_PAGE:
            raise InputError(f"events {short_repr(row[0])}: count {short_repr(count)} must be a whole number from 0")
        runs = None if row[2] is None else _runs_of(row[2], row[0])
        total += 0 if runs is None else int(runs[:, 2].sum())
        if most is not None and total > most:
            raise InputError(
                f"events: {total} up to {short_repr(row[0])}, an op must have at most {most}; make several ops"
            )
        found[name] = Events(count, None if runs is None else merged_runs(runs))
    return found


def rows_of(value: object, what: str) -> list[Any]:
    """Return the value if it is a list, and an empty list for None.

    Raises:
        InputError: it is something else.
    """
    if value is not None and not isinstance(value, list):
        raise InputError(f"{what} must be a list, not {type(value).__name__}")
    return value or []


def _class_of(value: object) -> EventClass:
    if not isinstance(value, list) or not value or any(type(part) not in (str, int) for part in value):
        raise InputError(f"events: class {short_repr(value)} must be a list of texts and whole numbers")
    return tuple(value)


def _runs_of(value: object, name: object) -> I64:
    if not isinstance(value, list):
        raise InputError(f"events {short_repr(name)}: runs must be a list or null, not {type(value).__name__}")
    for run in value:
        if not isinstance(run, list) or len(run) != 3 or any(type(number) is not int for number in run):
            raise InputError(f"events {short_repr(name)}: run {short_repr(run)} must be [first gfn, stride, times]")
        first, stride, times = run
        last = first + stride * max(times - 1, 0)
        if not 0 <= times <= MAX_PAGE or min(first, last) < 0 or max(first, last) > MAX_PAGE:
            raise InputError(
                f"events {short_repr(name)}: run {short_repr(run)} must have times from 0, gfns 0 to {MAX_PAGE}"
            )
    # The stride of a run of length one has no meaning and may exceed 64 bits.
    kept = [[first, stride if times > 1 else 0, times] for first, stride, times in value]
    return np.array(kept, dtype=np.int64).reshape(-1, 3)


class Place(NamedTuple):
    """The first position at which two sequences differ, and the gfn of each there; None after the end of a sequence."""

    at: int
    one: int | None
    other: int | None


def first_difference(one: I64, other: I64) -> Place | None:
    """Compare two sequences of gfns, as folded runs.

    Args:
        one: int64[n, 3] from events_by_class().
        other: int64[m, 3] from events_by_class().

    Returns:
        The first difference, or None.
    """
    rows = min(len(one), len(other))
    differ = np.flatnonzero((one[:rows] != other[:rows]).any(axis=1))
    if not len(differ) and len(one) == len(other):
        return None
    row = int(differ[0]) if len(differ) else rows
    within = 0
    while row < rows and _at(one, row, within) == _at(other, row, within):
        # Two runs with the same first two gfns are equal up to the end of the shorter one.
        within = 1 if within == 0 else int(min(one[row, 2], other[row, 2]))
    return Place(int(one[:row, 2].sum()) + within, _at(one, row, within), _at(other, row, within))


def _at(runs: I64, row: int, within: int) -> int | None:
    """Return the gfn at index `within` of a row, or the first gfn of the next row if the index is past its end."""
    if row < len(runs) and within < runs[row, 2]:
        return int(runs[row, 0] + runs[row, 1] * within)
    row += 1
    return int(runs[row, 0]) if row < len(runs) and within else None


def first_difference_of_sets(one: I64, other: I64) -> Place | None:
    """Compare two sequences of gfns, in any order.

    Args:
        one: int64[n, 3] from events_by_class(), of at most MAX_EVENTS events.
        other: int64[m, 3] from events_by_class(), of any number of events.

    Returns:
        The first difference of the sorted sequences, or None.
    """
    if other[:, 2].sum() > MAX_EVENTS:
        return Place(0, None, None)
    mine, its = _sorted(one), _sorted(other)
    both = min(len(mine), len(its))
    differ = np.flatnonzero(mine[:both] != its[:both])
    if not len(differ) and len(mine) == len(its):
        return None
    at = int(differ[0]) if len(differ) else both
    return Place(at, *(int(side[at]) if at < len(side) else None for side in (mine, its)))


def _sorted(runs: I64) -> I64:
    return np.sort(expand(np.insert(runs, 0, 0, axis=1))[1])
