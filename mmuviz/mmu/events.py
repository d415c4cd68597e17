"""The event log: the events of KVM's tracepoints, as runs of integers.

Kernel: kvm_tdp_mmu_spte_changed, kvm_mmu_split_huge_page, kvm_page_fault and fast_page_fault,
arch/x86/kvm/mmu/mmutrace.h and arch/x86/kvm/trace.h.

A kind's number is its index in EVENT_KINDS of recording/schema.py. engine/event_rows.py turns the log into rows of a
Recording, mmu/answers.py into the answer of an op in a KVM recording.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import PG_LEVEL_4K, SPTE_ENT_SHIFT
from mmuviz.mmu.state import (
    CONF_FOCUS_END,
    CONF_FOCUS_FIRST,
    CONF_L2,
    CONF_LOG,
    CONF_TDP_MMU,
    I64,
    LOG_ALL,
    LOG_CODE,
    LOG_COUNT,
    LOG_GFN,
    LOG_NOTHING,
    LOG_ROOM,
    LOG_STAMP,
    LOG_STRIDE,
    LOG_WHO,
    MMU_WRITABLE,
    PRESENT,
    STAT_LOG_ENTRIES,
    STAT_STAMP,
    STAT_WHO,
    TABLE,
    WRITABLE,
    MmuState,
)
from mmuviz.mmu.state import DIRTY as DIRTY_BIT

SPTE: Final = 1
SPLIT: Final = 2
FAULT: Final = 3
FAST: Final = 4
CPU_DIRTY: Final = 5
"""The processor set a dirty bit."""
DIRTY_LOG: Final = 6
"""A page entered KVM's dirty log (new is 1) or left it (old is 1)."""
INITIAL_STATE: Final = 7
"""State of an entry when the log began."""
KIND_MASK: Final = 15
TRACEPOINT_NAMES: Final = {SPTE: "spte", SPLIT: "split", FAULT: "fault", FAST: "fast"}

LEVEL_SHIFT: Final = 4
OLD_SHIFT: Final = 8
NEW_SHIFT: Final = 16
DETAIL_SHIFT: Final = 8
L2_EVENT: Final = 1 << 24
"""Flag of a split or a fault in the shadow MMU of an L2, not in the TDP MMU."""
UNTRACED: Final = 1 << 25
"""Flag of a change that no tracepoint of KVM reports."""
VCPU_SHIFT: Final = 32

WRITE_PROTECTED: Final = 3
FAULT_EVENTS: Final = ("read_not_present", "write_not_present", "read_protected", "write_protected")
FAST_FIXED: Final = 0
FAST_DECLINED: Final = 1
FAST_RESULTS: Final = ("fixed", "declined")


@jit_inline_llvm
def continues(log: I64, stat: I64, last: int, code: int) -> bool:
    """Whether the last run is of the same code, stamp and actor."""
    same = log[last, LOG_CODE] == code and log[last, LOG_STAMP] == stat[STAT_STAMP]
    return bool(same and log[last, LOG_WHO] == stat[STAT_WHO])


@jit_inline_llvm
def begin_run(log: I64, stat: I64, code: int, gfn: int, count: int) -> None:
    """Write a new row."""
    rows = stat[STAT_LOG_ENTRIES]
    log[rows, LOG_CODE] = code
    log[rows, LOG_GFN] = gfn
    log[rows, LOG_STRIDE] = 1 if count > 1 else 0
    log[rows, LOG_COUNT] = count
    log[rows, LOG_STAMP] = stat[STAT_STAMP]
    log[rows, LOG_WHO] = stat[STAT_WHO]
    stat[STAT_LOG_ENTRIES] = rows + 1


@jit
def log_event(log: I64, stat: I64, code: int, gfn: int) -> None:
    """Append an event; it extends the last run if it continues it, so the order in time is kept."""
    last = stat[STAT_LOG_ENTRIES] - 1
    if last >= 0 and continues(log, stat, last, code):
        count = log[last, LOG_COUNT]
        if count == 1:
            log[last, LOG_STRIDE] = gfn - log[last, LOG_GFN]
            log[last, LOG_COUNT] = 2
            return
        if gfn == log[last, LOG_GFN] + log[last, LOG_STRIDE] * count:
            log[last, LOG_COUNT] = count + 1
            return
    begin_run(log, stat, code, gfn, 1)


@jit
def log_event_run(log: I64, stat: I64, code: int, gfn: int, count: int) -> None:
    """Append the same event at `count` consecutive gfns; it extends the last run if it continues it."""
    last = stat[STAT_LOG_ENTRIES] - 1
    if last >= 0 and continues(log, stat, last, code):
        before = log[last, LOG_COUNT]
        if gfn == log[last, LOG_GFN] + before and (before == 1 or log[last, LOG_STRIDE] == 1):
            log[last, LOG_STRIDE] = 1
            log[last, LOG_COUNT] = before + count
            return
    begin_run(log, stat, code, gfn, count)


