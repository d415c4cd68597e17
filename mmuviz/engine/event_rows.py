"""The event log of a Focus as rows of a Recording."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
)
from mmuviz.mmu.events import (
    DETAIL_SHIFT,
    DIRTY_LOG,
    FAST,
    FAULT,
    INITIAL_STATE,
    KIND_MASK,
    LEVEL_SHIFT,
    NEW_SHIFT,
    OLD_SHIFT,
    UNTRACED,
    runs_of,
)
from mmuviz.mmu.state import (
    I64,
    LEAF_BITS,
    LOG_CODE,
    LOG_COLUMNS,
    LOG_COUNT,
    LOG_GFN,
    LOG_STAMP,
    LOG_STRIDE,
    LOG_WHO,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_END,
    TABLE,
    USERSPACE,
    MmuState,
)

ENTRY_BITS: Final = LEAF_BITS | TABLE


def initial_rows(state: MmuState, first: int, end: int, stamp: int) -> I64:
    """State of the tables and the dirty log for pages [first, end), as rows of the event log.

    Args:
        state: the tables; not changed.
        first: first gfn.
        end: gfn after the last.
        stamp: stamp of the rows.

    Returns:
        int64[n, LOG_COLUMNS], of kind INITIAL_STATE, highest level first; pages in the dirty log as events DIRTY_LOG.
    """
    found: list[I64] = [np.zeros((0, LOG_COLUMNS), dtype=np.int64)]
    for region in range(first >> SHIFT_1G, ((end - 1) >> SHIFT_1G) + 1):
        row = int(state.row_of[region])
        if row < 0:
            continue
        base = region << SHIFT_1G
        low, high = max(first - base, 0), min(end - base, PAGES_PER_1G)
        top = int(state.l3[row]) & ENTRY_BITS
        found += _rows(PG_LEVEL_1G, np.array([top]), np.array([base]), stamp)
        if not top & TABLE:
            continue
        index = np.arange(low >> SHIFT_2M, ((high - 1) >> SHIFT_2M) + 1)
        mid = state.l2[(row << SHIFT_2M) + index].astype(np.int64) & ENTRY_BITS
        found += _rows(PG_LEVEL_2M, mid, base + (index << SHIFT_2M), stamp)
        page = np.arange(low, high)
        under = (state.l2[(row << SHIFT_2M) + (page >> SHIFT_2M)] & TABLE) != 0
        small = state.l1[(row << SHIFT_1G) + page].astype(np.int64) & ENTRY_BITS
        found += _rows(PG_LEVEL_4K, np.where(under, small, 0), base + page, stamp)
    found += _dirty(state, first, end, stamp)
    return np.concatenate(found)


def _rows(level: int, bits: I64, gfns: I64, stamp: int) -> list[I64]:
    """Runs of equal, non-empty entries."""
    found = []
    for each in np.unique(bits[bits != 0]).tolist():
        code = INITIAL_STATE | (level << LEVEL_SHIFT) | (each << NEW_SHIFT) | UNTRACED
        found.append(_with_code(code, runs_of(gfns[bits == each]), stamp))
    return found


def _with_code(code: int, runs: I64, stamp: int) -> I64:
    rows = np.zeros((len(runs), LOG_COLUMNS), dtype=np.int64)
    rows[:, LOG_CODE], rows[:, LOG_STAMP], rows[:, LOG_WHO] = code, stamp, USERSPACE
    rows[:, LOG_GFN : LOG_COUNT + 1] = runs
    return rows


def _dirty(state: MmuState, first: int, end: int, stamp: int) -> list[I64]:
    found = []
    code = DIRTY_LOG | (PG_LEVEL_4K << LEVEL_SHIFT) | (1 << NEW_SHIFT) | UNTRACED
    for slot in state.slots:
        base, stop = int(slot[SLOT_BASE]), int(slot[SLOT_END])
        pages = np.arange(max(first, base), min(end, stop)) - base
        if len(pages):
            words = state.dirty[int(slot[SLOT_DIRTY_AT]) + pages // BITS_PER_LONG]
            marked = pages[(words >> (pages % BITS_PER_LONG)) & 1 == 1]
            found.append(_with_code(code, runs_of(marked + base), stamp))
    return found


def event_columns(rows: I64, start_ps: int, end_ps: int, *, tracepoints: bool) -> dict[str, npt.NDArray[np.int64]]:
    """Columns of the Recording's events.

    Args:
        rows: int64[n, LOG_COLUMNS], in the order in which the engine logged them.
        start_ps: the first time that counts.
        end_ps: the time after the last.
        tracepoints: whether the kernel has tracepoints for its page tables (arm64 has none).

    Returns:
        Columns by name, in order of time; at the same time the ioctl thread first, then vCPUs by number.
    """
    rows = rows[(rows[:, LOG_STAMP] >= start_ps) & (rows[:, LOG_STAMP] < end_ps)]
    rows = rows[np.lexsort((rows[:, LOG_WHO], rows[:, LOG_STAMP]))]
    code = rows[:, LOG_CODE]
    kind = code & KIND_MASK
    fault = (kind == FAULT) | (kind == FAST)
    detail = (code >> DETAIL_SHIFT) & 255
    traced = (code & UNTRACED == 0) & (tracepoints | fault)
    return {
        "time_ps": rows[:, LOG_STAMP],
        "vcpu": rows[:, LOG_WHO],
        "kind": kind,
        "level": np.where(fault, 0, (code >> LEVEL_SHIFT) & 15),
        "old": np.where(fault, detail, (code >> OLD_SHIFT) & 255) & 31,
        "new": np.where(fault, 0, (code >> NEW_SHIFT) & 255) & 31,
        "gfn": rows[:, LOG_GFN],
        "stride": rows[:, LOG_STRIDE],
        "entries": rows[:, LOG_COUNT],
        "traced": traced.astype(np.int64),
    }
