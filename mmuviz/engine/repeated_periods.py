"""Faults of all vCPUs that repeat periodically: one after the other, page after page, at the same intervals.

A period is one fault of each vCPU. Once every vCPU maps pages of its own and they interact only at mmu_lock's cache
line, their order depends only on the distances between their times. If those are the same as a period ago, the next
period is the same too. As many periods as certainly repeat are then run at once; a law compares them with faults one
by one.
"""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import PAGES_PER_2M, SHIFT_1G, SHIFT_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.access import private_range
from mmuviz.engine.account import bucket_of, is_top
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import on_core_ps
from mmuviz.engine.lock import hold_for_read
from mmuviz.mmu import state as mmu
from mmuviz.mmu.cells import count_4k, count_dirty
from mmuviz.mmu.dirty_bitmap import set_bits
from mmuviz.mmu.host import host_backs_writable_huge_page
from mmuviz.mmu.memslot import host_page_of
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at


class Periods(NamedTuple):
    """Faults since the times of all vCPUs were last stored.

    Attributes:
        leader: the vCPU that came first then, -1 for none.
        faults: number of faults.
    """

    leader: int
    faults: int


class Repeated(NamedTuple):
    """Periods that were run at once.

    Attributes:
        faults: number of faults; `mapped` those of them that mapped an unmapped page.
    """

    faults: int
    mapped: int


class SlotRange(NamedTuple):
    """A memslot, with the data that faults on its pages need.

    Attributes:
        slot: its index, -1 for none.
        base: first gfn; `end` the gfn after the last.
        words_at: first word of its dirty bitmap.
        map_ps: time of a fault that maps an unmapped page, on a core of its own; `fix_ps` of one that finds a leaf.
    """

    slot: int
    base: int
    end: int
    words_at: int
    map_ps: int
    fix_ps: int


@jit_inline_llvm
def note_period(clock: Clock, vcpu: int, wait: int, spte: int) -> None:
    """Store a fault's wait for mmu_lock's cache line, and the leaf that it found."""
    clock.period[vcpu, layout.PERIOD_WAIT], clock.period[vcpu, layout.PERIOD_SPTE] = wait, spte


@jit
def note_times(clock: Clock) -> None:
    """Store the times of all vCPUs and of the cache line, for period_ps()."""
    for vcpu in range(clock.now.shape[0]):
        clock.period[vcpu, layout.PERIOD_NOW] = clock.now[vcpu]
        clock.period[vcpu, layout.PERIOD_LINE] = clock.line_arrival[clock.core[vcpu]]
    clock.regs[layout.PERIOD_LINE_FREE] = clock.regs[layout.LINE_FREE]
    clock.regs[layout.PERIOD_LINE_OWNER] = clock.regs[layout.LINE_OWNER]


@jit
def period_ps(clock: Clock, leader: int) -> int:
    """Length of the last period, if all distances in time are as before it; else 0."""
    took, size = clock.now[leader] - clock.period[leader, layout.PERIOD_NOW], clock.regs[layout.HEAP_SIZE]
    if clock.regs[layout.LINE_FREE] - clock.regs[layout.PERIOD_LINE_FREE] != took:
        return 0
    if clock.regs[layout.LINE_OWNER] != clock.regs[layout.PERIOD_LINE_OWNER]:
        return 0
    for place in range(size):
        vcpu = clock.heap[place]
        if clock.now[vcpu] - clock.period[vcpu, layout.PERIOD_NOW] != took:
            return 0
        if clock.line_arrival[clock.core[vcpu]] - clock.period[vcpu, layout.PERIOD_LINE] != took:
            return 0
    return int(took)


@jit
def backed_pages_with_spte(state: MmuState, part: SlotRange, gfn: int, most: int, spte: int) -> int:
    """Number of pages from a gfn on, in one 4K table, with these leaf bits and a host page."""
    at = gfn - state.conf[mmu.CONF_LINEAR]
    if state.l3[at >> SHIFT_1G] & mmu.TABLE == 0 or state.l2[at >> SHIFT_2M] & mmu.TABLE == 0:
        return 0
    most = min(most, ((gfn | (PAGES_PER_2M - 1)) + 1) - gfn)
    pages = 0
    while pages < most and state.l1[at + pages] == spte:
        pages += 1
    if state.slots[part.slot, mmu.SLOT_HOST_PRESENT] != 0:
        return pages
    had = 0
    while had < pages and host_backs_writable_huge_page(state, part.slot, host_page_of(state, part.slot, gfn + had)):
        had += 1
    return had