@jit
def log_change(log: I64, stat: I64, conf: I64, code: int, gfn: int, count: int) -> None:
    """Append a change of `count` consecutive entries, limited to those that map pages of the focus.

    Changes that no tracepoint of KVM reports (UNTRACED) are kept under LOG_ALL only.
    """
    if code & UNTRACED != 0 and conf[CONF_LOG] != LOG_ALL:
        return
    shift = SPTE_ENT_SHIFT * (((code >> LEVEL_SHIFT) & 15) - 1)
    first, end = conf[CONF_FOCUS_FIRST], conf[CONF_FOCUS_END]
    if gfn >= end or gfn + (count << shift) <= first:
        return
    skipped = max(first - gfn, 0) >> shift
    kept = min(count, ((end - gfn - 1) >> shift) + 1) - skipped
    if kept == 1:
        log_event(log, stat, code, gfn + (skipped << shift))
    elif shift == 0:
        log_event_run(log, stat, code, gfn + skipped, kept)


@jit_inline_llvm
def log_is_low(state: MmuState) -> bool:
    """Whether the next step might not find room in the log."""
    rows = int(state.log.shape[0])
    return rows > 0 and rows - int(state.stat[STAT_LOG_ENTRIES]) < LOG_ROOM


@jit_inline_llvm
def spte_code(conf: I64, kind: int, level: int, old: int, new: int) -> int:
    """Event code of a change of an entry; UNTRACED in the shadow MMU, which has no tracepoint for it."""
    unseen = UNTRACED if conf[CONF_TDP_MMU] == 0 else 0
    return int(kind | (level << LEVEL_SHIFT) | (old << OLD_SHIFT) | (new << NEW_SHIFT) | unseen | conf[CONF_L2])


@jit_inline_llvm
def trace_spte_changed(state: MmuState, level: int, old: int, new: int, gfn: int) -> None:
    """Log a change of an SPTE.

    Kernel: trace_kvm_tdp_mmu_spte_changed(), called from tdp_mmu.c.
    """
    if state.conf[CONF_LOG] != LOG_NOTHING:
        log_change(state.log, state.stat, state.conf, spte_code(state.conf, SPTE, level, old, new), gfn, 1)


@jit_inline_llvm
def trace_4k_sptes_changed(state: MmuState, old: int, new: int, gfn: int, count: int) -> None:
    """Log `count` consecutive 4K SPTE changes: see trace_spte_changed()."""
    if state.conf[CONF_LOG] != LOG_NOTHING:
        code = spte_code(state.conf, SPTE, PG_LEVEL_4K, old, new)
        log_change(state.log, state.stat, state.conf, code, gfn, count)


@jit_inline_llvm
def note_untraced(state: MmuState, kind: int, level: int, old: int, new: int, gfn: int, count: int) -> None:
    """Log a change of an SPTE or of the dirty log that no tracepoint of KVM reports.

    Args:
        state: its log grows under LOG_ALL.
        kind: a kind of event that no tracepoint reports, or SPTE.
        level: level of the entry.
        old: its bits before.
        new: its bits now.
        gfn: first gfn that it maps.
        count: consecutive entries; more than one at 4K only.
    """
    if state.conf[CONF_LOG] == LOG_ALL:
        code = spte_code(state.conf, kind, level, old, new) | UNTRACED
        log_change(state.log, state.stat, state.conf, code, gfn, count)


@jit_inline_llvm
def trace_split_huge_page(state: MmuState, level: int, old: int, gfn: int) -> None:
    """Log the split of a huge page, eager or in a fault.

    Kernel: trace_kvm_mmu_split_huge_page(), tdp_mmu.c.
    """
    if state.conf[CONF_LOG] != LOG_NOTHING:
        code = SPLIT | (level << LEVEL_SHIFT) | (old << OLD_SHIFT) | int(state.conf[CONF_L2])
        log_change(state.log, state.stat, state.conf, code, gfn, 1)


@jit_inline_llvm
def trace_page_fault(state: MmuState, vcpu: int, kind: int, gfn: int) -> None:
    """Log a nested page fault (EPT violation); kind is an index of FAULT_EVENTS."""
    if state.conf[CONF_LOG] != LOG_NOTHING and in_focus(state.conf, gfn):
        log_event(
            state.log, state.stat, FAULT | (kind << DETAIL_SHIFT) | (vcpu << VCPU_SHIFT) | int(state.conf[CONF_L2]), gfn
        )


@jit_inline_llvm
def trace_fast_page_fault(state: MmuState, vcpu: int, result: int, gfn: int) -> None:
    """Log the result of fast_page_fault(), an index of FAST_RESULTS."""
    if state.conf[CONF_LOG] != LOG_NOTHING and in_focus(state.conf, gfn):
        log_event(state.log, state.stat, FAST | (result << DETAIL_SHIFT) | (vcpu << VCPU_SHIFT), gfn)


