"""Sums over the event log; whatever the page totals is one of these."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.pages import PG_LEVEL_4K
from mmuviz.recording.columns import FAULT, I64, PRESENT, SPLIT, SPTE, Recording

ACCESS_OPS: Final = frozenset({"read", "write", "parallel_write"})
"""Ops in which the guest runs."""


def events_by_op(recording: Recording, kind: int, *, level: int | None = None, detail: int | None = None) -> I64:
    """Count events of a kind in each op.

    Args:
        recording: not changed.
        kind: e.g. SPLIT.
        level: of this level only.
        detail: of this detail only.

    Returns:
        int64[ops].
    """
    runs = recording.runs
    counted = runs.kind == kind
    if level is not None:
        counted &= runs.level == level
    if detail is not None:
        counted &= runs.detail == detail
    before = np.concatenate([[0], np.cumsum(np.where(counted, runs.entries, 0))])
    totals: I64 = np.diff(before[recording.op_columns.first_run])
    return totals


def faults_by_op(recording: Recording) -> I64:
    """Faults in each op, int64[ops]."""
    return events_by_op(recording, FAULT)


def splits_by_op(recording: Recording) -> I64:
    """Huge pages split in each op, 1G and 2M together, int64[ops]; the op's kind says where."""
    return events_by_op(recording, SPLIT)


def dirty_pages_by_op(recording: Recording) -> I64:
    """Dirty pages that each op told userspace of, int64[ops]."""
    before = np.concatenate([[0], np.cumsum(recording.ranges.pages)])
    totals: I64 = np.diff(before[recording.op_columns.first_range])
    return totals


def accesses_by_op(recording: Recording) -> I64:
    """Accesses that the guest made in each op, int64[ops]: the op's length on the clock."""
    before = np.concatenate([[0], np.cumsum(recording.touches.accesses)])
    totals: I64 = np.diff(before[recording.op_columns.first_touch])
    return totals


def splits_by_place(recording: Recording) -> dict[str, int]:
    """Huge pages split, by where KVM did it: enable, clear, ring_reset, or fault (in place).

    Args:
        recording: not changed.

    Returns:
        Counts above 0, by place, in the order in which the places first occur.
    """
    places: dict[str, int] = {}
    for op, splits in zip(recording.ops, splits_by_op(recording).tolist(), strict=True):
        if splits:
            place = "fault" if op.kind in ACCESS_OPS else op.kind
            places[place] = places.get(place, 0) + splits
    return places


def huge_zaps_in_faults(recording: Recording) -> int:
    """Huge leaves that a write fault zapped whole while the slot was logged."""
    runs, columns = recording.runs, recording.op_columns
    logged = np.array([op.kind in ACCESS_OPS for op in recording.ops]) & (columns.logging != 0)
    in_logged_access = np.repeat(logged, np.diff(columns.first_run))
    zapped = (runs.kind == SPTE) & (runs.level > PG_LEVEL_4K) & (runs.old & PRESENT != 0) & (runs.new == 0)
    return int(runs.entries[zapped & in_logged_access].sum())


def faults_by_logging(recording: Recording) -> tuple[int, int]:
    """Faults that stopped a vCPU while the slot was logged, and after its log was off again."""
    logged = recording.op_columns.logging != 0
    after = ~logged & (np.cumsum(logged) > 0)
    faults = faults_by_op(recording)
    return int(faults[logged].sum()), int(faults[after].sum())
