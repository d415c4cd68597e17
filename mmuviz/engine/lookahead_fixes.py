"""Faults that fast_page_fault() fixes in a lookahead, and the lookahead's sums by bin of time."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.core.pages import PAGES_PER_1G, SHIFT_1G, SHIFT_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.account import add_stretch, bin_of, note_hits, note_length
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import Access, WholeFault, note_exemplary_fault, note_long_fault, on_core_ps
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_4k, count_dirty
from mmuviz.mmu.dirty_bitmap import set_bit
from mmuviz.mmu.fault import keep_4k_fixed
from mmuviz.mmu.guest_access import FIXABLE, trace_4k_fixed
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.pml import flush_pml_buffer
from mmuviz.mmu.state import MmuState


class BinCount(NamedTuple):
    """Sums of one bin of time that are not added to the clock's yet.

    Attributes:
        number: number of the bin.
        end: time at which the next bin begins, ps.
        hits: number of accesses that hit.
        fixed: faults that fast_page_fault() fixed and that ended in the bin; `fixed_ps` their time.
        slow_ps: delay of writes by logging, ps.
    """

    number: int
    end: int
    hits: int
    fixed: int
    fixed_ps: int
    slow_ps: int


@jit_inline_llvm
def open_bin(clock: Clock, time: int) -> BinCount:
    """Empty sums for the bin of a time."""
    number = bin_of(clock, time)
    return BinCount(number, (number + 1) << clock.regs[layout.BIN_SHIFT], 0, 0, 0, 0)


@jit_inline_llvm
def close_bin(clock: Clock, vcpu: int, here: BinCount) -> None:
    """Add a bin's sums to the clock's."""
    clock.series[here.number, layout.ACCESSES] += here.hits
    if here.slow_ps > 0:
        clock.series[here.number, layout.SLOW_WRITE] += here.slow_ps
        clock.slow_write_ps[vcpu] += here.slow_ps
    if here.fixed > 0:
        clock.series[here.number, layout.EXIT] += here.fixed_ps
        clock.lanes[here.number, vcpu, layout.LANE_FAULT] += here.fixed_ps
        note_fixes(clock, vcpu, here.number, here.fixed, here.fixed_ps)


@jit_inline_llvm
def note_fixes(clock: Clock, vcpu: int, index: int, times: int, whole_ps: int) -> None:
    """Add faults that fast_page_fault() fixed and that began in one bin to the sums, except their time in the bins."""
    clock.stall[vcpu, layout.EXIT] += whole_ps
    clock.series[index, layout.FAULTS + layout.FAST_FIX] += times
    clock.faults[vcpu, layout.FAST_FIX] += times


@jit_inline_llvm
def bin_at(clock: Clock, vcpu: int, here: BinCount, time: int) -> BinCount:
    """The sums of the bin of a later time."""
    if time < here.end:
        return here
    close_bin(clock, vcpu, here)
    return open_bin(clock, time)


@jit_inline_llvm
def with_hits(clock: Clock, vcpu: int, here: BinCount, time: int, run: int, took: int) -> BinCount:
    """The bin's sums after successive hits from a time in it on."""
    if time + (run - 1) * took < here.end:
        return BinCount(here.number, here.end, here.hits + run, here.fixed, here.fixed_ps, here.slow_ps)
    close_bin(clock, vcpu, here)
    note_hits(clock, time, run, took)
    return open_bin(clock, time + run * took)


@jit_inline_llvm
def with_fix(clock: Clock, vcpu: int, here: BinCount, time: int, work: int) -> BinCount:
    """The bin's sums after a fault that began in it; a fault that reaches into later bins is added at once."""
    if time + work < here.end:
        return BinCount(here.number, here.end, here.hits, here.fixed + 1, here.fixed_ps + work, here.slow_ps)
    close_bin(clock, vcpu, here)
    note_fixes(clock, vcpu, here.number, 1, work)
    add_stretch(clock, vcpu, layout.EXIT, time, work)
    return open_bin(clock, time)


@jit_inline_llvm
def fix_ps(state: MmuState, clock: Clock, vcpu: int) -> int:
    """Time of such a fault: the exit empties the PML buffer first."""
    entry = clock.price[layout.PRICES + work.WORK_PML_ENTRY]
    return on_core_ps(clock, vcpu, clock.price[layout.FAST] + state.pml_count[vcpu] * entry)


class Fixes(NamedTuple):
    """Faults so far; the last ones are not counted in their cell yet.

    Attributes:
        all: number of faults; `longest_ps` the longest one's time.
        region: the 2M region (gfn >> 9) of the last ones; `fixed` the number of these.
        marked: number of the region's pages that they added to the dirty log.
        took_ps: time of each of the last ones; `repeated` the number of these, whose length is not recorded yet.
        short_ps: time of the longest one that was too short to be kept among the longest stalls.
    """

    all: int
    longest_ps: int
    region: int
    fixed: int
    marked: int
    took_ps: int
    repeated: int
    short_ps: int


