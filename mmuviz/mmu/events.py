"""What the tracepoints would say, as runs of integers.

Kernel: kvm_tdp_mmu_spte_changed, kvm_mmu_split_huge_page, kvm_page_fault and fast_page_fault,
arch/x86/kvm/mmu/mmutrace.h and arch/x86/kvm/trace.h.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.ground.pages import PG_LEVEL_4K
from mmuviz.mmu.state import (
    CONF_L2,
    CONF_TDP_MMU,
    I64,
    LOG_CODE,
    LOG_COUNT,
    LOG_GFN,
    LOG_ROOM,
    LOG_STRIDE,
    MMU_WRITABLE,
    PRESENT,
    STAT_LOG_ENTRIES,
    TABLE,
    WRITABLE,
    MmuState,
)
from mmuviz.mmu.state import DIRTY as DIRTY_BIT

SPTE: Final = 1
SPLIT: Final = 2
FAULT: Final = 3
FAST: Final = 4
KIND_MASK: Final = 15
TRACEPOINT_NAMES: Final = {SPTE: "spte", SPLIT: "split", FAULT: "fault", FAST: "fast"}

LEVEL_SHIFT: Final = 4
OLD_SHIFT: Final = 8
NEW_SHIFT: Final = 16
KIND_SHIFT: Final = 8
L2_EVENT: Final = 1 << 24
"""Bit of a split or a fault in the shadow MMU of an L2, beside the TDP MMU's own."""
VCPU_SHIFT: Final = 32

WRITE_PROTECTED: Final = 3
FAULT_KINDS: Final = ("read_not_present", "write_not_present", "read_protected", "write_protected")
FAST_FIXED: Final = 0
FAST_DECLINED: Final = 1
FAST_RESULTS: Final = ("fixed", "declined")


@compiled
def log_event(log: I64, stat: I64, code: int, gfn: int) -> None:
    """Append an event; the run before it grows where it continues it, so order in time is kept."""
    rows = stat[STAT_LOG_ENTRIES]
    if rows > 0 and log[rows - 1, LOG_CODE] == code:
        last = rows - 1
        count = log[last, LOG_COUNT]
        if count == 1:
            log[last, LOG_STRIDE] = gfn - log[last, LOG_GFN]
            log[last, LOG_COUNT] = 2
            return
        if gfn == log[last, LOG_GFN] + log[last, LOG_STRIDE] * count:
            log[last, LOG_COUNT] = count + 1
            return
    log[rows, LOG_CODE] = code
    log[rows, LOG_GFN] = gfn
    log[rows, LOG_STRIDE] = 0
    log[rows, LOG_COUNT] = 1
    stat[STAT_LOG_ENTRIES] = rows + 1


@compiled
def log_event_run(log: I64, stat: I64, code: int, gfn: int, count: int) -> None:
    """Append the same event at `count` gfns in a row; the run before it grows where it continues it."""
    rows = stat[STAT_LOG_ENTRIES]
    if rows > 0 and log[rows - 1, LOG_CODE] == code:
        last = rows - 1
        before = log[last, LOG_COUNT]
        if gfn == log[last, LOG_GFN] + before and (before == 1 or log[last, LOG_STRIDE] == 1):
            log[last, LOG_STRIDE] = 1
            log[last, LOG_COUNT] = before + count
            return
    log[rows, LOG_CODE] = code
    log[rows, LOG_GFN] = gfn
    log[rows, LOG_STRIDE] = 1 if count > 1 else 0
    log[rows, LOG_COUNT] = count
    stat[STAT_LOG_ENTRIES] = rows + 1


@inlined
def log_is_low(state: MmuState) -> bool:
    """Whether the next step might not find room in the log."""
    rows = int(state.log.shape[0])
    return rows > 0 and rows - int(state.stat[STAT_LOG_ENTRIES]) < LOG_ROOM


