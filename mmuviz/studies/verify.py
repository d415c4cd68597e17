"""`mmuviz verify`: replays KVM recordings and compares the model's answers with the recorded ones, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TextIO

from mmuviz.core.errors import InputError, MmuvizError, one_line, short_repr
from mmuviz.mmu.answers import COUNTER_NAMES, TRACEPOINTS
from mmuviz.mmu.extended import plain_document
from mmuviz.mmu.kvm_recording import MAX_PAGE, parse, read_document
from mmuviz.mmu.replay import TOO_LARGE, ZAPS_ALL, replay_of, slot_of
from mmuviz.studies.migrations.document import is_migration
from mmuviz.studies.migrations.verify import verify_migration
from mmuviz.studies.recorded_events import (
    MAX_EVENTS,
    EventClass,
    Events,
    events_by_class,
    first_difference,
    first_difference_of_sets,
    rows_of,
)

AFTER_FIELDS: Final = ("counters", "pml_full_exits", "dirty_ranges", "events", "first_events_in_order")
AFTER_FIELDS_OF_SEVERAL: Final = (*AFTER_FIELDS, "errno", "mmio_exits", "tlb_flushes")
"""Compared fields of a recording of several slots; TLB flushes are compared if the recording has them."""
PAGE_COUNTERS: Final = ("pages_4k", "pages_2m", "pages_1g", "table_pages")
UNORDERED_OPS: Final = ("disable", "dontneed")

Expanded = dict[EventClass, Events]


@dataclass(frozen=True)
class Difference:
    """A field of an op in which the model and the recording differ.

    Attributes:
        op_index: index of the op.
        op: kind of the op.
        field: the field, e.g. "counters.pf_fast", "dirty_ranges", "events spte 1 W+D wp+D", "events order".
        expected: the recording's value.
        got: the model's value.
        gfn: gfn of an event or a dirty page that differs.
    """

    op_index: int
    op: str
    field: str
    expected: object
    got: object
    gfn: int | None = None

    def line(self, file: str) -> str:
        """Write the difference on one line."""
        where = "" if self.gfn is None else f" gfn={self.gfn}"
        expected, got = (
            each[:200] if isinstance(each, str) else short_repr(each) for each in (self.expected, self.got)
        )
        field = self.field[:100]
        return one_line(f"{file}: op {self.op_index} ({self.op}): {field}: expected {expected}, got {got}{where}")


@dataclass(frozen=True)
class Scope:
    """The parts of a recording that are compared at one op.

    Attributes:
        parallel: a parallel op has run: only page counts, dirty ranges and sets of splits are compared.
        unordered: the set of events of a class is compared, not their order.
        base_gfn: first gfn of the slot; dirty ranges are relative to it.
        several: the recording has several slots.
        zaps_all: the op zaps the whole VM, and no events are compared.
    """

    parallel: bool
    unordered: bool
    base_gfn: int
    several: bool = False
    zaps_all: bool = False

    @property
    def set_only(self) -> bool:
        """Whether the order of events does not count."""
        return self.parallel or self.unordered


def recorded_tracepoints(document: dict[str, Any]) -> frozenset[str]:
    """Return the kinds of events that were traced in a recording.

    With tdp_mmu off the tracepoints of the TDP MMU never fire. If pages were mapped by faults, but the recording has no
    event of a fault, of fast_page_fault() or of an SPTE, only the split tracepoint was enabled.
    """
    can_fire = TRACEPOINTS if document["config"]["tdp_mmu"] else frozenset({"fault", "fast"})
    afters = [op["after"] for op in document["ops"] if isinstance(op.get("after"), dict)]
    kinds = {kind for after in afters for kind in _kinds_in(after.get("events"))}
    counters = [after.get("counters") for after in afters]
    faulted = any(isinstance(each, dict) and each.get("pf_taken") for each in counters)
    return frozenset({"split"}) if faulted and kinds <= {"split"} else can_fire


def _kinds_in(rows: object) -> set[str]:
    """Return the first elements of the classes; events_by_class() refuses malformed rows."""
    classes = [row[0] for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []
    return {str(each[0]) for each in classes if isinstance(each, list) and each}


def compare_op(
    expected: dict[str, Any], got: dict[str, Any], scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    """Compare the answers to one op.

    Args:
        expected: the recording's `after`.
        got: the model's `after`.
        scope: the parts that are compared.

    Yields:
        Each difference once, as (field, expected, got, gfn).
    """
    yield from _unknown(expected, AFTER_FIELDS_OF_SEVERAL if scope.several else AFTER_FIELDS, "after")
    yield from _compare_counters(expected.get("counters"), got.get("counters"), scope)
    if not scope.parallel and not _same(expected.get("pml_full_exits"), got.get("pml_full_exits")):
        yield "pml_full_exits", _quoted(expected.get("pml_full_exits")), got.get("pml_full_exits"), None
    if not _same(expected.get("dirty_ranges"), got.get("dirty_ranges")):
        one, other, page = _first_difference(expected.get("dirty_ranges"), got.get("dirty_ranges"))
        yield "dirty_ranges", _quoted(one), other, None if page is None else scope.base_gfn + page
    if scope.several:
        yield from _compare_of_several(expected, got)
    if not scope.zaps_all:
        yield from _compare_events(expected, got, scope)


def _compare_of_several(
    expected: dict[str, Any], got: dict[str, Any]
) -> Iterator[tuple[str, object, object, int | None]]:
    """Compare the fields that only recordings of several slots have: errno, MMIO exits and TLB flushes of the op."""
    for name, missing in (("errno", None), ("mmio_exits", 0), ("tlb_flushes", got["tlb_flushes"])):
        if not _same(expected.get(name, missing), got.get(name)):
            yield name, _quoted(expected.get(name, missing)), got.get(name), None


def _unknown(
    holder: dict[str, Any], known: tuple[str, ...], where: str
) -> Iterator[tuple[str, object, object, int | None]]:
    for name in sorted(set(holder) - set(known)):
        yield f"{where}.{name}", _quoted(holder[name]), f"no such field; fields are {', '.join(known)}", None


def _same(one: object, other: object) -> bool:
    """Whether two JSON values are the same, types included: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _quoted(value: object) -> object:
    """Return a recorded value for a message, text in quotes, so that "7" is distinguishable from 7."""
    return short_repr(value) if isinstance(value, str) else value


