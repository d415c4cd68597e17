"""Lookahead: how far a vCPU runs before anybody else has to be looked at."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.access import (
    Lookahead,
    access_ps,
    count_hits,
    hits_anywhere,
    kind_of,
    lookahead_of,
    peek_access,
    prefetch_leaf,
)
from mmuviz.engine.account import add_stretch, bin_of, note_hits, note_length
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import Access, Whole, note_exemplary_fault, note_long_fault, on_core_ps
from mmuviz.engine.vcpu_slice import CONTINUE, YIELD, Slice
from mmuviz.ground.compiled import inlined, woven
from mmuviz.ground.pages import PAGES_PER_1G, PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_4k, count_dirty
from mmuviz.mmu.dirty_ring import flush_pml_buffer, pml_is_on, set_bit, write_to_clean
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.fault import keep_4k_fixed
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState
from mmuviz.mmu.touch import FIXABLE, count_fixes, is_4k, trace_4k_fixed
from mmuviz.workloads import stream as program

GO_ON: Final = -1
"""Beside what a slice ends with: the next access is carried out."""


@inlined
def is_fixable(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() fixes an access, and all that it does is one bit of a 4K leaf and one of the bitmap."""
    conf, bits = state.conf, access.word & (mmu.WRITABLE | mmu.MMU_WRITABLE)
    if access.write == 0 or bits != mmu.MMU_WRITABLE or conf[mmu.CONF_FAST_FAULT] == 0 or conf[mmu.CONF_RING] != 0:
        return False
    return bool(conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K and is_4k(state, access.gfn))


@inlined
def is_clean(state: MmuState, vcpu: int, access: Access) -> bool:
    """Whether an access only sets the dirty bit of a 4K leaf, which a PML buffer that is not full may log."""
    if access.write == 0 or access.word & (mmu.WRITABLE | mmu.DIRTY) != mmu.WRITABLE:
        return False
    return bool(state.pml_count[vcpu] < mmu.PML_ENTITY_NUM and is_4k(state, access.gfn))


@inlined
def runs_ahead(state: MmuState, vcpu: int, access: Access) -> bool:
    """Whether run_lookahead() carries an access out."""
    return bool(access.hits or is_fixable(state, access) or is_clean(state, vcpu, access))


class BinCount(NamedTuple):
    """What happened in one bin of time and is not noted yet.

    Attributes:
        number: of the bin.
        end: time at which the next one begins.
        hits: accesses.
        fixed: faults that fast_page_fault() fixed and that ended in the bin; `fixed_ps` what they took.
        slow_ps: what logging made writes slower.
    """

    number: int
    end: int
    hits: int
    fixed: int
    fixed_ps: int
    slow_ps: int


@inlined
def open_bin(clock: Clock, time: int) -> BinCount:
    """The bin of a time, with nothing in it."""
    number = bin_of(clock, time)
    return BinCount(number, (number + 1) << clock.regs[layout.BIN_SHIFT], 0, 0, 0, 0)


@inlined
def close_bin(clock: Clock, vcpu: int, here: BinCount) -> None:
    """Note what happened in a bin."""
    clock.series[here.number, layout.ACCESSES] += here.hits
    if here.slow_ps > 0:
        clock.series[here.number, layout.SLOW_WRITE] += here.slow_ps
        clock.slow_write_ps[vcpu] += here.slow_ps
    if here.fixed > 0:
        clock.series[here.number, layout.EXIT] += here.fixed_ps
        clock.lanes[here.number, vcpu, layout.LANE_FAULT] += here.fixed_ps
        note_fixes(clock, vcpu, here.number, here.fixed, here.fixed_ps)


@inlined
def note_fixes(clock: Clock, vcpu: int, index: int, times: int, whole_ps: int) -> None:
    """As many faults that fast_page_fault() fixed and that began in one bin, all but their time in the bins."""
    clock.stall[vcpu, layout.EXIT] += whole_ps
    clock.series[index, layout.FAULTS + layout.FAST_FIX] += times
    clock.faults[vcpu, layout.FAST_FIX] += times


@inlined
def bin_at(clock: Clock, vcpu: int, here: BinCount, time: int) -> BinCount:
    """The bin of a later time."""
    if time < here.end:
        return here
    close_bin(clock, vcpu, here)
    return open_bin(clock, time)


@inlined
def with_hits(clock: Clock, vcpu: int, here: BinCount, time: int, run: int, took: int) -> BinCount:
    """The bin after accesses that hit one after the other from a time in it on."""
    if time + (run - 1) * took < here.end:
        return BinCount(here.number, here.end, here.hits + run, here.fixed, here.fixed_ps, here.slow_ps)
    close_bin(clock, vcpu, here)
    note_hits(clock, time, run, took)
    return open_bin(clock, time + run * took)