@jit_inline_llvm
def in_focus(conf: I64, gfn: int) -> bool:
    """Whether events of a page are logged."""
    return bool(conf[CONF_FOCUS_FIRST] <= gfn < conf[CONF_FOCUS_END])


def spte_label(bits: int) -> str:
    """An SPTE's bits as a label: none, table, W, wp or RO, with +D if the dirty bit is set."""
    if bits & TABLE:
        return "table"
    if not bits & PRESENT:
        return "none"
    label = "W" if bits & WRITABLE else "wp" if bits & MMU_WRITABLE else "RO"
    return label + ("+D" if bits & DIRTY_BIT else "")


def event_class(code: int) -> tuple[str | int, ...]:
    """The class of an event code, in the form of KVM recordings.

    Args:
        code: a value of the log's first column.

    Returns:
        ("spte", level, old, new), ("split", level, old), ("fault", vcpu, kind) or
        ("fast", vcpu, result); followed by "l2" in the shadow MMU of an L2.

    Raises:
        ValueError: no tracepoint reports the event.
    """
    kind = code & KIND_MASK
    level = code >> LEVEL_SHIFT & 15
    l2 = ("l2",) if code & L2_EVENT and kind != SPTE else ()
    if kind == SPTE:
        return ("spte", level, spte_label(code >> OLD_SHIFT & 255), spte_label(code >> NEW_SHIFT & 255))
    if kind == SPLIT:
        return ("split", level, spte_label(code >> OLD_SHIFT & 255), *l2)
    detail, vcpu = code >> DETAIL_SHIFT & 255, code >> VCPU_SHIFT
    if kind == FAULT:
        return ("fault", vcpu, FAULT_EVENTS[detail], *l2)
    if kind == FAST:
        return ("fast", vcpu, FAST_RESULTS[detail])
    raise ValueError(f"event kind {kind} is no tracepoint of KVM; traced() leaves such events out")


def expand(runs: I64) -> tuple[I64, I64]:
    """Expand runs to single events.

    Args:
        runs: int64[n, 4], rows of (code, first gfn, stride, count).

    Returns:
        The codes and the gfns, int64[events] each, in order.
    """
    counts = runs[:, LOG_COUNT]
    row = np.repeat(np.arange(len(runs)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return runs[row, LOG_CODE], runs[row, LOG_GFN] + runs[row, LOG_STRIDE] * within


def traced(runs: I64) -> I64:
    """Return the logged runs that KVM's tracepoints report.

    Args:
        runs: int64[n, LOG_COLUMNS].
    """
    kept: I64 = runs[runs[:, LOG_CODE] & UNTRACED == 0]
    return kept


@jit_inline_llvm
def append_to_runs(out: I64, rows: int, gfn: int) -> int:
    """Append one gfn to runs [first, stride, count], greedily; returns the number of runs."""
    if rows > 0:
        count = out[rows - 1, 2]
        if count == 1:
            out[rows - 1, 1] = gfn - out[rows - 1, 0]
            out[rows - 1, 2] = 2
            return rows
        if gfn == out[rows - 1, 0] + out[rows - 1, 1] * count:
            out[rows - 1, 2] = count + 1
            return rows
    out[rows, 0] = gfn
    out[rows, 1] = 0
    out[rows, 2] = 1
    return rows + 1


@jit
def fold_runs(runs: I64, out: I64) -> int:
    """Fold runs as if their gfns came one by one: see merged_runs()."""
    rows = 0
    for index in range(len(runs)):
        first, stride, count = runs[index, 0], runs[index, 1], runs[index, 2]
        for each in range(count):
            rows = append_to_runs(out, rows, first + stride * each)
            if out[rows - 1, 2] > 2 and out[rows - 1, 1] == stride:
                out[rows - 1, 2] += count - each - 1
                break
    return rows


def merged_runs(runs: I64) -> I64:
    """Fold runs of one class into the greedy runs of their gfns, without expanding them.

    Args:
        runs: int64[n, 3], rows of (first gfn, stride, count), in order.

    Returns:
        int64[m, 3]; a single gfn has stride 0.
    """
    out = np.empty((3 * len(runs) + 1, 3), dtype=np.int64)
    return out[: fold_runs(np.ascontiguousarray(runs), out)]


def runs_of(gfns: I64) -> I64:
    """Fold a sequence into runs [first, stride, count], greedily from the left.

    Args:
        gfns: int64[n].

    Returns:
        int64[runs, 3]; a single gfn has stride 0.
    """
    ones = np.ones_like(gfns)
    return merged_runs(np.stack([gfns, ones * 0, ones], axis=1))