def _compare_counters(
    expected: object, got: dict[str, int] | None, scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    if not isinstance(expected, dict) or got is None:
        if expected != got:
            yield "counters", _quoted(expected), got, None
        return
    yield from _unknown(expected, COUNTER_NAMES, "counters")
    for name in PAGE_COUNTERS if scope.parallel else COUNTER_NAMES:
        if not _same(expected.get(name), got[name]):
            yield f"counters.{name}", _quoted(expected.get(name)), got[name], None


def _first_difference(expected: Any, got: Any) -> tuple[object, object, int | None]:  # noqa: ANN401  # unchecked JSON
    if not isinstance(expected, list) or not isinstance(got, list):
        return expected, got, None
    for one, other in zip_longest(expected, got):
        if not _same(one, other):
            first = one if isinstance(one, list) and one else other
            page = first[0] if isinstance(first, list) and first else None
            return one, other, page if type(page) is int and 0 <= page <= MAX_PAGE else None
    return expected, got, None


def _compare_events(
    expected: dict[str, Any], got: dict[str, Any], scope: Scope
) -> Iterator[tuple[str, object, object, int | None]]:
    wanted, found = events_by_class(expected.get("events"), MAX_EVENTS), events_by_class(got["events"])
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
        first = rows_of(expected.get("first_events_in_order"), "first_events_in_order")
        yield from _compare_order(first, got["first_events_in_order"])


def _compare_class(
    field: EventClass, wanted: Events, found: Events, *, ordered: bool
) -> Iterator[tuple[str, object, object, int | None]]:
    """Compare the events of one class; yield at most one difference."""
    place = None
    if wanted.runs is not None and found.runs is not None:
        place = (first_difference if ordered else first_difference_of_sets)(wanted.runs, found.runs)
        recorded = int(wanted.runs[:, 2].sum())
        if place is not None:
            expected = f"{recorded} events, at {place.at}: {place.one}"
            got = f"{found.total} events, at {place.at}: {place.other}"
            yield _name(field), expected, got, place.one if place.one is not None else place.other
    if place is None and wanted.total != found.total:
        yield _name(field), f"{wanted.total} events", f"{found.total} events", _some_gfn({}, {field: found}, field)


def _name(field: EventClass) -> str:
    return "events " + " ".join(str(part) for part in field)


def _renamed(wanted: Expanded, found: Expanded, field: EventClass) -> bool:
    """Whether one side has a class's events, with the same gfns, only under another class."""
    here, there = (wanted, found) if field in wanted else (found, wanted)
    return any(here[field].same(events) for other, events in there.items() if other not in here)


def _amount(events: Expanded, field: EventClass) -> str:
    return f"{events[field].total} events" if field in events else "no such class"


def _some_gfn(wanted: Expanded, found: Expanded, field: EventClass) -> int | None:
    runs = (wanted if field in wanted else found)[field].runs
    return int(runs[0, 0]) if runs is not None and len(runs) else None


def _compare_order(expected: list[Any], got: list[Any]) -> Iterator[tuple[str, object, object, int | None]]:
    """Check that the recording's first events are the beginning of the model's events."""
    for index, event in enumerate(expected):
        mine = got[index] if index < len(got) else None
        nested = isinstance(event, list) and event and isinstance(event[0], list)
        flat = [*event[0], *event[1:]] if nested else event
        if not _same(flat, mine):
            last = flat[-1] if isinstance(flat, list) and flat else None
            gfn = last if type(last) is int and 0 <= last <= MAX_PAGE else None
            yield f"first_events_in_order[{index}]", _quoted(flat), mine, gfn
            return


def verify_document(document: dict[str, Any]) -> list[Difference]:
    """Replay a recording and compare every field of every op.

    Args:
        document: a KVM recording with the kernel's `after` of each op.

    Returns:
        The differences; empty if the model is exact.

    Raises:
        MmuvizError: the recording is refused.
    """
    document = plain_document(document)
    recording = parse(document)
    replay = replay_of(recording, recorded_tracepoints(document))
    found: list[Difference] = []
    parallel, bases, several = False, dict[int, int](), recording.several
    for index, (op, got) in enumerate(zip(recording.ops, replay.steps(), strict=True)):
        kind = op["op"]
        parallel = parallel or kind == "parallel_write"
        if "base_gfn" in op:
            bases[slot_of(op)] = op["base_gfn"]
        expected = op.get("after")
        if not isinstance(expected, dict):
            found.append(Difference(index, kind, "after", "missing", "an answer"))
            continue
        if kind == "delslot" and not several:  # the whole VM is zapped: no values to compare
            found += [Difference(index, kind, *each) for each in _unknown(expected, AFTER_FIELDS, "after")]
            continue
        scope = Scope(parallel, kind in UNORDERED_OPS, bases.get(slot_of(op), 0), several, several and kind in ZAPS_ALL)
        try:
            found += [Difference(index, kind, *difference) for difference in compare_op(expected, got, scope)]
        except InputError as error:
            found.append(Difference(index, kind, "events", str(error), "events in the schema's form"))
    return found


def recordings_in(paths: list[Path]) -> list[Path]:
    """List the recordings at the given paths; folders are searched for .json and .json.gz.

    Raises:
        InputError: a path does not exist, or a folder has no recordings.
    """
    found: list[Path] = []
    for path in paths:
        try:
            folder = path.is_dir()
        except OSError:  # the name is too long for the system; reading it later reports the error
            folder = False
        if not folder:
            found.append(path)
            continue
        inside = sorted(each for each in path.rglob("*.json*") if each.name.endswith((".json", ".json.gz")))
        if not inside:
            raise InputError(f"{path} must hold .json or .json.gz recordings; it has none")
        found += inside
    return found


BAD_MIGRATION: Final = 2
"""Exit status for a malformed recording of a migration; a malformed KVM recording only counts as not exact."""


@dataclass
class Tally:
    """The number of files of one kind, and of exact ones among them.

    Attributes:
        kind: name of the kind of recordings.
        files: number of files.
        exact: number of exact ones.
    """

    kind: str
    files: int = 0
    exact: int = 0


def _lines_of(document: dict[str, Any], file: str) -> list[str]:
    """Write one line per difference."""
    if is_migration(document):
        return [difference.line(file) + "\n" for difference in verify_migration(document)]
    return [difference.line(file) + "\n" for difference in verify_document(document)]


def verify_command(paths: list[Path], out: TextIO, *, json_form: bool = False) -> int:
    """`mmuviz verify PATH...`: print each difference, then the numbers of exact recordings and migrations.

    Args:
        paths: recordings of KVM or of QEMU's migrations, or folders of them.
        out: output stream.
        json_form: print a JSON object instead of the lines.

    Returns:
        Exit status: 0 only if all are exact, 2 if a migration was bad.
    """
    tallies = {False: Tally("recordings"), True: Tally("migrations")}
    status, files = 0, []
    for path in recordings_in(paths):
        migration = False
        try:
            document = read_document(path)
            migration = is_migration(document)
            found = _lines_of(document, str(path))
        except (MmuvizError, MemoryError) as error:
            status = max(status, BAD_MIGRATION if migration else 1)
            found = [f"{one_line(str(path))}: {error if isinstance(error, MmuvizError) else TOO_LARGE}\n"]
        tallies[migration].files += 1
        tallies[migration].exact += not found
        status = max(status, int(bool(found)))
        if json_form:
            files.append({"file": str(path), "exact": not found, "differences": [line.rstrip("\n") for line in found]})
        else:
            out.writelines(found)
    counts = [tally for tally in tallies.values() if tally.files]
    if json_form:
        exact = {tally.kind: {"exact": tally.exact, "of": tally.files} for tally in counts}
        out.write(json.dumps({**exact, "files": files}) + "\n")
        return status
    out.writelines(f"{tally.exact} of {tally.files} {tally.kind} exact\n" for tally in counts)
    return status