@inlined
def with_fix(clock: Clock, vcpu: int, here: BinCount, time: int, work: int) -> BinCount:
    """The bin after a fault that began in it; what reaches into the next ones is noted at once."""
    clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], work)
    note_length(clock, layout.EXIT, work, 1)
    note_length(clock, layout.CAUSES, work, 1)
    if time + work < here.end:
        return BinCount(here.number, here.end, here.hits, here.fixed + 1, here.fixed_ps + work, here.slow_ps)
    close_bin(clock, vcpu, here)
    note_fixes(clock, vcpu, here.number, 1, work)
    add_stretch(clock, vcpu, layout.EXIT, time, work)
    return open_bin(clock, time)


@inlined
def with_slow_write(here: BinCount, extra: int) -> BinCount:
    """The bin after a write that logging made slower."""
    return BinCount(here.number, here.end, here.hits + 1, here.fixed, here.fixed_ps, here.slow_ps + extra)


@inlined
def fix_ps(state: MmuState, clock: Clock, vcpu: int) -> int:
    """What such a fault takes: the exit empties the PML buffer first."""
    entry = clock.price[layout.PRICES + work.WORK_PML_ENTRY]
    return on_core_ps(clock, vcpu, clock.price[layout.FAST] + state.pml_count[vcpu] * entry)


class Fixes(NamedTuple):
    """Faults so far, of which the last ones are not counted in their cell yet.

    Attributes:
        all: how many there were; `longest_ps` what the longest took.
        region: the 2M region (gfn >> 9) of the last ones; `fixed` how many these are.
        marked: how many pages of the region they brought into the dirty log.
    """

    all: int
    longest_ps: int
    region: int
    fixed: int
    marked: int


@inlined
def count_cell(state: MmuState, fixes: Fixes) -> None:
    """Count the last faults in their cell."""
    if fixes.fixed > 0:
        count_4k(state, fixes.region << SHIFT_2M, fixes.fixed, FIXABLE, FIXABLE | mmu.WRITABLE)
    if fixes.marked > 0:
        count_dirty(state, fixes.region << SHIFT_2M, fixes.marked)


@inlined
def fix_in_lookahead(
    state: MmuState, clock: Clock, vcpu: int, access: Access, fixes: Fixes, time: int, took: int
) -> Fixes:  # fmt: skip
    """fast_page_fault() of a 4K leaf, but for the counters, the bins and the cell."""
    row, gfn = int(state.row_of[access.gfn >> SHIFT_1G]), access.gfn
    if gfn >> SHIFT_2M != fixes.region:
        count_cell(state, fixes)
        fixes = Fixes(fixes.all, fixes.longest_ps, gfn >> SHIFT_2M, 0, 0)
    state.stat[mmu.STAT_STAMP], state.stat[mmu.STAT_WHO] = time, vcpu
    if state.pml_count[vcpu] > 0:
        flush_pml_buffer(state, vcpu)
    before = state.stat[mmu.STAT_EXAMPLES]
    if fixes.all == 0:  # a later one is no earlier
        keep_4k_fixed(state, access.word & mmu.LEAF_BITS, gfn)
    trace_4k_fixed(state, vcpu, access.word, gfn)
    state.l1[(row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))] |= mmu.WRITABLE
    marked, slot = 0, gfn_to_memslot(state, gfn)
    if state.slots[slot, mmu.SLOT_LOGGING] != 0:
        marked = set_bit(state, slot, state.slots[slot, mmu.SLOT_DIRTY_AT], gfn - state.slots[slot, mmu.SLOT_BASE])
    whole = Whole(layout.FAST_FIX, layout.EXIT, time, took, before)
    note_long_fault(clock, vcpu, gfn, whole)
    if took > fixes.longest_ps:
        note_exemplary_fault(state, vcpu, access, whole)
    return Fixes(fixes.all + 1, max(fixes.longest_ps, took), fixes.region, fixes.fixed + 1, fixes.marked + marked)


@inlined
def log_in_lookahead(state: MmuState, clock: Clock, vcpu: int, gfn: int, time: int) -> int:
    """A write that sets the dirty bit of a 4K leaf, but for the bins; returns what logging makes it slower, ps."""
    state.stat[mmu.STAT_STAMP] = time
    write_to_clean(state, vcpu, gfn)
    return on_core_ps(clock, vcpu, clock.price[layout.DIRTY_LOGGED]) if pml_is_on(state) else 0


