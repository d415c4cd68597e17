"""Sums of stalls, faults and accesses: by vCPU, by cause, over time and by length.

From a write fault to the histogram: access_step() in engine/vcpu.py finds that an access does not hit, and acquires
mmu_lock if the fault needs it. fault() in engine/slow_fault.py then runs handle_fault() in engine/fault_cost.py:
page_fault() changes the tables and counts its work (mmu/work.py), and each entry counted is multiplied by its price in
`Clock.price`, which fault_costs() in engine/cost_table.py computed from the ledger's instructions and the host. Waiting
for mmu_lock, the host's memory and TLB flushes add times of their own; where faults take mmu_lock for write, the price
HOLD replaces the path's; on_core_ps() stretches what runs on a shared core. Exit and fault are charged by
charge_exit_and_fault(), every other cause by charge(), the whole fault by count_fault(). All add to `Clock.hist`, which
engine/recording_of.py writes to the Recording as `stalls.hist`.

A fault that another vCPU handled meanwhile is priced by spurious_fault() without page_fault(). Code that runs many
faults at once adds to the histogram directly: lookahead_fixes.py if fast_page_fault() fixes a vCPU's own pages,
batched_map_4k.py and repeated_periods.py if each fault maps one 4K page.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.engine.clock import (
    ACCESSES,
    BIN_SHIFT,
    BINS,
    CAUSES,
    FAULTS,
    LANE_BLOCKED,
    LANE_FAULT,
    LANE_LOCK,
    LANES,
    LOCK_WAIT,
    RING,
    SERIES_COLUMNS,
    SUB_BITS,
    TOP,
    TOP_CAUSE,
    TOP_COLUMNS,
    TOP_COUNT,
    TOP_GFN,
    TOP_STALL,
    TOP_TIME,
    TOP_VCPU,
    Clock,
)
from mmuviz.mmu.state import I64

FRACTION_BITS: Final = 52
EXPONENT_BIAS: Final = 1023
"""Exponent bias of a 64-bit float (IEEE 754)."""


@jit
def widen_bins(series: I64, lanes: I64, regs: I64, time: int) -> None:
    """Double the width of the bins, merging them in pairs, until they reach a time."""
    half, vcpus = BINS >> 1, lanes.shape[1]
    while time >> regs[BIN_SHIFT] >= BINS:
        for each in range(BINS):
            first, second = 2 * each, 2 * each + 1
            for column in range(SERIES_COLUMNS):
                series[each, column] = series[first, column] + series[second, column] if each < half else 0
            for vcpu in range(vcpus):
                for lane in range(LANES):
                    both = lanes[first, vcpu, lane] + lanes[second, vcpu, lane] if each < half else 0
                    lanes[each, vcpu, lane] = both
        regs[BIN_SHIFT] += 1


@jit_inline_llvm
def bin_of(clock: Clock, time: int) -> int:
    """Return the index of the bin that contains a time."""
    if time >> clock.regs[BIN_SHIFT] >= BINS:
        widen_bins(clock.series, clock.lanes, clock.regs, time)
    return int(time >> clock.regs[BIN_SHIFT])


@jit_inline_llvm
def bucket_of(stall_ps: int) -> int:
    """The bucket of a stall: eight per octave above 8 ps, one per ps below, as in recording/stall_buckets.py.

    Read off the binary form of a float: its exponent, and the first three bits of its fraction.
    """
    if stall_ps < 1 << SUB_BITS:
        return stall_ps
    bits = np.float64(stall_ps).view(np.int64)
    return int((bits >> (FRACTION_BITS - SUB_BITS)) - ((EXPONENT_BIAS + SUB_BITS - 1) << SUB_BITS))


@jit_inline_llvm
def lane_of(cause: int) -> int:
    """A vCPU's activity (LANE_…) during a stall of a cause."""
    if cause == LOCK_WAIT:
        return LANE_LOCK
    return LANE_BLOCKED if cause >= RING else LANE_FAULT


@jit
def spread(series: I64, lanes: I64, regs: I64, where: tuple[int, int, int], time: int, took: int) -> None:
    """Add a stretch of time to the bins that it overlaps, to each the overlapping part.

    Args:
        series: changed in place.
        lanes: changed in place.
        regs: the width of a bin, changed if the stretch ends after the last bin.
        where: column of the series, -1 for none; vCPU and column of its lanes.
        time: begin of the stretch, ps.
        took: its length, ps.
    """
    if time + took - 1 >> regs[BIN_SHIFT] >= BINS:
        widen_bins(series, lanes, regs, time + took - 1)
    column, vcpu, lane = where
    shift = regs[BIN_SHIFT]
    while took > 0:
        index = time >> shift
        here = min(took, ((index + 1) << shift) - time)
        if column >= 0:
            series[index, column] += here
        lanes[index, vcpu, lane] += here
        time += here
        took -= here


@jit
def spread_column(series: I64, lanes: I64, regs: I64, column: int, time: int, took: int) -> None:
    """spread() for a stretch that belongs to no vCPU."""
    if took > 0 and time + took - 1 >> regs[BIN_SHIFT] >= BINS:
        widen_bins(series, lanes, regs, time + took - 1)
    shift = regs[BIN_SHIFT]
    while took > 0:
        index = time >> shift
        here = min(took, ((index + 1) << shift) - time)
        series[index, column] += here
        time += here
        took -= here


