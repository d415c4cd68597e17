"""From a recording of real KVM to a Recording: its ops on our machine, watched event by event."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmuviz.engine.tables import changes, tables_of
from mmuviz.engine.tape import CPU_DIRTY_CODE, TapedMachine
from mmuviz.ground.errors import InputError, MmuvizError
from mmuviz.mmu.answers import COUNTER_NAMES
from mmuviz.mmu.events import KIND_MASK, KIND_SHIFT, LEVEL_SHIFT, NEW_SHIFT, OLD_SHIFT, SPLIT, SPTE, VCPU_SHIFT, runs_of
from mmuviz.mmu.page_sets import pages_of, parallel_turns
from mmuviz.mmu.recordings import Replayable, checked, memslot_of, read_document
from mmuviz.mmu.replay import Replay
from mmuviz.mmu.state import LOG_COUNT, SLOT_LOGGING
from mmuviz.recording import columns
from mmuviz.recording.columns import I64, Config, DirtyRanges, Leaves, Op, OpColumns, Recording, Runs, Slot, Touches
from mmuviz.recording.fold import PageMap, empty_map, fold

RUN_FIELDS: Final = ("kind", "level", "old", "new", "detail", "vcpu", "access", "gfn", "stride", "entries")
SMALL_FIELDS: Final = frozenset({"kind", "level", "old", "new", "detail"})
UNTRACED_OPS: Final = ("slot", "delslot")
"""Ops of which a recording keeps no events; the first changes nothing, what the second does is looked up."""
NO_RUNS: Final = np.zeros((0, len(RUN_FIELDS)), dtype=np.int64)


def record_replay(document: dict[str, Any]) -> Recording:
    """Replay a recording of real KVM and keep everything that the page shows.

    Args:
        document: schema kvm-recording/1; the `after` of its ops, if any, is not looked at.

    Returns:
        The Recording; the same document gives the same one.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    watch = _Watch(checked(document))
    for index, op in enumerate(watch.replayable.ops):
        try:
            watch.step(op)
        except MmuvizError as error:
            raise InputError(f"op {index} ({op['op']}): {error}") from error
    return watch.recording()


class _Watch:
    """A replay under way: the machine, and one list of rows for each table of the Recording."""

    def __init__(self, replayable: Replayable) -> None:
        self.replayable = replayable
        self.machine = TapedMachine(replayable.config)
        # The events are taken from the machine itself.
        self.replay = Replay(replayable, self.machine, tracepoints=frozenset())
        self.slot = slot_of(replayable)
        self.map: PageMap = empty_map(self.slot)
        self.folded = 0  # rows that the map has, see _untraced()
        self.ops: list[Op] = []
        self.runs: list[I64] = []
        self.touches: list[I64] = []
        self.ranges: list[I64] = []
        self.after: list[dict[str, int]] = []

    def step(self, op: dict[str, Any]) -> None:
        """Carry one op out and add its rows to every table."""
        self.machine.rewind()
        after = self.replay.step(op)
        offsets = accesses_of(op, self.replayable.config.vcpus)
        runs = NO_RUNS
        if op["op"] not in UNTRACED_OPS:
            runs = placed(self.machine.taken, self.machine.marks)
        if op["op"] == "delslot" or not self.replayable.config.tdp_mmu:
            runs = np.concatenate([runs, self._untraced(max(len(offsets) - 1, 0))])
        self.ops.append(Op(op["op"], _fields(op)))
        self.runs.append(runs)
        self.touches.append(runs_of(offsets))
        self.ranges.append(np.array(after.get("dirty_ranges", []), dtype=np.int64).reshape(-1, 2))
        self.after.append(self._figures(after))

    def _untraced(self, access: int) -> I64:
        """Rows for whatever the event log does not explain."""
        if self.replayable.config.tdp_mmu:
            recording = self.recording()
            fold(self.map, recording, self.folded, len(recording.runs.kind))
            self.folded = len(recording.runs.kind)
        found = changes(self.map, tables_of(self.machine.state, self.map))
        self.folded += len(found)
        rows = np.zeros((len(found), len(RUN_FIELDS)), dtype=np.int64)
        rows[:, :4] = found[:, :4]
        rows[:, 6] = access
        rows[:, 7:] = found[:, 4:]
        return rows

    def _figures(self, after: Mapping[str, Any]) -> dict[str, int]:
        counters = after.get("counters") or dict.fromkeys(COUNTER_NAMES, 0)
        return {
            **counters,
            "pml_full_exits": self.machine.counters().pml_full_exits,
            "logging": int(self.machine.state.slots[:, SLOT_LOGGING].any()),
            **self.machine.memory_overhead()._asdict(),
        }

    def recording(self) -> Recording:
        """Put the tables together."""
        document, config = self.replayable.document, self.replayable.config
        first = {
            "first_run": _starts(self.runs),
            "first_touch": _starts(self.touches),
            "first_range": _starts(self.ranges),
        }
        figures = {
            name: np.array([row[name] for row in self.after], dtype=np.uint8 if name == "logging" else np.int64)
            for name in OpColumns._fields
            if name not in first
        }
        touches = np.concatenate([np.zeros((0, 3), dtype=np.int64), *self.touches])
        ranges = np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.ranges])
        none = np.zeros(0, dtype=np.int64)
        return Recording(
            name=document["name"],
            kernel=document["kernel"],
            note=str(document.get("note", "")),
            config=Config(
                dirty_log_mode=str(config.dirty_log_mode),
                eager_page_split=config.splits_eagerly,
                tdp_mmu=config.tdp_mmu,
                vcpus=config.vcpus,
                ring_entries=config.ring_entries or 0,
                vendor=document["config"]["vendor"],
                pml=config.pml,
            ),
            slot=self.slot,
            ops=tuple(self.ops),
            op_columns=OpColumns._make({**first, **figures}[name] for name in OpColumns._fields),
            runs=_run_columns(np.concatenate([NO_RUNS, *self.runs])),
            touches=Touches(*np.ascontiguousarray(touches.T)),
            ranges=DirtyRanges(*np.ascontiguousarray(ranges.T)),
            start=Leaves(none.astype(np.uint8), none.astype(np.uint8), none, none, none),
        )