@inlined
def is_unseen(state: MmuState, vcpu: int, lookahead: Lookahead, access: Access) -> bool:
    """Whether no other vCPU can observe an access.

    A kick empties a PML buffer at its own time: who has anything there waits where one may come.
    """
    if not lookahead.exits and state.pml_count[vcpu] > 0:
        return False
    private = lookahead.low <= access.gfn < lookahead.high
    return bool((private or hits_anywhere(lookahead, access)) if access.hits else (private and lookahead.exits))


class Progress(NamedTuple):
    """How far a vCPU ran.

    Attributes:
        time: of the vCPU.
        position: of its next access.
        fixes: faults so far.
        here: what is not noted yet of the bin of the time.
    """

    time: int
    position: int
    fixes: Fixes
    here: BinCount


@inlined
def after_fix(state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress) -> Progress:
    """After a fault that fast_page_fault() fixes; the access is tried again."""
    took, here = fix_ps(state, clock, vcpu), bin_at(clock, vcpu, at.here, at.time)
    fixes = fix_in_lookahead(state, clock, vcpu, access, at.fixes, at.time, took)
    clock.in_kernel_until[vcpu] = at.time + took
    return Progress(at.time + took, at.position, fixes, with_fix(clock, vcpu, here, at.time, took))


@inlined
def after_access(
    state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress, run: int, took: int
) -> Progress:
    """After an access, and `run` - 1 more that hit as it does."""
    here = bin_at(clock, vcpu, at.here, at.time)
    if access.write != 0 and access.word & mmu.DIRTY == 0:
        extra = log_in_lookahead(state, clock, vcpu, access.gfn, at.time)
        return Progress(at.time + took + extra, at.position + 1, at.fixes, with_slow_write(here, extra))
    here = with_hits(clock, vcpu, here, at.time, run, took)
    return Progress(at.time + run * took, at.position + run, at.fixes, here)


@inlined
def goes_on(owed_ps: int, turn: Slice, time: int, limit: int) -> int:
    """GO_ON, YIELD where somebody else comes first, or CONTINUE where kicks have to be paid before."""
    if owed_ps > 0:
        return CONTINUE
    return YIELD if time != turn.dequeued_at and time >= limit else GO_ON


@woven
def run_lookahead(state: MmuState, clock: Clock, vcpu: int, turn: Slice, next_vcpu_ps: int, horizon_ps: int) -> Slice:
    """Hits, faults that fast_page_fault() fixes and writes that set a dirty bit, one after the other; at least one.

    Args:
        state: tables, changed in place.
        clock: changed in place.
        vcpu: whose slice it is.
        turn: so far.
        next_vcpu_ps: time up to which nobody else does anything.
        horizon_ps: time up to which nothing happens that must wait for what others cannot see.

    Returns:
        The slice: YIELD, or CONTINUE where the next access is of another kind.
    """
    accesses, why = clock.stream[vcpu, program.ACCESSES], GO_ON
    horizon_ps = next_vcpu_ps if clock.regs[layout.ONE_BY_ONE] != 0 else horizon_ps
    lookahead = lookahead_of(state, clock, vcpu, peek_access(state, clock, vcpu, turn.position).gfn)
    at = Progress(turn.time, turn.position, Fixes(0, 0, 0, 0, 0), open_bin(clock, turn.time))
    while why == GO_ON:
        if at.position >= accesses:
            why = CONTINUE
            break
        access = peek_access(state, clock, vcpu, at.position)
        if not runs_ahead(state, vcpu, access):
            why = CONTINUE
            break
        unseen = is_unseen(state, vcpu, lookahead, access)
        limit = horizon_ps if unseen else next_vcpu_ps
        owed_ps = 0 if unseen and access.hits and state.pml_count[vcpu] == 0 else clock.pending_kick_ps[vcpu]
        why = goes_on(owed_ps, turn, at.time, limit)
        if why != GO_ON:
            break
        prefetch_leaf(state, clock, vcpu, at.position)
        run, took = 1, access_ps(clock, vcpu, kind_of(state, access.gfn, access.write))
        if access.hits:
            room = max((limit - at.time - 1) // took, 0) + 1
            run = count_hits(state, clock, vcpu, at.position, access, lookahead, room)
        if access.write != 0 and access.word & mmu.WRITABLE == 0:
            at = after_fix(state, clock, vcpu, access, at)
            why = YIELD if at.time >= limit or log_is_low(state) else GO_ON
        if why == GO_ON:
            at = after_access(state, clock, vcpu, access, at, run, took)
            why = YIELD if log_is_low(state) else GO_ON
    close_bin(clock, vcpu, at.here)
    count_cell(state, at.fixes)
    count_fixes(state, at.fixes.all)
    return Slice(why, at.time, at.position, turn.dequeued_at)