@woven
def trace_spte_changed(state: MmuState, level: int, old: int, new: int, gfn: int) -> None:
    """An SPTE of the TDP MMU changed; the shadow MMU has no such tracepoint.

    Kernel: trace_kvm_tdp_mmu_spte_changed(), called from tdp_mmu.c.
    """
    if state.log.shape[0] > 0 and state.conf[CONF_TDP_MMU] != 0:
        log_event(state.log, state.stat, SPTE | (level << LEVEL_SHIFT) | (old << OLD_SHIFT) | (new << NEW_SHIFT), gfn)


@woven
def trace_4k_sptes_changed(state: MmuState, old: int, new: int, gfn: int, count: int) -> None:
    """trace_spte_changed() of `count` 4K SPTEs in a row."""
    if state.log.shape[0] > 0 and state.conf[CONF_TDP_MMU] != 0:
        code = SPTE | (PG_LEVEL_4K << LEVEL_SHIFT) | (old << OLD_SHIFT) | (new << NEW_SHIFT)
        log_event_run(state.log, state.stat, code, gfn, count)


@woven
def trace_split_huge_page(state: MmuState, level: int, old: int, gfn: int) -> None:
    """A huge page was split, eagerly or in a fault.

    Kernel: trace_kvm_mmu_split_huge_page(), tdp_mmu.c.
    """
    if state.log.shape[0] > 0:
        log_event(
            state.log, state.stat, SPLIT | (level << LEVEL_SHIFT) | (old << OLD_SHIFT) | int(state.conf[CONF_L2]), gfn
        )


@woven
def trace_page_fault(state: MmuState, vcpu: int, kind: int, gfn: int) -> None:
    """A nested page fault (EPT violation); kind is an index of FAULT_KINDS."""
    if state.log.shape[0] > 0:
        log_event(
            state.log, state.stat, FAULT | (kind << KIND_SHIFT) | (vcpu << VCPU_SHIFT) | int(state.conf[CONF_L2]), gfn
        )


@woven
def trace_fast_page_fault(state: MmuState, vcpu: int, result: int, gfn: int) -> None:
    """fast_page_fault() returned; result is an index of FAST_RESULTS."""
    if state.log.shape[0] > 0:
        log_event(state.log, state.stat, FAST | (result << KIND_SHIFT) | (vcpu << VCPU_SHIFT), gfn)


def spte_word(bits: int) -> str:
    """An SPTE's bits in words: none, table, W, wp or RO, with +D where the dirty bit is set."""
    if bits & TABLE:
        return "table"
    if not bits & PRESENT:
        return "none"
    word = "W" if bits & WRITABLE else "wp" if bits & MMU_WRITABLE else "RO"
    return word + ("+D" if bits & DIRTY_BIT else "")


def event_class(code: int) -> tuple[str | int, ...]:
    """The class of an event code, as recordings name it.

    Args:
        code: a value of the log's first column.

    Returns:
        ("spte", level, old, new), ("split", level, old), ("fault", vcpu, kind) or
        ("fast", vcpu, result); of the shadow MMU of an L2 with a last word "l2".
    """
    kind = code & KIND_MASK
    level = code >> LEVEL_SHIFT & 15
    l2 = ("l2",) if code & L2_EVENT and kind != SPTE else ()
    if kind == SPTE:
        return ("spte", level, spte_word(code >> OLD_SHIFT & 255), spte_word(code >> NEW_SHIFT & 255))
    if kind == SPLIT:
        return ("split", level, spte_word(code >> OLD_SHIFT & 255), *l2)
    detail, vcpu = code >> KIND_SHIFT & 255, code >> VCPU_SHIFT
    if kind == FAULT:
        return ("fault", vcpu, FAULT_KINDS[detail], *l2)
    return ("fast", vcpu, FAST_RESULTS[detail])


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


@inlined
def append_to_runs(out: I64, rows: int, gfn: int) -> int:
    """Append one gfn to runs [first, stride, count], greedily; returns how many there are."""
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


@compiled
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
        int64[runs, 3]; a single one has stride 0.
    """
    ones = np.ones_like(gfns)
    return merged_runs(np.stack([gfns, ones * 0, ones], axis=1))