def _starts(parts: list[I64]) -> I64:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _run_columns(rows: I64) -> Runs:
    return Runs._make(
        rows[:, index].astype(np.uint8 if name in SMALL_FIELDS else np.int64) for index, name in enumerate(RUN_FIELDS)
    )


def slot_of(replayable: Replayable) -> Slot:
    """The one memslot of a recording.

    Raises:
        InputError: none, or several that are not the same.
    """
    slots = {memslot_of(op) for op in replayable.ops if op["op"] == "slot"}
    if len(slots) != 1:
        raise InputError(f"{len(slots)} different slots; a recording that is shown must have one")
    memslot = slots.pop()
    return Slot(memslot.base_gfn, memslot.pages, str(memslot.backing), memslot.hva_offset_pages, memslot.host_populated)


def accesses_of(op: dict[str, Any], vcpus: int) -> I64:
    """Pages that the guest touches in an op, int64[n] offsets in the slot, in order."""
    if op["op"] in ("read", "write"):
        return pages_of(op["pages"])
    if op["op"] == "parallel_write":
        return parallel_turns(op["how"], pages_of(op), vcpus)[1]
    return np.zeros(0, dtype=np.int64)


def _fields(op: dict[str, Any]) -> tuple[tuple[str, columns.Value], ...]:
    """The fields of an op that stand in no column."""
    plain = {name: value for name, value in op.items() if name not in ("op", "after")}
    fields = {name: value for name, value in plain.items() if not isinstance(value, list | dict)}
    if "list" in op:
        fields["listed"] = len(op["list"])
    return tuple(sorted(fields.items()))


def placed(runs: I64, marks: list[I64]) -> I64:
    """Cut the machine's runs so that each lies inside one access.

    Args:
        runs: int64[n, 4] rows of (code, first gfn, stride, count).
        marks: pairs of access and events so far, see TapedMachine.

    Returns:
        int64[m, 10] rows of RUN_FIELDS, in the same order.
    """
    if not len(runs):
        return NO_RUNS
    ends = np.cumsum(runs[:, 3])
    mark = np.array(marks, dtype=np.int64).reshape(-1, 2)
    cuts = np.concatenate([[0], ends[:-1], mark[mark[:, 1] < ends[-1], 1]])
    cuts.sort(kind="stable")  # it merges what is sorted already
    cuts = cuts[np.diff(cuts, prepend=-1) != 0]
    of = np.searchsorted(ends, cuts, side="right")
    code, gfn, stride, count = runs[of, : LOG_COUNT + 1].T
    skipped = cuts - (ends[of] - count)
    counts = np.diff(np.concatenate([cuts, ends[-1:]]))
    access = np.zeros(len(cuts), dtype=np.int64)
    if len(mark):
        access = mark[np.minimum(np.searchsorted(mark[:, 1], cuts, side="right"), len(mark) - 1), 0]
    rows = np.zeros((len(cuts), len(RUN_FIELDS)), dtype=np.int64)
    rows[:, :6] = np.stack(decoded(code), axis=1)
    rows[:, 6:] = np.stack([access, gfn + stride * skipped, np.where(counts > 1, stride, 0), counts], axis=1)
    return rows


def decoded(code: I64) -> tuple[I64, I64, I64, I64, I64, I64]:
    """The machine's event codes as kind, level, old, new, detail and vcpu, int64[n] each."""
    kind = code & KIND_MASK
    entry = np.isin(kind, (SPTE, SPLIT))
    detail = ~entry & (kind != CPU_DIRTY_CODE)
    level = np.where(entry, code >> LEVEL_SHIFT & 15, 0)
    old = np.where(entry, code >> OLD_SHIFT & 255, 0)
    new = np.where(kind == SPTE, code >> NEW_SHIFT & 255, 0)
    return (
        kind,
        level,
        old,
        new,
        np.where(detail, code >> KIND_SHIFT & 255, 0),
        np.where(detail, code >> VCPU_SHIFT, 0),
    )


def record_file(path: Path) -> Recording:
    """Replay a file: see record_replay().

    Args:
        path: a recording of real KVM, .json or .json.gz.

    Returns:
        The Recording.

    Raises:
        MmuvizError: the file or one of its ops is refused.
    """
    return record_replay(read_document(path))


def header_of_file(path: Path) -> Recording:
    """What a file is a recording of, without replaying it.

    Args:
        path: a recording of real KVM, .json or .json.gz.

    Returns:
        The Recording as it is before the first op: its header, and empty columns.

    Raises:
        MmuvizError: the file is refused.
    """
    return _Watch(checked(read_document(path))).recording()