@jit_inline_llvm
def add_stretch(clock: Clock, vcpu: int, cause: int, time: int, took: int) -> None:
    """Add a vCPU's stretch to the bins; spread() is called only if it crosses a bin's end, which is rare."""
    index = time >> clock.regs[BIN_SHIFT]
    if index < BINS and (time + took) >> clock.regs[BIN_SHIFT] == index:
        clock.series[index, cause] += took
        clock.lanes[index, vcpu, lane_of(cause)] += took
    else:
        spread(clock.series, clock.lanes, clock.regs, (cause, vcpu, lane_of(cause)), time, took)


@jit_inline_llvm
def note_length(clock: Clock, cause: int, stall_ps: int, times: int) -> None:
    """Add `times` stalls of one length to the histogram; CAUSES is the row of whole faults."""
    clock.hist[cause, bucket_of(stall_ps)] += times
    clock.longest[cause] = max(clock.longest[cause], stall_ps)


@jit_inline_llvm
def charge(clock: Clock, vcpu: int, cause: int, time: int, stall_ps: int) -> None:
    """Add a stall of one cause that begins at a time to the vCPU's total, to the bins and to the histogram."""
    if stall_ps > 0:  # most faults have few causes
        clock.stall[vcpu, cause] += stall_ps
        add_stretch(clock, vcpu, cause, time, stall_ps)
        note_length(clock, cause, stall_ps, 1)


@jit
def charge_out_of_line(clock: Clock, vcpu: int, cause: int, time: int, stall_ps: int, gfn: int) -> None:
    """charge() of a stall that is not a fault, for callers in which inlining does not pay."""
    charge(clock, vcpu, cause, time, stall_ps)
    if stall_ps > 0:
        clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], stall_ps)
    if stall_ps > 0 and is_top(clock.top, clock.regs, stall_ps, time, vcpu):
        note_top(clock.top, clock.regs, stall_ps, (time, vcpu, gfn, cause))


@jit_inline_llvm
def count_fault(clock: Clock, vcpu: int, path: int, time: int, whole_ps: int) -> None:
    """Count a fault by its path, and add its whole length to the histogram's row CAUSES, which sums over causes."""
    clock.series[bin_of(clock, time), FAULTS + path] += 1
    clock.faults[vcpu, path] += 1
    note_length(clock, CAUSES, whole_ps, 1)
    clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], whole_ps)


@jit_inline_llvm
def is_top(top: I64, regs: I64, stall_ps: int, time: int, vcpu: int) -> bool:
    """Whether a stall is among the longest; among equal stalls the earlier ranks first, then the lower vCPU."""
    if regs[TOP_COUNT] < TOP or stall_ps > top[0, TOP_STALL]:
        return True
    if stall_ps < top[0, TOP_STALL]:
        return False
    return bool(time < top[0, TOP_TIME] or (time == top[0, TOP_TIME] and vcpu < top[0, TOP_VCPU]))


@jit_inline_llvm
def is_shorter(top: I64, first: int, second: int) -> bool:
    """Whether one kept stall is dropped before another: the shorter; if equal the later, then the higher vCPU's."""
    if top[first, TOP_STALL] != top[second, TOP_STALL]:
        return bool(top[first, TOP_STALL] < top[second, TOP_STALL])
    if top[first, TOP_TIME] != top[second, TOP_TIME]:
        return bool(top[first, TOP_TIME] > top[second, TOP_TIME])
    return bool(top[first, TOP_VCPU] > top[second, TOP_VCPU])


@jit_inline_llvm
def swap_rows(top: I64, first: int, second: int) -> None:
    """Exchange two kept stalls."""
    for column in range(TOP_COLUMNS):
        top[first, column], top[second, column] = top[second, column], top[first, column]


@jit
def note_top(top: I64, regs: I64, stall_ps: int, what: tuple[int, int, int, int]) -> None:
    """Keep a stall (time, vCPU, gfn, cause), for which is_top() holds.

    The set that is kept does not depend on the order of the calls.
    """
    count = regs[TOP_COUNT]
    if count < TOP:
        regs[TOP_COUNT] = count + 1
    at = 0 if count == TOP else count
    top[at, TOP_STALL], top[at, TOP_TIME], top[at, TOP_VCPU] = stall_ps, what[0], what[1]
    top[at, TOP_GFN], top[at, TOP_CAUSE] = what[2], what[3]
    while at > 0 and is_shorter(top, at, (at - 1) >> 1):
        swap_rows(top, at, (at - 1) >> 1)
        at = (at - 1) >> 1
    size = regs[TOP_COUNT]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and is_shorter(top, child + 1, child):
            child += 1
        if not is_shorter(top, child, at):
            return
        swap_rows(top, at, child)
        at = child


@jit
def note_hits(clock: Clock, time: int, count: int, step_ps: int) -> None:
    """Count accesses that retire one after the other, each in the bin in which it begins."""
    bin_of(clock, time + (count - 1) * step_ps)
    shift = clock.regs[BIN_SHIFT]
    while count > 0:
        index = time >> shift
        here = min(count, (((index + 1) << shift) - time + step_ps - 1) // step_ps)
        clock.series[index, ACCESSES] += here
        time += here * step_ps
        count -= here