@jit
def periods_ahead(state: MmuState, clock: Clock, part: SlotRange, took: int, end: int) -> int:
    """Number of further periods that are certainly like the last one.

    Args:
        state: the tables.
        clock: the times.
        part: the slot that all vCPUs write to.
        took: length of a period, ps.
        end: time before which nothing else happens and the bin does not end, ps.

    Returns:
        Periods, 0 for none: if a page's events are logged, or a stall belongs among the longest.
    """
    periods, stream = (end - clock.now[clock.heap[0]]) // took, clock.stream
    for place in range(clock.regs[layout.HEAP_SIZE]):
        vcpu = clock.heap[place]
        now, spte = clock.now[vcpu], clock.period[vcpu, layout.PERIOD_SPTE]
        position = stream[vcpu, columns.POSITION]
        periods = min(periods, (min(end, clock.exit_at[vcpu]) - now) // took)
        periods = min(periods, stream[vcpu, columns.ACCESSES] - position, stream[vcpu, columns.PAGES] - position)
        whole = clock.period[vcpu, layout.PERIOD_WAIT] + work_ps(clock, vcpu, part, spte)
        if stream[vcpu, columns.STRIDE] != 1 or periods <= 0 or is_top(clock.top, clock.regs, whole, now, vcpu):
            return 0
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, position)
        low, high = private_range(clock, vcpu, gfn)
        first, behind = max(low, part.base), min(high, part.end)
        if not first <= gfn < behind:
            return 0
        periods = min(periods, backed_pages_with_spte(state, part, gfn, min(periods, behind - gfn), spte))
        focused = gfn < state.conf[mmu.CONF_FOCUS_END] and state.conf[mmu.CONF_FOCUS_FIRST] < gfn + periods
        if focused and state.conf[mmu.CONF_LOG] != mmu.LOG_NOTHING:
            return 0
    return int(periods)


@jit_inline_llvm
def work_ps(clock: Clock, vcpu: int, part: SlotRange, spte: int) -> int:
    """Time under mmu_lock, on a vCPU's core, of a fault that finds these leaf bits."""
    return on_core_ps(clock, vcpu, part.fix_ps if spte & mmu.PRESENT else part.map_ps)


@jit_inline_llvm
def add_stalls(clock: Clock, vcpu: int, cause: int, stall_ps: int, times: int, index: int) -> None:
    """charge() of stalls of one length that lie inside one bin."""
    if stall_ps > 0:
        lane = layout.LANE_LOCK if cause == layout.LOCK_WAIT else layout.LANE_FAULT
        clock.stall[vcpu, cause] += times * stall_ps
        clock.hist[cause, bucket_of(stall_ps)] += times
        clock.series[index, cause] += times * stall_ps
        clock.lanes[index, vcpu, lane] += times * stall_ps


@jit_inline_llvm
def begins_period(clock: Clock, vcpu: int, periods: Periods) -> bool:
    """Whether every vCPU had one fault since this one's last, or another leader must be chosen."""
    return bool(periods.leader < 0 or vcpu == periods.leader or periods.faults > clock.regs[layout.HEAP_SIZE])


@jit
def add_periods(state: MmuState, clock: Clock, part: SlotRange, took: int, periods: int, index: int) -> Repeated:
    """Run `periods` periods like the last one, without the sums of close_totals().

    Args:
        state: the tables, changed in place.
        clock: changed in place.
        part: the slot that all vCPUs write to.
        took: length of a period, ps.
        periods: number of periods.
        index: the bin that all of them lie in.

    Returns:
        The faults that were run.
    """
    mapped, size, shift = 0, clock.regs[layout.HEAP_SIZE], periods * took
    for place in range(size):
        vcpu = clock.heap[place]
        position = clock.stream[vcpu, columns.POSITION]
        wait, spte = clock.period[vcpu, layout.PERIOD_WAIT], clock.period[vcpu, layout.PERIOD_SPTE]
        gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
        at = gfn - state.conf[mmu.CONF_LINEAR]
        for page in range(periods):
            state.l1[at + page] = mmu.SPTE_WRITABLE
        count_4k(state, gfn, periods, spte, mmu.SPTE_WRITABLE)
        came = set_bits(state, part.slot, part.words_at, gfn - part.base, periods)
        if came > 0:
            count_dirty(state, gfn, came)
        path = layout.SLOW_PROTECTED if spte & mmu.PRESENT else layout.NOT_PRESENT
        mapped += 0 if spte & mmu.PRESENT else periods
        work = work_ps(clock, vcpu, part, spte)
        add_stalls(clock, vcpu, layout.EXIT, work, periods, index)
        add_stalls(clock, vcpu, layout.LOCK_WAIT, wait, periods, index)
        clock.hist[layout.CAUSES, bucket_of(wait + work)] += periods
        clock.faults[vcpu, path] += periods
        clock.stream[vcpu, columns.POSITION] = position + periods
        clock.accesses[vcpu] += periods
        clock.now[vcpu] += shift
        last = clock.now[vcpu] - took + wait + work
        hold_for_read(clock, last)
        clock.in_kernel_until[vcpu] = last
        clock.line_arrival[clock.core[vcpu]] = clock.period[vcpu, layout.PERIOD_LINE] + took + shift
    clock.regs[layout.LINE_FREE] += shift
    return Repeated(periods * size, mapped)


@jit_inline_llvm
def repeat_periods(state: MmuState, clock: Clock, part: SlotRange, vcpu: int, periods: Periods, end: int) -> Repeated:
    """Run at once, when a vCPU's period begins again, as many periods as are certainly like the last one.

    Args:
        state: the tables, changed in place.
        clock: changed in place.
        part: the slot that all vCPUs write to.
        vcpu: the vCPU that comes first.
        periods: faults since the times were last stored.
        end: time before which nothing else happens and the bin does not end, ps.

    Returns:
        The faults that were run.
    """
    done = Repeated(0, 0)
    took = period_ps(clock, vcpu) if vcpu == periods.leader and periods.faults == clock.regs[layout.HEAP_SIZE] else 0
    more = periods_ahead(state, clock, part, took, end) if took > 0 else 0
    if more > 0:
        done = add_periods(state, clock, part, took, more, clock.now[vcpu] >> clock.regs[layout.BIN_SHIFT])
    note_times(clock)
    return done
