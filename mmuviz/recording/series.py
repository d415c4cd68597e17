"""Figures at every step, each a fold over the event log: assets/counts.js counts the same.

Inside an op a figure of the page tables is its value at the op's start plus what the op's events
changed so far; at the op's end it is the column's. With the TDP MMU both are the same, bit for bit, but
for what no event tells of: the tables above the slot's, which come with it, and deleting the slot. Where a
table is taken away its entries still count, as in KVM's own pages_4k, until their own events.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.pages import PAGE_BYTES, PAGE_HEADER_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_ENT_PER_PAGE
from mmuviz.recording.columns import (
    FAST,
    FAST_FIXED,
    FAULT,
    I64,
    PRESENT,
    SPLIT,
    SPTE,
    TABLE,
    U8,
    WRITE_NOT_PRESENT,
    Recording,
)
from mmuviz.recording.pending import pending_of
from mmuviz.recording.timeline import Timeline
from mmuviz.recording.totals import ACCESS_OPS

PAGES: Final = {"pages_4k": PG_LEVEL_4K, "pages_2m": PG_LEVEL_2M, "pages_1g": PG_LEVEL_1G}
FAULTS: Final = ("faults_not_present", "faults_fast", "faults_slow")
PLACES: Final = ("splits_enable", "splits_clear", "splits_ring_reset", "splits_fault", "zaps_fault")
MMU_FIGURES: Final = (*PAGES, "table_pages", "table_bytes")
FIGURES: Final = (*MMU_FIGURES, *FAULTS, *PLACES)


def changes_by_row(recording: Recording) -> dict[str, I64]:
    """What each row of the event log adds to each figure.

    Args:
        recording: not changed.

    Returns:
        int64[rows] by name of FIGURES.
    """
    return {**_mmu_changes(recording), **_fault_changes(recording), **_split_changes(recording)}


def _mmu_changes(recording: Recording) -> dict[str, I64]:
    runs = recording.runs
    entries = np.where((runs.kind == SPTE) & recording.config.tdp_mmu, runs.entries, 0)
    gains = _flag(runs.new, PRESENT) - _flag(runs.old, PRESENT)
    tables = (runs.new == TABLE).astype(np.int64) - (runs.old == TABLE)
    handed_down = (runs.new == TABLE) & (runs.old & PRESENT != 0)
    found: dict[str, I64] = {}
    for name, level in PAGES.items():
        children = SPTE_ENT_PER_PAGE * (handed_down & (runs.level == level + 1))
        found[name] = entries * (gains * (runs.level == level) + children)
    found["table_pages"] = entries * tables
    found["table_bytes"] = found["table_pages"] * (PAGE_BYTES + PAGE_HEADER_BYTES)
    return found


def _flag(words: U8, bit: int) -> I64:
    flags: I64 = (words & bit != 0).astype(np.int64)
    return flags


def _fault_changes(recording: Recording) -> dict[str, I64]:
    runs = recording.runs
    fault, fast = (np.where(runs.kind == kind, runs.entries, 0) for kind in (FAULT, FAST))
    fixed = np.where(runs.detail == FAST_FIXED, fast, 0)
    missing = runs.detail <= WRITE_NOT_PRESENT
    return {
        "faults_not_present": np.where(missing, fault, 0),
        "faults_fast": fixed,
        "faults_slow": np.where(missing, 0, fault) - fixed,
    }


def _split_changes(recording: Recording) -> dict[str, I64]:
    runs = recording.runs
    splits = np.where(runs.kind == SPLIT, runs.entries, 0)
    place = np.array([_place(op.kind) for op in recording.ops], dtype=np.str_)
    rows = np.diff(recording.op_columns.first_run)
    of = np.repeat(place, rows)
    found = {name: np.where(of == name, splits, 0) for name in PLACES[:-1]}
    logged = np.repeat(np.array([op.kind in ACCESS_OPS for op in recording.ops]) & _logging(recording), rows)
    huge = (runs.kind == SPTE) & (runs.level > PG_LEVEL_4K) & (runs.old & PRESENT != 0) & (runs.new == 0)
    return {**found, "zaps_fault": np.where(logged & huge, runs.entries, 0)}


def _logging(recording: Recording) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    flags: np.ndarray[tuple[int], np.dtype[np.bool_]] = recording.op_columns.logging != 0
    return flags


def _place(kind: str) -> str:
    name = f"splits_{kind}"
    return name if name in PLACES else "splits_fault"


def values_at_ops(recording: Recording) -> dict[str, I64]:
    """Every figure before the first op and after each.

    Args:
        recording: not changed.

    Returns:
        int64[ops + 1] by name of FIGURES.
    """
    columns, base = recording.op_columns, base_figures(recording)
    ends = {
        **{name: getattr(columns, name) for name in (*PAGES, "table_pages")},
        "table_bytes": columns.table_bytes + columns.header_bytes,
    }
    found = {name: np.concatenate([[base[name]], ends[name]]) for name in MMU_FIGURES}
    for name, changes in {**_fault_changes(recording), **_split_changes(recording)}.items():
        found[name] = np.concatenate([[0], np.cumsum(changes)])[columns.first_run]
    return found


def base_figures(recording: Recording) -> dict[str, int]:
    """Figures of the page tables before the first op.

    Args:
        recording: not changed.

    Returns:
        By name of MMU_FIGURES.
    """
    start = recording.start
    pages = {name: int(start.entries[start.level == level].sum()) for name, level in PAGES.items()}
    return {**pages, "table_pages": 0, "table_bytes": 0}


def values_by_row(recording: Recording) -> dict[str, I64]:
    """Every figure after each row of the event log, but for what only the op's end brings.

    Args:
        recording: not changed.

    Returns:
        int64[rows] by name of FIGURES.
    """
    first = recording.op_columns.first_run
    at_ops, rows = values_at_ops(recording), np.diff(first)
    found: dict[str, I64] = {}
    for name, changes in changes_by_row(recording).items():
        sums = np.concatenate([[0], np.cumsum(changes)])
        found[name] = sums[1:] + np.repeat(at_ops[name][:-1] - sums[first[:-1]], rows)
    return found


def values_at(recording: Recording, timeline: Timeline, side: int, positions: I64) -> dict[str, I64]:
    """Every figure of one side of a comparison at some positions of its clock.

    Args:
        recording: that side.
        timeline: the clock of both.
        side: 0 for the left one, 1 for the right one.
        positions: int64[n], ticks done, each 0 to `timeline.total`.

    Returns:
        int64[n] by name of FIGURES, and `pending` and `told` (see Pending).
    """
    ends, first = timeline.op_ends, recording.op_columns.first_run
    ended = np.searchsorted(ends, positions, side="right")
    cursors = np.searchsorted(timeline.positions(side), positions, side="right")
    inside = cursors > first[np.minimum(ended, len(ends))]
    at_ops, by_row = values_at_ops(recording), values_by_row(recording)
    rows = np.maximum(cursors - 1, 0)
    found = {name: np.where(inside, _taken(by_row[name], rows), at_ops[name][ended]) for name in FIGURES}

    pending = pending_of(recording)
    written = timeline.first_access[np.repeat(np.arange(len(ends)), np.diff(pending.first_fresh))] + pending.fresh
    accesses = np.searchsorted(timeline.tick_ends, positions, side="right")
    since = np.searchsorted(written, accesses, side="left") - pending.first_fresh[ended]
    return {**found, "pending": pending.before[ended] + since, "told": pending.told[ended]}


def _taken(values: I64, rows: I64) -> I64:
    return values[rows] if len(values) else np.zeros(len(rows), dtype=np.int64)
