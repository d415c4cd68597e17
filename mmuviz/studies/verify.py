"""`mmuviz verify`: the model's answer to a recording, held against the recording field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TextIO

from mmuviz.ground.errors import InputError, MmuvizError
from mmuviz.mmu.recordings import checked, read_document
from mmuviz.mmu.replay import COUNTER_NAMES, TRACEPOINTS, Replay

PAGE_COUNTERS: Final = ("pages_4k", "pages_2m", "pages_1g", "table_pages")
UNORDERED_OPS: Final = ("disable", "dontneed")

EventClass = tuple[Any, ...]
Expanded = dict[EventClass, tuple[int, list[int] | None]]
MAX_EVENTS: Final = 1 << 24
"""Events of one class in one op: a bound on memory."""


@dataclass(frozen=True)
class Difference:
    """One field of one op in which the model and the recording differ.

    Attributes:
        op_index: index of the op.
        op: its kind.
        field: e.g. "counters.pf_fast", "dirty_ranges", "events spte 1 W+D wp+D", "events order".
        expected: the recording's value.
        got: the model's.
        gfn: where an event or a dirty page differs.
    """

    op_index: int
    op: str
    field: str
    expected: object
    got: object
    gfn: int | None = None

    def line(self, file: str) -> str:
        """The difference on one line."""
        where = "" if self.gfn is None else f" gfn={self.gfn}"
        return f"{file}: op {self.op_index} ({self.op}): {self.field}: expected {self.expected}, got {self.got}{where}"


@dataclass(frozen=True)
class Scope:
    """What of a recording counts at one op.

    Attributes:
        parallel: a parallel op has run: page counts, dirty ranges and split sets only.
        unordered: the set of events per class, not their order.
        base_gfn: of the slot; dirty ranges count from it.
    """

    parallel: bool
    unordered: bool
    base_gfn: int

    @property
    def set_only(self) -> bool:
        """Whether the order of events does not count."""
        return self.parallel or self.unordered


def recorded_tracepoints(document: dict[str, Any]) -> frozenset[str]:
    """Kinds of events that the recording can hold.

    With tdp_mmu off the tracepoints of the TDP MMU never fire. A recording in which pages were
    mapped by faults, but which has no event of a fault, of fast_page_fault() or of an SPTE from end
    to end, was made with the split tracepoint alone.
    """
    can_fire = TRACEPOINTS if document["config"]["tdp_mmu"] else frozenset({"fault", "fast"})
    afters = [op["after"] for op in document["ops"] if isinstance(op.get("after"), dict)]
    kinds = {kind for after in afters for kind in _kinds_in(after.get("events"))}
    counters = [after.get("counters") for after in afters]
    faulted = any(isinstance(each, dict) and each.get("pf_taken") for each in counters)
    return frozenset({"split"}) if faulted and kinds <= {"split"} else can_fire


def _kinds_in(rows: object) -> set[str]:
    """First words of the classes, whatever else the rows hold: expanded() refuses what has no form."""
    classes = [row[0] for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []
    return {str(each[0]) for each in classes if isinstance(each, list) and each}


def expanded(rows: object) -> Expanded:
    """Events by class: how many, and their gfns; None where the recording has no runs.

    Raises:
        InputError: a row that does not have the schema's form.
    """
    found: Expanded = {}
    try:
        for event_class, count, runs in _rows(rows):
            numbers = [count, *(number for run in runs or [] for number in run)]
            if any(type(number) is not int for number in numbers):
                raise InputError(f"events {event_class!r:.60}: counts and runs must be whole numbers")
            if sum(times for _, _, times in runs or []) > MAX_EVENTS:
                raise InputError(f"events {event_class!r:.60} must be at most {MAX_EVENTS}")
            gfns = None
            if runs is not None:
                gfns = [first + stride * each for first, stride, times in runs for each in range(times)]
            found[tuple(event_class)] = (count, gfns)
    except (TypeError, ValueError) as error:
        raise InputError(f"events must be rows of [class, count, runs]: {error}") from error
    return found


def _rows(rows: object) -> list[Any]:
    if not isinstance(rows, list):
        raise InputError(f"must be a list, not {type(rows).__name__}")
    return rows


def compare_op(
    expected: dict[str, Any], got: dict[str, Any], scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    """Differences of one op as (field, expected, got, gfn).

    Args:
        expected: the recording's `after`.
        got: the model's.
        scope: what counts.

    Yields:
        Each difference once.
    """
    yield from _compare_counters(expected.get("counters"), got.get("counters"), scope)
    if not scope.parallel and expected.get("pml_full_exits") != got.get("pml_full_exits"):
        yield "pml_full_exits", expected.get("pml_full_exits"), got.get("pml_full_exits"), None
    if expected.get("dirty_ranges") != got.get("dirty_ranges"):
        one, other, page = _first_difference(expected.get("dirty_ranges"), got.get("dirty_ranges"))
        yield "dirty_ranges", one, other, None if page is None else scope.base_gfn + page
    yield from _compare_events(expected, got, scope)


def _compare_counters(
    expected: dict[str, int] | None, got: dict[str, int] | None, scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    if not isinstance(expected, dict) or got is None:
        if expected != got:
            yield "counters", expected, got, None
        return
    for name in PAGE_COUNTERS if scope.parallel else COUNTER_NAMES:
        if expected.get(name) != got[name]:
            yield f"counters.{name}", expected.get(name), got[name], None


def _first_difference(expected: Any, got: Any) -> tuple[object, object, int | None]:  # noqa: ANN401  # unchecked JSON
    if not isinstance(expected, list) or not isinstance(got, list):
        return expected, got, None
    for one, other in zip_longest(expected, got):
        if one != other:
            first = one if isinstance(one, list) and one else other
            page = first[0] if isinstance(first, list) and first else None
            return one, other, page if isinstance(page, int) else None
    return expected, got, None


def _compare_events(
    expected: dict[str, Any], got: dict[str, Any], scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    wanted, found = expanded(expected.get("events") or []), expanded(got["events"])
    for field in sorted({*wanted, *found}, key=str):
        if scope.parallel and field[0] != "split":
            continue
        if field in wanted and field in found:
            yield from _compare_class(field, wanted[field], found[field], ordered=not scope.set_only)
        elif not _renamed(wanted, found, field):
            yield _name(field), _amount(wanted, field), _amount(found, field), _some_gfn(wanted, found, field)
        elif field in wanted:
            yield (
                _name(field),
                _amount(wanted, field),
                "the same gfns under another class",
                _some_gfn(wanted, {}, field),
            )
    if not scope.set_only:
        yield from _compare_order(_rows(expected.get("first_events_in_order") or []), got["first_events_in_order"])


def _compare_class(
    field: EventClass, wanted: tuple[int, list[int] | None], found: tuple[int, list[int] | None], *, ordered: bool
) -> Iterator[tuple[str, object, object, int | None]]:
    """Differences of the events of one class; at most one."""
    (count, one), (_, other) = wanted, found
    if one is None or other is None:
        return
    if not ordered:
        one, other = sorted(one), sorted(other)
    if one != other:
        first = next(index for index, (a, b) in enumerate(zip_longest(one, other)) if a != b)
        a, b = (side[first] if first < len(side) else None for side in (one, other))
        expected, got = f"{len(one)} events, at {first}: {a}", f"{len(other)} events, at {first}: {b}"
        yield _name(field), expected, got, a if a is not None else b
    elif count != len(other):
        yield _name(field), f"{count} events", f"{len(other)} events", other[0] if other else None


def _name(field: EventClass) -> str:
    return "events " + " ".join(str(part) for part in field)


def _renamed(wanted: Expanded, found: Expanded, field: EventClass) -> bool:
    """Whether a class that one side lacks stands there with the same gfns under another name."""
    here, there = (wanted, found) if field in wanted else (found, wanted)
    return any(here[field] == events for other, events in there.items() if other not in here)


def _amount(events: Expanded, field: EventClass) -> str:
    return f"{events[field][0]} events" if field in events else "no such class"


def _some_gfn(wanted: Expanded, found: Expanded, field: EventClass) -> int | None:
    gfns = (wanted if field in wanted else found)[field][1]
    return gfns[0] if gfns else None


def _compare_order(expected: list[Any], got: list[Any]) -> Iterator[tuple[str, object, object, int | None]]:
    """The recording's first events must be the beginning of the model's."""
    for index, event in enumerate(expected):
        mine = got[index] if index < len(got) else None
        nested = isinstance(event, list) and event and isinstance(event[0], list)
        flat = [*event[0], *event[1:]] if nested else event
        if flat != mine:
            gfn = flat[-1] if isinstance(flat, list) and flat and isinstance(flat[-1], int) else None
            yield f"first_events_in_order[{index}]", flat, mine, gfn
            return


def verify_document(document: dict[str, Any]) -> list[Difference]:
    """Replay a recording and compare every field of every op.

    Args:
        document: a recording with the kernel's `after` of each op.

    Returns:
        The differences, empty when the model is exact.

    Raises:
        MmuvizError: the recording is refused.
    """
    recording = checked(document)
    replay = Replay(recording, recorded_tracepoints(document))
    found: list[Difference] = []
    parallel, base_gfn = False, 0
    for index, (op, got) in enumerate(zip(recording.ops, replay.steps(), strict=True)):
        kind = op["op"]
        parallel = parallel or kind == "parallel_write"
        base_gfn = op.get("base_gfn", base_gfn)
        expected = op.get("after")
        if not isinstance(expected, dict):
            found.append(Difference(index, kind, "after", "missing", "an answer"))
            continue
        if kind == "delslot":
            continue
        scope = Scope(parallel, kind in UNORDERED_OPS, base_gfn)
        try:
            found += [Difference(index, kind, *difference) for difference in compare_op(expected, got, scope)]
        except InputError as error:
            found.append(Difference(index, kind, "events", str(error), "events in the schema's form"))
    return found


def recordings_in(paths: list[Path]) -> list[Path]:
    """The recordings that paths name: files as they are, folders searched for .json and .json.gz.

    Raises:
        InputError: a path that is not there, or a folder without recordings.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.rglob("*.json*") if each.name.endswith((".json", ".json.gz")))
        if not inside:
            raise InputError(f"{path} must hold .json or .json.gz recordings; it has none")
        found += inside
    return found


def verify_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz verify PATH...`: print each difference, then how many recordings are exact.

    Args:
        paths: recordings, or folders of them.
        out: where the lines go.

    Returns:
        Exit status: 0 only when every recording is exact.
    """
    files = recordings_in(paths)
    exact = 0
    for path in files:
        try:
            differences = verify_document(read_document(path))
        except MmuvizError as error:
            out.write(f"{path}: {error}\n")
            continue
        out.writelines(difference.line(str(path)) + "\n" for difference in differences)
        exact += not differences
    out.write(f"{exact} of {len(files)} recordings exact\n")
    return 0 if exact == len(files) else 1