NO_FIXES: Final = Fixes(0, 0, 0, 0, 0, 0, 0, 0)


@jit_inline_llvm
def note_repeated(clock: Clock, vcpu: int, fixes: Fixes) -> None:
    """Record the length of the last faults."""
    if fixes.repeated > 0:
        clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], fixes.took_ps)
        note_length(clock, layout.EXIT, fixes.took_ps, fixes.repeated)
        note_length(clock, layout.CAUSES, fixes.took_ps, fixes.repeated)


@jit_inline_llvm
def with_length(clock: Clock, vcpu: int, fixes: Fixes, took: int, short_ps: int) -> Fixes:
    """The faults and one more of a length."""
    longest, repeated = max(fixes.longest_ps, took), fixes.repeated + 1
    if took != fixes.took_ps:
        note_repeated(clock, vcpu, fixes)
        repeated = 1
    return Fixes(fixes.all + 1, longest, fixes.region, fixes.fixed, fixes.marked, took, repeated, short_ps)


@jit_inline_llvm
def in_region(state: MmuState, fixes: Fixes, region: int) -> Fixes:
    """The faults, for further ones in a 2M region."""
    if region == fixes.region:
        return fixes
    count_cell(state, fixes)
    return Fixes(fixes.all, fixes.longest_ps, region, 0, 0, fixes.took_ps, fixes.repeated, fixes.short_ps)


@jit_inline_llvm
def with_page(fixes: Fixes, marked: int) -> Fixes:
    """The faults and one more page of the same region; `marked` is 1 if it entered the dirty log."""
    fixed, marked = fixes.fixed + 1, fixes.marked + marked
    return Fixes(
        fixes.all, fixes.longest_ps, fixes.region, fixed, marked, fixes.took_ps, fixes.repeated, fixes.short_ps
    )


@jit_inline_llvm
def count_cell(state: MmuState, fixes: Fixes) -> None:
    """Count the last faults in their cell."""
    if fixes.fixed > 0:
        count_4k(state, fixes.region << SHIFT_2M, fixes.fixed, FIXABLE, FIXABLE | mmu.WRITABLE)
    if fixes.marked > 0:
        count_dirty(state, fixes.region << SHIFT_2M, fixes.marked)


@jit_inline_llvm
def fix_in_lookahead(
    state: MmuState, clock: Clock, vcpu: int, access: Access, fixes: Fixes, time: int, took: int
) -> Fixes:  # fmt: skip
    """fast_page_fault() of a 4K leaf, without the counters, the bins, its length and the cell."""
    row, gfn = int(state.row_of[access.gfn >> SHIFT_1G]), access.gfn
    fixes = in_region(state, fixes, gfn >> SHIFT_2M)
    state.stat[mmu.STAT_STAMP], state.stat[mmu.STAT_WHO] = time, vcpu
    if state.pml_count[vcpu] > 0:
        flush_pml_buffer(state, vcpu)
    before = state.stat[mmu.STAT_EXAMPLES]
    if fixes.all == 0:  # only the first one can be the earliest
        keep_4k_fixed(state, access.spte & mmu.LEAF_BITS, gfn)
    trace_4k_fixed(state, vcpu, access.spte, gfn)
    state.l1[(row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))] |= mmu.WRITABLE
    marked, slot = 0, gfn_to_memslot(state, gfn)
    if state.slots[slot, mmu.SLOT_LOGGING] != 0:
        marked = set_bit(state, slot, state.slots[slot, mmu.SLOT_DIRTY_AT], gfn - state.slots[slot, mmu.SLOT_BASE])
    whole = WholeFault(layout.FAST_FIX, layout.EXIT, time, took, before)
    short_ps = fixes.short_ps
    if took > short_ps and not note_long_fault(clock, vcpu, gfn, whole):  # of equal ones the earlier is kept
        short_ps = took
    if took > fixes.longest_ps:
        note_exemplary_fault(state, vcpu, access, whole)
    return with_length(clock, vcpu, with_page(fixes, marked), took, short_ps)


class Progress(NamedTuple):
    """A vCPU's progress in a lookahead.

    Attributes:
        time: the vCPU's time, ps.
        position: position of its next access.
        fixes: faults so far.
        here: sums of the current bin that are not added yet.
    """

    time: int
    position: int
    fixes: Fixes
    here: BinCount


@jit_inline_llvm
def after_fix(state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress) -> Progress:
    """Progress after a fault that fast_page_fault() fixes; the access is tried again."""
    took, here = fix_ps(state, clock, vcpu), bin_at(clock, vcpu, at.here, at.time)
    fixes = fix_in_lookahead(state, clock, vcpu, access, at.fixes, at.time, took)
    clock.in_kernel_until[vcpu] = at.time + took
    return Progress(at.time + took, at.position, fixes, with_fix(clock, vcpu, here, at.time, took))
